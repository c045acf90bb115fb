use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;

use super::squares::{differences, row_differences};
use super::{Loss, inverse, summed, total};
use crate::flex::storage::{from_values, values, width, zeros};
use crate::flex::vector::{sum, vectorised};
use crate::losses::ZERO_SQUARED_NORM;

/// See [`crate::losses::state_loss`].
#[derive(Debug, Clone)]
pub(crate) struct StateLoss {
    pub(crate) mask: Option<FlexTensor>,
}

/// See [`crate::losses::first_state_loss`].
#[derive(Debug, Clone)]
pub(crate) struct FirstStateLoss;

impl Loss<1> for StateLoss {
    fn evaluate(
        &self,
        [student]: [&FlexTensor; 1],
        [teacher]: [&FlexTensor; 1],
        keep: bool,
    ) -> (f64, Option<[FlexTensor; 1]>) {
        let (width, shape) = (width(student), student.shape());
        let (student, teacher, mask) = (values(student), values(teacher), self.mask.as_ref().map(values));
        let rows = student.len() / width;
        let share = inverse(mask.map_or(rows as f64, total)) / width as f64;
        let scale = (2.0 * share) as f32;
        let (sum, gradient) = summed(rows, width, shape, keep, |first, gradient| {
            let here = first * width..first * width + gradient.len();
            let (student, teacher) = (&student[here.clone()], &teacher[here]);
            match mask {
                None => differences(student, teacher, gradient, scale),
                Some(mask) => {
                    let weights = &mask[first..first + gradient.len() / width];
                    row_differences(student, teacher, gradient, weights, scale)
                }
            }
        });
        (sum * share, gradient.map(|gradient| [gradient]))
    }
}

impl Loss<1> for FirstStateLoss {
    fn evaluate(
        &self,
        [student]: [&FlexTensor; 1],
        [teacher]: [&FlexTensor; 1],
        keep: bool,
    ) -> (f64, Option<[FlexTensor; 1]>) {
        let (batch, width, shape) = (student.shape()[0], width(student), student.shape());
        let (student, teacher) = (values(student), values(teacher));
        let (size, teacher_size) = (student.len() / batch, teacher.len() / batch);
        let mut gradient = zeros(if keep { student.len() } else { 0 });
        let mut of_row = vec![0.0; width];
        let mut sum = 0.0;
        for row in 0..batch {
            let student = &student[row * size..][..width];
            let teacher = &teacher[row * teacher_size..][..width];
            sum += f64::from(normalised_distance(student, teacher, &mut of_row, 2.0 / batch as f32));
            if keep {
                gradient[row * size..][..width].copy_from_slice(&of_row);
            }
        }
        (sum / batch as f64, keep.then(|| [from_values(gradient, shape)]))
    }
}

vectorised! {
    /// `‖s/‖s‖ − t/‖t‖‖²`, and by s times `scale / 2`: with `u` the student's state of norm 1 and `g` the difference,
    /// `(g − u·(u·g)) / ‖s‖`.
    fn normalised_distance(student: &'a [f32], teacher: &'a [f32], gradient: &'a mut [f32], scale: f32) -> f32 {
        let width = gradient.len();
        let (student, teacher) = (&student[..width], &teacher[..width]);
        let inverse_norm = |squared: f32| {
            let is_zero = squared <= ZERO_SQUARED_NORM as f32;
            (if is_zero { 1.0 } else { 1.0 / squared.sqrt() }, is_zero)
        };
        let (norm, is_zero) = inverse_norm(sum!(width, |at| student[at] * student[at]));
        let (teacher_norm, _) = inverse_norm(sum!(width, |at| teacher[at] * teacher[at]));
        for at in 0..width {
            gradient[at] = student[at] * norm - teacher[at] * teacher_norm;
        }
        let squares = sum!(width, |at| gradient[at] * gradient[at]);
        let along = if is_zero { 0.0 } else { sum!(width, |at| gradient[at] * student[at]) * norm * norm };
        for at in 0..width {
            gradient[at] = (gradient[at] - student[at] * along) * (norm * scale);
        }
        squares
    }
}
