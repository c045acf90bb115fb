//! Using a trained model: evaluation, prediction, parameter counts, export.

use std::io::Write;
use std::path::Path;

use brew_data::{Collator, DataError, Feature, LabelSet, SpanPrediction, Split as Part, TextTokenizer};
use brew_models::{EncoderConfig, LoadOptions, ParameterTable, StudentPreset};
use burn::tensor::backend::AutodiffBackend;
use serde::Serialize;

use crate::check::before_use;
use crate::corpus::{self, Purpose};
use crate::{
    BackendJob, BackendKind, DataConfig, RunError, TaskKind, TaskModel, TaskReport, dispatch, model_folder,
};

/// What a model says of one text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Prediction {
    /// One class.
    Class(ClassPrediction),
    /// The labels that hold.
    Flags(FlagsPrediction),
    /// A number.
    Value(ValuePrediction),
    /// A tag for each word, and the spans that they make.
    Tags(TagPrediction),
    /// A part of the text that answers a question.
    Answer(SpanPrediction),
}

/// The class that a model gives a text or pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassPrediction {
    /// The row of the file, from 0.
    pub id: u64,
    /// The text.
    pub text: String,
    /// The second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<String>,
    /// The most likely label.
    pub label: String,
    /// Its probability.
    pub probability: f32,
    /// The model's output for each label, before the softmax.
    pub logits: Vec<f32>,
}

/// The labels that a model says hold of a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlagsPrediction {
    /// The row of the file, from 0.
    pub id: u64,
    /// The text.
    pub text: String,
    /// The second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<String>,
    /// The labels whose probability is above the threshold.
    pub labels: Vec<LabelPrediction>,
    /// The model's output for each label, before the sigmoid.
    pub logits: Vec<f32>,
}

/// A label that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelPrediction {
    /// Its name.
    pub label: String,
    /// Its probability.
    pub probability: f32,
}

/// The number that a model gives a text or pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValuePrediction {
    /// The row of the file, from 0.
    pub id: u64,
    /// The text.
    pub text: String,
    /// The second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<String>,
    /// The number.
    pub value: f32,
}

/// The tags that a model gives the words of a sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TagPrediction {
    /// The sentence of the file, from 0.
    pub id: u64,
    /// Its words.
    pub words: Vec<String>,
    /// The tag of each.
    pub tags: Vec<String>,
    /// The spans that the tags make.
    pub entities: Vec<EntityPrediction>,
}

/// A span of words and what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntityPrediction {
    /// The words as a text.
    pub text: String,
    /// Its type.
    pub label: String,
    /// Its first word, from 0.
    pub start: usize,
    /// One more than its last word.
    pub end: usize,
}

/// Measures a model on a labelled file. `data` says how the file is read: its columns, lengths and
/// `eval_batch_size`.
///
/// # Errors
/// A folder that is no model, a file that cannot be read, a label the model does not know.
pub fn evaluate_file(
    backend: BackendKind,
    model: &Path,
    file: &Path,
    data: &DataConfig,
) -> Result<TaskReport, RunError> {
    let mut data = data.clone();
    // Of the file that the model was trained on, the articles that it was not trained on.
    if data.train.as_deref().is_some_and(|train| is_same_file(train, file)) {
        data.questions = data.questions.other_part();
    }
    before_use(model, file, &data, true)?;
    let model = OpenModel::open(backend, model)?;
    let rows = corpus::read(model.task, file, Part::Test, &data)?;
    rows.require_labels()?;
    let split = rows.encode(&model.labels, &model.tokenizer, &data, Purpose::Prediction)?;
    let outputs = (model.run)(&split.features, data.eval_batch_size)?;
    split.report(&outputs)
}

/// Predicts for the texts of a file, which needs no labels itself. `data` says how the file is read, as for
/// [`evaluate_file`].
///
/// # Errors
/// A folder that is no model, a file that cannot be read.
pub fn predict_file(
    backend: BackendKind,
    model: &Path,
    file: &Path,
    data: &DataConfig,
) -> Result<Vec<Prediction>, RunError> {
    let mut data = data.clone();
    // A prediction for every row.
    data.layout_options.drop_seen = false;
    before_use(model, file, &data, false)?;
    let model = OpenModel::open(backend, model)?;
    let mut rows = corpus::read(model.task, file, Part::Test, &data)?;
    rows.forget_labels();
    let split = rows.encode(&model.labels, &model.tokenizer, &data, Purpose::Prediction)?;
    let outputs = (model.run)(&split.features, data.eval_batch_size)?;
    split.predictions(outputs)
}

