//! How good predictions of several labels at once are.

use std::fmt;

use serde::Serialize;

use super::averages::{mean, weighted_mean, write_table};
use super::{LabelReport, Scores, ratio};
use crate::{DataError, LabelSet};

/// What there is to say about predictions of labels that exclude no other.
///
/// The numbers are those of scikit-learn's `precision_recall_fscore_support` with `zero_division=0`.
///
/// ```
/// use brew_data::{LabelSet, MultiLabelReport};
///
/// let labels = LabelSet::new(["joy", "anger"])?;
/// let report = MultiLabelReport::new(&[[true, false], [true, true]], &[[true, false], [false, true]], &labels)?;
/// assert_eq!((report.micro_average.f1, report.subset_accuracy), (0.8, 0.5));
/// println!("{report}");
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MultiLabelReport {
    /// How many examples.
    pub examples: usize,
    /// F1 of all decisions together.
    pub micro_f1: f64,
    /// The mean of the labels' F1: what the GoEmotions paper reports.
    pub macro_f1: f64,
    /// The share of the examples with every label right.
    pub subset_accuracy: f64,
    /// All decisions together.
    pub micro_average: Scores,
    /// The mean over the labels.
    pub macro_average: Scores,
    /// The mean over the labels, weighted by how many examples have them.
    pub weighted_average: Scores,
    /// The mean over the examples.
    pub samples_average: Scores,
    /// Each label by itself, in the order of the set.
    pub per_label: Vec<LabelReport>,
}

/// Decisions: true positives, positives predicted and positives in truth.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    hits: usize,
    predicted: usize,
    gold: usize,
}

impl Counts {
    fn count(&mut self, predicted: bool, gold: bool) {
        self.hits += usize::from(predicted && gold);
        self.predicted += usize::from(predicted);
        self.gold += usize::from(gold);
    }

    fn scores(self) -> Scores {
        Scores::from_counts(self.hits, self.predicted - self.hits, self.gold - self.hits)
    }
}

impl MultiLabelReport {
    /// Compares predicted flags with correct ones, example by example; a flag for each label of the set.
    ///
    /// # Errors
    /// Other numbers of examples; an example with another number of flags than there are labels.
    pub fn new(
        predicted: &[impl AsRef<[bool]>],
        gold: &[impl AsRef<[bool]>],
        names: &LabelSet,
    ) -> Result<Self, DataError> {
        if predicted.len() != gold.len() {
            return Err(DataError::DifferentLengths { predictions: predicted.len(), labels: gold.len() });
        }
        let mut all = Counts::default();
        let mut labels = vec![Counts::default(); names.len()];
        let mut samples = Vec::with_capacity(gold.len());
        let mut right = 0;
        for (example, (predicted, gold)) in predicted.iter().zip(gold).enumerate() {
            let (predicted, gold) = (predicted.as_ref(), gold.as_ref());
            if let Some(found) = [predicted.len(), gold.len()].into_iter().find(|&len| len != names.len()) {
                return Err(DataError::FlagCount { example, found, expected: names.len() });
            }
            let mut sample = Counts::default();
            for (label, (&predicted, &gold)) in labels.iter_mut().zip(predicted.iter().zip(gold)) {
                for counts in [&mut all, label, &mut sample] {
                    counts.count(predicted, gold);
                }
            }
            samples.push(sample.scores());
            right += usize::from(predicted == gold);
        }
        let micro_average = all.scores();
        let macro_average = mean(labels.iter().map(|counts| counts.scores()));
        Ok(Self {
            examples: gold.len(),
            micro_f1: micro_average.f1,
            macro_f1: macro_average.f1,
            subset_accuracy: ratio(right, gold.len()),
            micro_average,
            macro_average,
            weighted_average: weighted_mean(labels.iter().map(|counts| (counts.scores(), counts.gold))),
            samples_average: mean(samples),
            per_label: names
                .names()
                .iter()
                .zip(labels)
                .map(|(label, counts)| LabelReport {
                    label: label.clone(),
                    scores: counts.scores(),
                    support: counts.gold,
                })
                .collect(),
        })
    }
}

impl fmt::Display for MultiLabelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let averages = [
            ("micro average", self.micro_average),
            ("macro average", self.macro_average),
            ("weighted average", self.weighted_average),
            ("samples average", self.samples_average),
        ];
        write_table(f, &self.per_label, &averages, &[("subset accuracy", self.subset_accuracy)])
    }
}

#[cfg(test)]
mod tests;
