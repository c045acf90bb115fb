//! Numbers in and out of flex's tensors.

use burn::tensor::{Bytes, DType, Shape, TensorMetadata};
use burn_flex::{FlexTensor, Layout};

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
