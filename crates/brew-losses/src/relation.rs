//! Losses on relations between two layers of a model.

use brew_config::NstScale;
use brew_kernels::losses::{Divisor, similarity_loss};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::masking::{checked, pair_mean, token_counts};
use crate::tensor::LayerPair;
use crate::{LossError, LossInput, Side};

/// Mean squared error of the matrices of flow between two layers (TextBrewer's `fsp_loss`, also `gram`;
/// a variant of Yim et al., CVPR 2017, "A Gift from Knowledge Distillation").
///
/// `mean((S₁ᵀS₂ / n − T₁ᵀT₂ / n)²)`, where `n` is the length, or with a mask each sequence's number of
/// tokens, the others' states being 0. The lengths of student and teacher may differ where there is no mask
/// or each has its own.
///
/// # Shapes
/// - student, teacher: two of `[batch, length, hidden]`, of equal widths
/// - mask: `[batch, length]`; `teacher_mask`: `[batch, teacher's length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
///
/// ```
/// use brew_losses::{LossInput, fsp_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let states = |value: f32| Tensor::<TestBackend, 3>::full([1, 4, 2], value, &device).into();
/// let input = LossInput { student: vec![states(1.0), states(1.0)], teacher: vec![states(1.0), states(3.0)], mask: None, teacher_mask: None };
/// assert_eq!(fsp_loss(&input)?.into_scalar(), 4.0);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn fsp_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let loss = "fsp";
    let (student, teacher) = input.pairs(loss)?;
    for (side, pair) in [(Side::Student, &student), (Side::Teacher, &teacher)] {
        let ([batch, length, _], [other_batch, other_length, _]) = (pair.first.dims(), pair.second.dims());
        if (batch, length) != (other_batch, other_length) {
            return Err(pair_mismatch(loss, side, pair, "batch and length"));
        }
    }
    let ([batch, length, width], [teacher_batch, teacher_length, teacher_width]) =
        (student.first.dims(), teacher.first.dims());
    let widths_differ = width != teacher_width || student.second.dims()[2] != teacher.second.dims()[2];
    if widths_differ {
        return Err(mismatch(
            loss,
            &student,
            &teacher,
            "give the match a projection, `proj = [\"linear\", student's width, teacher's width]`, or use `nst`, \
             which compares different widths",
        ));
    }
    let has_own_mask = input.teacher_mask.is_some();
    if batch != teacher_batch || (input.mask.is_some() && !has_own_mask && length != teacher_length) {
        return Err(mismatch(loss, &student, &teacher, SAME_BATCH));
    }
    let mask = checked(loss, &input.mask, &student.first.dims(), [batch, length])?;
    let teacher_mask =
        checked(loss, &input.teacher_mask, &teacher.first.dims(), [teacher_batch, teacher_length])?;
    Ok(match mask {
        None => {
            let flow = |pair: LayerPair<B>| {
                let length = pair.second.dims()[1] as f64;
                pair.first.swap_dims(1, 2).matmul(pair.second) / length
            };
            (flow(student) - flow(teacher)).square().mean()
        }
        Some(mask) => {
            // Once would be enough for a mask of 0 and 1, but a masked state that is not finite must not
            // reach the product either.
            let flow = |pair: LayerPair<B>, mask: Tensor<B, 2>| {
                let tokens = mask.clone().unsqueeze_dim::<3>(2);
                (pair.first * tokens.clone()).swap_dims(1, 2).matmul(pair.second * tokens)
                    / token_counts(mask)
            };
            let teacher_mask = teacher_mask.unwrap_or_else(|| mask.clone());
            (flow(student, mask) - flow(teacher, teacher_mask)).square().mean()
        }
    })
}

