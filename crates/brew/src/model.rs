use std::path::Path;

use brew_data::{Batch, BatchSampler, Collator, DataError, Feature};
use brew_distillers::{Adaptor, AdaptorOutput, DistillError, ForwardContext};
use brew_models::{
    EncoderConfig, LoadOptions, Mode, ModelError, OutputRequest, Pretrained, PretrainedModel,
    SequenceClassifier, SpanClassifier, StudentHead, TokenClassifier, load_pretrained, save_pretrained,
    write_pretrained,
};
use brew_random::Key;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::TaskKind;
use crate::adaptors::{ClassifierAdaptor, SpanAdaptor, TokenClassifierAdaptor, encoder_input};

/// A model with the head of a task, whichever that is.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "models of nearly one size: an encoder, and a linear layer or two"
)]
pub enum TaskModel<B: Backend> {
    /// A head over the text: classes, labels that exclude no other, a number.
    Texts(SequenceClassifier<B>),
    /// A head over each token.
    Tokens(TokenClassifier<B>),
    /// A head that says where a span begins and where it ends.
    Spans(SpanClassifier<B>),
}

impl<B: Backend> TaskModel<B> {
    /// A new model of a task; see [`SequenceClassifier::try_new`].
    ///
    /// # Errors
    /// What [`EncoderConfig::validate`] finds.
    pub fn try_new(
        task: TaskKind,
        config: &EncoderConfig,
        key: Key,
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        Ok(match task {
            TaskKind::TokenClassification => Self::Tokens(TokenClassifier::try_new(config, key, device)?),
            TaskKind::QuestionAnswering => Self::Spans(SpanClassifier::try_new(config, key, device)?),
            _ => Self::Texts(SequenceClassifier::try_new(config, key, device)?),
        })
    }

    /// Reads a checkpoint folder as a model of a task; see [`load_pretrained`].
    ///
    /// # Errors
    /// Those of [`load_pretrained`].
    pub fn load(
        task: TaskKind,
        folder: &Path,
        options: &LoadOptions,
        device: &B::Device,
    ) -> Result<Pretrained<Self>, ModelError> {
        match task {
            TaskKind::TokenClassification => read(folder, options, device, Self::Tokens),
            TaskKind::QuestionAnswering => read(folder, options, device, Self::Spans),
            _ => read(folder, options, device, Self::Texts),
        }
    }

    /// Writes a folder that transformers loads; see [`save_pretrained`].
    ///
    /// # Errors
    /// Those of [`save_pretrained`].
    pub fn save(
        &self,
        config: &EncoderConfig,
        tokenizer_source: Option<&Path>,
        folder: &Path,
    ) -> Result<(), ModelError> {
        match self {
            Self::Texts(model) => save_pretrained(model, config, tokenizer_source, folder),
            Self::Tokens(model) => save_pretrained(model, config, tokenizer_source, folder),
            Self::Spans(model) => save_pretrained(model, config, tokenizer_source, folder),
        }
    }

    /// The same into a folder that is part of a checkpoint; see [`write_pretrained`].
    ///
    /// # Errors
    /// Those of [`write_pretrained`].
    pub(crate) fn write(
        &self,
        config: &EncoderConfig,
        tokenizer_source: Option<&Path>,
        folder: &Path,
    ) -> Result<(), ModelError> {
        match self {
            Self::Texts(model) => write_pretrained(model, config, tokenizer_source, folder),
            Self::Tokens(model) => write_pretrained(model, config, tokenizer_source, folder),
            Self::Spans(model) => write_pretrained(model, config, tokenizer_source, folder),
        }
    }

    /// Some of the layers of this model as a model of their own, with its head.
    ///
    /// # Errors
    /// Those of [`SequenceClassifier::from_layers`].
    pub fn with_layers(
        &self,
        config: &EncoderConfig,
        layers: &[usize],
        device: &B::Device,
    ) -> Result<Self, ModelError> {
        let head = StudentHead::Copy;
        Ok(match self {
            Self::Texts(model) => {
                Self::Texts(SequenceClassifier::from_layers(model, config, layers, head, device)?.0)
            }
            Self::Tokens(model) => {
                Self::Tokens(TokenClassifier::from_layers(model, config, layers, head, device)?.0)
            }
            Self::Spans(model) => {
                Self::Spans(SpanClassifier::from_layers(model, config, layers, head, device)?.0)
            }
        })
    }

