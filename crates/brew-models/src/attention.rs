//! Multi-head self-attention.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, activation::softmax, backend::Backend};

use crate::dropout::Dropout;
use crate::init::Builder;
use crate::packing::Layout;
use crate::{BertConfig, ModelError};

/// Self-attention with its output layer, residual and LayerNorm.
///
/// `softmax(Q·Kᵀ/√d + mask)·V` (Vaswani et al., "Attention is all you need", 2017).
#[derive(Module, Debug)]
pub struct BertAttention<B: Backend> {
    /// `[hidden, hidden]`.
    pub query: Linear<B>,
    /// `[hidden, hidden]`.
    pub key: Linear<B>,
    /// `[hidden, hidden]`.
    pub value: Linear<B>,
    /// Over the joined heads.
    pub output: Linear<B>,
    /// After the residual.
    pub layer_norm: LayerNorm<B>,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    probs_dropout: f64,
    #[module(skip)]
    hidden_dropout: f64,
}

impl<B: Backend> BertAttention<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &BertConfig,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            query: builder.linear(&format!("{path}.query"))?,
            key: builder.linear(&format!("{path}.key"))?,
            value: builder.linear(&format!("{path}.value"))?,
            output: builder.linear(&format!("{path}.output"))?,
            layer_norm: builder.layer_norm(&format!("{path}.layer_norm"), config.layer_norm_eps)?,
            heads: config.num_attention_heads,
            probs_dropout: config.attention_probs_dropout_prob,
            hidden_dropout: config.hidden_dropout_prob,
        })
    }

    /// The output, and the probabilities if they are wanted.
    ///
    /// # Shapes
    /// - `x`: `[rows, hidden]`
    /// - output: `[rows, hidden]` and `[batch, heads, length, length]`
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        layout: &Layout<B>,
        wanted: bool,
        dropout: &mut Dropout,
    ) -> (Tensor<B, 2>, Option<Tensor<B, 4>>) {
        let (batch, length) = (layout.batch, layout.length);
        let [_, hidden] = x.dims();
        let head_size = hidden / self.heads;
        let by_head = |rows| layout.unpack(rows).reshape([batch, length, self.heads, head_size]);

        // Scaling the queries touches rows·hidden numbers, the scores batch·heads·length².
        let scale = 1.0 / (head_size as f64).sqrt();
        let query = by_head(self.query.forward(x.clone()).mul_scalar(scale)).swap_dims(1, 2);
        let key = by_head(self.key.forward(x.clone())).permute([0, 2, 3, 1]);
        let value = by_head(self.value.forward(x.clone())).swap_dims(1, 2);

        let probabilities = softmax(query.matmul(key) + layout.mask.clone(), 3);
        let probabilities = dropout.apply(probabilities, self.probs_dropout);
        let kept = wanted.then(|| probabilities.clone());
        let context = probabilities.matmul(value).swap_dims(1, 2).reshape([batch * length, hidden]);
        let output = dropout.apply(self.output.forward(layout.pack(context)), self.hidden_dropout);
        (self.layer_norm.forward(output + x), kept)
    }
}
