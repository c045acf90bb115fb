use std::sync::Arc;

use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::Operation;
use super::dropout::drop_some;
use super::matrix::{Into, Matrix, MatrixMut, multiply_here};
use super::softmax::softmax_row;
use super::storage::{from_values, values, width};
use super::vector::{exp, sum, vectorised};
use crate::{DropoutMask, Sequences};

/// See [`crate::attention`].
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub(crate) sequences: Arc<Sequences>,
    pub(crate) heads: usize,
    pub(crate) dropout: Option<DropoutMask>,
}

/// What the gradient needs.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Queries, keys, values.
    inputs: [FlexTensor; 3],
    output: FlexTensor,
    /// Of each sequence the logarithm of each row's sum of exponentials, head by head.
    logs: Vec<Vec<f32>>,
}

/// One sequence on its way through the heads.
struct Sequence<'a> {
    /// Its number in the batch.
    number: usize,
    /// Its rows' numbers of the tensors that are read.
    inputs: Vec<&'a [f32]>,
    rows: usize,
}

impl Operation<3> for Attention {
    type Saved = Kept;

    fn forward(&self, inputs: [FlexTensor; 3], keep: bool) -> (FlexTensor, Option<Kept>) {
        let width = width(&inputs[0]);
        let mut output = vec![0.0; values(&inputs[0]).len()];
        let outputs = self.split(&mut output, width);
        let logs = self
            .sequences_of(&inputs.each_ref().map(values), width)
            .into_par_iter()
            .zip(outputs)
            .map(|(sequence, output)| self.attend(&sequence, output, width))
            .collect();
        let output = from_values(output, inputs[0].shape());
        (output.clone(), keep.then_some(Kept { inputs, output, logs }))
    }

    fn backward(&self, saved: Kept, gradient: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let width = width(&gradient);
        let size = values(&gradient).len();
        let [query, key, value] = saved.inputs.each_ref().map(values);
        let inputs = [query, key, value, values(&saved.output), values(&gradient)];
        let [mut of_query, mut of_key, mut of_value] = [(); 3].map(|()| vec![0.0; size]);
        let outputs = self.split(&mut of_query, width).into_par_iter();
        let outputs = outputs.zip(self.split(&mut of_key, width)).zip(self.split(&mut of_value, width));
        self.sequences_of(&inputs, width).into_par_iter().zip(&saved.logs).zip(outputs).for_each(
            |((sequence, logs), ((of_query, of_key), of_value))| {
                self.differentiate(&sequence, logs, [of_query, of_key, of_value], width);
            },
        );
        [of_query, of_key, of_value].map(|values| Some(from_values(values, gradient.shape())))
    }
}

