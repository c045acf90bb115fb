//! The bidirectional GRU of TextBrewer's student without attention.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};

use crate::fused::linear;
use crate::init::Builder;
use crate::packing::Layout;
use crate::{Activation, EncoderConfig, ModelError};
use brew_kernels::plain::sigmoid;

/// One direction of a GRU (Cho et al., <https://arxiv.org/abs/1406.1078>) in the form of PyTorch's `nn.GRU`, whose
/// reset gate acts on the product with the state, its bias included:
///
/// `r = σ(W_ir x + b_ir + W_hr h + b_hr)`, `z = σ(W_iz x + b_iz + W_hz h + b_hz)`,
/// `n = tanh(W_in x + b_in + r·(W_hn h + b_hn))`, `h' = (1 − z)·n + z·h`.
#[derive(Module, Debug)]
pub struct GruDirection<B: Backend> {
    /// `[width, 3 · hidden]`: r, z and n of the input.
    pub input: Linear<B>,
    /// `[hidden, 3 · hidden]`: r, z and n of the state.
    pub hidden: Linear<B>,
}

/// A GRU that reads each text from both ends, and a dense layer over the two states:
/// TextBrewer's BiGRU, "a single-layer bidirectional GRU" (its README).
///
/// TextBrewer's repository has no code of it. Its 31 M parameters with 28,996 words are those of one layer of 768
/// each way and a dense layer 1,536 → 768. What the dense layer reads is chosen here as in Tang et al.
/// (<https://arxiv.org/abs/1903.12136>): for a text the last state of each direction, at its last and its first
/// token, for a token the two states there; a ReLU follows, or what `hidden_act` says.
///
/// Texts are read as PyTorch reads packed sequences: a state passes over padding unchanged, so that the backward
/// direction starts at the last token.
#[derive(Module, Debug)]
pub struct BiGru<B: Backend> {
    /// From the first token to the last.
    pub forward: GruDirection<B>,
    /// From the last token to the first.
    pub reverse: GruDirection<B>,
    /// `[2 · hidden, hidden]`.
    pub dense: Linear<B>,
    #[module(skip)]
    activation: Activation,
}

/// What a GRU makes of a batch.
pub(crate) struct GruOutput<B: Backend> {
    /// Of each token the two states there, `[rows, 2 · hidden]`.
    pub(crate) tokens: Tensor<B, 2>,
    /// Of each text the last state of each direction, `[batch, 2 · hidden]`.
    pub(crate) texts: Tensor<B, 2>,
}

impl<B: Backend> GruDirection<B> {
    fn build(builder: &mut Builder<'_, B>, path: &str) -> Result<Self, ModelError> {
        Ok(Self {
            input: builder.linear(&format!("{path}.input"))?,
            hidden: builder.linear(&format!("{path}.hidden"))?,
        })
    }

    /// The states at every position, in the order of the text, and the last state that was reached.
    ///
    /// The products with the inputs are one product for all tokens; only those with the states go step by step.
    ///
    /// # Shapes
    /// - `x`: `[rows, width]`
    /// - states: `[rows, hidden]`, last: `[batch, hidden]`
    fn run(&self, x: Tensor<B, 2>, layout: &Layout<B>, reverse: bool) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let (batch, length) = (layout.batch, layout.length);
        let [hidden, gates] = self.hidden.weight.dims();
        let products = layout.unpack(linear(&self.input, x));
        let by_time = products.reshape([batch, length, gates]).swap_dims(0, 1);
        let of_gates = steps(by_time.clone().narrow(2, 0, 2 * hidden));
        let of_candidates = steps(by_time.narrow(2, 2 * hidden, hidden));
        let mut state = Tensor::zeros([batch, hidden], &of_candidates[0].device());
        let mut states = Vec::with_capacity(length);
        for step in 0..length {
            let time = if reverse { length - 1 - step } else { step };
            let product = linear(&self.hidden, state.clone());
            let both = sigmoid(of_gates[time].clone() + product.clone().narrow(1, 0, 2 * hidden));
            let reset = both.clone().narrow(1, 0, hidden);
            let mut keep = both.narrow(1, hidden, hidden);
            let candidate = of_candidates[time].clone() + reset * product.narrow(1, 2 * hidden, hidden);
            if !layout.is_full {
                // At padding all of the state is kept: exactly 1.
                let is_token = layout.tokens.clone().narrow(1, time, 1);
                keep = keep * is_token.clone() + is_token.neg().add_scalar(1.0);
            }
            state = keep.clone().neg().add_scalar(1.0) * candidate.tanh() + keep * state;
            states.push(state.clone());
        }
        if reverse {
            states.reverse();
        }
        let states = Tensor::stack::<3>(states, 1).reshape([batch * length, hidden]);
        (layout.pack(states), state)
    }
}

impl<B: Backend> BiGru<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            forward: GruDirection::build(builder, &format!("{path}.forward"))?,
            reverse: GruDirection::build(builder, &format!("{path}.reverse"))?,
            dense: builder.linear(&format!("{path}.dense"))?,
            activation: config.hidden_act,
        })
    }

    /// # Shapes
    /// - `x`: `[rows, width]`
    pub(crate) fn run(&self, x: Tensor<B, 2>, layout: &Layout<B>) -> GruOutput<B> {
        let (ahead, at_end) = self.forward.run(x.clone(), layout, false);
        let (back, at_start) = self.reverse.run(x, layout, true);
        GruOutput { tokens: Tensor::cat(vec![ahead, back], 1), texts: Tensor::cat(vec![at_end, at_start], 1) }
    }

    /// The dense layer and its activation.
    ///
    /// # Shapes
    /// - states: `[rows, 2 · hidden]`, output: `[rows, hidden]`
    pub(crate) fn project(&self, states: Tensor<B, 2>) -> Tensor<B, 2> {
        self.activation.forward(linear(&self.dense, states))
    }
}

/// `[length, batch, width]` as one tensor a step, cut in halves and halves again: the gradient of each cut is a
/// tensor as large as what was cut, so that cutting off one step after the other would take length² time.
fn steps<B: Backend>(x: Tensor<B, 3>) -> Vec<Tensor<B, 2>> {
    let [length, batch, width] = x.dims();
    if length == 1 {
        return vec![x.reshape([batch, width])];
    }
    let half = length / 2;
    let mut all = steps(x.clone().narrow(0, 0, half));
    all.extend(steps(x.narrow(0, half, length - half)));
    all
}

#[cfg(test)]
mod tests;
