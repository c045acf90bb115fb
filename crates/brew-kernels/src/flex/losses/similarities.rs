use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::squares::{weigh_all, weigh_rows};
use super::{Loss, inverse_of_pairs};
use crate::flex::matrix::{Into, Matrix, MatrixMut, multiply, multiply_here};
use crate::flex::storage::{from_values, values, zeros};
use crate::losses::Divisor;

/// See [`crate::losses::similarity_loss`].
#[derive(Debug, Clone)]
pub(crate) struct SimilarityLoss {
    pub(crate) divisor: Divisor,
    pub(crate) mask: Option<FlexTensor>,
}

impl Loss<2> for SimilarityLoss {
    fn evaluate(
        &self,
        student: [&FlexTensor; 2],
        teacher: [&FlexTensor; 2],
        keep: bool,
    ) -> (f64, Option<[FlexTensor; 2]>) {
        let batch = student[0].shape()[0];
        let lengths = student.map(|layer| layer.shape()[1]);
        let mask = self.mask.as_ref().map(values);
        let share = match mask {
            None => 1.0 / (batch * lengths[0] * lengths[1]) as f64,
            Some(mask) => inverse_of_pairs(mask, lengths[1]),
        };
        let of_model = |[first, second]: [&'_ FlexTensor; 2]| {
            let width = first.shape()[2];
            let divisor = if self.divisor == Divisor::Length { lengths[1] } else { width };
            (width, 1.0 / divisor as f32, [first.shape(), second.shape()])
        };
        let ((width, factor, shapes), (teacher_width, teacher_factor, _)) =
            (of_model(student), of_model(teacher));
        let [student, teacher] = [student, teacher].map(|pair| pair.map(values));
        let pass = Pass {
            is_alone: batch == 1,
            lengths,
            student: Model { layers: student, width, factor },
            teacher: Model { layers: teacher, width: teacher_width, factor: teacher_factor },
            mask,
            scale: (2.0 * share) as f32,
        };
        if !keep {
            let parts: Vec<f64> = (0..batch).into_par_iter().map(|text| pass.text(text, None)).collect();
            return (parts.iter().sum::<f64>() * share, None);
        }
        let [mut first, mut second] = lengths.map(|length| zeros(batch * length * width));
        let outputs = first.par_chunks_mut(lengths[0] * width).zip(second.par_chunks_mut(lengths[1] * width));
        let parts: Vec<f64> = outputs
            .enumerate()
            .map(|(text, (first, second))| pass.text(text, Some([first, second])))
            .collect();
        let [of_first, of_second] = shapes;
        let gradients = [from_values(first, of_first), from_values(second, of_second)];
        (parts.iter().sum::<f64>() * share, Some(gradients))
    }
}

/// The states of a model.
struct Model<'a> {
    layers: [&'a [f32]; 2],
    width: usize,
    /// By which products are multiplied.
    factor: f32,
}

impl<'a> Model<'a> {
    /// The first rows of a text in both layers, where each text has `lengths`.
    fn text(&self, text: usize, lengths: [usize; 2], rows: [usize; 2]) -> [Matrix<'a>; 2] {
        [0, 1].map(|layer| {
            let start = text * lengths[layer] * self.width;
            Matrix::new(&self.layers[layer][start..], rows[layer], self.width, self.width)
        })
    }
}

struct Pass<'a> {
    /// Whether there is one text only: then threads share its products.
    is_alone: bool,
    lengths: [usize; 2],
    student: Model<'a>,
    teacher: Model<'a>,
    mask: Option<&'a [f32]>,
    scale: f32,
}

impl Pass<'_> {
    /// `Σ m_q m_k D²` of one text, with D the difference of the similarities; and `D'·S₂/d`, `D'ᵀ·S₁/d` with D' what
    /// the loss is by D. What comes after the last token that counts is left out.
    fn text(&self, text: usize, gradients: Option<[&mut [f32]; 2]>) -> f64 {
        let mask = self.mask.map(|mask| {
            let mask = &mask[text * self.lengths[0]..][..self.lengths[0]];
            &mask[..mask.iter().rposition(|&weight| weight != 0.0).map_or(0, |last| last + 1)]
        });
        let [rows, columns] = mask.map_or(self.lengths, |mask| [mask.len(); 2]);
        if rows == 0 {
            return 0.0;
        }
        let multiply = if self.is_alone { multiply } else { multiply_here };
        let [student, teacher] =
            [&self.student, &self.teacher].map(|model| model.text(text, self.lengths, [rows, columns]));
        let mut differences = vec![0.0; rows * columns];
        let pairs = [(student, Into::Empty, self.student.factor), (teacher, Into::Sum, -self.teacher.factor)];
        for ([first, second], into, factor) in pairs {
            let output = MatrixMut::new(&mut differences, rows, columns, columns);
            multiply(output, into, factor, first, second.transposed());
        }
        let sum = match mask {
            None => weigh_all(&mut differences, self.scale),
            Some(mask) => weigh_rows(&mut differences, mask, mask, self.scale),
        };
        if let Some([first, second]) = gradients {
            let (width, factor) = (self.student.width, self.student.factor);
            let of_differences = Matrix::new(&differences, rows, columns, columns);
            let output = MatrixMut::new(first, rows, width, width);
            multiply(output, Into::Empty, factor, of_differences, student[1]);
            let output = MatrixMut::new(second, columns, width, width);
            multiply(output, Into::Empty, factor, of_differences.transposed(), student[0]);
        }
        sum
    }
}
