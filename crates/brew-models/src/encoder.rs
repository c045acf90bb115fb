//! The encoder: embeddings and layers.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::dropout::Dropout;
use crate::embeddings::BertEmbeddings;
use crate::init::Builder;
use crate::layer::BertLayer;
use crate::{BertConfig, EncoderInput, EncoderOutput, Mode, ModelError, OutputRequest};

/// BERT's encoder (Devlin et al., "BERT: Pre-training of deep bidirectional transformers", 2019).
///
/// Activations are `[batch · length, hidden]` throughout: with a batch dimension of its own the
/// gradient of each weight would be a batched product that is summed afterwards.
#[derive(Module, Debug)]
pub struct BertEncoder<B: Backend> {
    /// Word, position and segment embeddings.
    pub embeddings: BertEmbeddings<B>,
    /// The layers, lowest first.
    pub layers: Vec<BertLayer<B>>,
}

impl<B: Backend> BertEncoder<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &BertConfig,
    ) -> Result<Self, ModelError> {
        let embeddings = BertEmbeddings::build(builder, &format!("{path}.embeddings"), config)?;
        let layers = (0..config.num_hidden_layers)
            .map(|layer| BertLayer::build(builder, &format!("{path}.layers.{layer}"), config))
            .collect::<Result<_, _>>()?;
        Ok(Self { embeddings, layers })
    }

    /// Encodes a batch.
    ///
    /// # Shapes
    /// - input: `[batch, length]`
    /// - `last_hidden`: `[batch · length, hidden]`
    /// - `hidden_states`: `[batch, length, hidden]`, layers + 1 of them
    /// - `attentions`: `[batch, heads, length, length]`, one a layer
    ///
    /// # Panics
    /// If the length is above the model's `max_position_embeddings`, the three inputs differ in shape,
    /// or (on most backends) an id is beyond its embedding.
    pub fn forward(&self, input: EncoderInput<B>, request: OutputRequest, mode: Mode) -> EncoderOutput<B> {
        self.forward_with(input, request, &mut Dropout::new(mode))
    }

    pub(crate) fn forward_with(
        &self,
        input: EncoderInput<B>,
        request: OutputRequest,
        dropout: &mut Dropout,
    ) -> EncoderOutput<B> {
        let [batch, length] = input.input_ids.dims();
        assert_eq!(input.attention_mask.dims(), [batch, length], "the mask is not of the shape of the ids");
        assert_eq!(
            input.token_type_ids.dims(),
            [batch, length],
            "the segments are not of the shape of the ids"
        );
        let mask = additive_mask(input.attention_mask);
        let mut x = self.embeddings.forward(input.input_ids, input.token_type_ids, dropout);
        let [_, hidden] = x.dims();
        let mut hidden_states = Vec::new();
        let mut attentions = Vec::new();
        let mut keep = |x: &Tensor<B, 2>| {
            if request.hidden_states {
                hidden_states.push(x.clone().reshape([batch, length, hidden]));
            }
        };
        keep(&x);
        for layer in &self.layers {
            let (next, attention) = layer.forward(x, mask.clone(), request.attentions, dropout);
            x = next;
            attentions.extend(attention);
            keep(&x);
        }
        EncoderOutput { last_hidden: x, hidden_states, attentions }
    }
}

/// 0 at tokens and the type's lowest number at padding, as transformers does: a row that is all
/// padding attends evenly instead of dividing by zero.
fn additive_mask<B: Backend>(mask: Tensor<B, 2>) -> Tensor<B, 4> {
    let [batch, length] = mask.dims();
    let lowest = mask.dtype().finfo().map_or(f64::from(f32::MIN), |info| info.min);
    mask.neg().add_scalar(1.0).mul_scalar(lowest).reshape([batch, 1, 1, length])
}
