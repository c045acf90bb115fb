//! The first token's states of a batch, for the losses on relations between its sequences.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::hidden::first_state;
use crate::masking::{checked, counted_sequences, drop_sequences};
use crate::{FeatureTensor, LossError, LossInput, Side};

/// Checked first states of the sequences of a batch.
pub(crate) struct Sequences<B: Backend> {
    /// `[batch, student's width]`
    pub(crate) student: Tensor<B, 2>,
    /// `[batch, teacher's width]`, detached.
    pub(crate) teacher: Tensor<B, 2>,
    /// 1 for each sequence of which a token counts; the others' states are 0, `[batch]`.
    pub(crate) counted: Tensor<B, 1>,
}

impl<B: Backend> Sequences<B> {
    pub(crate) fn new(loss: &str, input: &LossInput<B>) -> Result<Self, LossError> {
        let (student, teacher) = input.single(loss)?;
        let (student_shape, teacher_shape) = (student.dims(), teacher.dims());
        let mask = checked_for_feature(loss, input, &student)?;
        let student = first_state(loss, Side::Student, student)?;
        let teacher = first_state(loss, Side::Teacher, teacher)?;
        let [batch, _] = student.dims();
        if batch != teacher.dims()[0] {
            return Err(other_batch(loss, student_shape, teacher_shape));
        }
        let counted = counted_sequences(mask, batch, &student.device());
        Ok(Self {
            student: drop_sequences(student, counted.clone()),
            teacher: drop_sequences(teacher, counted.clone()),
            counted,
        })
    }
}

/// The mask, checked to be over the tokens of `feature`.
pub(crate) fn checked_for_feature<B: Backend>(
    loss: &str,
    input: &LossInput<B>,
    feature: &FeatureTensor<B>,
) -> Result<Option<Tensor<B, 2>>, LossError> {
    let shape = feature.dims();
    match (&input.mask, feature) {
        // Pooled states have lost their tokens: only the number of sequences can be checked.
        (Some(mask), FeatureTensor::D2(_)) => checked(loss, &input.mask, &shape, [shape[0], mask.dims()[1]]),
        _ => checked(loss, &input.mask, &shape, [shape[0], shape[1]]),
    }
}

/// Student and teacher were given another number of sequences.
pub(crate) fn other_batch(loss: &str, student: Vec<usize>, teacher: Vec<usize>) -> LossError {
    LossError::ShapeMismatch {
        loss: loss.to_string(),
        student,
        teacher,
        remedy: "the numbers of sequences must be equal; give both models the same batch".to_string(),
    }
}
