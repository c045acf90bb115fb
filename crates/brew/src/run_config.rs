use std::path::PathBuf;

use brew_config::{CrdConfig, DistillationConfig, EmdConfig, TrainingConfig};
use brew_data::{Augmentation, Layout, LayoutOptions, TextFileSpec};
use serde::{Deserialize, Deserializer, Serialize};

use crate::TaskKind;

mod cache;
mod multi_label;
mod questions;
mod tags;

pub use cache::CacheConfig;
pub use multi_label::MultiLabelConfig;
pub use questions::QuestionsConfig;
pub use tags::TagsConfig;

/// A run as its file describes it, nothing checked yet.
///
/// | table | what it is |
/// |---|---|
/// | `task` | what the model is to say, before the first table of the file; default `classification`: [`TaskKind`] |
/// | `[data]` | files, columns, labels, batches: [`DataConfig`] |
/// | `[model]` | the model that is trained, the student of a distillation: [`ModelConfig`] |
/// | `[teacher]` | the teacher or teachers of a distillation: [`TeacherConfig`] |
/// | `[training]` | [`TrainingConfig`]; its `output_dir` is the run's folder |
/// | `[distillation]` | [`DistillationConfig`] |
/// | `[emd]` | layers matched many to many, where the table is there: [`EmdConfig`] |
/// | `[crd]` | states told from those of other examples, where the table is there: [`CrdConfig`] |
/// | `[cache]` | how the teachers' outputs are kept: [`CacheConfig`] |
/// | `[evaluation]` | [`EvaluationConfig`] |
/// | `[[tasks]]` | several tasks for one student, in place of `[data]` and `[teacher]`: [`TaskConfig`] |
/// | `tau` | how often each task is drawn, before the first table of the file; default 1 |
///
/// With `[[tasks]]` the student has one encoder and a classifier for each task; `[model]`, `[training]` and
/// `[distillation]` hold for all of them. A batch is of one task, drawn with probability `sizeᵗᵃᵘ / Σ sizeᵗᵃᵘ`
/// of the numbers of batches: at a `tau` of 1 in proportion, at 0 all tasks alike. An epoch is as many batches
/// as all tasks have together. A checkpoint's score is the mean of the tasks' scores.
///
/// ```toml
/// tau = 0.5
/// model = { from = "bert", layers = [1, 3, 5] }
/// training = { output_dir = "runs/both", num_epochs = 4 }
/// distillation = { temperature = 8 }
///
/// [[tasks]]
/// name = "sst2"
/// data = { train = "sst2/train.tsv", dev = "sst2/dev.tsv" }
/// teacher = { from = "runs/teacher-sst2" }
///
/// [[tasks]]
/// name = "mrpc"
/// data = { train = "mrpc/train.tsv", dev = "mrpc/dev.tsv", columns = { text = 0, text_pair = 1 } }
/// teacher = { from = "runs/teacher-mrpc" }
/// evaluation = { metric = "f1" }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// What the model is to say.
    pub task: TaskKind,
    /// The exponent of the tasks' sizes by which they are drawn, any finite number; 1 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// Files, columns, labels and batches.
    pub data: DataConfig,
    /// The model that is trained.
    pub model: ModelConfig,
    /// The teacher; `textbrew distill` needs it.
    pub teacher: Option<TeacherConfig>,
    /// Epochs, optimizer, schedule, seed, output folder.
    pub training: TrainingConfig,
    /// Temperature, weights and matches; TextBrewer's defaults where left out.
    pub distillation: DistillationConfig,
    /// Layers of one teacher matched many to many, beside what `distillation` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emd: Option<EmdConfig>,
    /// States of one teacher told from those of other examples, beside what `distillation` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crd: Option<CrdConfig>,
    /// How the teachers' outputs are kept, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
    /// What is measured, and which checkpoint counts.
    pub evaluation: EvaluationConfig,
    /// The tasks of a student of several; none in a run of one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskConfig>,
}

/// One of the tasks of a student of several.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `name` | | letters, digits, `-` and `_`: its folder below `model/`, and before its losses in the log |
/// | `data` | | its files, columns, labels and batches: [`DataConfig`] |
/// | `teacher` | | its teacher or teachers: [`TeacherConfig`] |
/// | `evaluation` | the run's | its `metric` and `positive`: [`EvaluationConfig`]; `keep` is the run's |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskConfig {
    /// Its folder below `model/`; it stands before its losses in the log.
    pub name: String,
    /// Its files, columns, labels and batches.
    pub data: DataConfig,
    /// Its teacher or teachers.
    pub teacher: Option<TeacherConfig>,
    /// How it is scored; as the run where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<EvaluationConfig>,
}