/// Mean squared error of the matrices of similarity between tokens (TextBrewer's `mmd_loss`, `nst` and
/// `mmd`; a variant of Huang and Wang, <https://arxiv.org/abs/1707.01219>).
///
/// `mean((S₁S₂ᵀ / d_S − T₁T₂ᵀ / d_T)²)`. Without a mask `d` is the hidden width. With one, the mean is
/// over pairs of tokens that both count, and `scale` says what `d` is: the padded length (TextBrewer's
/// release) or the hidden width (its repository).
///
/// # Shapes
/// - student: two of `[batch, length, hidden]`
/// - teacher: two of `[batch, length, hidden]`, of any width
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn nst_loss<B: Backend>(input: &LossInput<B>, scale: NstScale) -> Result<Tensor<B, 1>, LossError> {
    let loss = "nst";
    let (student, teacher) = input.pairs(loss)?;
    for (side, pair) in [(Side::Student, &student), (Side::Teacher, &teacher)] {
        let ([batch, _, width], [other_batch, _, other_width]) = (pair.first.dims(), pair.second.dims());
        if (batch, width) != (other_batch, other_width) {
            return Err(pair_mismatch(loss, side, pair, "batch and hidden width"));
        }
        if input.mask.is_some() && pair.first.dims()[1] != pair.second.dims()[1] {
            return Err(pair_mismatch(loss, side, pair, "length where there is a mask"));
        }
    }
    let [batch, length, _] = student.first.dims();
    if student.first.dims()[..2] != teacher.first.dims()[..2]
        || student.second.dims()[1] != teacher.second.dims()[1]
    {
        return Err(mismatch(loss, &student, &teacher, SAME_BATCH));
    }
    let mask = checked(loss, &input.mask, &student.first.dims(), [batch, length])?;
    let by_length = mask.is_some() && scale == NstScale::Length;
    let divisor = if by_length { Divisor::Length } else { Divisor::Width };
    let [of_student, of_teacher] = [&student, &teacher].map(|pair| [&pair.first, &pair.second]);
    if let Some(loss) = similarity_loss(divisor, of_student, of_teacher, mask.as_ref()) {
        return Ok(loss);
    }
    let similarity = |pair: LayerPair<B>| {
        let [_, length, width] = pair.second.dims();
        let divisor = if by_length { length } else { width };
        pair.first.matmul(pair.second.swap_dims(1, 2)) / divisor as f64
    };
    let squared = (similarity(student) - similarity(teacher)).square();
    Ok(match mask {
        None => squared.mean(),
        Some(mask) => pair_mean(squared, mask),
    })
}

const SAME_BATCH: &str = "batch and length must be equal; give both models the same batch, tokenized alike";

fn mismatch<B: Backend>(
    loss: &str,
    student: &LayerPair<B>,
    teacher: &LayerPair<B>,
    remedy: &str,
) -> LossError {
    let first_differs = student.first.dims() != teacher.first.dims();
    let shape =
        |pair: &LayerPair<B>| if first_differs { pair.first.dims() } else { pair.second.dims() }.to_vec();
    LossError::ShapeMismatch {
        loss: loss.to_string(),
        student: shape(student),
        teacher: shape(teacher),
        remedy: remedy.to_string(),
    }
}

