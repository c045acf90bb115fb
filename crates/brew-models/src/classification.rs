//! BERT with a classifier over whole sequences.

use std::collections::HashMap;

use brew_random::Key;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{TensorData, backend::Backend};

use crate::dropout::Dropout;
use crate::encoder::Encoder;
use crate::init::{Builder, Initialiser, ParameterSource};
use crate::names::{ParameterSpec, parameter_specs};
use crate::state::{check_shapes, read_parameters};
use crate::{EncoderConfig, EncoderInput, Mode, ModelError, ModelOutput, OutputRequest, PretrainedModel};

/// `tanh(x·W + b)` of the first token.
#[derive(Module, Debug)]
pub struct Pooler<B: Backend> {
    /// `[hidden, hidden]`.
    pub dense: Linear<B>,
}

/// BERT's encoder, pooler and a linear classifier: transformers' `BertForSequenceClassification`.
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
/// assert_eq!(output.hidden_states.len(), 3);
/// assert!(output.attentions.is_empty());
/// ```
#[derive(Module, Debug)]
pub struct SequenceClassifier<B: Backend> {
    /// Embeddings and layers.
    pub encoder: Encoder<B>,
    /// Over the first token of the last layer.
    pub pooler: Pooler<B>,
    /// `[hidden, labels]`.
    pub classifier: Linear<B>,
    #[module(skip)]
    dropout: f64,
}

/// How a student made from a teacher's layers gets its classifier.
#[derive(Debug, Clone)]
pub enum StudentHead {
    /// The teacher's classifier and its labels.
    Copy,
    /// A new classifier.
    New {
        /// Its label names.
        labels: Vec<String>,
        /// The key its weights are drawn from.
        key: Key,
    },
}

impl<B: Backend> SequenceClassifier<B> {
    /// A new model: weights from N(0, `initializer_range`²), zero biases, LayerNorm 1 and 0, a zero
    /// word embedding for the padding token. The same key gives the same weights on every backend.
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
        Self::build(config, &mut Initialiser::new(config, key), device)
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
            pooler: Pooler { dense: builder.linear("pooler.dense")? },
            classifier: builder.linear("classifier")?,
            dropout: config.classifier_dropout_rate(),
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
    /// A layer the teacher does not have, no layer at all, or a config that is not the teacher's.
    pub fn from_layers<T: Backend>(
        teacher: &SequenceClassifier<T>,
        teacher_config: &EncoderConfig,
        layers: &[usize],
        head: StudentHead,
        device: &B::Device,
    ) -> Result<(Self, EncoderConfig), ModelError> {
        let available = teacher.encoder.layers.len();
        if let Some(&layer) = layers.iter().find(|&&layer| layer >= available) {
            return Err(ModelError::NoSuchLayer { layer, available });
        }
        let mut config = teacher_config.student_config(layers.len());
        let mut new_head = None;
        if let StudentHead::New { labels, key } = head {
            config = config.with_labels(labels);
            new_head = Some(Initialiser::new(&config, key));
        }
        let specs = parameter_specs(&config, true);
        let copied = specs.iter().filter(|spec| new_head.is_none() || !spec.is_head());
        let wanted: HashMap<String, &ParameterSpec> =
            copied.map(|spec| (teacher_path(&spec.path, layers), spec)).collect();
        let copies: HashMap<String, TensorData> =
            read_parameters(teacher, |path| wanted.contains_key(path)).into_iter().collect();
        check_shapes(wanted.iter().map(|(path, &spec)| (path.as_str(), spec)), &copies)?;
        let mut source = |path: &str| match new_head.as_mut() {
            Some(head) if path.starts_with("classifier.") => head.values(path),
            _ => Ok(copies[&teacher_path(path, layers)].clone()),
        };
        let student = Self::build(&config, &mut source, device)?;
        Ok((student, config))
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
    /// assert_eq!(second.pooler.dense.weight.id, first.pooler.dense.weight.id);
    /// assert_eq!(second.classifier.weight.dims(), [8, 3]);
    /// ```
    ///
    /// # Shapes
    /// - classifier: `[hidden, labels]`
    ///
    /// # Panics
    /// If the classifier is not as wide as the pooler.
    #[must_use]
    pub fn with_classifier(&self, classifier: Linear<B>) -> Self {
        let ([_, width], [inputs, _]) = (self.pooler.dense.weight.dims(), classifier.weight.dims());
        assert_eq!(inputs, width, "a classifier of width {inputs} on a model of width {width}");
        Self { encoder: self.encoder.clone(), pooler: self.pooler.clone(), classifier, dropout: self.dropout }
    }

    /// Logits, and what else is asked for.
    ///
    /// # Shapes
    /// - input: `[batch, length]`
    /// - `logits`: `[batch, labels]`
    /// - `hidden_states`: `[batch, length, hidden]`, layers + 1 of them
    /// - `attentions`, `attention_scores`: `[batch, heads, length, length]`, one a layer
    /// - `queries`, `keys`, `values`: `[batch, length, hidden]`, one a layer
    ///
    /// # Panics
    /// If the length is above the model's `max_position_embeddings`, the three inputs differ in shape,
    /// `lengths` does not fit them, or (on most backends) an id is beyond its embedding.
    pub fn forward(&self, input: EncoderInput<B>, request: OutputRequest, mode: Mode) -> ModelOutput<B> {
        let mut dropout = Dropout::new(mode);
        let (output, layout) = self.encoder.forward_with(input, request, &mut dropout);
        let pooled = self.pooler.dense.forward(layout.first(output.last_hidden.clone())).tanh();
        let logits = self.classifier.forward(dropout.apply(pooled, self.dropout));
        ModelOutput::new(logits, output)
    }
}

impl<B: Backend> PretrainedModel for SequenceClassifier<B> {
    type Backend = B;
    const ARCHITECTURE: &'static str = "BertForSequenceClassification";
    const HAS_POOLER: bool = true;

    fn from_parameters(
        config: &EncoderConfig,
        mut values: &mut dyn FnMut(&str) -> Result<TensorData, ModelError>,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, &mut values, device)
    }
}

/// The teacher's path of a student's parameter: the student's layer `n` is the teacher's `layers[n]`.
fn teacher_path(path: &str, layers: &[usize]) -> String {
    let parts = path.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.'));
    match parts.and_then(|(layer, rest)| Some((layer.parse::<usize>().ok()?, rest))) {
        Some((layer, rest)) => format!("encoder.layers.{}.{rest}", layers[layer]),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