/// Writes predictions as JSON lines, the whole file or nothing.
///
/// # Errors
/// [`RunError::Io`].
pub fn write_predictions(predictions: &[Prediction], path: &Path) -> Result<(), RunError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for prediction in predictions {
            serde_json::to_writer(&mut file, prediction)?;
            file.write_all(b"\n")?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(RunError::io("write", path))
}

/// The parameters of a checkpoint, by module down to a depth.
///
/// # Errors
/// A folder that is no model.
pub fn parameter_table(model: &Path, depth: usize) -> Result<ParameterTable, RunError> {
    struct Job<'a>(&'a Path, usize);
    impl BackendJob for Job<'_> {
        type Output = Result<ParameterTable, RunError>;
        fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
            let task = task_of(self.0)?;
            let loaded = TaskModel::<B::InnerBackend>::load(task, self.0, &LoadOptions::default(), &device)?;
            Ok(ParameterTable::new(&loaded.model, Some(self.1)))
        }
    }
    let folder = model_folder(model)?;
    dispatch(cpu()?, Job(&folder, depth))
}

/// The parameters of a student of TextBrewer's tables with a vocabulary of this size, by module down to a depth;
/// as there, pooler and head are left out.
///
/// # Errors
/// A name that is no [`StudentPreset`].
pub fn preset_table(preset: &str, vocab_size: usize, depth: usize) -> Result<ParameterTable, RunError> {
    let config = preset.parse::<StudentPreset>()?.config(vocab_size);
    Ok(ParameterTable::of_config(&config, None, Some(depth)))
}

/// Reads a checkpoint and writes it as a new Hugging Face folder with its tokenizer.
///
/// # Errors
/// A source that is no model, a target that exists already or cannot be written.
pub fn export(source: &Path, target: &Path) -> Result<(), RunError> {
    struct Job<'a>(&'a Path, &'a Path);
    impl BackendJob for Job<'_> {
        type Output = Result<(), RunError>;
        fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
            let task = task_of(self.0)?;
            let loaded = TaskModel::<B::InnerBackend>::load(task, self.0, &LoadOptions::default(), &device)?;
            Ok(loaded.model.save(&loaded.config, Some(self.0), self.1)?)
        }
    }
    if target.exists() {
        return Err(RunError::TargetExists { path: target.to_path_buf() });
    }
    dispatch(cpu()?, Job(source, target))
}

/// Whether two paths lead to one file, however they are spelt.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The task a checkpoint is for; classification where it does not say.
fn task_of(folder: &Path) -> Result<TaskKind, RunError> {
    Ok(stated_task(&EncoderConfig::from_file(&folder.join("config.json"))?))
}

/// The task that a configuration is for; classification where it does not say.
pub(crate) fn stated_task(config: &EncoderConfig) -> TaskKind {
    let architecture = config.other.get("architectures").and_then(|list| list.get(0)?.as_str());
    let task =
        architecture.and_then(|architecture| TaskKind::of_checkpoint(architecture, config.problem_type));
    match task.unwrap_or_default() {
        // One output without a word of what it is: transformers takes it for a number.
        TaskKind::Classification if config.problem_type.is_none() && config.num_labels() == 1 => {
            TaskKind::Regression
        }
        task => task,
    }
}

/// Any backend of this build, for work that is only reading and writing.
fn cpu() -> Result<BackendKind, RunError> {
    BackendKind::first().ok_or(RunError::NoBackend)
}

/// Features and a batch size to the model's outputs for each feature.
type Outputs = dyn Fn(&[Feature], usize) -> Result<Vec<Vec<f32>>, DataError>;

/// A model with its tokenizer and labels, ready to be run.
struct OpenModel {
    task: TaskKind,
    run: Box<Outputs>,
    tokenizer: TextTokenizer,
    labels: LabelSet,
}

impl OpenModel {
    fn open(backend: BackendKind, path: &Path) -> Result<Self, RunError> {
        let folder = model_folder(path)?;
        dispatch(backend, OpenJob(&folder))
    }
}

struct OpenJob<'a>(&'a Path);

impl BackendJob for OpenJob<'_> {
    type Output = Result<OpenModel, RunError>;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
        let task = task_of(self.0)?;
        let loaded = TaskModel::<B::InnerBackend>::load(task, self.0, &LoadOptions::default(), &device)?;
        if !loaded.initialised.is_empty() {
            return Err(RunError::NoClassifier { path: self.0.to_path_buf() });
        }
        let tokenizer = TextTokenizer::from_folder(self.0)?;
        let labels = LabelSet::new(loaded.config.labels.clone())?;
        let collator = Collator::new(tokenizer.pad_id());
        let model = loaded.model;
        let run = Box::new(move |features: &[Feature], batch_size: usize| {
            model.outputs(features, batch_size, collator, &device)
        });
        Ok(OpenModel { task, run, tokenizer, labels })
    }
}
