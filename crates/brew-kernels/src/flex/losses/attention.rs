use burn::tensor::{Shape, TensorMetadata};
use burn_flex::{FlexTensor, Layout};

use super::squares::{differences_above, weigh_differences};
use super::{Loss, inverse, inverse_of_pairs, summed, total};
use crate::flex::gradients::multiply_each;
use crate::flex::storage::values;
use crate::flex::vector::{exp, largest, sum, vectorised};
use crate::losses::{Comparison, Heads, MASKED_SCORE};

/// See [`crate::losses::attention_loss`].
#[derive(Debug, Clone)]
pub(crate) struct AttentionLoss {
    pub(crate) comparison: Comparison,
    pub(crate) heads: Heads,
    pub(crate) mask: Option<FlexTensor>,
}

/// One model's scores as planes of queries × keys, several of which may be made one.
#[derive(Clone, Copy)]
struct Planes<'a> {
    scores: &'a [f32],
    /// How many are made one.
    merged: usize,
    /// By what their sum is multiplied.
    factor: f32,
    queries: usize,
    keys: usize,
}

/// Some rows of one plane.
struct Part {
    plane: usize,
    query: usize,
    rows: usize,
}

impl Loss<1> for AttentionLoss {
    fn evaluate(
        &self,
        [student]: [&FlexTensor; 1],
        [teacher]: [&FlexTensor; 1],
        keep: bool,
    ) -> (f64, Option<[FlexTensor; 1]>) {
        let shape = student.shape();
        let [batch, queries, keys] = [0, 2, 3].map(|dim| shape[dim]);
        let planes_each = if self.heads == Heads::Keep { shape[1] } else { 1 };
        let planes = batch * planes_each;
        let [student_planes, teacher_planes] = [student, teacher].map(|scores| {
            let merged = scores.shape()[1] / planes_each;
            let factor = if self.heads == Heads::Mean { 1.0 / merged as f32 } else { 1.0 };
            Planes { scores: values(scores), merged, factor, queries, keys }
        });
        let mask = self.mask.as_ref().map(values);
        let share = match (self.comparison, mask) {
            (Comparison::SquaredError, None) => 1.0 / (planes * queries * keys) as f64,
            (Comparison::CrossEntropy, None) => 1.0 / (planes * queries) as f64,
            (Comparison::SquaredError, Some(mask)) => inverse_of_pairs(mask, keys) / planes_each as f64,
            (Comparison::CrossEntropy, Some(mask)) => inverse(total(mask)) / planes_each as f64,
        };
        // What a score of the student's gets of the gradient of what it was made part of.
        let scale = share as f32 * student_planes.factor;
        let compact = Shape::new([batch, planes_each, queries, keys]);
        let (sum, gradient) = summed(planes * queries, keys, compact, keep, |first, gradient| {
            let mut sums = [vec![], vec![]];
            let mut entropy_weights = vec![];
            let (mut value, mut rest) = (0.0, gradient);
            for part in parts(first, rest.len() / keys, queries) {
                let (gradient, later) = rest.split_at_mut(part.rows * keys);
                rest = later;
                let [student_sums, teacher_sums] = &mut sums;
                let student = student_planes.rows(&part, student_sums);
                let teacher = teacher_planes.rows(&part, teacher_sums);
                let mask = mask.map(|mask| {
                    let keys = &mask[part.plane / planes_each * keys..][..keys];
                    (&keys[part.query..][..part.rows], keys)
                });
                value += match (self.comparison, mask) {
                    (Comparison::SquaredError, None) => {
                        differences_above(student, teacher, gradient, MASKED_SCORE as f32, 2.0 * scale)
                    }
                    (Comparison::SquaredError, Some((queries, keys))) => {
                        weigh_differences(student, teacher, gradient, queries, keys, 2.0 * scale)
                    }
                    (Comparison::CrossEntropy, mask) => {
                        entropy_weights.resize(keys, 0.0);
                        cross_entropies(student, teacher, gradient, &mut entropy_weights, mask, scale)
                    }
                };
            }
            value
        });
        let gradient = gradient.map(|gradient| [expanded(gradient, shape)]);
        (sum * share, gradient)
    }
}

