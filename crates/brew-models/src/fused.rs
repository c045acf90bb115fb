//! The layers that fused operations stand behind.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};

use crate::dropout::Dropout;

/// Normalisation of each row to mean 0 and variance 1, then a scale and a shift (Ba et al.,
/// <https://arxiv.org/abs/1607.06450>).
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// The scale, `[width]`.
    pub gamma: Param<Tensor<B, 1>>,
    /// The shift, `[width]`.
    pub beta: Param<Tensor<B, 1>>,
    /// Added to the variance.
    #[module(skip)]
    pub epsilon: f64,
}

impl<B: Backend> LayerNorm<B> {
    /// Normalises each row.
    ///
    /// # Shapes
    /// - input and output: `[rows, width]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        brew_kernels::layer_norm(x, self.gamma.val(), self.beta.val(), self.epsilon)
    }

    /// Normalises what a sub-layer adds to its input, some of it dropped: `dropout(x) + residual`.
    ///
    /// # Shapes
    /// - inputs and output: `[rows, width]`
    pub(crate) fn end(
        &self,
        x: Tensor<B, 2>,
        residual: Tensor<B, 2>,
        dropout: &mut Dropout,
        rate: f64,
    ) -> Tensor<B, 2> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        brew_kernels::residual_layer_norm(x, residual, dropout.next(rate), gamma, beta, self.epsilon)
    }
}

/// What a linear layer makes of rows.
///
/// # Shapes
/// - `x`: `[rows, inputs]`, output: `[rows, outputs]`
pub(crate) fn linear<B: Backend>(layer: &Linear<B>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    brew_kernels::linear(x, layer.weight.val(), layer.bias.as_ref().map(|bias| bias.val()))
}
