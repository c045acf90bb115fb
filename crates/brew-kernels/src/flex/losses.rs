//! Losses: the pass over the numbers that gives the value gives the gradient.

use std::any::Any;

use burn::tensor::{DType, Shape, Tensor, backend::Backend};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::gradients::multiplied;
use super::rows::{block_rows, each_block};
use super::storage::{from_values, values, vector, zeros};
use super::{Operation, Tracked, apply};
use crate::losses::SMALLEST_COUNT;

mod attention;
mod similarities;
mod squares;
mod states;

pub(crate) use attention::AttentionLoss;
pub(crate) use similarities::SimilarityLoss;
pub(crate) use states::{FirstStateLoss, StateLoss};

/// A mean over what `N` of a student's tensors and as many of a teacher's differ in. The teacher's have no gradient.
pub(crate) trait Loss<const N: usize>: Clone + std::fmt::Debug + Send + 'static {
    /// The value, and if asked for the student's gradients.
    fn evaluate(
        &self,
        student: [&FlexTensor; N],
        teacher: [&FlexTensor; N],
        keep: bool,
    ) -> (f64, Option<[FlexTensor; N]>);
}

impl<L: Loss<1>> Operation<2> for L {
    type Saved = [FlexTensor; 1];

    fn forward(
        &self,
        [student, teacher]: [FlexTensor; 2],
        keep: bool,
    ) -> (FlexTensor, Option<[FlexTensor; 1]>) {
        let (value, gradients) = self.evaluate([&student], [&teacher], keep);
        (vector(vec![value as f32]), gradients)
    }

    fn backward(
        &self,
        saved: [FlexTensor; 1],
        gradient: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [of_student] = saved;
        [Some(scaled(of_student, &gradient)), None]
    }
}

impl<L: Loss<2>> Operation<4> for L {
    type Saved = [FlexTensor; 2];

    fn forward(&self, inputs: [FlexTensor; 4], keep: bool) -> (FlexTensor, Option<[FlexTensor; 2]>) {
        let [first, second, teacher_first, teacher_second] = &inputs;
        let (value, gradients) = self.evaluate([first, second], [teacher_first, teacher_second], keep);
        (vector(vec![value as f32]), gradients)
    }

    fn backward(
        &self,
        saved: [FlexTensor; 2],
        gradient: FlexTensor,
        wanted: [bool; 4],
    ) -> [Option<FlexTensor>; 4] {
        let [first, second] = saved;
        [
            wanted[0].then(|| scaled(first, &gradient)),
            wanted[1].then(|| scaled(second, &gradient)),
            None,
            None,
        ]
    }
}

/// The loss of a student's and a teacher's tensor.
pub(crate) fn loss<B: Backend, L: Loss<1>, const D: usize>(
    of: L,
    [student, teacher]: [&Tensor<B, D>; 2],
) -> Option<Tensor<B, 1>> {
    let inputs = [student, teacher].map(|tensor| crate::primitive(tensor.clone()));
    let is_possible = !is_empty(student) && constant::<B>(&inputs[1]).is_some();
    if is_possible { apply::<B, _, 2>(of, inputs).ok().map(crate::tensor) } else { None }
}

/// The loss of two of the student's tensors and then two of the teacher's.
pub(crate) fn loss_of_pairs<B: Backend, L: Loss<2>, const D: usize>(
    of: L,
    tensors: [&Tensor<B, D>; 4],
) -> Option<Tensor<B, 1>> {
    let is_empty = tensors.iter().any(|tensor| is_empty(tensor));
    let inputs = tensors.map(|tensor| crate::primitive(tensor.clone()));
    let is_possible = !is_empty && inputs[2..].iter().all(|input| constant::<B>(input).is_some());
    if is_possible { apply::<B, _, 4>(of, inputs).ok().map(crate::tensor) } else { None }
}

/// The numbers of a mask, if there is one; `None` if it is none of flex's f32 or wants a gradient.
pub(crate) fn mask<B: Backend>(mask: Option<&Tensor<B, 2>>) -> Option<Option<FlexTensor>> {
    let Some(mask) = mask else { return Some(None) };
    let mask = constant::<B>(&crate::primitive(mask.clone()))?;
    (mask.dtype() == DType::F32).then(|| Some(mask.to_contiguous()))
}

fn is_empty<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> bool {
    tensor.shape().num_elements() == 0
}

/// What is behind a tensor of flex that wants no gradient.
fn constant<B: Backend>(tensor: &B::FloatTensorPrimitive) -> Option<FlexTensor> {
    let tensor: &dyn Any = tensor;
    if let Some(tensor) = tensor.downcast_ref::<FlexTensor>() {
        return Some(tensor.clone());
    }
    let tracked = tensor.downcast_ref::<Tracked>()?;
    tracked.node.requirement.is_none().then(|| tracked.primitive.clone())
}

/// A loss's gradient times what comes in.
fn scaled(of_loss: FlexTensor, incoming: &FlexTensor) -> FlexTensor {
    multiplied(of_loss, values(incoming)[0])
}

/// The sum of what `work` gives of each block of rows, and if asked for the gradient that it writes. It is given the
/// number of the first row, and zeros.
fn summed(
    rows: usize,
    width: usize,
    shape: Shape,
    keep: bool,
    work: impl Fn(usize, &mut [f32]) -> f64 + Sync,
) -> (f64, Option<FlexTensor>) {
    if keep {
        let mut gradient = zeros(rows * width);
        let parts = each_block(&mut gradient, width, work);
        return (parts.iter().sum(), Some(from_values(gradient, shape)));
    }
    let size = block_rows(width);
    let part = |block: usize| {
        let first = block * size;
        work(first, &mut vec![0.0; size.min(rows - first) * width])
    };
    let parts: Vec<f64> = (0..rows.div_ceil(size)).into_par_iter().map(part).collect();
    (parts.iter().sum(), None)
}

/// `1 / Σ m`, or 1 over the smallest count.
fn inverse(count: f64) -> f64 {
    1.0 / count.max(SMALLEST_COUNT)
}

fn total(mask: &[f32]) -> f64 {
    mask.iter().map(|&weight| f64::from(weight)).sum()
}

/// `1 / Σ_batch (Σ m)²` of a mask with rows of this length.
fn inverse_of_pairs(mask: &[f32], length: usize) -> f64 {
    inverse(mask.chunks_exact(length).map(|mask| total(mask).powi(2)).sum())
}
