use std::sync::Arc;

use burn::tensor::{Shape, TensorMetadata};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::Operation;
use super::rows::{block_rows, each_block};
use super::storage::{from_values, values, width, zeros};

/// See [`crate::embedding`].
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    /// Of each output row its row of the table.
    pub(crate) ids: Arc<Vec<usize>>,
}

impl Operation<1> for Embedding {
    /// The table's shape.
    type Saved = Shape;

    fn forward(&self, [table]: [FlexTensor; 1], _: bool) -> (FlexTensor, Option<Shape>) {
        let width = width(&table);
        let entries = values(&table);
        let mut output = zeros(self.ids.len() * width);
        each_block(&mut output, width, |first, output| {
            for (row, &id) in output.chunks_exact_mut(width).zip(&self.ids[first..]) {
                row.copy_from_slice(&entries[id * width..][..width]);
            }
        });
        (from_values(output, Shape::new([self.ids.len(), width])), Some(table.shape()))
    }

    /// Each row of the table gets the sum of the gradients of the rows that were its copies, in their order.
    fn backward(&self, table: Shape, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let width = width(&gradient);
        let gradients = values(&gradient);
        let mut by_id: Vec<(usize, usize)> = self.ids.iter().copied().zip(0..).collect();
        by_id.sort_unstable();
        let mut output = zeros(table.num_elements());
        let rows = block_rows(width);
        output.par_chunks_mut((rows * width).max(1)).enumerate().for_each(|(block, output)| {
            let first = block * rows;
            let start = by_id.partition_point(|&(id, _)| id < first);
            for &(id, at) in by_id[start..].iter().take_while(|&&(id, _)| id < first + rows) {
                let sum = &mut output[(id - first) * width..][..width];
                sum.iter_mut().zip(&gradients[at * width..]).for_each(|(sum, value)| *sum += value);
            }
        });
        [Some(from_values(output, table))]
    }
}