/// The gradient of heads that are made one is the same for all.
fn expanded(gradient: FlexTensor, shape: Shape) -> FlexTensor {
    if gradient.shape() == shape {
        return gradient;
    }
    let [of_batch, _, of_query, of_key] = [0, 1, 2, 3].map(|dim| gradient.layout().strides()[dim]);
    gradient.with_layout(Layout::new(shape, vec![of_batch, 0, of_query, of_key], 0))
}

/// Rows from the `first` on, plane by plane.
fn parts(first: usize, rows: usize, queries: usize) -> impl Iterator<Item = Part> {
    let (mut row, end) = (first, first + rows);
    std::iter::from_fn(move || {
        let (plane, query) = (row / queries, row % queries);
        let rows = (queries - query).min(end - row);
        row += rows;
        (rows > 0).then_some(Part { plane, query, rows })
    })
}

impl<'a> Planes<'a> {
    /// The rows of a part, in `sums` where they are those of several planes.
    fn rows<'b>(&self, part: &Part, sums: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        let size = part.rows * self.keys;
        let of_plane = |number: usize| {
            let plane = part.plane * self.merged + number;
            &self.scores[(plane * self.queries + part.query) * self.keys..][..size]
        };
        if self.merged == 1 {
            return of_plane(0);
        }
        sums.clear();
        sums.resize(size, 0.0);
        for number in 0..self.merged {
            add(sums, of_plane(number));
        }
        multiply_each(sums, self.factor);
        sums
    }
}

vectorised! {
    fn add(sums: &'a mut [f32], values: &'a [f32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
}

vectorised! {
    /// `−Σ_q w_q Σ_k softmax(T)_k m_k · log softmax(S)_k`, and by S times `scale`. The weights w and m are those of
    /// queries and keys, or 1 and 0 where a teacher's score looks masked. `weights` is room for a row.
    fn cross_entropies(
        student: &'a [f32],
        teacher: &'a [f32],
        gradient: &'a mut [f32],
        weights: &'a mut [f32],
        mask: Option<(&'a [f32], &'a [f32])>,
        scale: f32,
    ) -> f64 {
        let width = weights.len();
        let rows = student.chunks_exact(width).zip(teacher.chunks_exact(width));
        let mut total = 0.0;
        for (number, (gradient, (student, teacher))) in gradient.chunks_exact_mut(width).zip(rows).enumerate() {
            let weight = mask.map_or(1.0, |(queries, _)| queries[number]);
            if weight == 0.0 {
                gradient.fill(0.0);
                continue;
            }
            let (most, teacher_most) = (largest(student), largest(teacher));
            for at in 0..width {
                gradient[at] = exp(student[at] - most);
                weights[at] = exp(teacher[at] - teacher_most);
            }
            let of_student = sum!(width, |at| gradient[at]);
            let of_teacher = sum!(width, |at| weights[at]);
            match mask {
                Some((_, keys)) => {
                    let keys = &keys[..width];
                    for at in 0..width {
                        weights[at] = if keys[at] == 0.0 { 0.0 } else { weights[at] * keys[at] };
                    }
                }
                None => {
                    for at in 0..width {
                        weights[at] = if teacher[at] <= MASKED_SCORE as f32 { 0.0 } else { weights[at] };
                    }
                }
            }
            let kept = sum!(width, |at| weights[at]);
            let along = sum!(width, |at| weights[at] * (student[at] - most));
            total += f64::from(weight * (of_student.ln() * kept - along) / of_teacher);
            let share = weight * scale / of_teacher;
            let of_probability = share * kept / of_student;
            for at in 0..width {
                gradient[at] = gradient[at] * of_probability - weights[at] * share;
            }
        }
        total
    }
}
