use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;

use super::Operation;
use super::rows::each_block;
use super::storage::{from_values, own, values};
use super::vector::{normal, vectorised};

/// See [`crate::gelu`].
#[derive(Debug, Clone)]
pub(crate) struct Gelu;

/// 1 / √(2π).
const DENSITY: f32 = 0.398_942_3;

impl Operation<1> for Gelu {
    type Saved = FlexTensor;

    fn forward(&self, [x]: [FlexTensor; 1], keep: bool) -> (FlexTensor, Option<FlexTensor>) {
        if !keep {
            return (own(x, |values| drop(each_block(values, 1, |_, values| in_place(values)))), None);
        }
        let mut output = vec![0.0; values(&x).len()];
        each_block(&mut output, 1, |start, output| {
            let input = &values(&x)[start..start + output.len()];
            forward(input, output);
        });
        (from_values(output, x.shape()), Some(x))
    }

    fn backward(&self, x: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let gradient = own(gradient, |gradient| {
            each_block(gradient, 1, |start, gradient| {
                let input = &values(&x)[start..start + gradient.len()];
                backward(input, gradient);
            });
        });
        [Some(gradient)]
    }
}

vectorised! {
    fn in_place(values: &'a mut [f32]) {
        for value in values {
            *value *= normal(*value).0;
        }
    }
}

vectorised! {
    fn forward(input: &'a [f32], output: &'a mut [f32]) {
        for (output, x) in output.iter_mut().zip(input) {
            *output = x * normal(*x).0;
        }
    }
}

vectorised! {
    /// `Φ(x) + x·φ(x)`.
    fn backward(input: &'a [f32], gradient: &'a mut [f32]) {
        for (gradient, x) in gradient.iter_mut().zip(input) {
            let (below, bell) = normal(*x);
            *gradient *= (x * DENSITY).mul_add(bell, below);
        }
    }
}
