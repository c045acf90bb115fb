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
    /// Whether there is a query for the first row of each sequence alone.
    pub(crate) first_only: bool,
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
    /// How many queries it has, and how many keys.
    rows: [usize; 2],
    /// Its numbers of the tensors that have a row a query.
    of_queries: Vec<&'a [f32]>,
    /// Its numbers of keys and values.
    of_keys: [&'a [f32]; 2],
}

impl Operation<3> for Attention {
    type Saved = Kept;

    fn forward(&self, inputs: [FlexTensor; 3], keep: bool) -> (FlexTensor, Option<Kept>) {
        let width = width(&inputs[0]);
        let [query, key, value] = inputs.each_ref().map(values);
        let mut output = vec![0.0; query.len()];
        let outputs = split_mut(&mut output, self.queries(), width);
        let logs = self
            .sequences_of(&[query], [key, value], width)
            .into_par_iter()
            .zip(outputs)
            .map(|(sequence, output)| self.attend(&sequence, output, width))
            .collect();
        let output = from_values(output, inputs[0].shape());
        (output.clone(), keep.then_some(Kept { inputs, output, logs }))
    }

    fn backward(&self, saved: Kept, gradient: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let width = width(&gradient);
        let [query, key, value] = saved.inputs.each_ref().map(values);
        let [mut of_query, mut of_key, mut of_value] =
            [query.len(), key.len(), value.len()].map(|size| vec![0.0; size]);
        let outputs = split_mut(&mut of_query, self.queries(), width).into_par_iter();
        let outputs = outputs.zip(split_mut(&mut of_key, self.keys(), width));
        let outputs = outputs.zip(split_mut(&mut of_value, self.keys(), width));
        let by_query = [query, values(&saved.output), values(&gradient)];
        self.sequences_of(&by_query, [key, value], width)
            .into_par_iter()
            .zip(&saved.logs)
            .zip(outputs)
            .for_each(|((sequence, logs), ((of_query, of_key), of_value))| {
                self.differentiate(&sequence, logs, [of_query, of_key, of_value], width);
            });
        let shapes = saved.inputs.each_ref().map(TensorMetadata::shape);
        let [query, key, value] = shapes;
        [(of_query, query), (of_key, key), (of_value, value)]
            .map(|(values, shape)| Some(from_values(values, shape)))
    }
}

/// The rows of each sequence.
fn split(mut values: &[f32], rows: impl Iterator<Item = usize>, width: usize) -> Vec<&[f32]> {
    let each = rows.map(|rows| {
        let (here, rest) = values.split_at(rows * width);
        values = rest;
        here
    });
    each.collect()
}

fn split_mut(mut values: &mut [f32], rows: impl Iterator<Item = usize>, width: usize) -> Vec<&mut [f32]> {
    let each = rows.map(|rows| {
        let (here, rest) = std::mem::take(&mut values).split_at_mut(rows * width);
        values = rest;
        here
    });
    each.collect()
}

impl Attention {
    /// How many keys each sequence has.
    fn keys(&self) -> impl Iterator<Item = usize> {
        self.sequences.lengths.iter().copied()
    }

    /// How many queries each sequence has.
    fn queries(&self) -> impl Iterator<Item = usize> {
        self.keys().map(|rows| if self.first_only { 1 } else { rows })
    }

