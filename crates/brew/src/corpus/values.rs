//! Texts and pairs with a number each.

use std::path::Path;

use brew_data::{
    AlignedFeature, AlignedTokenizer, Extent, Feature, LabelSet, RawExample, RegressionReport, Split as Part,
    Target, TextTokenizer, value_examples,
};

use super::classes::Texts;
use super::{Corpus, Judge, Purpose, Split};
use crate::{DataConfig, Prediction, RunError, TaskKind, TaskReport, ValuePrediction};

/// Texts whose labels are numbers.
#[derive(Debug, Clone)]
pub(super) struct Valued(Texts);

impl Valued {
    pub(super) fn read(path: &Path, part: Part, data: &DataConfig, extent: Extent) -> Result<Self, RunError> {
        Ok(Self(Texts::read(path, part, data, extent)?))
    }
}

impl Corpus for Valued {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn truncate(&mut self, count: usize) {
        self.0.truncate(count);
    }

    /// A number is one output, and so transformers gives such a model one label.
    fn labels(&self) -> Result<Option<LabelSet>, RunError> {
        Ok(Some(LabelSet::new(["LABEL_0"])?))
    }

    fn require_labels(&self) -> Result<(), RunError> {
        self.0.require_labels()
    }

    fn forget_labels(&mut self) {
        self.0.forget_labels();
    }

    fn add_unlabelled(&mut self, path: &Path, data: &DataConfig) -> Result<(), RunError> {
        self.0.add_unlabelled(path, data)
    }

    fn encode(
        &self,
        _labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
        _purpose: Purpose,
    ) -> Result<Split, RunError> {
        let examples = value_examples(self.0.rows())?;
        let features = tokenizer.encode_targeted(&examples, data.length_limit(TaskKind::Regression))?;
        let value = |feature: &Feature| match feature.target {
            Some(Target::Value(value)) => Some(f64::from(value)),
            _ => None,
        };
        let gold = features.iter().filter_map(value).collect();
        Ok(Split::new(features, Values { rows: self.0.rows().to_vec(), gold }))
    }

    fn encode_both(
        &self,
        _labels: &LabelSet,
        both: &AlignedTokenizer,
        lengths: [usize; 2],
    ) -> Result<Option<Vec<AlignedFeature>>, RunError> {
        super::both_targeted(&value_examples(self.0.rows())?, both, lengths).map(Some)
    }
}

#[derive(Debug)]
struct Values {
    rows: Vec<RawExample>,
    gold: Vec<f64>,
}

impl Judge for Values {
    fn report(&self, outputs: &[Vec<f32>]) -> Result<TaskReport, RunError> {
        let predicted: Vec<f64> = outputs.iter().flatten().map(|&value| f64::from(value)).collect();
        Ok(TaskReport::Values(RegressionReport::new(&predicted, &self.gold)?))
    }

    fn predictions(&self, outputs: Vec<Vec<f32>>) -> Result<Vec<Prediction>, RunError> {
        let values = outputs.iter().map(|row| row.first().copied().unwrap_or_default());
        let predictions = self.rows.iter().zip(values).map(|(row, value)| {
            Prediction::Value(ValuePrediction {
                id: row.id,
                text: row.text.clone(),
                text_pair: row.text_pair.clone(),
                value,
            })
        });
        Ok(predictions.collect())
    }
}
