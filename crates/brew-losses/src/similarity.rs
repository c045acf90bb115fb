//! Losses on the similarities between the sequences of a batch.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::hidden::normalise;
use crate::masking::{counted_mean, counted_pairs, counted_sequences, drop_sequences, drop_tokens};
use crate::sequences::{Sequences, checked_for_feature, other_batch};
use crate::{FeatureTensor, LossError, LossInput, Side};

/// Added to the similarities of `pkt`, so that each has a logarithm.
const PKT_EPSILON: f64 = 1e-7;

/// Divergence of the distributions over a sequence's neighbours (PKT,
/// <https://arxiv.org/abs/1803.10837>).
///
/// `Σ_j p_T(j|i) (log p_T(j|i) − log p_S(j|i))`, averaged over sequences i, where `p(j|i)` is
/// `K(i, j) / Σ_k K(i, k)` over j, k ≠ i and `K` = ½(cos + 1) + 1e-7 of the states at position 0. The
/// cosine with a state of zero norm is 0. Sequences of which no token counts are left out.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]` or `[batch, hidden]`, each for itself, of any width
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn pkt_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let Sequences { student, teacher, counted } = Sequences::new("pkt", input)?;
    let is_other = counted_pairs(counted.clone()).equal_elem(0.0);
    let log_neighbours = |states: Tensor<B, 2>| {
        let states = normalise(states);
        // Rounding may take a cosine below −1.
        let kernel = ((states.clone().matmul(states.transpose()) + 1.0) * 0.5).clamp_min(0.0) + PKT_EPSILON;
        let total = kernel.clone().mask_fill(is_other.clone(), 0.0).sum_dim(1);
        // A sequence without neighbours.
        let is_alone = total.clone().equal_elem(0.0);
        kernel.log() - total.mask_fill(is_alone, 1.0).log()
    };
    let (student, teacher) = (log_neighbours(student), log_neighbours(teacher));
    let probability = teacher.clone().exp().mask_fill(is_other, 0.0);
    let divergence = (probability * (teacher - student)).sum_dim(1).squeeze_dim::<1>(1);
    Ok(counted_mean(divergence, counted))
}

