//! Work on rows, shared among threads in blocks that do not depend on how many there are.

use rayon::prelude::*;

/// How many numbers a block has, about: enough to be worth handing to another thread, few enough to stay in its
/// second-level cache.
const BLOCK: usize = 16 * 1024;

/// How many rows of this width a block has. A function of the width alone: a sum over blocks is the same on any
/// number of threads.
pub(super) fn block_rows(width: usize) -> usize {
    (BLOCK / width.max(1)).max(1)
}

/// Calls `work` with each block of an output's rows and the number of its first row; what it gives back stands in
/// the order of the blocks.
pub(super) fn each_block<R: Send>(
    output: &mut [f32],
    width: usize,
    work: impl Fn(usize, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    let rows = block_rows(width);
    let size = (rows * width).max(1);
    if output.len() <= size {
        return output
            .chunks_mut(size)
            .enumerate()
            .map(|(block, rows_of)| work(block * rows, rows_of))
            .collect();
    }
    output.par_chunks_mut(size).enumerate().map(|(block, rows_of)| work(block * rows, rows_of)).collect()
}

/// Sums of vectors, in their order.
pub(super) fn sum_of(parts: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    parts.into_iter().fold(vec![0.0; width], |mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        sum
    })
}