fn pair_mismatch<B: Backend>(loss: &str, side: Side, pair: &LayerPair<B>, agree_in: &str) -> LossError {
    LossError::PairMismatch {
        loss: loss.to_string(),
        side,
        first: pair.first.dims().to_vec(),
        second: pair.second.dims().to_vec(),
        agree_in: agree_in.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::FeatureTensor;
    use crate::gradient_check::{assert_gradient, numbers};

    /// One sequence of three tokens of width 1 (student) and 2 (teacher).
    fn three_tokens(mask: Option<[[f32; 3]; 1]>) -> LossInput<TestBackend> {
        let device = Default::default();
        let student = FeatureTensor::from(Tensor::<_, 3>::from_floats([[[1.0], [2.0], [5.0]]], &device));
        let teacher =
            FeatureTensor::from(Tensor::<_, 3>::from_floats([[[1.0, 1.0], [0.0, 1.0], [7.0, 7.0]]], &device));
        LossInput {
            student: vec![student.clone(), student],
            teacher: vec![teacher.clone(), teacher],
            mask: mask.map(|mask| Tensor::from_floats(mask, &device)),
            teacher_mask: None,
        }
    }

    #[test]
    fn nst_by_hand() {
        let masked = three_tokens(Some([[1.0, 1.0, 0.0]]));
        // Products of the first two tokens: student [[1, 2], [2, 4]], teacher [[2, 1], [1, 1]].
        let by_length = (1.0 + 1.0 + 1.0 + 9.0) / 9.0 / 4.0;
        let by_width = (0.0 + 1.5f32.powi(2) * 2.0 + 3.5f32.powi(2)) / 4.0;
        let loss = nst_loss(&masked, NstScale::Length).unwrap().into_scalar();
        assert_close(&[loss], &[by_length], 1e-6, 0.0, "padded length");
        let loss = nst_loss(&masked, NstScale::Width).unwrap().into_scalar();
        assert_close(&[loss], &[by_width], 1e-6, 0.0, "width");
    }

    #[test]
    fn nst_without_a_mask_divides_by_the_width_either_way() {
        let input = three_tokens(None);
        let length = nst_loss(&input, NstScale::Length).unwrap().into_scalar();
        let width = nst_loss(&input, NstScale::Width).unwrap().into_scalar();
        // Student [1 2 5; 2 4 10; 5 10 25], teacher [2 1 14; 1 1 7; 14 7 98] / 2.
        let expected = (0.0
            + 1.5f32.powi(2) * 2.0
            + 4.0 * 2.0
            + 3.5f32.powi(2)
            + 6.5f32.powi(2) * 2.0
            + 24.0f32.powi(2))
            / 9.0;
        assert_close(&[length, width], &[expected, expected], 1e-6, 0.0, "loss");
    }

    #[test]
    fn fsp_averages_over_the_tokens_of_each_sequence() {
        let device = Default::default();
        let states = |values: [[[f32; 1]; 2]; 2]| {
            FeatureTensor::from(Tensor::<TestBackend, 3>::from_floats(values, &device))
        };
        let student = states([[[1.0], [3.0]], [[2.0], [9.0]]]);
        let teacher = states([[[0.0], [1.0]], [[1.0], [8.0]]]);
        let input = LossInput {
            student: vec![student.clone(), student],
            teacher: vec![teacher.clone(), teacher],
            mask: Some(Tensor::from_floats([[1.0, 1.0], [1.0, 0.0]], &device)),
            teacher_mask: None,
        };
        // (1 + 9)/2 − 1/2 = 4.5, and 4 − 1 = 3.
        assert_close(&[fsp_loss(&input).unwrap().into_scalar()], &[(20.25 + 9.0) / 2.0], 1e-6, 0.0, "loss");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let layer =
            |salt: u32| Tensor::<TestAutodiffBackend, 3>::from_data(numbers([2, 3, 2], salt), &device);
        let mask = Tensor::<TestAutodiffBackend, 2>::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &device);
        for mask in [None, Some(mask)] {
            let input = |student: Tensor<TestAutodiffBackend, 3>, is_first: bool| LossInput {
                student: if is_first {
                    vec![student.into(), layer(7).into()]
                } else {
                    vec![layer(7).into(), student.into()]
                },
                teacher: vec![layer(8).into(), layer(9).into()],
                mask: mask.clone(),
                teacher_mask: None,
            };
            for is_first in [true, false] {
                assert_gradient::<3>(numbers([2, 3, 2], 6), |student| {
                    fsp_loss(&input(student, is_first)).unwrap()
                });
                assert_gradient::<3>(numbers([2, 3, 2], 6), |student| {
                    nst_loss(&input(student, is_first), NstScale::Length).unwrap()
                });
            }
        }
    }

    #[test]
    fn fsp_reads_texts_of_different_lengths_each_through_its_own_mask() {
        let device = Default::default();
        let states = |salt: u32, length: usize| -> Tensor<TestBackend, 3> {
            Tensor::from_data(numbers([1, length, 2], salt), &device)
        };
        let real = |states: Tensor<TestBackend, 3>, tokens: usize| states.narrow(1, 0, tokens).into();
        let whole = LossInput {
            student: vec![states(1, 3).into(), states(2, 3).into()],
            teacher: vec![states(3, 5).into(), states(4, 5).into()],
            mask: Some(Tensor::from_floats([[1.0, 1.0, 0.0]], &device)),
            teacher_mask: Some(Tensor::from_floats([[1.0, 1.0, 1.0, 1.0, 0.0]], &device)),
        };
        let trimmed = LossInput {
            student: vec![real(states(1, 3), 2), real(states(2, 3), 2)],
            teacher: vec![real(states(3, 5), 4), real(states(4, 5), 4)],
            mask: None,
            teacher_mask: None,
        };
        let found = fsp_loss(&whole).unwrap().into_scalar();
        assert!(found > 0.0);
        assert_close(&[found], &[fsp_loss(&trimmed).unwrap().into_scalar()], 1e-5, 0.0, "fsp");
        let error = fsp_loss(&LossInput { teacher_mask: None, ..whole }).unwrap_err().to_string();
        assert!(error.contains("[1, 3, 2]") && error.contains("[1, 5, 2]"), "{error}");
    }
}
