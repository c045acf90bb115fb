//! What the models have in common: an encoder, perhaps a pooler, and a linear classifier.

use std::collections::{BTreeMap, HashMap};

use brew_random::Key;
use burn::module::Module;
use burn::tensor::backend::{Backend, BackendTypes};
use burn::tensor::{Tensor, TensorData};

use crate::dropout::Dropout;
use crate::fused::linear;
use crate::init::{Builder, Initialiser, ParameterSource};
use crate::names::{ParameterSpec, parameter_specs};
use crate::state::{Parameter, check_shapes, exported, parameters_of};
use crate::{Activation, Architecture, EncoderConfig, Head, ModelError};

/// An encoder with a task's head, which Hugging Face files are read into and written from.
pub trait PretrainedModel: Module<Self::Backend> {
    /// The backend it runs on.
    type Backend: Backend;

    /// Its head.
    const HEAD: Head;

    /// A model whose parameters are what `values` gives for their paths, in Burn's layout.
    ///
    /// # Errors
    /// A configuration out of range, and what `values` says.
    fn from_parameters(
        config: &EncoderConfig,
        values: &mut dyn FnMut(&str) -> Result<TensorData, ModelError>,
        device: &<Self::Backend as BackendTypes>::Device,
    ) -> Result<Self, ModelError>;

    /// The parameters under their Hugging Face names, in PyTorch's layout, as f32.
    ///
    /// # Errors
    /// If the configuration is not this model's.
    fn state_dict(&self, config: &EncoderConfig) -> Result<BTreeMap<String, TensorData>, ModelError> {
        Ok(exported(self, config)?.into_iter().map(|(name, one)| (name, one.values())).collect())
    }
}

/// The dense layer between what stands for a text and its classifier.
///
/// | family | what it is | before it | after it |
/// |---|---|---|---|
/// | BERT, ALBERT | the encoder's `pooler` | | tanh |
/// | RoBERTa | `classifier.dense` | dropout | tanh |
/// | ELECTRA | `classifier.dense` | dropout | gelu |
/// | DistilBERT | `pre_classifier` | | relu |
#[derive(Module, Debug)]
pub struct Pooler<B: Backend> {
    /// `[hidden, hidden]`.
    pub dense: burn::nn::Linear<B>,
    #[module(skip)]
    activation: Activation,
    /// The rate before the layer; `None` where there is no such dropout.
    #[module(skip)]
    dropout: Option<f64>,
}

impl<B: Backend> Pooler<B> {
    /// BiGRU has none.
    pub(crate) fn build(
        builder: &mut Builder<'_, B>,
        config: &EncoderConfig,
    ) -> Result<Option<Self>, ModelError> {
        let rate = Some(config.classifier_dropout_rate());
        let (activation, dropout) = match config.architecture {
            Architecture::Bert | Architecture::Albert => (Activation::Tanh, None),
            Architecture::Roberta | Architecture::XlmRoberta => (Activation::Tanh, rate),
            Architecture::Electra => (Activation::Gelu, rate),
            Architecture::DistilBert => (Activation::Relu, None),
            Architecture::BiGru => return Ok(None),
        };
        Ok(Some(Self { dense: builder.linear("pooler.dense")?, activation, dropout }))
    }

    /// # Shapes
    /// - `texts`, output: `[batch, hidden]`
    pub(crate) fn forward(&self, texts: Tensor<B, 2>, dropout: &mut Dropout) -> Tensor<B, 2> {
        let texts = match self.dropout {
            Some(rate) => dropout.apply(texts, rate),
            None => texts,
        };
        self.activation.forward(linear(&self.dense, texts))
    }
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

/// A student of some of a teacher's layers: everything else of the encoder is copied as it is.
pub(crate) fn from_layers<S: PretrainedModel, T: PretrainedModel>(
    teacher: &T,
    teacher_config: &EncoderConfig,
    layers: &[usize],
    head: StudentHead,
    device: &<S::Backend as BackendTypes>::Device,
) -> Result<(S, EncoderConfig), ModelError> {
    if !teacher_config.architecture.has_distinct_layers() {
        return Err(ModelError::NoDistinctLayers { architecture: teacher_config.architecture });
    }
    let available = teacher_config.num_hidden_layers;
    if let Some(&layer) = layers.iter().find(|&&layer| layer >= available) {
        return Err(ModelError::NoSuchLayer { layer, available });
    }
    let mut config = teacher_config.student_config(layers.len());
    let mut new_head = None;
    if let StudentHead::New { labels, key } = head {
        config = config.with_labels(labels);
        new_head = Some(Initialiser::new(&config, S::HEAD, key));
    }
    let specs = parameter_specs(&config, Some(S::HEAD));
    let is_new = |spec: &ParameterSpec| new_head.is_some() && spec.is_head();
    let drawn: Vec<String> =
        specs.iter().filter(|&spec| is_new(spec)).map(|spec| spec.path.clone()).collect();
    let wanted: HashMap<String, &ParameterSpec> = specs
        .iter()
        .filter(|&spec| !is_new(spec))
        .map(|spec| (teacher_path(&spec.path, layers), spec))
        .collect();
    let parameters: HashMap<String, Parameter> = parameters_of(teacher).into_iter().collect();
    check_shapes(wanted.iter().map(|(path, &spec)| (path.as_str(), spec)), &parameters)?;
    let mut source = |path: &str| match new_head.as_mut() {
        Some(head) if drawn.iter().any(|drawn| drawn == path) => head.values(path),
        _ => Ok(parameters[&teacher_path(path, layers)].values()),
    };
    let student = S::from_parameters(&config, &mut source, device)?;
    Ok((student, config))
}

/// The teacher's path of a student's parameter: the student's layer `n` is the teacher's `layers[n]`.
fn teacher_path(path: &str, layers: &[usize]) -> String {
    let parts = path.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.'));
    match parts.and_then(|(layer, rest)| Some((layer.parse::<usize>().ok()?, rest))) {
        Some((layer, rest)) => format!("encoder.layers.{}.{rest}", layers[layer]),
        None => path.to_owned(),
    }
}
