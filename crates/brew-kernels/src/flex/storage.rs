//! Numbers in and out of flex's tensors.

use burn::tensor::{Bytes, DType, Shape, TensorMetadata};
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;

/// The numbers of a contiguous tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("kernels are given contiguous tensors of f32")
}

/// A tensor of these numbers.
pub(super) fn from_values(values: Vec<f32>, shape: Shape) -> FlexTensor {
    assert_eq!(values.len(), shape.num_elements(), "numbers and shape do not fit");
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// A vector.
pub(super) fn vector(values: Vec<f32>) -> FlexTensor {
    let length = values.len();
    from_values(values, Shape::new([length]))
}

/// How many numbers there are along the last dimension.
pub(super) fn width(tensor: &FlexTensor) -> usize {
    tensor.shape().last().copied().unwrap_or(1)
}

/// The tensor, for its storage to be overwritten: another one's is copied, one's own is not.
pub(super) fn own(mut tensor: FlexTensor, write: impl FnOnce(&mut [f32])) -> FlexTensor {
    write(tensor.storage_mut());
    tensor
}

/// How many numbers a thread writes at once.
const BLOCK: usize = 32 * 1024;

/// A row so many times, written by all threads: the system gives a page out when it is first written to, and that
/// takes longer than the numbers themselves.
pub(super) fn repeated(row: &[f32], rows: usize) -> Vec<f32> {
    let count = row.len() * rows;
    let mut values = Vec::with_capacity(count);
    let block = (BLOCK / row.len().max(1)).max(1) * row.len().max(1);
    values.spare_capacity_mut()[..count].par_chunks_mut(block).for_each(|block| {
        for copy in block.chunks_mut(row.len()) {
            for (slot, value) in copy.iter_mut().zip(row) {
                slot.write(*value);
            }
        }
    });
    // SAFETY: the vector has room for `count` numbers, and all of them have been written: the blocks together are
    // the first `count`, and a block is whole copies of the row.
    #[expect(unsafe_code, reason = "the numbers need not be written twice")]
    unsafe {
        values.set_len(count);
    }
    values
}

/// So many zeros, written by all threads.
pub(super) fn zeros(count: usize) -> Vec<f32> {
    repeated(&[0.0], count)
}
