use burn::tensor::{DType, TensorMetadata, backend::Backend};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::storage::values;
use super::vector::{is_supported, vectorised};
use super::{is, same};
use crate::AdamWStep;

/// How many numbers a thread takes at once: its four slices stay in the second-level cache.
const BLOCK: usize = 32 * 1024;

/// How many numbers are looked at together for whether there is anything to do: fewer than a row of embeddings has.
const GROUP: usize = 128;

/// [`crate::adamw`] on tensors of flex; gives others back.
pub(crate) fn adamw<B: Backend>(
    inputs: [B::FloatTensorPrimitive; 4],
    step: &AdamWStep,
) -> Result<[B::FloatTensorPrimitive; 3], [B::FloatTensorPrimitive; 4]> {
    let are_f32 = inputs.iter().all(|input| input.dtype() == DType::F32);
    if !is_supported() || !are_f32 || !is::<B, FlexTensor>() {
        return Err(inputs);
    }
    let [value, gradient, first, second] = inputs.map(|input| same::<_, FlexTensor>(input).to_contiguous());
    Ok(stepped([value, first, second], &gradient, step).map(same))
}

/// Parameter and moments, overwritten where nobody else holds them.
fn stepped(mut state: [FlexTensor; 3], gradient: &FlexTensor, step: &AdamWStep) -> [FlexTensor; 3] {
    let constants = Constants::new(step);
    let gradient = values(gradient);
    let [value, first, second] = state.each_mut().map(|tensor| tensor.storage_mut::<f32>());
    let lengths = [value.len(), first.len(), second.len()];
    assert_eq!(lengths, [gradient.len(); 3], "a parameter, its gradient and moments differ in size");
    value
        .par_chunks_mut(BLOCK)
        .zip(first.par_chunks_mut(BLOCK))
        .zip(second.par_chunks_mut(BLOCK))
        .zip(gradient.par_chunks(BLOCK))
        .for_each(|(((value, first), second), gradient)| {
            step_each(&constants, value, first, second, gradient);
        });
    state
}

/// The numbers of a step as its loop needs them.
struct Constants {
    keep: [f32; 2],
    add: [f32; 2],
    decay: f32,
    rate: f32,
    inverse: f32,
    eps: f32,
}

impl Constants {
    fn new(step: &AdamWStep) -> Self {
        let corrections = step.corrections();
        Self {
            keep: step.betas.map(|beta| beta as f32),
            add: step.betas.map(|beta| (1.0 - beta) as f32),
            decay: (1.0 - step.lr * step.weight_decay) as f32,
            rate: (step.lr / corrections[0]) as f32,
            inverse: (1.0 / corrections[1].sqrt()) as f32,
            eps: step.eps as f32,
        }
    }
}

vectorised! {
    fn step_each(
        with: &'a Constants,
        value: &'a mut [f32],
        first: &'a mut [f32],
        second: &'a mut [f32],
        gradient: &'a [f32],
    ) {
        let count = gradient.len();
        let (value, first, second) = (&mut value[..count], &mut first[..count], &mut second[..count]);
        for start in (0..count).step_by(GROUP) {
            let group = start..(start + GROUP).min(count);
            if with.eps > 0.0 && is_zero(&gradient[group.clone()], &first[group.clone()], &second[group.clone()]) {
                if with.decay != 1.0 {
                    for value in &mut value[group] {
                        *value *= with.decay;
                    }
                }
                continue;
            }
            for at in group {
                let gradient = gradient[at];
                let m = first[at] * with.keep[0] + gradient * with.add[0];
                let v = second[at] * with.keep[1] + gradient * gradient * with.add[1];
                let update = m / (v.sqrt() * with.inverse + with.eps) * with.rate;
                (first[at], second[at]) = (m, v);
                value[at] = value[at] * with.decay - update;
            }
        }
    }
}

/// Whether there is nothing to do but to decay: a word that no text of the run so far has. Such rows are most of the
/// embeddings of a small data set, and not writing their moments is a quarter of what a step moves through memory.
#[inline(always)]
fn is_zero(gradient: &[f32], first: &[f32], second: &[f32]) -> bool {
    let mut bits = 0;
    for ((gradient, first), second) in gradient.iter().zip(first).zip(second) {
        bits |= gradient.to_bits() | first.to_bits() | second.to_bits();
    }
    // Without the sign.
    bits << 1 == 0
}
