//! The encoder: embeddings and layers.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::dropout::Dropout;
use crate::embeddings::Embeddings;
use crate::init::Builder;
use crate::layer::EncoderLayer;
use crate::packing::Layout;
use crate::{EncoderConfig, EncoderInput, EncoderOutput, Mode, ModelError, OutputRequest};

/// BERT's encoder (Devlin et al., "BERT: Pre-training of deep bidirectional transformers", 2019).
///
/// Activations are `[rows, hidden]` throughout: with a batch dimension of its own the gradient of
/// each weight would be a batched product that is summed afterwards. Where the lengths of the
/// sequences are given, there is a row for each token and none for padding.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    /// Word, position and segment embeddings.
    pub embeddings: Embeddings<B>,
    /// The layers, lowest first.
    pub layers: Vec<EncoderLayer<B>>,
}

impl<B: Backend> Encoder<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, ModelError> {
        let embeddings = Embeddings::build(builder, &format!("{path}.embeddings"), config)?;
        let layers = (0..config.num_hidden_layers)
            .map(|layer| EncoderLayer::build(builder, &format!("{path}.layers.{layer}"), config))
            .collect::<Result<_, _>>()?;
        Ok(Self { embeddings, layers })
    }

    /// Encodes a batch.
    ///
    /// # Shapes
    /// - input: `[batch, length]`
    /// - `last_hidden`: `[rows, hidden]`
    /// - `hidden_states`: `[batch, length, hidden]`, layers + 1 of them
    /// - `attentions`, `attention_scores`: `[batch, heads, length, length]`, one a layer
    /// - `queries`, `keys`, `values`: `[batch, length, hidden]`, one a layer
    ///
    /// # Panics
    /// If the length is above the model's `max_position_embeddings`, the three inputs differ in shape,
    /// `lengths` does not fit them, or (on most backends) an id is beyond its embedding.
    pub fn forward(&self, input: EncoderInput<B>, request: OutputRequest, mode: Mode) -> EncoderOutput<B> {
        self.forward_with(input, request, &mut Dropout::new(mode)).0
    }

    /// The output, and how its rows stand.
    pub(crate) fn forward_with(
        &self,
        input: EncoderInput<B>,
        request: OutputRequest,
        dropout: &mut Dropout,
    ) -> (EncoderOutput<B>, Layout<B>) {
        let [batch, length] = input.input_ids.dims();
        assert_eq!(input.attention_mask.dims(), [batch, length], "the mask is not of the shape of the ids");
        assert_eq!(
            input.token_type_ids.dims(),
            [batch, length],
            "the segments are not of the shape of the ids"
        );
        let layout = Layout::new(input.attention_mask, input.lengths.as_deref());
        let mut x = self.embeddings.forward(input.input_ids, input.token_type_ids, &layout, dropout);
        let [_, hidden] = x.dims();
        let mut hidden_states = Vec::new();
        let mut features = Vec::new();
        let mut keep = |x: &Tensor<B, 2>| {
            if request.hidden_states {
                hidden_states.push(layout.unpack(x.clone()).reshape([batch, length, hidden]));
            }
        };
        keep(&x);
        for layer in &self.layers {
            let (next, of_layer) = layer.forward(x, &layout, request, dropout);
            x = next;
            features.push(of_layer);
            keep(&x);
        }
        let mut output = EncoderOutput {
            last_hidden: x,
            hidden_states,
            attentions: Vec::new(),
            attention_scores: Vec::new(),
            queries: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
        };
        for of_layer in features {
            output.attentions.extend(of_layer.probabilities);
            output.attention_scores.extend(of_layer.scores);
            output.queries.extend(of_layer.queries);
            output.keys.extend(of_layer.keys);
            output.values.extend(of_layer.values);
        }
        (output, layout)
    }
}
