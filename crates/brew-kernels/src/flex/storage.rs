//! Numbers in and out of flex's tensors.

use std::mem::MaybeUninit;

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
    tiled(row, row.len() * rows)
}

/// So many numbers: a row again and again, the last time perhaps a part of it.
fn tiled(row: &[f32], count: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    let block = (BLOCK / row.len().max(1)).max(1) * row.len().max(1);
    let write = |block: &mut [MaybeUninit<f32>]| {
        for copy in block.chunks_mut(row.len()) {
            for (slot, value) in copy.iter_mut().zip(row) {
                slot.write(*value);
            }
        }
    };
    let room = &mut values.spare_capacity_mut()[..count];
    if count <= block {
        room.chunks_mut(block).for_each(write);
    } else {
        room.par_chunks_mut(block).for_each(write);
    }
    // SAFETY: the vector has room for `count` numbers, and all of them have been written: the blocks together are
    // the first `count`, and each of their chunks is at most as long as the row.
    #[expect(unsafe_code, reason = "the numbers need not be written twice")]
    unsafe {
        values.set_len(count);
    }
    values
}

/// So many zeros, written by all threads.
pub(super) fn zeros(count: usize) -> Vec<f32> {
    // Of more than one number, so that they are not written one by one.
    tiled(&[0.0; 1024], count)
}

/// The tensor with a place in memory for each of its numbers: one that repeats some, say, has fewer. What stands
/// together is copied together, by all threads.
pub(super) fn spread(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() {
        return tensor;
    }
    let (shape, strides) = (tensor.layout().shape().clone(), tensor.layout().strides());
    let (mut outer, mut run) = (shape.num_dims(), 1);
    while outer > 0 && strides[outer - 1] == run as isize {
        outer -= 1;
        run *= shape[outer];
    }
    let from = |mut number: usize| {
        let mut start = tensor.layout().start_offset() as isize;
        for dim in (0..outer).rev() {
            start += (number % shape[dim]) as isize * strides[dim];
            number /= shape[dim];
        }
        start as usize
    };
    let given: &[f32] = tensor.storage();
    let mut values = zeros(shape.num_elements());
    values.par_chunks_mut(run.max(1)).enumerate().for_each(|(number, values)| {
        values.copy_from_slice(&given[from(number)..][..run]);
    });
    from_values(values, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_may_be_repeated_in_part() {
        assert_eq!(repeated(&[1.0, 2.0], 3), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        assert_eq!(repeated(&[], 3), [0.0; 0]);
        for count in [0, 1, 1023, 1024, 1025, 100_001] {
            assert_eq!(zeros(count), vec![0.0; count]);
        }
    }

    #[test]
    fn what_is_spread_out_is_what_it_was() {
        let tensor = || from_values((0..24).map(|at| at as f32).collect(), Shape::new([2, 1, 3, 4]));
        for (shape, strides, start) in [
            ([2, 5, 3, 4], [12, 0, 4, 1], 0),
            ([3, 5, 2, 4], [4, 0, 12, 1], 0),
            ([2, 2, 2, 3], [12, 0, 4, 1], 5),
            ([4, 3, 1, 2], [1, 4, 0, 12], 0),
            ([3, 1, 1, 1], [0, 0, 0, 0], 7),
        ] {
            let turned = tensor().with_layout(Layout::new(Shape::new(shape), strides.to_vec(), start));
            let spread = spread(turned.clone());
            assert!(spread.is_contiguous());
            assert_eq!(values(&spread), values(&turned.to_contiguous()), "{strides:?}");
        }
    }
}
