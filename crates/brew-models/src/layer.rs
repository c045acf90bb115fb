//! One layer of the encoder.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, backend::Backend};

use crate::attention::BertAttention;
use crate::dropout::Dropout;
use crate::init::Builder;
use crate::{Activation, BertConfig, ModelError};

/// The position-wise feed-forward block with its residual and LayerNorm.
#[derive(Module, Debug)]
pub struct BertFeedForward<B: Backend> {
    /// `[hidden, intermediate]`.
    pub intermediate: Linear<B>,
    /// `[intermediate, hidden]`.
    pub output: Linear<B>,
    /// After the residual.
    pub layer_norm: LayerNorm<B>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> BertFeedForward<B> {
    fn build(builder: &mut Builder<'_, B>, path: &str, config: &BertConfig) -> Result<Self, ModelError> {
        Ok(Self {
            intermediate: builder.linear(&format!("{path}.intermediate"))?,
            output: builder.linear(&format!("{path}.output"))?,
            layer_norm: builder.layer_norm(&format!("{path}.layer_norm"), config.layer_norm_eps)?,
            activation: config.hidden_act,
            dropout: config.hidden_dropout_prob,
        })
    }

    /// # Shapes
    /// - `x`, output: `[tokens, hidden]`
    fn forward(&self, x: Tensor<B, 2>, dropout: &mut Dropout) -> Tensor<B, 2> {
        let wide = self.activation.forward(self.intermediate.forward(x.clone()));
        let output = dropout.apply(self.output.forward(wide), self.dropout);
        self.layer_norm.forward(output + x)
    }
}

/// Self-attention, then feed-forward.
#[derive(Module, Debug)]
pub struct BertLayer<B: Backend> {
    /// Self-attention.
    pub attention: BertAttention<B>,
    /// Feed-forward.
    pub feed_forward: BertFeedForward<B>,
}

impl<B: Backend> BertLayer<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &BertConfig,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            attention: BertAttention::build(builder, &format!("{path}.attention"), config)?,
            feed_forward: BertFeedForward::build(builder, &format!("{path}.feed_forward"), config)?,
        })
    }

    /// As [`BertAttention::forward`].
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        mask: Tensor<B, 4>,
        wanted: bool,
        dropout: &mut Dropout,
    ) -> (Tensor<B, 2>, Option<Tensor<B, 4>>) {
        let (x, attention) = self.attention.forward(x, mask, wanted, dropout);
        (self.feed_forward.forward(x, dropout), attention)
    }
}
