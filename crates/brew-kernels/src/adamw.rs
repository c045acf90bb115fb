//! One step of AdamW on one parameter.

use burn::tensor::{Tensor, backend::Backend};

/// The numbers of one step of AdamW (Loshchilov and Hutter, <https://arxiv.org/abs/1711.05101>):
///
/// m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²,
/// p ← (1 − lr·λ)·p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first and of the second moment.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// λ, applied to the parameter itself.
    pub weight_decay: f64,
    /// t, from 1.
    pub step: u32,
}

impl AdamWStep {
    /// `1 − βᵗ` of both moments.
    pub(crate) fn corrections(&self) -> [f64; 2] {
        self.betas.map(|beta| 1.0 - beta.powf(f64::from(self.step)))
    }
}

/// Parameter, first and second moment after a step, of parameter, gradient and the two moments before it.
///
/// # Shapes
/// - all: any, the same.
///
/// # Panics
/// If the shapes differ.
pub fn adamw<B: Backend, const D: usize>(
    [value, gradient, first, second]: [Tensor<B, D>; 4],
    step: &AdamWStep,
) -> [Tensor<B, D>; 3] {
    #[cfg(feature = "flex")]
    let [value, gradient, first, second] = {
        let inputs = [value, gradient, first, second].map(crate::primitive);
        match crate::flex::adamw::<B>(inputs, step) {
            Ok(stepped) => return stepped.map(crate::tensor),
            Err(inputs) => inputs.map(crate::tensor),
        }
    };
    let [beta_1, beta_2] = step.betas;
    let corrections = step.corrections();
    let squared = gradient.clone() * gradient.clone();
    let second = second.mul_scalar(beta_2) + squared.mul_scalar(1.0 - beta_2);
    let first = first.mul_scalar(beta_1) + gradient.mul_scalar(1.0 - beta_1);
    let denominator = second.clone().sqrt().mul_scalar(1.0 / corrections[1].sqrt()).add_scalar(step.eps);
    let update = (first.clone() / denominator).mul_scalar(step.lr / corrections[0]);
    let value = match step.weight_decay {
        0.0 => value,
        decay => value.mul_scalar(1.0 - step.lr * decay),
    };
    [value - update, first, second]
}
