//! The encoder: embeddings and layers.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::dropout::Dropout;
use crate::embeddings::Embeddings;
use crate::gru::BiGru;
use crate::init::Builder;
use crate::layer::EncoderLayer;
use crate::names::distinct_layers;
use crate::packing::{Layout, Rows};
use crate::{Architecture, EncoderConfig, EncoderInput, EncoderOutput, Mode, ModelError, OutputRequest};

/// The encoder of every family (the papers are at [`Architecture`]): embeddings, then layers of attention, which
/// ALBERT shares, or a GRU.
///
/// Activations are `[rows, hidden]` throughout: with a batch dimension of its own the gradient of
/// each weight would be a batched product that is summed afterwards. Where the lengths of the
/// sequences are given, there is a row for each token and none for padding.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    /// Word, position and segment embeddings.
    pub embeddings: Embeddings<B>,
    /// The layers with parameters of their own, lowest first; none of BiGRU.
    pub layers: Vec<EncoderLayer<B>>,
    /// BiGRU's, in place of layers.
    pub gru: Option<BiGru<B>>,
    /// The layers to run from each hidden state to the next.
    #[module(skip)]
    passes: Vec<Vec<usize>>,
}

/// What the encoder makes of a batch, for a head to read.
pub(crate) struct Encoded<B: Backend> {
    pub(crate) output: EncoderOutput<B>,
    pub(crate) layout: Layout<B>,
    /// Which rows the output has.
    last_rows: Rows,
    /// Of BiGRU: the last states of both directions, `[batch, 2 · hidden]`.
    last_states: Option<Tensor<B, 2>>,
}

impl<B: Backend> Encoder<B> {
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, ModelError> {
        let embeddings = Embeddings::build(builder, &format!("{path}.embeddings"), config)?;
        let layers = (0..distinct_layers(config))
            .map(|layer| EncoderLayer::build(builder, &format!("{path}.layers.{layer}"), config))
            .collect::<Result<_, _>>()?;
        let gru = (config.architecture == Architecture::BiGru)
            .then(|| BiGru::build(builder, &format!("{path}.gru"), config))
            .transpose()?;
        Ok(Self { embeddings, layers, gru, passes: passes(config) })
    }

    /// Encodes a batch.
    ///
    /// # Shapes
    /// - input: `[batch, length]`
    /// - `last_hidden`: `[rows, hidden]`
    /// - `hidden_states`: `[batch, length, hidden]`, layers + 1 of them; BiGRU's first is as wide as its embeddings
    /// - `attentions`, `attention_scores`: `[batch, heads, length, length]`, one a layer; BiGRU has none
    /// - `queries`, `keys`, `values`: `[batch, length, hidden]`, one a layer; BiGRU has none
    ///
    /// # Panics
    /// If the length is above the model's [`max_length`](EncoderConfig::max_length), the three inputs differ in
    /// shape or have length 0, `lengths` does not fit them, or (on most backends) an id is beyond its embedding.
    pub fn forward(&self, input: EncoderInput<B>, request: OutputRequest, mode: Mode) -> EncoderOutput<B> {
        self.forward_with(input, request, Rows::All, &mut Dropout::new(mode)).output
    }

    /// The output, and how its rows stand. With [`Rows::First`] the last layer computes no other rows, if nothing of
    /// its inside is asked for.
    pub(crate) fn forward_with(
        &self,
        input: EncoderInput<B>,
        request: OutputRequest,
        rows: Rows,
        dropout: &mut Dropout,
    ) -> Encoded<B> {
        let [batch, length] = input.input_ids.dims();
        assert_eq!(input.attention_mask.dims(), [batch, length], "the mask is not of the shape of the ids");
        assert_eq!(
            input.token_type_ids.dims(),
            [batch, length],
            "the segments are not of the shape of the ids"
        );
        let layout = Layout::new(input.attention_mask, input.lengths.as_deref());
        let last_rows = if request == OutputRequest::default() { rows } else { Rows::All };
        let last_pass = self.passes.len().saturating_sub(1);
        let mut x = self.embeddings.forward(input.input_ids, input.token_type_ids, &layout, dropout);
        let mut hidden_states = Vec::new();
        let mut features = Vec::new();
        let mut keep = |x: &Tensor<B, 2>| {
            if request.hidden_states {
                let [_, width] = x.dims();
                hidden_states.push(layout.unpack(x.clone()).reshape([batch, length, width]));
            }
        };
        keep(&x);
        for (number, pass) in self.passes.iter().enumerate() {
            for (place, &layer) in pass.iter().enumerate() {
                let is_last = number == last_pass && place + 1 == pass.len();
                let rows = if is_last { last_rows } else { Rows::All };
                let (next, of_layer) = self.layers[layer].forward(x, &layout, request, rows, dropout);
                x = next;
                features.push(of_layer);
            }
            keep(&x);
        }
        let last_rows = if self.passes.is_empty() { Rows::All } else { last_rows };
        let mut last_states = None;
        if let Some(gru) = &self.gru {
            let output = gru.run(x, &layout);
            x = gru.project(output.tokens);
            last_states = Some(output.texts);
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
        Encoded { output, layout, last_rows, last_states }
    }

    /// What stands for each whole text: its first token, or what BiGRU's directions come to at its ends.
    ///
    /// # Shapes
    /// - output: `[batch, hidden]`
    pub(crate) fn texts(&self, encoded: &Encoded<B>) -> Tensor<B, 2> {
        match (&self.gru, &encoded.last_states) {
            (Some(gru), Some(states)) => gru.project(states.clone()),
            _ if encoded.last_rows == Rows::First => encoded.output.last_hidden.clone(),
            _ => encoded.layout.first(encoded.output.last_hidden.clone()),
        }
    }
}

/// ALBERT's layers belong to groups, each for an equal part of the depth, and a step runs all layers of its group.
fn passes(config: &EncoderConfig) -> Vec<Vec<usize>> {
    let (layers, inner) = (config.num_hidden_layers, config.inner_group_num);
    match config.architecture {
        Architecture::BiGru => Vec::new(),
        Architecture::Albert => {
            let of_group = layers as f64 / config.num_hidden_groups as f64;
            let group = |step: usize| (step as f64 / of_group) as usize;
            (0..layers).map(|step| (0..inner).map(|layer| group(step) * inner + layer).collect()).collect()
        }
        _ => (0..layers).map(|layer| vec![layer]).collect(),
    }
}
