//! Texts with any number of labels each.

use std::path::Path;

use brew_data::{
    AlignedFeature, AlignedTokenizer, Extent, Feature, LabelSet, MultiLabelExample, MultiLabelReport,
    Split as Part, Target, TextFileSpec, TextTokenizer, Thresholds, flag_examples, multi_label_set,
    read_multi_label_examples,
};

use super::rows::{self, Row};
use super::{Corpus, Judge, Purpose, Split, layout_options};
use crate::{DataConfig, FlagsPrediction, LabelPrediction, Prediction, RunError, TaskKind, TaskReport};

#[derive(Debug, Clone)]
pub(super) struct Flagged {
    rows: Vec<MultiLabelExample>,
    /// The names that stand beside the file.
    labels: Option<LabelSet>,
}

impl Flagged {
    pub(super) fn read(path: &Path, part: Part, data: &DataConfig, extent: Extent) -> Result<Self, RunError> {
        let (rows, labels) = match data.layout {
            Some(layout) => layout.read_multi_label(path, part, &layout_options(data, extent))?,
            None => {
                let spec = TextFileSpec { extent, ..data.columns.clone() };
                (read_multi_label_examples(path, &spec, &data.multi_label.file_spec())?, None)
            }
        };
        Ok(Self { rows, labels })
    }
}

impl Corpus for Flagged {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    fn labels(&self) -> Result<Option<LabelSet>, RunError> {
        if self.labels.is_some() || self.rows.iter().any(|row| row.labels.is_none()) {
            return Ok(self.labels.clone());
        }
        Ok(Some(multi_label_set(&self.rows)?))
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
        let examples = flag_examples(&self.rows, labels)?;
        let features = tokenizer.encode_targeted(&examples, data.length_limit(TaskKind::MultiLabel))?;
        let flags = |feature: &Feature| match &feature.target {
            Some(Target::Flags(flags)) => flags.clone(),
            _ => Vec::new(),
        };
        let gold = features.iter().map(flags).collect();
        let thresholds = Thresholds::uniform(data.multi_label.threshold, labels.len());
        let judge = Flags { rows: self.rows.clone(), gold, labels: labels.clone(), thresholds };
        Ok(Split::new(features, judge))
    }

    fn encode_both(
        &self,
        labels: &LabelSet,
        both: &AlignedTokenizer,
        lengths: [usize; 2],
    ) -> Result<Option<Vec<AlignedFeature>>, RunError> {
        super::both_targeted(&flag_examples(&self.rows, labels)?, both, lengths).map(Some)
    }
}

#[derive(Debug)]
struct Flags {
    rows: Vec<MultiLabelExample>,
    gold: Vec<Vec<bool>>,
    labels: LabelSet,
    thresholds: Thresholds,
}

impl Judge for Flags {
    fn report(&self, outputs: &[Vec<f32>]) -> Result<TaskReport, RunError> {
        let predicted = self.thresholds.flags(&outputs.concat());
        Ok(TaskReport::Flags(MultiLabelReport::new(&predicted, &self.gold, &self.labels)?))
    }

    fn predictions(&self, outputs: Vec<Vec<f32>>) -> Result<Vec<Prediction>, RunError> {
        let predicted = self.thresholds.flags(&outputs.concat());
        let predictions = self.rows.iter().zip(outputs).zip(predicted).map(|((row, logits), flags)| {
            let probability = |logit: f32| 1.0 / (1.0 + (-logit).exp());
            let labels = self.labels.names().iter().zip(&logits).zip(flags);
            let labels = labels.filter(|(_, holds)| *holds).map(|((name, &logit), _)| LabelPrediction {
                label: name.clone(),
                probability: probability(logit),
            });
            Prediction::Flags(FlagsPrediction {
                id: row.id,
                text: row.text.clone(),
                text_pair: row.text_pair.clone(),
                labels: labels.collect(),
                logits,
            })
        });
        Ok(predictions.collect())
    }
}
