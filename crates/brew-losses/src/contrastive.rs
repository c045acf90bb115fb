//! Contrastive representation distillation within a batch; with a memory of all examples it is in `nce`.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::hidden::{PROJECT, normalise};
use crate::log_softmax::log_softmax;
use crate::masking::{counted_mean, drop_candidates};
use crate::sequences::Sequences;
use crate::{LossError, LossInput};

/// A contrastive loss that tells each sequence's teacher state from those of the other sequences: CRD
/// (<https://arxiv.org/abs/1910.10699>) with the batch in place of its memory bank.
///
/// `−½ (log softmax_j(s_i·t_j/τ)_i + log softmax_j(s_j·t_i/τ)_i)`, averaged over sequences i: `s` and `t`
/// are the states at position 0 with norm 1, `τ` the temperature. A state of zero norm is left as it is.
/// Sequences of which no token counts are left out, as candidates too.
///
/// The paper draws thousands of negatives from a memory of the whole training set and estimates a binary
/// classifier; here the negatives are the batch's other sequences and the objective is InfoNCE
/// (<https://arxiv.org/abs/1807.03748>), with student and teacher as the anchor in turn. Its linear maps
/// into one space are the match's projection, on the student's side only. The batch should be large: with
/// one sequence the loss is 0. The paper's own way is [`crd_nce_loss`](crate::crd_nce_loss) and what keeps the
/// memory for it.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]` or `[batch, hidden]`, each for itself, of equal width
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
///
/// # Panics
/// If the temperature is not greater than 0.
///
/// ```
/// use brew_losses::{LossInput, crd_in_batch_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let same = Tensor::<TestBackend, 2>::ones([4, 3], &device);
/// let input = LossInput { student: vec![same.clone().into()], teacher: vec![same.into()], mask: None, teacher_mask: None };
/// // States that are all alike cannot be told apart.
/// assert!((crd_in_batch_loss(&input, 0.07)?.into_scalar() - 4f32.ln()).abs() < 1e-6);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn crd_in_batch_loss<B: Backend>(
    input: &LossInput<B>,
    temperature: f64,
) -> Result<Tensor<B, 1>, LossError> {
    assert!(temperature > 0.0, "crd_in_batch: the temperature must be greater than 0, found {temperature}");
    let loss = "crd_in_batch";
    let Sequences { student, teacher, counted } = Sequences::new(loss, input)?;
    if student.dims() != teacher.dims() {
        return Err(LossError::ShapeMismatch {
            loss: loss.to_string(),
            student: input.student[0].dims(),
            teacher: input.teacher[0].dims(),
            remedy: PROJECT.to_string(),
        });
    }
    let [batch, _] = student.dims();
    let scores = normalise(student).matmul(normalise(teacher).transpose()) / temperature;
    let own = Tensor::<B, 2>::eye(batch, &scores.device());
    let of_own = |scores: Tensor<B, 2>| {
        let log_probability = log_softmax(drop_candidates(scores, counted.clone()), 1);
        (log_probability * own.clone()).sum_dim(1).squeeze_dim::<1>(1)
    };
    let log_probability = (of_own(scores.clone()) + of_own(scores.transpose())) * -0.5;
    Ok(counted_mean(log_probability, counted.clone()))
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;
    use crate::gradient_check::{assert_gradient, finite_gradient, numbers};

    #[test]
    fn two_sequences_by_hand() {
        let device = Default::default();
        // Cosines: s₀ with t₀ 1 and t₁ 0.6, s₁ with t₀ 0 and t₁ 0.8.
        let student = Tensor::<TestBackend, 2>::from_floats([[5.0, 0.0], [0.0, 2.0]], &device);
        let teacher = Tensor::<_, 2>::from_floats([[1.0, 0.0], [3.0, 4.0]], &device);
        let cost = |own: f32, other: f32| (1.0 + ((other - own) / 0.5).exp()).ln();
        let expected = (cost(1.0, 0.6) + cost(0.8, 0.0) + cost(1.0, 0.0) + cost(0.8, 0.6)) / 4.0;
        let input = LossInput {
            student: vec![student.into()],
            teacher: vec![teacher.into()],
            mask: None,
            teacher_mask: None,
        };
        assert_close(
            &[crd_in_batch_loss(&input, 0.5).unwrap().into_scalar()],
            &[expected],
            1e-5,
            0.0,
            "loss",
        );
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 3>::from_data(numbers([4, 2, 3], 5), &device);
        let mask = Tensor::<TestAutodiffBackend, 2>::from_floats(
            [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]],
            &device,
        );
        for mask in [None, Some(mask)] {
            assert_gradient::<3>(numbers([4, 2, 3], 4), |student| {
                let input = LossInput {
                    student: vec![student.into()],
                    teacher: vec![teacher.clone().into()],
                    mask: mask.clone(),
                    teacher_mask: None,
                };
                crd_in_batch_loss(&input, 0.5).unwrap()
            });
        }
    }

    #[test]
    fn a_sequence_that_is_all_padding_is_no_candidate_whatever_it_holds() {
        let device = Default::default();
        let states = |salt: u32| Tensor::<TestBackend, 2>::from_data(numbers([4, 3], salt), &device);
        let lost = |salt: u32| vec![states(salt).slice_fill(3..4, f32::NAN).into()];
        let mask = Some(Tensor::from_floats([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], &device));
        let whole = LossInput { student: lost(1), teacher: lost(2), mask, teacher_mask: None };
        let first = |salt: u32| vec![states(salt).narrow(0, 0, 3).into()];
        let three = LossInput { student: first(1), teacher: first(2), mask: None, teacher_mask: None };
        let value = |input| crd_in_batch_loss(&input, 0.07).unwrap().into_scalar();
        assert_close(&[value(whole)], &[value(three)], 1e-6, 0.0, "loss");
    }

    #[test]
    fn zero_and_few_states_and_none_are_finite_in_value_and_gradient() {
        let device = Default::default();
        let opposite = [[1.0f32, 2.0, 3.0], [-1.0, -2.0, -3.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -3.0]];
        let states = [TensorData::from([[0.0f32; 3]; 4]), TensorData::from(opposite), numbers([4, 3], 6)];
        for batch in 1..=4 {
            for (student, teacher) in
                states.iter().flat_map(|student| states.iter().map(move |teacher| (student, teacher)))
            {
                for mask in [None, Some(Tensor::<TestAutodiffBackend, 2>::zeros([batch, 2], &device))] {
                    let is_masked = mask.is_some();
                    let rows = |data: &TensorData| {
                        Tensor::<TestAutodiffBackend, 2>::from_data(data.clone(), &device).narrow(0, 0, batch)
                    };
                    let (value, gradient) = finite_gradient(rows(student), |student| {
                        let teacher = vec![rows(teacher).into()];
                        let input =
                            LossInput { student: vec![student.into()], teacher, mask, teacher_mask: None };
                        crd_in_batch_loss(&input, 0.07).unwrap()
                    });
                    if is_masked || batch == 1 {
                        assert_eq!(value, 0.0);
                        assert!(gradient.iter().all(|entry| *entry == 0.0), "{gradient:?}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "greater than 0, found 0")]
    fn a_temperature_of_zero_is_refused() {
        let states = || vec![Tensor::<TestBackend, 2>::ones([2, 2], &Default::default()).into()];
        let _ = crd_in_batch_loss(
            &LossInput { student: states(), teacher: states(), mask: None, teacher_mask: None },
            0.0,
        );
    }
}
