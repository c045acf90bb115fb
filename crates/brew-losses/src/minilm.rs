//! Relations between the tokens of a sequence, head by head.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::log_softmax::log_softmax;
use crate::masking::{checked, drop_keys, drop_tokens, token_mean};
use crate::{FeatureTensor, LossError, LossInput, Side};

/// Divergence of self-attention relations (MiniLM, <https://arxiv.org/abs/2002.10957>, for values;
/// MiniLMv2, <https://arxiv.org/abs/2012.15828>, for queries, keys and values with relation heads).
///
/// `KL(R_T ‖ R_S)`, averaged over heads and over the tokens that count, where a row of
/// `R = softmax(A Aᵀ/√d)` is the distribution of one token over the tokens that count and `A` are the
/// vectors of one head, `d` wide. The models' widths may differ. Queries, keys, values or hidden states
/// may be compared, whichever the adaptor gives as features.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]`, split into `relation_heads` heads, or
///   `[batch, heads, length, head_dim]`, as it is; each for itself
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other, or a hidden width is no multiple of `relation_heads`.
///
/// ```
/// use brew_losses::{LossInput, minilm_relation_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let student = Tensor::<TestBackend, 3>::zeros([2, 5, 8], &device);
/// let teacher = Tensor::<TestBackend, 3>::ones([2, 5, 24], &device);
/// let input = LossInput { student: vec![student.into()], teacher: vec![teacher.into()], mask: None, teacher_mask: None };
/// // In both, every token attends to all others alike.
/// assert!(minilm_relation_loss(&input, 4)?.into_scalar().abs() < 1e-6);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn minilm_relation_loss<B: Backend>(
    input: &LossInput<B>,
    relation_heads: usize,
) -> Result<Tensor<B, 1>, LossError> {
    let loss = "minilm_relation";
    let (student, teacher) = input.single(loss)?;
    let (student_shape, teacher_shape) = (student.dims(), teacher.dims());
    let student = heads(loss, Side::Student, student, relation_heads)?;
    let teacher = heads(loss, Side::Teacher, teacher, relation_heads)?;
    let [batch, head_count, length, _] = student.dims();
    if [batch, head_count, length] != teacher.dims()[..3] {
        let remedy = if head_count != teacher.dims()[1] {
            "the numbers of heads must be equal; give [batch, length, hidden], which is split into relation heads"
        } else {
            "batch and length must be equal; give both models the same batch, tokenized alike"
        };
        return Err(LossError::ShapeMismatch {
            loss: loss.to_string(),
            student: student_shape,
            teacher: teacher_shape,
            remedy: remedy.to_string(),
        });
    }
    let mask = checked(loss, &input.mask, &student_shape, [batch, length])?;
    let log_relation = |vectors: Tensor<B, 4>| {
        let [batch, head_count, length, width] = vectors.dims();
        let vectors = match &mask {
            Some(mask) => {
                let mask = mask.clone().unsqueeze_dim::<3>(1).expand([batch, head_count, length]);
                drop_tokens(vectors.flatten(0, 1), mask.flatten(0, 1))
                    .reshape([batch, head_count, length, width])
            }
            None => vectors,
        };
        let scores = vectors.clone().matmul(vectors.swap_dims(2, 3)) / (width as f64).sqrt();
        let scores = match &mask {
            Some(mask) => drop_keys(scores, mask.clone()),
            None => scores,
        };
        log_softmax(scores, 3)
    };
    let (student, teacher) = (log_relation(student), log_relation(teacher));
    let per_query = (teacher.clone().exp() * (teacher - student)).sum_dim(3).mean_dim(1).squeeze_dim::<3>(1);
    let counted = mask.unwrap_or_else(|| Tensor::ones([batch, length], &per_query.device()));
    Ok(token_mean(per_query, counted))
}

