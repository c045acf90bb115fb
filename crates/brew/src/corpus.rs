//! The examples of a task's files: read, encoded, judged. One file a task.

mod classes;
mod flags;
mod questions;
mod rows;
mod tags;
mod values;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use brew_data::{
    AlignedFeature, AlignedTokenizer, Example, Extent, Feature, LabelSet, LayoutOptions, Split as Part,
    TargetedExample, TextTokenizer,
};

use crate::{DataConfig, Prediction, RunError, TaskKind, TaskReport};

/// What the features of a file are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be learned from.
    Training,
    /// To be predicted for.
    Prediction,
}

/// The rows of one file, as read.
pub(crate) trait Corpus: Debug {
    /// How many there are.
    fn len(&self) -> usize;

    /// Keeps the first so many rows.
    fn truncate(&mut self, count: usize);

    /// The labels that occur; `None` where a row has none, so that there may be more of them.
    fn labels(&self) -> Result<Option<LabelSet>, RunError>;

    /// Refuses rows of which nothing is known, which can be neither learned from without a teacher nor judged by.
    fn require_labels(&self) -> Result<(), RunError>;

    /// Forgets what is known of the rows.
    fn forget_labels(&mut self);

    /// Adds the rows of another file, without what is known of them, and numbered apart from these.
    fn add_unlabelled(&mut self, path: &Path, data: &DataConfig) -> Result<(), RunError>;

    /// Labels and tokenizes the rows.
    fn encode(
        &self,
        labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
        purpose: Purpose,
    ) -> Result<Split, RunError>;

    /// The rows in the tokens of two tokenizers, at most so many of each; `None` where the task has no such.
    fn encode_both(
        &self,
        labels: &LabelSet,
        both: &AlignedTokenizer,
        lengths: [usize; 2],
    ) -> Result<Option<Vec<AlignedFeature>>, RunError>;
}

/// The tokenized examples of one file, and what judges a model's outputs for them.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub(crate) features: Vec<Feature>,
    /// What a user should know of how the file became features.
    pub(crate) note: Option<String>,
    judge: Arc<dyn Judge>,
}

/// Understands a model's outputs for the features of a file, in their order: see
/// [`TaskModel::outputs`](crate::TaskModel::outputs).
trait Judge: Debug + Send + Sync {
    /// Scores against what is known of the examples.
    fn report(&self, outputs: &[Vec<f32>]) -> Result<TaskReport, RunError>;

    /// What the outputs mean.
    fn predictions(&self, outputs: Vec<Vec<f32>>) -> Result<Vec<Prediction>, RunError>;
}

impl Split {
    fn new(features: Vec<Feature>, judge: impl Judge + 'static) -> Self {
        Self { features, note: None, judge: Arc::new(judge) }
    }

    /// Scores of a model's outputs for the features, in their order.
    pub(crate) fn report(&self, outputs: &[Vec<f32>]) -> Result<TaskReport, RunError> {
        self.judge.report(outputs)
    }

    /// What a model's outputs for the features mean.
    pub(crate) fn predictions(&self, outputs: Vec<Vec<f32>>) -> Result<Vec<Prediction>, RunError> {
        self.judge.predictions(outputs)
    }
}

/// Reads a file of a task, or a part of a folder with a known layout.
pub(crate) fn read(
    task: TaskKind,
    path: &Path,
    part: Part,
    data: &DataConfig,
) -> Result<Box<dyn Corpus>, RunError> {
    read_extent(task, path, part, data, Extent::Whole)
}

/// Reads so much of a file of a task, or of a part of a folder with a known layout.
pub(crate) fn read_extent(
    task: TaskKind,
    path: &Path,
    part: Part,
    data: &DataConfig,
    extent: Extent,
) -> Result<Box<dyn Corpus>, RunError> {
    Ok(match task {
        TaskKind::Classification => Box::new(classes::Texts::read(path, part, data, extent)?),
        TaskKind::MultiLabel => Box::new(flags::Flagged::read(path, part, data, extent)?),
        TaskKind::Regression => Box::new(values::Valued::read(path, part, data, extent)?),
        TaskKind::TokenClassification => Box::new(tags::Sentences::read(path, part, data, extent)?),
        TaskKind::QuestionAnswering => Box::new(questions::Questions::read(path, data, extent)?),
    })
}

/// The options of a layout for so much of its files.
fn layout_options(data: &DataConfig, extent: Extent) -> LayoutOptions {
    LayoutOptions { extent, ..data.layout_options.clone() }
}

/// Texts with targets in the tokens of two tokenizers.
fn both_targeted(
    examples: &[TargetedExample],
    both: &AlignedTokenizer,
    lengths: [usize; 2],
) -> Result<Vec<AlignedFeature>, RunError> {
    let texts: Vec<Example> = examples.iter().map(|one| one.example.clone()).collect();
    let mut features = both.encode_all(&texts, lengths[0], lengths[1])?;
    for (feature, one) in features.iter_mut().zip(examples) {
        feature.student.target.clone_from(&one.target);
    }
    Ok(features)
}