    fn sequences_of<'a>(
        &self,
        by_query: &[&'a [f32]],
        by_key: [&'a [f32]; 2],
        width: usize,
    ) -> Vec<Sequence<'a>> {
        let by_query: Vec<_> = by_query.iter().map(|values| split(values, self.queries(), width)).collect();
        let by_key = by_key.map(|values| split(values, self.keys(), width));
        let each = self.queries().zip(self.keys()).enumerate().map(|(number, (queries, keys))| Sequence {
            number,
            rows: [queries, keys],
            of_queries: by_query.iter().map(|each| each[number]).collect(),
            of_keys: by_key.each_ref().map(|each| each[number]),
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
        let queries = if self.first_only { 1 } else { padded };
        for (row, values) in probabilities.chunks_exact_mut(sequence.rows[1]).enumerate() {
            let place = ((sequence.number * self.heads + head) * queries + row) * padded;
            drop_some(mask, place, values);
        }
    }

    /// The output of one sequence, and its rows' logarithms.
    fn attend(&self, sequence: &Sequence<'_>, output: &mut [f32], width: usize) -> Vec<f32> {
        let [queries, keys] = sequence.rows;
        let mut logs = vec![0.0; self.heads * queries];
        let mut scores = vec![0.0; queries * keys];
        for head in 0..self.heads {
            let query = self.head(sequence.of_queries[0], queries, head, width);
            let [key, value] = sequence.of_keys.map(|values| self.head(values, keys, head, width));
            let into = MatrixMut::new(&mut scores, queries, keys, keys);
            multiply_here(into, Into::Empty, self.scale(width), query, key.transposed());
            softmax_rows(&mut scores, &mut logs[head * queries..(head + 1) * queries], keys);
            self.drop_probabilities(&mut scores, sequence, head);
            let probabilities = Matrix::new(&scores, queries, keys, keys);
            let output = self.head_mut(output, queries, head, width);
            multiply_here(output, Into::Empty, 1.0, probabilities, value);
        }
        logs
    }

    /// With P the probabilities, M the dropout's mask and D the sums of each row of `dO∘O`:
    /// `dV = (P∘M)ᵀ·dO`, `dS = P∘((dO·Vᵀ)∘M − D)`, `dQ = dS·K/√d`, `dK = dSᵀ·Q/√d`.
    fn differentiate(&self, sequence: &Sequence<'_>, logs: &[f32], outputs: [&mut [f32]; 3], width: usize) {
        let ([queries, keys], size, scale) = (sequence.rows, width / self.heads, self.scale(width));
        let [of_query, of_key, of_value] = outputs;
        let [mut scores, mut of_scores] = [(); 2].map(|()| vec![0.0; queries * keys]);
        let mut dropped = vec![0.0; if self.dropout.is_some() { queries * keys } else { 0 }];
        for head in 0..self.heads {
            let [query, _, gradient] =
                [0, 1, 2].map(|at| self.head(sequence.of_queries[at], queries, head, width));
            let [key, value] = sequence.of_keys.map(|values| self.head(values, keys, head, width));
            let into = MatrixMut::new(&mut scores, queries, keys, keys);
            multiply_here(into, Into::Empty, scale, query, key.transposed());
            probabilities(&mut scores, &logs[head * queries..(head + 1) * queries], keys);
            let kept = if self.dropout.is_some() {
                dropped.copy_from_slice(&scores);
                self.drop_probabilities(&mut dropped, sequence, head);
                &dropped
            } else {
                &scores
            };
            let of_values = self.head_mut(of_value, keys, head, width);
            let kept = Matrix::new(kept, queries, keys, keys);
            multiply_here(of_values, Into::Empty, 1.0, kept.transposed(), gradient);
            let into = MatrixMut::new(&mut of_scores, queries, keys, keys);
            multiply_here(into, Into::Empty, 1.0, gradient, value.transposed());
            self.drop_probabilities(&mut of_scores, sequence, head);
            let [_, output, of_output] = [0, 1, 2].map(|at| sequence.of_queries[at]);
            scores_gradient(&scores, &mut of_scores, output, of_output, [width, head * size, size]);
            let of_scores = Matrix::new(&of_scores, queries, keys, keys);
            let of_queries = self.head_mut(of_query, queries, head, width);
            multiply_here(of_queries, Into::Empty, scale, of_scores, key);
            let of_keys = self.head_mut(of_key, keys, head, width);
            multiply_here(of_keys, Into::Empty, scale, of_scores.transposed(), query);
        }
    }
}

vectorised! {
    /// Softmax of each row; `logs` gets `ln Σ exp` of each.
    fn softmax_rows(scores: &'a mut [f32], logs: &'a mut [f32], columns: usize) {
        for (row, log) in scores.chunks_exact_mut(columns).zip(logs.iter_mut()) {
            *log = softmax_row(row);
        }
    }
}

vectorised! {
    /// The probabilities again.
    fn probabilities(scores: &'a mut [f32], logs: &'a [f32], columns: usize) {
        for (row, log) in scores.chunks_exact_mut(columns).zip(logs) {
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
        let keys = probabilities.len() / rows;
        for row in 0..rows {
            let start = row * width + first;
            let (output, of_output) = (&output[start..start + size], &of_output[start..start + size]);
            let along = sum!(size, |at| output[at] * of_output[at]);
            let here = row * keys..(row + 1) * keys;
            for (gradient, probability) in of_probabilities[here.clone()].iter_mut().zip(&probabilities[here]) {
                *gradient = (*gradient - along) * probability;
            }
        }
    }
}
