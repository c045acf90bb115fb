//! A model that finds a span of its text.

use brew_random::Key;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::dropout::Dropout;
use crate::encoder::Encoder;
use crate::fused::linear;
use crate::head::{self, StudentHead};
use crate::init::{Builder, Initialiser, ParameterSource};
use crate::packing::Rows;
use crate::{
    EncoderConfig, EncoderInput, EncoderOutput, Head, Mode, ModelError, OutputRequest, PretrainedModel,
};

/// An encoder of any family and a linear layer that scores each token as the start and as the end of a span:
/// transformers' `BertForQuestionAnswering` and so on, for extractive question answering.
///
/// The labels of its configuration mean nothing; it is written with two of them, as transformers expects.
///
/// ```
/// use brew_models::{EncoderConfig, EncoderInput, Mode, OutputRequest, SpanClassifier};
/// use brew_random::Key;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let config = EncoderConfig {
///     vocab_size: 20, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2,
///     intermediate_size: 16, max_position_embeddings: 16, ..EncoderConfig::default()
/// };
/// let device = Default::default();
/// let model = SpanClassifier::<TestBackend>::try_new(&config, Key::new(42), &device)?;
/// let input = EncoderInput {
///     input_ids: Tensor::from_ints([[2, 7, 3, 9]], &device),
///     attention_mask: Tensor::ones([1, 4], &device),
///     token_type_ids: Tensor::from_ints([[0, 0, 1, 1]], &device),
///     lengths: None,
/// };
/// let output = model.forward(input, OutputRequest::default(), Mode::Eval);
/// assert_eq!(output.start_logits.dims(), [1, 4]);
/// assert_eq!(output.end_logits.dims(), [1, 4]);
/// # Ok::<(), brew_models::ModelError>(())
/// ```
#[derive(Module, Debug)]
pub struct SpanClassifier<B: Backend> {
    /// Embeddings and layers.
    pub encoder: Encoder<B>,
    /// `[hidden, 2]`: start and end.
    pub qa_outputs: Linear<B>,
    #[module(skip)]
    dropout: f64,
}

/// What a span classifier computes.
#[derive(Debug, Clone)]
pub struct SpanOutput<B: Backend> {
    /// `[batch, length]`: how likely each token is the first of the span, before a softmax over the length. At
    /// padding, finite and without meaning.
    pub start_logits: Tensor<B, 2>,
    /// `[batch, length]`: the same for the last token of the span.
    pub end_logits: Tensor<B, 2>,
    /// The last layer, and what else was asked for.
    pub encoder: EncoderOutput<B>,
}

impl<B: Backend> SpanClassifier<B> {
    /// A new model, started as [`SequenceClassifier::new`](crate::SequenceClassifier::new) starts one, with the
    /// same encoder for the same key.
    ///
    /// # Errors
    /// What [`EncoderConfig::validate`] finds.
    pub fn try_new(config: &EncoderConfig, key: Key, device: &B::Device) -> Result<Self, ModelError> {
        Self::build(config, &mut Initialiser::new(config, Self::HEAD, key), device)
    }

    fn build(
        config: &EncoderConfig,
        source: &mut dyn ParameterSource,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = Builder { source, device };
        Ok(Self {
            encoder: Encoder::build(&mut builder, "encoder", config)?,
            qa_outputs: builder.linear("qa_outputs")?,
            dropout: config.head_dropout_rate(Self::HEAD),
        })
    }

    /// A student of some of a teacher's layers, as
    /// [`SequenceClassifier::from_layers`](crate::SequenceClassifier::from_layers).
    ///
    /// # Errors
    /// As there.
    pub fn from_layers<T: Backend>(
        teacher: &SpanClassifier<T>,
        teacher_config: &EncoderConfig,
        layers: &[usize],
        head: StudentHead,
        device: &B::Device,
    ) -> Result<(Self, EncoderConfig), ModelError> {
        head::from_layers(teacher, teacher_config, layers, head, device)
    }

    /// Logits of start and end at each token, and what else is asked for.
    ///
    /// # Shapes
    /// - input: `[batch, length]`
    /// - `start_logits`, `end_logits`: `[batch, length]`
    /// - the others as in [`EncoderOutput`]
    ///
    /// # Panics
    /// As [`Encoder::forward`].
    pub fn forward(&self, input: EncoderInput<B>, request: OutputRequest, mode: Mode) -> SpanOutput<B> {
        let [batch, length] = input.input_ids.dims();
        let mut dropout = Dropout::new(mode);
        let encoded = self.encoder.forward_with(input, request, Rows::All, &mut dropout);
        let rows = dropout.apply(encoded.output.last_hidden.clone(), self.dropout);
        let both = encoded.layout.unpack(linear(&self.qa_outputs, rows));
        let of = |end: usize| both.clone().narrow(1, end, 1).reshape([batch, length]);
        SpanOutput { start_logits: of(0), end_logits: of(1), encoder: encoded.output }
    }
}

impl<B: Backend> PretrainedModel for SpanClassifier<B> {
    type Backend = B;
    const HEAD: Head = Head::QuestionAnswering;

    fn from_parameters(
        config: &EncoderConfig,
        mut values: &mut dyn FnMut(&str) -> Result<TensorData, ModelError>,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, &mut values, device)
    }
}

#[cfg(test)]
mod tests;