    /// The model's outputs for every feature, in their order: evaluation without dropout, texts of similar length
    /// together.
    ///
    /// Of a head over the text these are its logits; of a head over tokens the logits of the first token, then of
    /// the second, and so on, without padding; of a head over spans the logits of a start at each token, then of an
    /// end.
    ///
    /// # Errors
    /// A `batch_size` of 0.
    pub fn outputs(
        &self,
        features: &[Feature],
        batch_size: usize,
        collator: Collator,
        device: &B::Device,
    ) -> Result<Vec<Vec<f32>>, DataError> {
        each_row(features, batch_size, collator, device, |batch| {
            let (input, request) = (encoder_input(batch), OutputRequest::default());
            match self {
                Self::Texts(model) => vec![Rows::of(model.forward(input, request, Mode::Eval).logits, None)],
                Self::Tokens(model) => {
                    let logits = model.forward(input, request, Mode::Eval).logits;
                    let classes = logits.dims()[2];
                    vec![Rows::of(logits, Some(classes))]
                }
                Self::Spans(model) => {
                    let output = model.forward(input, request, Mode::Eval);
                    [output.start_logits, output.end_logits].map(|logits| Rows::of(logits, Some(1))).into()
                }
            }
        })
    }
}

/// What `forward` makes of each feature, in their order: its rows of one batch after the other, texts of similar
/// length together.
pub(crate) fn each_row<B: Backend>(
    features: &[Feature],
    batch_size: usize,
    collator: Collator,
    device: &B::Device,
    forward: impl Fn(&Batch<B>) -> Vec<Rows>,
) -> Result<Vec<Vec<f32>>, DataError> {
    let mut outputs = vec![Vec::new(); features.len()];
    let lengths = features.iter().map(Feature::len).collect();
    for indices in BatchSampler::evaluation(lengths, batch_size)?.epoch(0) {
        for rows in forward(&collator.collate_indices(features, &indices, device)) {
            for (place, &index) in indices.iter().enumerate() {
                outputs[index].extend_from_slice(rows.row(place, features[index].len()));
            }
        }
    }
    Ok(outputs)
}

/// Logits of a batch on the host.
pub(crate) struct Rows {
    values: Vec<f32>,
    /// How many of them an example has, padding included.
    size: usize,
    /// How many a token has; `None` where they are of the whole text.
    a_token: Option<usize>,
}

impl Rows {
    pub(crate) fn of<B: Backend, const D: usize>(logits: Tensor<B, D>, a_token: Option<usize>) -> Self {
        let examples = logits.dims()[0];
        let data = logits.into_data().convert::<f32>();
        let values: Vec<f32> = data.into_vec().expect("converted to f32 above");
        Self { size: values.len() / examples, values, a_token }
    }

    /// The numbers of an example of so many tokens.
    fn row(&self, place: usize, tokens: usize) -> &[f32] {
        let count = self.a_token.map_or(self.size, |width| width * tokens);
        &self.values[place * self.size..][..count]
    }
}

fn read<B: Backend, M: PretrainedModel<Backend = B>>(
    folder: &Path,
    options: &LoadOptions,
    device: &B::Device,
    of: impl FnOnce(M) -> TaskModel<B>,
) -> Result<Pretrained<TaskModel<B>>, ModelError> {
    let Pretrained { model, config, initialised, ignored } = load_pretrained::<M>(folder, options, device)?;
    Ok(Pretrained { model: of(model), config, initialised, ignored })
}

/// Runs a [`TaskModel`] and gives what the adaptor of its head gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskModelAdaptor;

impl<B: Backend> Adaptor<B, TaskModel<B>, Batch<B>> for TaskModelAdaptor {
    fn adapt(
        &self,
        model: &TaskModel<B>,
        batch: &Batch<B>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        match model {
            TaskModel::Texts(model) => ClassifierAdaptor.adapt(model, batch, context),
            TaskModel::Tokens(model) => TokenClassifierAdaptor.adapt(model, batch, context),
            TaskModel::Spans(model) => SpanAdaptor.adapt(model, batch, context),
        }
    }
}
