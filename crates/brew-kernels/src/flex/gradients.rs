//! Gradients as wholes: their norm, their scaling, their beginning.

use burn::tensor::{DType, TensorMetadata, backend::Backend};
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;

use super::storage::{from_values, own, values, vector, zeros};
use super::vector::{is_supported, sum, vectorised};
use super::{is, on_demand, same};

/// How many numbers a thread takes at once: the sum's order depends on it and on nothing else.
const BLOCK: usize = 32 * 1024;

fn is_ours<B: Backend>(x: &B::FloatTensorPrimitive) -> bool {
    is_supported() && x.dtype() == DType::F32 && is::<B, FlexTensor>()
}

/// [`crate::squared_norm`] of a tensor of flex; gives others back.
pub(crate) fn squared_norm<B: Backend>(
    x: B::FloatTensorPrimitive,
) -> Result<B::FloatTensorPrimitive, B::FloatTensorPrimitive> {
    if !is_ours::<B>(&x) {
        return Err(x);
    }
    let x = same::<_, FlexTensor>(x).to_contiguous();
    let parts: Vec<f32> = values(&x).par_chunks(BLOCK).map(squares).collect();
    let sum: f64 = parts.into_iter().map(f64::from).sum();
    Ok(same(vector(vec![sum as f32])))
}

/// [`crate::scaled`] of a tensor of flex, overwritten where nobody else holds it; gives others back.
pub(crate) fn scaled<B: Backend>(
    x: B::FloatTensorPrimitive,
    scale: f64,
) -> Result<B::FloatTensorPrimitive, B::FloatTensorPrimitive> {
    if !is_ours::<B>(&x) {
        return Err(x);
    }
    // A statement of its own: a tensor that is contiguous is the same one then, and would have two owners.
    let x = same::<_, FlexTensor>(x).to_contiguous();
    Ok(same(multiplied(x, scale as f32)))
}

/// A tensor times a number, in its place where nobody else holds it. The storage may be smaller than the tensor.
pub(super) fn multiplied(x: FlexTensor, factor: f32) -> FlexTensor {
    if factor == 1.0 {
        return x;
    }
    own(x, |x| x.par_chunks_mut(BLOCK).for_each(|x| multiply_each(x, factor)))
}

/// Numbers that are looked at together for whether they are all zero: a page of memory.
const PAGE: usize = 1024;

/// From so many numbers on, zeros may be worth a map of their own.
const LARGE: usize = 1 << 20;

/// Zeros of a gradient's shape, if tensors of this backend are flex's. Where most of the gradient is zero, as an embedding
/// table's is, its moments will be: such zeros take memory where they are written to.
pub(crate) fn zeros_beside<B: Backend>(x: B::FloatTensorPrimitive) -> Option<B::FloatTensorPrimitive> {
    if !is::<B, FlexTensor>() {
        return None;
    }
    let x = same::<_, FlexTensor>(x).to_contiguous();
    let shape = x.shape();
    let count = shape.num_elements();
    let zero_pages = || {
        let is_zero = |page: &&[f32]| page.iter().all(|x| *x == 0.0);
        values(&x).par_chunks(PAGE).filter(is_zero).count()
    };
    let bytes = (count >= LARGE && 2 * PAGE * zero_pages() > count)
        .then(|| on_demand::zeros(count * size_of::<f32>()))
        .flatten();
    Some(same(match bytes {
        Some(bytes) => FlexTensor::new(bytes, Layout::contiguous(shape), DType::F32),
        None => from_values(zeros(count), shape),
    }))
}

vectorised! {
    fn squares(x: &'a [f32]) -> f32 {
        sum!(x.len(), |at| x[at] * x[at])
    }
}

vectorised! {
    pub(super) fn multiply_each(x: &'a mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Shape;
    use burn_flex::Flex;

    use super::*;

    #[test]
    fn zeros_beside_a_gradient_are_zeros_of_its_shape() {
        let count = LARGE + 5;
        for step in [1, 7 * PAGE] {
            let mut gradient = vec![0.0; count];
            gradient.iter_mut().step_by(step).for_each(|x| *x = 1.0);
            let gradient = from_values(gradient, Shape::new([count, 1]));
            let Some(mut zeros) = zeros_beside::<Flex>(gradient.clone()) else { panic!("of flex") };
            assert_eq!(zeros.shape(), gradient.shape());
            assert!(values(&zeros).iter().all(|x| *x == 0.0));
            zeros.storage_mut::<f32>()[count - 1] = 2.0;
            assert_eq!(values(&zeros)[count - 2..], [0.0, 2.0]);
        }
    }

    #[test]
    fn a_tensor_of_ones_own_is_multiplied_in_its_place() {
        if !is_supported() {
            return;
        }
        let x = from_values(vec![1.5; 40], Shape::new([5, 8]));
        let place = values(&x).as_ptr();
        let Ok(twice) = scaled::<Flex>(x, 2.0) else { panic!("a tensor of flex is given back") };
        assert_eq!((values(&twice).as_ptr(), values(&twice)), (place, &[3.0; 40][..]));
        let held = twice.clone();
        let Ok(again) = scaled::<Flex>(twice, 2.0) else { panic!("a tensor of flex is given back") };
        assert_eq!((values(&held), values(&again)), (&[3.0; 40][..], &[6.0; 40][..]));
    }
}