/// Squared distance of the matrices of similarity between sequences (similarity-preserving distillation,
/// <https://arxiv.org/abs/1907.09682>).
///
/// `‖G_S − G_T‖² / batch²`, where `G` is `QQᵀ` with each row divided by its norm, and a row of `Q` holds
/// all states of one sequence, those of tokens that do not count being 0. `batch` is the number of
/// sequences of which a token counts. A row of zero norm is left as it is.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]` or `[batch, hidden]`, each for itself, of any width
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn sp_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let loss = "sp";
    let (student, teacher) = input.single(loss)?;
    let (student_shape, teacher_shape) = (student.dims(), teacher.dims());
    let batch = student_shape[0];
    if batch != teacher_shape[0] {
        return Err(other_batch(loss, student_shape, teacher_shape));
    }
    let similarity = |side: Side, feature: FeatureTensor<B>| {
        let mask = checked_for_feature(loss, input, &feature)?;
        let states = match (feature, mask) {
            (FeatureTensor::D2(states), mask) => {
                let counted = counted_sequences(mask, batch, &states.device());
                drop_sequences(states, counted)
            }
            (FeatureTensor::D3(states), None) => states.flatten(1, 2),
            (FeatureTensor::D3(states), Some(mask)) => drop_tokens(states, mask).flatten(1, 2),
            (FeatureTensor::D4(states), _) => {
                return Err(LossError::FeatureShape {
                    loss: loss.to_string(),
                    side,
                    shape: states.dims().to_vec(),
                    expected: "[batch, length, hidden] or [batch, hidden]".to_string(),
                    remedy: "use `feature = \"hidden\"`".to_string(),
                });
            }
        };
        Ok(normalise(states.clone().matmul(states.transpose())))
    };
    let student = similarity(Side::Student, student)?;
    let teacher = similarity(Side::Teacher, teacher)?;
    let counted = counted_sequences(input.mask.clone(), batch, &student.device());
    let pairs = counted.clone().unsqueeze_dim::<2>(1) * counted.unsqueeze_dim::<2>(0);
    Ok(counted_mean((student - teacher).square(), pairs))
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;
    use crate::gradient_check::{assert_gradient, finite_gradient, numbers};

    type Loss<B> = fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError>;

    const LOSSES: [Loss<TestAutodiffBackend>; 2] = [pkt_loss, sp_loss];

    #[test]
    fn pkt_by_hand() {
        let device = Default::default();
        // Kernels: student 0–1 ½, 0–2 1, 1–2 ½; teacher 0–1 1, 0–2 ½, 1–2 ½.
        let student = Tensor::<TestBackend, 2>::from_floats([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]], &device);
        let teacher = Tensor::<_, 2>::from_floats([[1.0, 0.0], [4.0, 0.0], [0.0, 1.0]], &device);
        let kl = |p: [f32; 2], q: [f32; 2]| p[0] * (p[0] / q[0]).ln() + p[1] * (p[1] / q[1]).ln();
        let (third, half) = ([1.0 / 3.0, 2.0 / 3.0], [0.5, 0.5]);
        let reversed = [third[1], third[0]];
        let expected = (kl(reversed, third) + kl(reversed, half) + kl(half, reversed)) / 3.0;
        let input = LossInput {
            student: vec![student.into()],
            teacher: vec![teacher.into()],
            mask: None,
            teacher_mask: None,
        };
        assert_close(&[pkt_loss(&input).unwrap().into_scalar()], &[expected], 1e-5, 0.0, "loss");
    }

    #[test]
    fn sp_by_hand_leaves_out_masked_tokens() {
        let device = Default::default();
        let student = Tensor::<TestBackend, 3>::from_floats([[[3.0], [9.0]], [[4.0], [0.0]]], &device);
        let teacher =
            Tensor::<_, 3>::from_floats([[[1.0, 0.0], [9.0, 9.0]], [[0.0, 1.0], [0.0, 0.0]]], &device);
        let mask = Some(Tensor::from_floats([[1.0, 0.0], [1.0, 1.0]], &device));
        // Student [9 12; 12 16], normalised [.6 .8; .6 .8]; teacher the identity.
        let expected = (0.16 + 0.64 + 0.36 + 0.04) / 4.0;
        let input = LossInput {
            student: vec![student.into()],
            teacher: vec![teacher.into()],
            mask,
            teacher_mask: None,
        };
        assert_close(&[sp_loss(&input).unwrap().into_scalar()], &[expected], 1e-5, 0.0, "loss");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 3>::from_data(numbers([4, 2, 3], 5), &device);
        let mask = Tensor::<TestAutodiffBackend, 2>::from_floats(
            [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]],
            &device,
        );
        for loss in LOSSES {
            for mask in [None, Some(mask.clone())] {
                assert_gradient::<3>(numbers([4, 2, 4], 4), |student| {
                    loss(&LossInput {
                        // Opposite states are too steep for differences.
                        student: vec![(student + 1.0).into()],
                        teacher: vec![teacher.clone().into()],
                        mask: mask.clone(),
                        teacher_mask: None,
                    })
                    .unwrap()
                });
            }
        }
    }

    #[test]
    fn a_sequence_that_is_all_padding_is_left_out_whatever_it_holds() {
        let device = Default::default();
        let states = |salt: u32| Tensor::<TestAutodiffBackend, 2>::from_data(numbers([4, 3], salt), &device);
        let mask = Tensor::from_floats([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], &device);
        for loss in LOSSES {
            let lost = |salt: u32| vec![states(salt).slice_fill(3..4, f32::NAN).into()];
            let whole = LossInput {
                student: lost(1),
                teacher: lost(2),
                mask: Some(mask.clone()),
                teacher_mask: None,
            };
            let first = |salt: u32| vec![states(salt).narrow(0, 0, 3).into()];
            let three = LossInput { student: first(1), teacher: first(2), mask: None, teacher_mask: None };
            let (whole, three) = (loss(&whole).unwrap().into_scalar(), loss(&three).unwrap().into_scalar());
            assert_close(&[whole], &[three], 1e-6, 0.0, "loss");
        }
    }

    #[test]
    fn zero_opposite_and_few_states_and_none_are_finite_in_value_and_gradient() {
        let device = Default::default();
        let opposite = [[1.0f32, 2.0, 3.0], [-1.0, -2.0, -3.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -3.0]];
        let states = [TensorData::from([[0.0f32; 3]; 4]), TensorData::from(opposite), numbers([4, 3], 6)];
        let none = Tensor::<TestAutodiffBackend, 2>::zeros([4, 2], &device);
        for (loss, batch) in LOSSES.iter().flat_map(|loss| (1..=4).map(move |batch| (loss, batch))) {
            for (student, teacher) in
                states.iter().flat_map(|student| states.iter().map(move |teacher| (student, teacher)))
            {
                for mask in [None, Some(none.clone())] {
                    let is_masked = mask.is_some();
                    let rows = |data: &TensorData| {
                        Tensor::<TestAutodiffBackend, 2>::from_data(data.clone(), &device).narrow(0, 0, batch)
                    };
                    let mask = mask.map(|mask| mask.narrow(0, 0, batch));
                    let (value, gradient) = finite_gradient(rows(student), |student| {
                        let teacher = vec![rows(teacher).into()];
                        loss(&LossInput { student: vec![student.into()], teacher, mask, teacher_mask: None })
                            .unwrap()
                    });
                    if is_masked {
                        assert_eq!(value, 0.0);
                        assert!(gradient.iter().all(|entry| *entry == 0.0), "{gradient:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn sp_refuses_a_mask_of_another_length_than_the_teachers() {
        let device = Default::default();
        let input = LossInput::<TestBackend> {
            student: vec![Tensor::<_, 3>::ones([2, 4, 3], &device).into()],
            teacher: vec![Tensor::<_, 3>::ones([2, 5, 3], &device).into()],
            mask: Some(Tensor::ones([2, 4], &device)),
            teacher_mask: None,
        };
        let error = sp_loss(&input).unwrap_err();
        assert!(
            matches!(&error, LossError::MaskMismatch { feature, .. } if *feature == [2, 5, 3]),
            "{error}"
        );
    }
}
