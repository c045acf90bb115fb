use burn_flex::FlexTensor;

use super::Operation;
use super::rows::each_block;
use super::storage::{own, values, width};
use super::vector::{exp, largest, sum, vectorised};

/// See [`crate::softmax`].
#[derive(Debug, Clone)]
pub(crate) struct Softmax;

impl Operation<1> for Softmax {
    type Saved = FlexTensor;

    fn forward(&self, [x]: [FlexTensor; 1], keep: bool) -> (FlexTensor, Option<FlexTensor>) {
        let width = width(&x);
        let output = own(x, |x| {
            each_block(x, width, |_, rows| softmax_rows(rows, width));
        });
        (output.clone(), keep.then_some(output))
    }

    fn backward(&self, output: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let width = width(&output);
        let of_rows = own(gradient, |gradient| {
            each_block(gradient, width, |first, gradient| {
                let output = &values(&output)[first * width..first * width + gradient.len()];
                row_gradients(output, gradient, width);
            });
        });
        [Some(of_rows)]
    }
}

vectorised! {
    fn softmax_rows(rows: &'a mut [f32], width: usize) {
        for row in rows.chunks_exact_mut(width) {
            softmax_row(row);
        }
    }
}

/// The softmax of a row, in its place, and `ln Σ exp` of it.
#[inline(always)]
pub(super) fn softmax_row(row: &mut [f32]) -> f32 {
    let most = largest(row);
    for value in row.iter_mut() {
        *value = exp(*value - most);
    }
    let total = sum!(row.len(), |at| row[at]);
    let inverse = 1.0 / total;
    for value in row {
        *value *= inverse;
    }
    most + total.ln()
}

vectorised! {
    /// `s·(g − Σ g·s)`, in place of the gradient.
    fn row_gradients(outputs: &'a [f32], gradients: &'a mut [f32], width: usize) {
        for (gradient, output) in gradients.chunks_exact_mut(width).zip(outputs.chunks_exact(width)) {
            let along = sum!(width, |at| gradient[at] * output[at]);
            for (gradient, output) in gradient.iter_mut().zip(output) {
                *gradient = (*gradient - along) * output;
            }
        }
    }
}