impl Attention {
    /// Each sequence's rows of tensors of this width.
    fn sequences_of<'a>(&self, tensors: &[&'a [f32]], width: usize) -> Vec<Sequence<'a>> {
        let mut start = 0;
        let each = self.sequences.lengths.iter().enumerate().map(|(number, &rows)| {
            let here = start * width..(start + rows) * width;
            start += rows;
            Sequence { number, inputs: tensors.iter().map(|tensor| &tensor[here.clone()]).collect(), rows }
        });
        each.collect()
    }

    fn split<'a>(&self, mut values: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        let each = self.sequences.lengths.iter().map(|&rows| {
            let (here, rest) = std::mem::take(&mut values).split_at_mut(rows * width);
            values = rest;
            here
        });
        each.collect()
    }

    /// The columns of one head.
    fn head<'a>(&self, values: &'a [f32], rows: usize, head: usize, width: usize) -> Matrix<'a> {
        let size = width / self.heads;
        Matrix::new(&values[head * size..], rows, size, width)
    }

    fn head_mut<'a>(&self, values: &'a mut [f32], rows: usize, head: usize, width: usize) -> MatrixMut<'a> {
        let size = width / self.heads;
        MatrixMut::new(&mut values[head * size..], rows, size, width)
    }

    fn scale(&self, width: usize) -> f32 {
        1.0 / ((width / self.heads) as f32).sqrt()
    }

    /// Drops what the mask drops of a head's probabilities.
    fn drop_probabilities(&self, probabilities: &mut [f32], sequence: &Sequence<'_>, head: usize) {
        let Some(mask) = self.dropout else { return };
        let padded = self.sequences.padded;
        for (row, values) in probabilities.chunks_exact_mut(sequence.rows).enumerate() {
            let place = ((sequence.number * self.heads + head) * padded + row) * padded;
            drop_some(mask, place, values);
        }
    }

    /// The output of one sequence, and its rows' logarithms.
    fn attend(&self, sequence: &Sequence<'_>, output: &mut [f32], width: usize) -> Vec<f32> {
        let rows = sequence.rows;
        let mut logs = vec![0.0; self.heads * rows];
        let mut scores = vec![0.0; rows * rows];
        for head in 0..self.heads {
            let [query, key, value] = [0, 1, 2].map(|at| self.head(sequence.inputs[at], rows, head, width));
            let square = MatrixMut::new(&mut scores, rows, rows, rows);
            multiply_here(square, Into::Empty, self.scale(width), query, key.transposed());
            let logs = &mut logs[head * rows..(head + 1) * rows];
            softmax_rows(&mut scores, logs);
            self.drop_probabilities(&mut scores, sequence, head);
            let probabilities = Matrix::new(&scores, rows, rows, rows);
            multiply_here(self.head_mut(output, rows, head, width), Into::Empty, 1.0, probabilities, value);
        }
        logs
    }

    /// With P the probabilities, M the dropout's mask and D the sums of each row of `dO∘O`:
    /// `dV = (P∘M)ᵀ·dO`, `dS = P∘((dO·Vᵀ)∘M − D)`, `dQ = dS·K/√d`, `dK = dSᵀ·Q/√d`.
    fn differentiate(&self, sequence: &Sequence<'_>, logs: &[f32], outputs: [&mut [f32]; 3], width: usize) {
        let (rows, size, scale) = (sequence.rows, width / self.heads, self.scale(width));
        let [of_query, of_key, of_value] = outputs;
        let (mut scores, mut of_scores) = (vec![0.0; rows * rows], vec![0.0; rows * rows]);
        let mut dropped = vec![0.0; if self.dropout.is_some() { rows * rows } else { 0 }];
        for head in 0..self.heads {
            let [query, key, value, _, gradient] =
                [0, 1, 2, 3, 4].map(|at| self.head(sequence.inputs[at], rows, head, width));
            let square = MatrixMut::new(&mut scores, rows, rows, rows);
            multiply_here(square, Into::Empty, scale, query, key.transposed());
            let logs = &logs[head * rows..(head + 1) * rows];
            probabilities(&mut scores, logs);
            let kept = if self.dropout.is_some() {
                dropped.copy_from_slice(&scores);
                self.drop_probabilities(&mut dropped, sequence, head);
                &dropped
            } else {
                &scores
            };
            let of_values = self.head_mut(of_value, rows, head, width);
            multiply_here(
                of_values,
                Into::Empty,
                1.0,
                Matrix::new(kept, rows, rows, rows).transposed(),
                gradient,
            );
            let square = MatrixMut::new(&mut of_scores, rows, rows, rows);
            multiply_here(square, Into::Empty, 1.0, gradient, value.transposed());
            self.drop_probabilities(&mut of_scores, sequence, head);
            let columns = [width, head * size, size];
            scores_gradient(&scores, &mut of_scores, sequence.inputs[3], sequence.inputs[4], columns);
            let of_scores = Matrix::new(&of_scores, rows, rows, rows);
            multiply_here(self.head_mut(of_query, rows, head, width), Into::Empty, scale, of_scores, key);
            let of_keys = self.head_mut(of_key, rows, head, width);
            multiply_here(of_keys, Into::Empty, scale, of_scores.transposed(), query);
        }
    }
}

vectorised! {
    /// Softmax of each row; `logs` gets `ln Σ exp` of each.
    fn softmax_rows(scores: &'a mut [f32], logs: &'a mut [f32]) {
        for (row, log) in scores.chunks_exact_mut(logs.len()).zip(logs.iter_mut()) {
            *log = softmax_row(row);
        }
    }
}

vectorised! {
    /// The probabilities again.
    fn probabilities(scores: &'a mut [f32], logs: &'a [f32]) {
        for (row, log) in scores.chunks_exact_mut(logs.len()).zip(logs) {
            for value in row {
                *value = exp(*value - log);
            }
        }
    }
}

vectorised! {
    /// `P∘(dP − D)` in place of dP, with D the sums of each row of `dO∘O`, whose rows have a head's columns: their
    /// width, the first column and how many.
    fn scores_gradient(
        probabilities: &'a [f32],
        of_probabilities: &'a mut [f32],
        output: &'a [f32],
        of_output: &'a [f32],
        columns: [usize; 3],
    ) {
        let [width, first, size] = columns;
        let rows = output.len() / width;
        for row in 0..rows {
            let start = row * width + first;
            let (output, of_output) = (&output[start..start + size], &of_output[start..start + size]);
            let along = sum!(size, |at| output[at] * of_output[at]);
            let here = row * rows..(row + 1) * rows;
            for (gradient, probability) in of_probabilities[here.clone()].iter_mut().zip(&probabilities[here]) {
                *gradient = (*gradient - along) * probability;
            }
        }
    }
}
