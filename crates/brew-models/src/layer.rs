//! One layer of the encoder.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};

use crate::attention::{AttentionFeatures, SelfAttention};
use crate::dropout::Dropout;
use crate::fused::{LayerNorm, linear};
use crate::init::Builder;
use crate::packing::{Layout, Rows};
use crate::{Activation, Architecture, EncoderConfig, ModelError, OutputRequest};

/// The position-wise feed-forward block with its residual and LayerNorm.
#[derive(Module, Debug)]
pub struct FeedForward<B: Backend> {
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

impl<B: Backend> FeedForward<B> {
    fn build(builder: &mut Builder<'_, B>, path: &str, config: &EncoderConfig) -> Result<Self, ModelError> {
        Ok(Self {
            intermediate: builder.linear(&format!("{path}.intermediate"))?,
            output: builder.linear(&format!("{path}.output"))?,
            layer_norm: builder.layer_norm(&format!("{path}.layer_norm"), config.layer_norm_eps)?,
            activation: config.hidden_act,
            // ALBERT drops nothing here.
            dropout: match config.architecture {
                Architecture::Albert => 0.0,
                _ => config.hidden_dropout_prob,
            },
        })
    }

    /// # Shapes
    /// - `x`, output: `[tokens, hidden]`
    fn forward(&self, x: Tensor<B, 2>, dropout: &mut Dropout) -> Tensor<B, 2> {
        let wide = self.activation.forward(linear(&self.intermediate, x.clone()));
        self.layer_norm.end(linear(&self.output, wide), x, dropout, self.dropout)
    }
}

/// Self-attention, then feed-forward.
#[derive(Module, Debug)]
pub struct EncoderLayer<B: Backend> {
    /// Self-attention.
    pub attention: SelfAttention<B>,
    /// Feed-forward.
    pub feed_forward: FeedForward<B>,
}

impl<B: Backend> EncoderLayer<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            attention: SelfAttention::build(builder, &format!("{path}.attention"), config)?,
            feed_forward: FeedForward::build(builder, &format!("{path}.feed_forward"), config)?,
        })
    }

    /// As [`SelfAttention::forward`].
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        layout: &Layout<B>,
        request: OutputRequest,
        rows: Rows,
        dropout: &mut Dropout,
    ) -> (Tensor<B, 2>, AttentionFeatures<B>) {
        let (x, features) = self.attention.forward(x, layout, request, rows, dropout);
        (self.feed_forward.forward(x, dropout), features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, tiny};
    use brew_random::Key;
    use brew_testkit::TestBackend;
    use burn::tensor::TensorData;

    /// Both sub-layers drop their output before the residual, at sites 1 and 2 after the
    /// probabilities' site 0.
    #[test]
    fn the_output_of_each_sublayer_is_dropped_before_the_residual() {
        let device = Default::default();
        let tensor = |name: &str, shape: [usize; 2]| {
            let values = Key::new(2).purpose(name).normal(shape[0] * shape[1], 1.0);
            Tensor::<TestBackend, 2>::from_data(TensorData::new(values, shape), &device)
        };
        let mask = |site: u64| {
            let values = Key::new(3).index(site).dropout_mask(32, 0.1);
            assert!(values.contains(&0.0), "site {site} drops nothing");
            Tensor::<TestBackend, 2>::from_data(TensorData::new(values, [4, 8]), &device)
        };
        let layer = &tiny::model().encoder.layers[0];
        let x = tensor("x", [4, 8]);

        let mut dropout = Dropout::new(Mode::Train { dropout: Key::new(3) });
        let layout = Layout::new(Tensor::ones([1, 4], &device), None);
        let request = OutputRequest { attentions: true, ..OutputRequest::default() };
        let (attended, features) =
            layer.attention.forward(x.clone(), &layout, request, Rows::All, &mut dropout);
        let by_head = layer.attention.value.forward(x.clone()).reshape([1, 4, 2, 4]).swap_dims(1, 2);
        let context = features.probabilities.unwrap().matmul(by_head).swap_dims(1, 2).reshape([4, 8]);
        let expected = layer.attention.output.forward(context) * mask(1) + x;
        let expected = layer.attention.layer_norm.forward(expected);
        assert_eq!(attended.to_data(), expected.into_data());

        let block = &layer.feed_forward;
        let wide = Activation::Gelu.forward(block.intermediate.forward(attended.clone()));
        let expected = block.layer_norm.forward(block.output.forward(wide) * mask(2) + attended.clone());
        assert_eq!(block.forward(attended, &mut dropout).into_data(), expected.into_data());
    }
}