/// Where the examples come from and how they become batches.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `train` | none | training file (TSV, CSV or JSON lines) |
/// | `train_examples` | all | only the first so many rows of `train`, for a trial or a comparison on little data |
/// | `transfer` | none | files whose texts are distilled as well, read as `train` is: the teacher says what it thinks of them, labels in them are not used |
/// | `transfer_examples` | all | only the first so many rows of each of them |
/// | `dev` | none | evaluated at each checkpoint and at the end |
/// | `test` | none | evaluated at the end |
/// | `layout` | none | a data set whose files are known: `mnli`, `conll2003` and others, see [`Layout`]; then columns need not be said, and each of the files may be its folder |
/// | `layout_options` | | see [`LayoutOptions`] |
/// | `folder` | none | the folder of a `layout`, in place of `train` and `dev` |
/// | `columns` | first column text, last label | see [`TextFileSpec`] |
/// | `labels` | read from `train`; of the teacher where a row of it has none | label names in the order of the classes |
/// | `multi_label` | commas, 0.5 | how lists of labels are read, and from which probability on a label holds: [`MultiLabelConfig`] |
/// | `tags` | detect | how files of tagged words are read and judged: [`TagsConfig`] |
/// | `questions` | SQuAD's | how questions become windows, and windows' logits answers: [`QuestionsConfig`] |
/// | `max_length` | 128; 384 with questions | tokens of a text or pair, special tokens included |
/// | `batch_size` | 32 | examples of a training batch |
/// | `eval_batch_size` | 128 | examples of an evaluation batch |
/// | `length_buckets` | true | texts of similar length share a batch; `nst`, which divides by the padded length, then weighs more |
/// | `augmentation` | none | how training texts are changed, one step after the other: see [`Augmentation`] |
///
/// Augmentation is drawn anew in each epoch, from the run's seed, the epoch and the example. It changes what
/// student and teacher read in training, the text between the special tokens, and leaves the labels, `dev` and
/// `test` as they are. Outputs that are kept (`distillation.is_caching_logits`, `[cache]`) are of one text only, so
/// it is refused together with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Training file.
    pub train: Option<PathBuf>,
    /// Only the first so many rows of the training file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<usize>,
    /// Files whose texts are added to a distillation, without labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transfer: Vec<PathBuf>,
    /// Only the first so many rows of each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_examples: Option<usize>,
    /// Development file.
    pub dev: Option<PathBuf>,
    /// Test file.
    pub test: Option<PathBuf>,
    /// The data set, where its files are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// What may be chosen about the layout.
    #[serde(skip_serializing_if = "is_default")]
    pub layout_options: LayoutOptions,
    /// The folder of the layout, in place of `train` and `dev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Which columns hold text and label.
    pub columns: TextFileSpec,
    /// Label names in the order of the classes.
    pub labels: Option<Vec<String>>,
    /// How lists of labels are read, and from which probability on a label holds.
    #[serde(skip_serializing_if = "is_default")]
    pub multi_label: MultiLabelConfig,
    /// How files of tagged words are read and judged.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: TagsConfig,
    /// How questions become windows, and windows' logits answers.
    #[serde(skip_serializing_if = "is_default")]
    pub questions: QuestionsConfig,
    /// Tokens of a text or pair, special tokens included; see [`DataConfig::length_limit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Examples of a training batch.
    pub batch_size: usize,
    /// Examples of an evaluation batch.
    pub eval_batch_size: usize,
    /// Whether texts of similar length share a batch, which saves padding.
    pub length_buckets: bool,
    /// How training texts are changed, anew in each epoch.
    pub augmentation: Vec<Augmentation>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: None,
            train_examples: None,
            transfer: Vec::new(),
            transfer_examples: None,
            dev: None,
            test: None,
            layout: None,
            layout_options: LayoutOptions::default(),
            folder: None,
            columns: TextFileSpec::default(),
            labels: None,
            multi_label: MultiLabelConfig::default(),
            tags: TagsConfig::default(),
            questions: QuestionsConfig::default(),
            max_length: None,
            batch_size: 32,
            eval_batch_size: 128,
            length_buckets: true,
            augmentation: Vec::new(),
        }
    }
}

impl DataConfig {
    /// Takes from the folder of a layout what is not said.
    pub(crate) fn fill_from_folder(&mut self) {
        if let (Some(_), Some(folder)) = (self.layout, &self.folder) {
            for path in [&mut self.train, &mut self.dev] {
                path.get_or_insert_with(|| folder.clone());
            }
        }
    }

