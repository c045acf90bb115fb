//! How good predictions are: functions of plain slices of class indexes.
//!
//! No metric is ever NaN: a ratio whose denominator is 0 is 0. So the precision of a class that is never
//! predicted is 0, the recall of a class that never occurs is 0, and the accuracy of nothing is 0. This is
//! scikit-learn's `zero_division=0`.

mod answers;
mod averages;
mod multi_label;
mod regression;
mod spans;

use std::fmt;

use serde::Serialize;

pub use answers::{AnswerScores, QaGroup, QaReport, QaRules};

use crate::{DataError, LabelSet};

pub use multi_label::MultiLabelReport;
pub use regression::{RegressionReport, matthews_correlation, mean_squared_error, pearson, spearman};
pub use spans::SpanReport;

fn ratio(numerator: usize, denominator: usize) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

fn same_length(predictions: &[usize], labels: &[usize]) -> Result<(), DataError> {
    match predictions.len() == labels.len() {
        true => Ok(()),
        false => Err(DataError::DifferentLengths { predictions: predictions.len(), labels: labels.len() }),
    }
}

/// The share of predictions that are right, in `[0, 1]`.
///
/// # Errors
/// Slices of different lengths.
///
/// ```
/// assert_eq!(brew_data::metrics::accuracy(&[0, 1, 1, 2], &[0, 1, 2, 2])?, 0.75);
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn accuracy(predictions: &[usize], labels: &[usize]) -> Result<f64, DataError> {
    same_length(predictions, labels)?;
    let right = predictions.iter().zip(labels).filter(|(prediction, label)| prediction == label).count();
    Ok(ratio(right, labels.len()))
}

/// Precision, recall and F1 of one class, each in `[0, 1]`.
///
/// With `tp`, `fp` and `fn` the true positives, false positives and false negatives:
/// precision `tp / (tp + fp)`, recall `tp / (tp + fn)`, F1 `2 tp / (2 tp + fp + fn)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Scores {
    /// The share of the predictions of the class that are right.
    pub precision: f64,
    /// The share of the class that is found.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

impl Scores {
    /// Scores from counts.
    pub fn from_counts(true_positives: usize, false_positives: usize, false_negatives: usize) -> Self {
        Self {
            precision: ratio(true_positives, true_positives + false_positives),
            recall: ratio(true_positives, true_positives + false_negatives),
            f1: ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives),
        }
    }
}

/// The scores of class `positive` against every other class.
///
/// # Errors
/// Slices of different lengths.
///
/// ```
/// let scores = brew_data::metrics::binary_scores(&[1, 1, 0, 0], &[1, 0, 1, 0], 1)?;
/// assert_eq!((scores.precision, scores.recall, scores.f1), (0.5, 0.5, 0.5));
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn binary_scores(predictions: &[usize], labels: &[usize], positive: usize) -> Result<Scores, DataError> {
    same_length(predictions, labels)?;
    let (mut hits, mut false_alarms, mut misses) = (0, 0, 0);
    for (&prediction, &label) in predictions.iter().zip(labels) {
        match (prediction == positive, label == positive) {
            (true, true) => hits += 1,
            (true, false) => false_alarms += 1,
            (false, true) => misses += 1,
            (false, false) => {}
        }
    }
    Ok(Scores::from_counts(hits, false_alarms, misses))
}

/// The mean of the F1 of classes `0..classes`. A class that neither occurs nor is predicted counts as 0.
///
/// # Errors
/// Slices of different lengths; a class not below `classes`.
pub fn macro_f1(predictions: &[usize], labels: &[usize], classes: usize) -> Result<f64, DataError> {
    Ok(ConfusionMatrix::new(predictions, labels, classes)?.macro_f1())
}

/// F1 of the counts of all classes taken together; with one class an example it equals the accuracy.
///
/// # Errors
/// Slices of different lengths; a class not below `classes`.
pub fn micro_f1(predictions: &[usize], labels: &[usize], classes: usize) -> Result<f64, DataError> {
    Ok(ConfusionMatrix::new(predictions, labels, classes)?.micro_f1())
}

/// The index of the largest logit of each row of `classes` values; of equal ones the first, and a NaN is
/// never the largest.
///
/// # Panics
/// If `classes` is 0 or does not divide the number of logits.
///
/// ```
/// assert_eq!(brew_data::metrics::predicted_classes(&[0.1, 0.9, 2.0, -1.0], 2), [1, 0]);
/// ```
pub fn predicted_classes(logits: &[f32], classes: usize) -> Vec<usize> {
    assert!(
        classes > 0 && logits.len().is_multiple_of(classes),
        "{} logits in rows of {classes}",
        logits.len()
    );
    logits
        .chunks_exact(classes)
        .map(|row| {
            let mut best = 0;
            for (class, &logit) in row.iter().enumerate() {
                if logit > row[best] || (row[best].is_nan() && !logit.is_nan()) {
                    best = class;
                }
            }
            best
        })
        .collect()
}

/// How often each class was taken for each.
///
/// In files it is the list of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfusionMatrix {
    rows: Vec<Vec<usize>>,
}