/// `[batch, heads, length, head_dim]`
fn heads<B: Backend>(
    loss: &str,
    side: Side,
    feature: FeatureTensor<B>,
    relation_heads: usize,
) -> Result<Tensor<B, 4>, LossError> {
    let shape = feature.dims();
    let wrong = |expected: String, remedy: &str| LossError::FeatureShape {
        loss: loss.to_string(),
        side,
        shape: shape.clone(),
        expected,
        remedy: remedy.to_string(),
    };
    match feature {
        FeatureTensor::D4(vectors) => Ok(vectors),
        FeatureTensor::D3(states) => {
            let [batch, length, hidden] = states.dims();
            if relation_heads == 0 || !hidden.is_multiple_of(relation_heads) {
                return Err(wrong(
                    format!("[batch, length, a multiple of {relation_heads} relation heads]"),
                    "choose `relation_heads` that divides both models' widths",
                ));
            }
            Ok(states.reshape([batch, length, relation_heads, hidden / relation_heads]).swap_dims(1, 2))
        }
        FeatureTensor::D2(_) => Err(wrong(
            "[batch, length, hidden] or [batch, heads, length, head_dim]".to_string(),
            "use `feature = \"hidden\"`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::gradient_check::{assert_gradient, finite_gradient, numbers};

    #[test]
    fn two_tokens_by_hand() {
        let device = Default::default();
        // Scores of the first two tokens: student [1 1; 1 1], teacher (of width 4, halved) [2 0; 0 2]. The third
        // is padding and counts neither as query nor as key.
        let student = Tensor::<TestBackend, 3>::from_floats([[[1.0], [1.0], [50.0]]], &device);
        let teacher = Tensor::<_, 3>::from_floats(
            [[[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]]],
            &device,
        );
        let mask = Some(Tensor::from_floats([[1.0, 1.0, 0.0]], &device));
        let own = 1.0 / (1.0 + (-2f32).exp());
        let expected = own * (own / 0.5).ln() + (1.0 - own) * ((1.0 - own) / 0.5).ln();
        let input = LossInput {
            student: vec![student.into()],
            teacher: vec![teacher.into()],
            mask,
            teacher_mask: None,
        };
        assert_close(
            &[minilm_relation_loss(&input, 1).unwrap().into_scalar()],
            &[expected],
            1e-5,
            0.0,
            "loss",
        );
    }

    #[test]
    fn heads_split_here_are_heads_given() {
        let device = Default::default();
        let states = |salt: u32| Tensor::<TestBackend, 3>::from_data(numbers([2, 3, 8], salt), &device);
        let input = |feature: &dyn Fn(u32) -> FeatureTensor<TestBackend>| LossInput {
            student: vec![feature(1)],
            teacher: vec![feature(2)],
            mask: Some(Tensor::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &device)),
            teacher_mask: None,
        };
        let split = minilm_relation_loss(&input(&|salt| states(salt).into()), 4).unwrap().into_scalar();
        let given = input(&|salt| states(salt).reshape([2, 3, 4, 2]).swap_dims(1, 2).into());
        let given = minilm_relation_loss(&given, 1).unwrap().into_scalar();
        assert_close(&[split], &[given], 1e-6, 0.0, "loss");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 3>::from_data(numbers([2, 3, 6], 5), &device);
        let mask = Tensor::<TestAutodiffBackend, 2>::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &device);
        for mask in [None, Some(mask)] {
            assert_gradient::<3>(numbers([2, 3, 4], 4), |student| {
                let input = LossInput {
                    student: vec![student.into()],
                    teacher: vec![teacher.clone().into()],
                    mask: mask.clone(),
                    teacher_mask: None,
                };
                minilm_relation_loss(&input, 2).unwrap()
            });
        }
    }

    #[test]
    fn masked_tokens_get_no_gradient_and_may_hold_anything() {
        let device = Default::default();
        let states = |salt: u32| {
            Tensor::<TestAutodiffBackend, 3>::from_data(numbers([2, 3, 4], salt), &device)
                .slice_fill([0..1, 2..3], f32::NAN)
        };
        for mask in [[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]] {
            let is_empty = mask[0][0] == 0.0;
            let (value, gradient) = finite_gradient(states(1), |student| {
                let input = LossInput {
                    student: vec![student.into()],
                    teacher: vec![states(2).into()],
                    mask: Some(Tensor::from_floats(mask, &device)),
                    teacher_mask: None,
                };
                minilm_relation_loss(&input, 2).unwrap()
            });
            assert_eq!(value == 0.0, is_empty);
            assert_eq!(gradient[8..12], [0.0; 4]);
            assert_eq!(gradient.iter().all(|entry| *entry == 0.0), is_empty);
        }
    }

    #[test]
    fn widths_that_do_not_split_and_other_numbers_of_heads_are_errors() {
        let device = Default::default();
        let states =
            |width: usize| FeatureTensor::from(Tensor::<TestBackend, 3>::ones([2, 3, width], &device));
        let message = |student: FeatureTensor<TestBackend>,
                       teacher: FeatureTensor<TestBackend>,
                       heads: usize| {
            let input =
                LossInput { student: vec![student], teacher: vec![teacher], mask: None, teacher_mask: None };
            minilm_relation_loss(&input, heads).unwrap_err().to_string()
        };
        let error = message(states(8), states(9), 4);
        assert!(
            error.contains("teacher's feature has shape [2, 3, 9]") && error.contains("`relation_heads`")
        );
        assert!(message(states(8), states(8), 0).contains("`relation_heads`"));
        let heads =
            |heads: usize| FeatureTensor::from(Tensor::<TestBackend, 4>::ones([2, heads, 3, 4], &device));
        assert!(message(heads(2), heads(3), 1).contains("numbers of heads must be equal"));
        let pooled = FeatureTensor::from(Tensor::<TestBackend, 2>::ones([2, 4], &device));
        assert!(message(pooled, states(4), 1).contains("feature = \"hidden\""));
    }
}