    /// Tokens of a text or pair in a task, special tokens included, at most.
    pub fn length_limit(&self, task: TaskKind) -> usize {
        self.max_length.unwrap_or(match task {
            TaskKind::QuestionAnswering => 384,
            _ => 128,
        })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How the trained model starts. One of `from`, `config` and `preset` is needed.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `from` | none | Hugging Face checkpoint folder, or finished run, to start from |
/// | `layers` | all | encoder layers of `from` to keep, counted from 0 |
/// | `config` | none | `config.json` of a model to initialise at random |
/// | `preset` | none | a student of TextBrewer's tables to initialise at random, with the tokenizer's vocabulary: `T4-tiny` and others, see [`StudentPreset`](brew_models::StudentPreset) |
/// | `tokenizer` | `from`, else the teacher's | folder with `tokenizer.json` or `vocab.txt` |
/// | `reinitialise_head` | false | draw the classifier anew even where `from` has one |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Checkpoint folder, or the folder of a finished run, to start from.
    pub from: Option<PathBuf>,
    /// Encoder layers of `from` to keep, counted from 0.
    pub layers: Option<Vec<usize>>,
    /// `config.json` of a model to initialise at random.
    pub config: Option<PathBuf>,
    /// Name of a student of TextBrewer's tables to initialise at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Folder of the tokenizer.
    pub tokenizer: Option<PathBuf>,
    /// Whether the classifier is drawn anew.
    pub reinitialise_head: bool,
}

/// The model that teaches, or several whose logits are averaged.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `from` | | checkpoint folder of a fine-tuned classifier, or of a finished run; or a list of them |
/// | `weights` | all alike | how much each of several counts in the mean of the logits |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeacherConfig {
    /// Checkpoint folders of fine-tuned classifiers, or folders of finished runs.
    #[serde(deserialize_with = "one_or_many")]
    pub from: Vec<PathBuf>,
    /// How much each teacher counts in the mean of the logits; all alike where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f64>>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a folder or a list of folders")]
    enum Folders {
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    Ok(match Folders::deserialize(deserializer)? {
        Folders::One(folder) => vec![folder],
        Folders::Many(folders) => folders,
    })
}

/// What is measured and which checkpoint counts.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `metric` | the task's first | the score of a checkpoint: [`Metric`] |
/// | `positive` | last label | the label that `f1` is about |
/// | `keep` | `last` | the exported model: of the `last` or the `best` checkpoint |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// The score of a checkpoint; the first of the task's [`Metric`]s where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// The label that `f1` is about.
    pub positive: Option<String>,
    /// Which checkpoint is exported.
    pub keep: Keep,
}

/// The score of a checkpoint.
///
/// | task | metrics, the default first |
/// |---|---|
/// | `classification` | `accuracy`, `f1` (of the label `positive`), `macro_f1`, `matthews` |
/// | `multi_label` | `micro_f1`, `macro_f1`, `accuracy` (of all labels of a text) |
/// | `regression` | `pearson`, `spearman` |
/// | `token_classification` | `f1` (of spans, micro), `macro_f1`, `accuracy` (of words) |
/// | `question_answering` | `f1`, `exact_match` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of right predictions.
    Accuracy,
    /// F1 of the positive label, of spans, of answers.
    F1,
    /// The mean of the labels' F1.
    MacroF1,
    /// F1 of the counts of all labels together.
    MicroF1,
    /// Matthews' correlation coefficient of classes.
    Matthews,
    /// Pearson's correlation coefficient of numbers.
    Pearson,
    /// Spearman's rank correlation coefficient of numbers.
    Spearman,
    /// The share of answers that are as one of the right ones.
    ExactMatch,
}

impl Metric {
    /// The metrics of a task, its default first.
    pub const fn of(task: TaskKind) -> &'static [Self] {
        match task {
            TaskKind::Classification => &[Self::Accuracy, Self::F1, Self::MacroF1, Self::Matthews],
            TaskKind::MultiLabel => &[Self::MicroF1, Self::MacroF1, Self::Accuracy],
            TaskKind::Regression => &[Self::Pearson, Self::Spearman],
            TaskKind::TokenClassification => &[Self::F1, Self::MacroF1, Self::Accuracy],
            TaskKind::QuestionAnswering => &[Self::F1, Self::ExactMatch],
        }
    }

    /// The name in run files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::MacroF1 => "macro_f1",
            Self::MicroF1 => "micro_f1",
            Self::Matthews => "matthews",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::ExactMatch => "exact_match",
        }
    }
}

/// Which checkpoint is exported at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The last one.
    #[default]
    Last,
    /// The one with the highest score on the development file.
    Best,
}
