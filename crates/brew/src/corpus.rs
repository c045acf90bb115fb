//! The examples of a task's files: read, encoded, judged.

use std::path::Path;

use brew_data::{
    AlignedFeature, AlignedTokenizer, ClassificationReport, DataError, Example, Feature, LabelSet,
    RawExample, TextTokenizer, label_examples, read_examples, unlabelled_examples,
};

use crate::classification::{argmax, probabilities};
use crate::{ClassPrediction, DataConfig, Prediction, RunError, TaskKind, TaskReport};

/// The rows of one file, as read.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    /// Texts or pairs with a class.
    Classes(Vec<RawExample>),
}

/// The tokenized examples of one file, and what judges a model's outputs for them.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub(crate) features: Vec<Feature>,
    judge: Judge,
}

#[derive(Debug, Clone)]
enum Judge {
    Classes,
}

impl Rows {
    pub(crate) fn read(_task: TaskKind, path: &Path, data: &DataConfig) -> Result<Self, RunError> {
        Ok(Self::Classes(read_examples(path, &data.columns)?))
    }

    /// Keeps the first so many rows.
    pub(crate) fn truncate(&mut self, count: usize) {
        match self {
            Self::Classes(rows) => rows.truncate(count),
        }
    }

    /// The labels that occur; `None` where a row has none, so that there may be more of them.
    pub(crate) fn labels(&self) -> Result<Option<LabelSet>, RunError> {
        match self {
            Self::Classes(rows) if rows.iter().all(|row| row.label.is_some()) => {
                Ok(Some(LabelSet::from_examples(rows)?))
            }
            Self::Classes(_) => Ok(None),
        }
    }

    /// Adds the rows of another file, without what is known of them, and numbered apart from these.
    pub(crate) fn add_unlabelled(&mut self, other: Self) {
        match (self, other.without_labels()) {
            (Self::Classes(rows), Self::Classes(more)) => {
                let start = rows.last().map_or(0, |row| row.id + 1);
                rows.extend(more.into_iter().zip(start..).map(|(row, id)| RawExample { id, ..row }));
            }
        }
    }

    /// Refuses rows of which nothing is known, which can be neither learned from without a teacher nor judged by.
    pub(crate) fn require_labels(&self) -> Result<(), RunError> {
        match self {
            Self::Classes(rows) => match rows.iter().find(|row| row.label.is_none()) {
                None => Ok(()),
                Some(RawExample { origin, .. }) => {
                    Err(DataError::MissingLabel { path: origin.path.to_path_buf(), line: origin.line }.into())
                }
            },
        }
    }

    /// The rows without what is known of them, as they are predicted for.
    pub(crate) fn without_labels(self) -> Self {
        match self {
            Self::Classes(rows) => {
                Self::Classes(rows.into_iter().map(|row| RawExample { label: None, ..row }).collect())
            }
        }
    }

    /// Labels and tokenizes the rows; unlabelled rows are for predicting and distilling.
    pub(crate) fn encode(
        &self,
        labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
    ) -> Result<Split, RunError> {
        match self {
            Self::Classes(rows) => {
                let examples = resolved(rows, labels)?;
                let features = tokenizer.encode_all(&examples, data.max_length)?;
                Ok(Split { features, judge: Judge::Classes })
            }
        }
    }

    /// What a model's outputs for the features of these rows mean.
    pub(crate) fn predictions(
        &self,
        _split: &Split,
        outputs: Vec<Vec<f32>>,
        labels: &LabelSet,
    ) -> Vec<Prediction> {
        match self {
            Self::Classes(rows) => {
                let predictions = rows.iter().zip(outputs).map(|(row, logits)| {
                    let best = argmax(&logits);
                    Prediction::Class(ClassPrediction {
                        id: row.id,
                        text: row.text.clone(),
                        text_pair: row.text_pair.clone(),
                        label: labels.name(best).unwrap_or_default().to_owned(),
                        probability: probabilities(&logits)[best],
                        logits,
                    })
                });
                predictions.collect()
            }
        }
    }

    /// The rows in the tokens of two tokenizers.
    pub(crate) fn encode_both(
        &self,
        labels: &LabelSet,
        both: &AlignedTokenizer,
        lengths: [usize; 2],
    ) -> Result<Vec<AlignedFeature>, RunError> {
        match self {
            Self::Classes(rows) => {
                let examples = resolved(rows, labels)?;
                Ok(both.encode_all(&examples, lengths[0], lengths[1])?)
            }
        }
    }
}

/// Rows with their labels as indexes, where they have one.
fn resolved(rows: &[RawExample], labels: &LabelSet) -> Result<Vec<Example>, DataError> {
    rows.iter()
        .map(|row| {
            let row = std::slice::from_ref(row);
            let mut example = match row[0].label {
                Some(_) => label_examples(row, labels)?,
                None => unlabelled_examples(row),
            };
            Ok(example.remove(0))
        })
        .collect()
}

impl Split {
    /// Scores of a model's outputs for the features, in their order; see
    /// [`TaskModel::outputs`](crate::TaskModel::outputs).
    pub(crate) fn report(&self, outputs: &[Vec<f32>], labels: &LabelSet) -> Result<TaskReport, RunError> {
        match &self.judge {
            Judge::Classes => {
                let predictions: Vec<usize> = outputs.iter().map(|row| argmax(row)).collect();
                let gold: Vec<usize> = self.features.iter().filter_map(Feature::class).collect();
                Ok(TaskReport::Classification(ClassificationReport::new(&predictions, &gold, labels)?))
            }
        }
    }
}
