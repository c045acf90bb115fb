//! A model with a classifier over whole sequences.

use brew_random::Key;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{TensorData, backend::Backend};

use crate::dropout::Dropout;
use crate::encoder::Encoder;
use crate::fused::linear;
use crate::head::{self, Pooler, StudentHead};
use crate::init::{Builder, Initialiser, ParameterSource};
use crate::packing::Rows;
use crate::{
    EncoderConfig, EncoderInput, Head, Mode, ModelError, ModelOutput, OutputRequest, PretrainedModel,
};

/// An encoder of any family, its pooler and a linear classifier over whole texts: transformers'
/// `BertForSequenceClassification`, `RobertaForSequenceClassification` and so on. Its labels may exclude each other
/// or not, and be numbers: [`problem_type`](EncoderConfig::problem_type) says which, the logits are the same.
///
/// ```
/// use brew_models::{EncoderConfig, SequenceClassifier, EncoderInput, Mode, OutputRequest};
/// use brew_random::Key;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let config = EncoderConfig {
///     vocab_size: 20, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2,
///     intermediate_size: 16, max_position_embeddings: 16, ..EncoderConfig::default()
/// };
/// let device = Default::default();
/// let model = SequenceClassifier::<TestBackend>::new(&config, Key::new(42), &device);
/// let input = EncoderInput {
///     input_ids: Tensor::from_ints([[2, 7, 3]], &device),
///     attention_mask: Tensor::ones([1, 3], &device),
///     token_type_ids: Tensor::zeros([1, 3], &device),
///     lengths: None,
/// };
/// let request = OutputRequest { hidden_states: true, ..OutputRequest::default() };
/// let output = model.forward(input, request, Mode::Eval);
/// assert_eq!(output.logits.dims(), [1, 2]);
/// assert_eq!(output.encoder.hidden_states.len(), 3);
/// assert!(output.encoder.attentions.is_empty());
/// ```
#[derive(Module, Debug)]
pub struct SequenceClassifier<B: Backend> {
    /// Embeddings and layers.
    pub encoder: Encoder<B>,
    /// Over the first token of the last layer; BiGRU has none.
    pub pooler: Option<Pooler<B>>,
    /// `[hidden, labels]`.
    pub classifier: Linear<B>,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> SequenceClassifier<B> {
    /// A new model: weights from N(0, `initializer_range`²), zero biases, LayerNorm 1 and 0, a zero
    /// word embedding for the padding token, a GRU as PyTorch's. The same key gives the same weights on every backend.
    ///
    /// # Panics
    /// If [`EncoderConfig::validate`] finds a fault, which a config read from a file never has;
    /// [`try_new`](Self::try_new) returns it instead.
    pub fn new(config: &EncoderConfig, key: Key, device: &B::Device) -> Self {
        Self::try_new(config, key, device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`new`](Self::new), with an error in place of the panic.
    ///
    /// # Errors
    /// What [`EncoderConfig::validate`] finds.
    pub fn try_new(config: &EncoderConfig, key: Key, device: &B::Device) -> Result<Self, ModelError> {
        Self::build(config, &mut Initialiser::new(config, Self::HEAD, key), device)
    }

    pub(crate) fn build(
        config: &EncoderConfig,
        source: &mut dyn ParameterSource,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = Builder { source, device };
        Ok(Self {
            encoder: Encoder::build(&mut builder, "encoder", config)?,
            pooler: Pooler::build(&mut builder, config)?,
            classifier: builder.linear("classifier")?,
            dropout: config.head_dropout_rate(Self::HEAD),
        })
    }

    /// A student of some of a teacher's layers: embeddings, pooler and the chosen layers are copied
    /// (into parameters of their own), the classifier copied or new.
    ///
    /// The teacher may live on another backend than the student: give the model on the inner
    /// backend and get a student with gradients.
    ///
    /// ```
    /// use brew_models::{EncoderConfig, SequenceClassifier, StudentHead};
    /// use brew_random::Key;
    /// use brew_testkit::{TestAutodiffBackend, TestBackend};
    ///
    /// let config = EncoderConfig {
    ///     vocab_size: 20, hidden_size: 8, num_hidden_layers: 4, num_attention_heads: 2,
    ///     intermediate_size: 16, max_position_embeddings: 16, ..EncoderConfig::default()
    /// };
    /// let device = Default::default();
    /// let teacher = SequenceClassifier::<TestBackend>::new(&config, Key::new(1), &device);
    /// let (student, student_config) = SequenceClassifier::<TestAutodiffBackend>::from_layers(
    ///     &teacher, &config, &[0, 2], StudentHead::Copy, &device,
    /// )?;
    /// assert_eq!(student.encoder.layers.len(), 2);
    /// assert_eq!(student_config.num_hidden_layers, 2);
    /// # Ok::<(), brew_models::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// A layer the teacher does not have, no layer at all, a config that is not the teacher's, or a teacher whose
    /// layers are not its own to give: ALBERT's share their parameters, and BiGRU has none.
    pub fn from_layers<T: Backend>(
        teacher: &SequenceClassifier<T>,
        teacher_config: &EncoderConfig,
        layers: &[usize],
        head: StudentHead,
        device: &B::Device,
    ) -> Result<(Self, EncoderConfig), ModelError> {
        head::from_layers(teacher, teacher_config, layers, head, device)
    }

    /// This model with another classifier. Encoder and pooler are the same parameters, ids included, so that
    /// gradients through either model are theirs: one encoder with a classifier for each of several tasks.
    ///
    /// ```
    /// use brew_models::{EncoderConfig, SequenceClassifier};
    /// use brew_random::Key;
    /// use brew_testkit::TestBackend;
    ///
    /// let config = EncoderConfig {
    ///     vocab_size: 20, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2,
    ///     intermediate_size: 16, max_position_embeddings: 16, ..EncoderConfig::default()
    /// };
    /// let model = |config: &EncoderConfig, key| {
    ///     SequenceClassifier::<TestBackend>::new(config, Key::new(key), &Default::default())
    /// };
    /// let first = model(&config, 1);
    /// let other = model(&config.clone().with_labels(["a", "b", "c"]), 2);
    /// let second = first.with_classifier(other.classifier);
    /// let id = |model: &SequenceClassifier<TestBackend>| model.encoder.layers[0].attention.query.weight.id;
    /// assert_eq!(id(&second), id(&first));
    /// assert_eq!(second.classifier.weight.dims(), [8, 3]);
    /// ```
    ///
    /// # Shapes
    /// - classifier: `[hidden, labels]`
    ///
    /// # Panics
    /// If the classifier is not as wide as the model.
    #[must_use]
    pub fn with_classifier(&self, classifier: Linear<B>) -> Self {
        let ([width, _], [inputs, _]) = (self.classifier.weight.dims(), classifier.weight.dims());
        assert_eq!(inputs, width, "a classifier of width {inputs} on a model of width {width}");
        Self { encoder: self.encoder.clone(), pooler: self.pooler.clone(), classifier, dropout: self.dropout }
    }

    /// Logits, and what else is asked for.
    ///
    /// # Shapes
    /// - input: `[batch, length]`
    /// - `logits`: `[batch, labels]`
    /// - the others as in [`ModelOutput`]
    ///
    /// # Panics
    /// As [`Encoder::forward`].
    pub fn forward(&self, input: EncoderInput<B>, request: OutputRequest, mode: Mode) -> ModelOutput<B> {
        let mut dropout = Dropout::new(mode);
        let encoded = self.encoder.forward_with(input, request, Rows::First, &mut dropout);
        let mut texts = self.encoder.texts(&encoded);
        if let Some(pooler) = &self.pooler {
            texts = pooler.forward(texts, &mut dropout);
        }
        let logits = linear(&self.classifier, dropout.apply(texts, self.dropout));
        ModelOutput { logits, encoder: encoded.output }
    }
}

impl<B: Backend> PretrainedModel for SequenceClassifier<B> {
    type Backend = B;
    const HEAD: Head = Head::SequenceClassification;

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