impl ConfusionMatrix {
    /// Counts the pairs of label and prediction.
    ///
    /// # Errors
    /// Slices of different lengths; a class not below `classes`.
    ///
    /// ```
    /// use brew_data::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::new(&[0, 1, 1], &[0, 0, 1], 2)?;
    /// assert_eq!(matrix.rows(), [[1, 1], [0, 1]]);
    /// # Ok::<(), brew_data::DataError>(())
    /// ```
    pub fn new(predictions: &[usize], labels: &[usize], classes: usize) -> Result<Self, DataError> {
        same_length(predictions, labels)?;
        let mut rows = vec![vec![0; classes]; classes];
        for (position, (&prediction, &label)) in predictions.iter().zip(labels).enumerate() {
            let class = prediction.max(label);
            if class >= classes {
                return Err(DataError::ClassOutOfRange { class, position, classes });
            }
            rows[label][prediction] += 1;
        }
        Ok(Self { rows })
    }

    /// The counts: a row is a label, a column a prediction.
    pub fn rows(&self) -> &[Vec<usize>] {
        &self.rows
    }

    /// How many examples are of a class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn support(&self, class: usize) -> usize {
        self.rows[class].iter().sum()
    }

    /// The scores of a class against the others.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn scores(&self, class: usize) -> Scores {
        let hits = self.rows[class][class];
        let predicted: usize = self.rows.iter().map(|row| row[class]).sum();
        Scores::from_counts(hits, predicted - hits, self.support(class) - hits)
    }

    /// The share of the examples on the diagonal.
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.rows.len()).map(|class| self.rows[class][class]).sum();
        ratio(right, self.total())
    }

    /// The mean of the classes' F1; 0 without classes.
    pub fn macro_f1(&self) -> f64 {
        if self.rows.is_empty() {
            return 0.0;
        }
        (0..self.rows.len()).map(|class| self.scores(class).f1).sum::<f64>() / self.rows.len() as f64
    }

    /// F1 of the counts of all classes together.
    pub fn micro_f1(&self) -> f64 {
        let right: usize = (0..self.rows.len()).map(|class| self.rows[class][class]).sum();
        let wrong = self.total() - right;
        Scores::from_counts(right, wrong, wrong).f1
    }

    fn total(&self) -> usize {
        self.rows.iter().flatten().sum()
    }
}

/// The scores of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// The label's name.
    pub label: String,
    /// Its scores against the other labels.
    #[serde(flatten)]
    pub scores: Scores,
    /// How many examples have it.
    pub support: usize,
}

/// What there is to say about the predictions for a data set.
///
/// ```
/// use brew_data::{ClassificationReport, LabelSet};
///
/// let labels = LabelSet::new(["negative", "positive"])?;
/// let report = ClassificationReport::new(&[1, 1, 0], &[1, 0, 0], &labels)?;
/// assert_eq!(report.accuracy, 2.0 / 3.0);
/// assert_eq!(report.per_label[1].scores.precision, 0.5);
/// println!("{report}");
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassificationReport {
    /// How many examples.
    pub examples: usize,
    /// The share that is right.
    pub accuracy: f64,
    /// With two labels the F1 of the second one, the positive class; else the macro F1.
    pub f1: f64,
    /// The mean of the labels' F1.
    pub macro_f1: f64,
    /// F1 of the counts of all labels together.
    pub micro_f1: f64,
    /// Matthews' correlation: see [`matthews_correlation`].
    pub matthews: f64,
    /// Each label by itself, in the order of the set.
    pub per_label: Vec<LabelReport>,
    /// A row is a label, a column a prediction.
    pub confusion: ConfusionMatrix,
}

impl ClassificationReport {
    /// Compares predictions with labels.
    ///
    /// # Errors
    /// Slices of different lengths; a class that is not in the set.
    pub fn new(predictions: &[usize], labels: &[usize], names: &LabelSet) -> Result<Self, DataError> {
        let confusion = ConfusionMatrix::new(predictions, labels, names.len())?;
        let per_label: Vec<LabelReport> = names
            .names()
            .iter()
            .enumerate()
            .map(|(class, label)| LabelReport {
                label: label.clone(),
                scores: confusion.scores(class),
                support: confusion.support(class),
            })
            .collect();
        let macro_f1 = confusion.macro_f1();
        let f1 = match per_label.as_slice() {
            [_, positive] => positive.scores.f1,
            _ => macro_f1,
        };
        Ok(Self {
            examples: labels.len(),
            accuracy: confusion.accuracy(),
            f1,
            macro_f1,
            micro_f1: confusion.micro_f1(),
            matthews: confusion.matthews(),
            per_label,
            confusion,
        })
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.per_label.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).max(8);
        writeln!(f, "{:width$}  precision  recall      f1  support", "")?;
        for row in &self.per_label {
            let Scores { precision, recall, f1 } = row.scores;
            writeln!(f, "{:width$}  {precision:9.4}  {recall:6.4}  {f1:6.4}  {:7}", row.label, row.support)?;
        }
        writeln!(f, "{:width$}  {:9.4}", "accuracy", self.accuracy)?;
        writeln!(f, "{:width$}  {:9.4}", "macro f1", self.macro_f1)?;
        write!(f, "{:width$}  {:9.4}", "micro f1", self.micro_f1)
    }
}

#[cfg(test)]
mod tests;
