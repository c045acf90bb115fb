//! Texts and pairs with one class each.

use std::path::Path;

use brew_data::{
    AlignedFeature, AlignedTokenizer, ClassificationReport, DataError, Example, Feature, LabelSet,
    RawExample, TextTokenizer, label_examples, read_examples, unlabelled_examples,
};

use super::{Corpus, Judge, Purpose, Split, next};
use crate::classification::{argmax, probabilities};
use crate::{ClassPrediction, DataConfig, Prediction, RunError, TaskKind, TaskReport};

#[derive(Debug, Clone)]
pub(super) struct Texts(Vec<RawExample>);

impl Texts {
    pub(super) fn read(path: &Path, data: &DataConfig) -> Result<Self, RunError> {
        Ok(Self(read_examples(path, &data.columns)?))
    }

    /// The rows with their labels as indexes, where they have one.
    fn resolved(&self, labels: &LabelSet) -> Result<Vec<Example>, DataError> {
        let resolve = |row: &RawExample| {
            let row = std::slice::from_ref(row);
            let mut example = match row[0].label {
                Some(_) => label_examples(row, labels)?,
                None => unlabelled_examples(row),
            };
            Ok(example.remove(0))
        };
        self.0.iter().map(resolve).collect()
    }
}

impl Corpus for Texts {
    fn truncate(&mut self, count: usize) {
        self.0.truncate(count);
    }

    fn labels(&self) -> Result<Option<LabelSet>, RunError> {
        let all = self.0.iter().all(|row| row.label.is_some());
        Ok(all.then(|| LabelSet::from_examples(&self.0)).transpose()?)
    }

    fn require_labels(&self) -> Result<(), RunError> {
        match self.0.iter().find(|row| row.label.is_none()) {
            None => Ok(()),
            Some(RawExample { origin, .. }) => {
                Err(DataError::MissingLabel { path: origin.path.to_path_buf(), line: origin.line }.into())
            }
        }
    }

    fn forget_labels(&mut self) {
        for row in &mut self.0 {
            row.label = None;
        }
    }

    fn add_unlabelled(&mut self, path: &Path, data: &DataConfig) -> Result<(), RunError> {
        let mut more = Self::read(path, data)?;
        more.forget_labels();
        let start = next(self.0.iter().map(|row| row.id));
        self.0.extend(more.0.into_iter().zip(start..).map(|(row, id)| RawExample { id, ..row }));
        Ok(())
    }

    fn encode(
        &self,
        labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
        _purpose: Purpose,
    ) -> Result<Split, RunError> {
        let features =
            tokenizer.encode_all(&self.resolved(labels)?, data.length_limit(TaskKind::Classification))?;
        let gold = features.iter().filter_map(Feature::class).collect();
        Ok(Split::new(features, Classes { rows: self.0.clone(), gold, labels: labels.clone() }))
    }

    fn encode_both(
        &self,
        labels: &LabelSet,
        both: &AlignedTokenizer,
        lengths: [usize; 2],
    ) -> Result<Option<Vec<AlignedFeature>>, RunError> {
        Ok(Some(both.encode_all(&self.resolved(labels)?, lengths[0], lengths[1])?))
    }
}

#[derive(Debug)]
struct Classes {
    rows: Vec<RawExample>,
    gold: Vec<usize>,
    labels: LabelSet,
}

impl Judge for Classes {
    fn report(&self, outputs: &[Vec<f32>]) -> Result<TaskReport, RunError> {
        let predictions: Vec<usize> = outputs.iter().map(|row| argmax(row)).collect();
        Ok(TaskReport::Classification(ClassificationReport::new(&predictions, &self.gold, &self.labels)?))
    }

    fn predictions(&self, outputs: Vec<Vec<f32>>) -> Result<Vec<Prediction>, RunError> {
        let predictions = self.rows.iter().zip(outputs).map(|(row, logits)| {
            let best = argmax(&logits);
            Prediction::Class(ClassPrediction {
                id: row.id,
                text: row.text.clone(),
                text_pair: row.text_pair.clone(),
                label: self.labels.name(best).unwrap_or_default().to_owned(),
                probability: probabilities(&logits)[best],
                logits,
            })
        });
        Ok(predictions.collect())
    }
}
