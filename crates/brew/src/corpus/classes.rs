//! Texts and pairs with one class each.

use std::path::Path;

use brew_data::{
    AlignedFeature, AlignedTokenizer, ClassificationReport, Extent, Feature, LabelSet, RawExample,
    Split as Part, TextFileSpec, TextTokenizer, partly_label_examples, read_examples,
};

use super::rows::{self, Row};
use super::{Corpus, Judge, Purpose, Split, layout_options};
use crate::adaptors::{argmax, probabilities};
use crate::{ClassPrediction, DataConfig, Prediction, RunError, TaskKind, TaskReport};

#[derive(Debug, Clone)]
pub(super) struct Texts {
    rows: Vec<RawExample>,
    /// The classes, where the layout says them.
    labels: Option<LabelSet>,
    note: Option<String>,
}

impl Texts {
    pub(super) fn read(path: &Path, part: Part, data: &DataConfig, extent: Extent) -> Result<Self, RunError> {
        let Some(layout) = data.layout else {
            let spec = TextFileSpec { extent, ..data.columns.clone() };
            return Ok(Self { rows: read_examples(path, &spec)?, labels: None, note: None });
        };
        let read = layout.read(path, part, &layout_options(data, extent))?;
        let left_out = read.without_agreement + read.other_languages + read.broken + read.seen;
        let note = (left_out > 0).then(|| format!("{}: {read}", path.display()));
        Ok(Self { rows: read.examples, labels: layout.labels(), note })
    }

    pub(super) fn rows(&self) -> &[RawExample] {
        &self.rows
    }
}

impl Corpus for Texts {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    fn labels(&self) -> Result<Option<LabelSet>, RunError> {
        if self.labels.is_some() || self.rows.iter().any(|row| row.label.is_none()) {
            return Ok(self.labels.clone());
        }
        Ok(Some(LabelSet::from_examples(&self.rows)?))
    }

    fn require_labels(&self) -> Result<(), RunError> {
        rows::require_labels(&self.rows)
    }

    fn forget_labels(&mut self) {
        self.rows.iter_mut().for_each(Row::forget);
    }

    fn add_unlabelled(&mut self, path: &Path, data: &DataConfig) -> Result<(), RunError> {
        let more = Self::read(path, Part::Train, data, Extent::Whole)?;
        rows::add_unlabelled(&mut self.rows, more.rows, data.transfer_examples);
        Ok(())
    }

    fn encode(
        &self,
        labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
        _purpose: Purpose,
    ) -> Result<Split, RunError> {
        let features = tokenizer.encode_all(
            &partly_label_examples(&self.rows, labels)?,
            data.length_limit(TaskKind::Classification),
        )?;
        let gold = features.iter().filter_map(Feature::class).collect();
        let judge = Classes { rows: self.rows.clone(), gold, labels: labels.clone() };
        Ok(Split { note: self.note.clone(), ..Split::new(features, judge) })
    }

    fn encode_both(
        &self,
        labels: &LabelSet,
        both: &AlignedTokenizer,
        lengths: [usize; 2],
    ) -> Result<Option<Vec<AlignedFeature>>, RunError> {
        Ok(Some(both.encode_all(&partly_label_examples(&self.rows, labels)?, lengths[0], lengths[1])?))
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
