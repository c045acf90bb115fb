use std::path::Path;

use brew_data::{Batch, BatchSampler, Collator, DataError, Feature};
use brew_distillers::{Adaptor, AdaptorOutput, DistillError, ForwardContext};
use brew_models::{
    EncoderConfig, LoadOptions, Mode, ModelError, OutputRequest, Pretrained, PretrainedModel,
    SequenceClassifier, StudentHead, TokenClassifier, load_pretrained, save_pretrained,
};
use brew_random::Key;
use burn::module::Module;
use burn::tensor::TensorData;
use burn::tensor::backend::Backend;

use crate::TaskKind;
use crate::classification::{ClassifierAdaptor, TokenClassifierAdaptor, encoder_input};

/// A model with the head of a task, whichever that is.
#[derive(Module, Debug)]
pub enum TaskModel<B: Backend> {
    /// A head over the text: classes, labels that exclude no other, a number.
    Texts(SequenceClassifier<B>),
    /// A head over each token.
    Tokens(TokenClassifier<B>),
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
                let _ = model;
                todo!()
            }
        })
    }

    /// The model's outputs for every feature, in their order: evaluation without dropout, texts of similar length
    /// together.
    ///
    /// Of a head over the text these are its logits; of a head over tokens the logits of the first token, then of
    /// the second, and so on, without padding.
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
        let mut outputs = vec![Vec::new(); features.len()];
        let lengths = features.iter().map(Feature::len).collect();
        for indices in BatchSampler::evaluation(lengths, batch_size)?.epoch(0) {
            let batch: Batch<B> = collator.collate_indices(features, &indices, device);
            let (rows, width) = self.rows(&batch);
            let size = rows.len() / indices.len();
            for (row, &index) in rows.chunks(size.max(1)).zip(&indices) {
                outputs[index] = match self {
                    Self::Texts(_) => row.to_vec(),
                    Self::Tokens(_) => row[..features[index].len() * width].to_vec(),
                };
            }
        }
        Ok(outputs)
    }

    /// Logits of a batch, and how many of them belong together.
    fn rows(&self, batch: &Batch<B>) -> (Vec<f32>, usize) {
        let (input, request) = (encoder_input(batch), OutputRequest::default());
        let (data, width): (TensorData, usize) = match self {
            Self::Texts(model) => {
                let logits = model.forward(input, request, Mode::Eval).logits;
                let width = logits.dims()[1];
                (logits.into_data(), width)
            }
            Self::Tokens(model) => {
                let logits = model.forward(input, request, Mode::Eval).logits;
                let width = logits.dims()[2];
                (logits.into_data(), width)
            }
        };
        (data.convert::<f32>().into_vec().expect("converted to f32 above"), width)
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
        }
    }
}
