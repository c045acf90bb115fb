//! How well predicted numbers follow the true ones, and Matthews' correlation of classes.

use std::fmt;

use serde::Serialize;

use super::ConfusionMatrix;
use crate::DataError;

/// Refuses what cannot be compared number by number.
fn comparable(predictions: &[f64], values: &[f64]) -> Result<(), DataError> {
    if predictions.len() != values.len() {
        return Err(DataError::DifferentLengths { predictions: predictions.len(), labels: values.len() });
    }
    for (slice, what) in [(predictions, "prediction"), (values, "value")] {
        if let Some(position) = slice.iter().position(|number| !number.is_finite()) {
            return Err(DataError::NotFinite { what, position, value: slice[position] });
        }
    }
    Ok(())
}

/// The mean of the squared differences; 0 of nothing.
///
/// # Errors
/// Slices of different lengths; a number that is not finite.
pub fn mean_squared_error(predictions: &[f64], values: &[f64]) -> Result<f64, DataError> {
    comparable(predictions, values)?;
    let sum: f64 = predictions.iter().zip(values).map(|(a, b)| (a - b).powi(2)).sum();
    Ok(sum / values.len().max(1) as f64)
}

/// Pearson's correlation, in `[-1, 1]`; 0 where one side does not vary, or of fewer than two numbers.
///
/// # Errors
/// Slices of different lengths; a number that is not finite.
///
/// ```
/// let r = brew_data::metrics::pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.5])?;
/// assert!((r - 0.9979487157886733).abs() < 1e-12);
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn pearson(predictions: &[f64], values: &[f64]) -> Result<f64, DataError> {
    comparable(predictions, values)?;
    let is_constant = |slice: &[f64]| slice.windows(2).all(|pair| pair[0] == pair[1]);
    if is_constant(predictions) || is_constant(values) {
        return Ok(0.0);
    }
    let count = values.len() as f64;
    // Scaled to their largest before anything is squared, so that nothing overflows or vanishes.
    let centred = |slice: &[f64]| {
        let mean = slice.iter().map(|number| number / count).sum::<f64>();
        let offsets: Vec<f64> = slice.iter().map(|number| number - mean).collect();
        let largest = offsets.iter().fold(0.0, |largest: f64, offset| largest.max(offset.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        offsets.into_iter().map(|offset| offset / scale).collect::<Vec<f64>>()
    };
    let (a, b) = (centred(predictions), centred(values));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (product(&a, &a) * product(&b, &b)).sqrt();
    Ok(if norms == 0.0 { 0.0 } else { (product(&a, &b) / norms).clamp(-1.0, 1.0) })
}

/// Spearman's correlation, in `[-1, 1]`: Pearson's of the ranks, where equal numbers share the mean of theirs; 0
/// where one side does not vary.
///
/// # Errors
/// Slices of different lengths; a number that is not finite.
///
/// ```
/// assert_eq!(brew_data::metrics::spearman(&[0.1, 0.2, 9.0], &[1.0, 2.0, 3.0])?, 1.0);
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn spearman(predictions: &[f64], values: &[f64]) -> Result<f64, DataError> {
    comparable(predictions, values)?;
    pearson(&ranks(predictions), &ranks(values))
}

/// The rank of each number from 1, the mean rank for equal ones.
fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| numbers[a] == numbers[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        for &index in equal {
            ranks[index] = rank;
        }
        before += equal.len();
    }
    ranks
}

/// Matthews' correlation of classes `0..classes`, in `[-1, 1]`: what GLUE reports for CoLA; see
/// [`ConfusionMatrix::matthews`].
///
/// # Errors
/// Slices of different lengths; a class not below `classes`.
///
/// ```
/// let phi = brew_data::metrics::matthews_correlation(&[1, 1, 0, 0], &[1, 0, 0, 0], 2)?;
/// assert!((phi - 1.0 / 3f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn matthews_correlation(
    predictions: &[usize],
    labels: &[usize],
    classes: usize,
) -> Result<f64, DataError> {
    Ok(ConfusionMatrix::new(predictions, labels, classes)?.matthews())
}

impl ConfusionMatrix {
    /// Matthews' correlation for any number of classes (Gorodkin 2004), as scikit-learn's `matthews_corrcoef`: 0
    /// where labels or predictions are all of one class.
    pub fn matthews(&self) -> f64 {
        let classes = 0..self.rows.len();
        let total = self.total() as f64;
        let right: f64 = classes.clone().map(|class| self.rows[class][class] as f64).sum();
        let labels: Vec<f64> = classes.clone().map(|class| self.support(class) as f64).collect();
        let predicted: Vec<f64> =
            classes.map(|class| self.rows.iter().map(|row| row[class] as f64).sum()).collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let covariance = right * total - product(&labels, &predicted);
        let spread = |counts: &[f64]| total * total - product(counts, counts);
        let spreads = spread(&labels) * spread(&predicted);
        if spreads == 0.0 { 0.0 } else { covariance / spreads.sqrt() }
    }
}

/// What there is to say about predicted numbers.
///
/// ```
/// use brew_data::RegressionReport;
/// let report = RegressionReport::new(&[0.5, 4.0, 2.0], &[0.0, 5.0, 3.0])?;
/// assert_eq!((report.spearman, report.mse), (1.0, 0.75));
/// println!("{report}");
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RegressionReport {
    /// How many examples.
    pub examples: usize,
    /// Pearson's correlation: see [`pearson`].
    pub pearson: f64,
    /// Spearman's correlation: see [`spearman`].
    pub spearman: f64,
    /// The mean squared error, in squared units of the values.
    pub mse: f64,
}

impl RegressionReport {
    /// Compares predictions with the true values.
    ///
    /// # Errors
    /// Slices of different lengths; a number that is not finite.
    pub fn new(predictions: &[f64], values: &[f64]) -> Result<Self, DataError> {
        Ok(Self {
            examples: values.len(),
            pearson: pearson(predictions, values)?,
            spearman: spearman(predictions, values)?,
            mse: mean_squared_error(predictions, values)?,
        })
    }
}

impl fmt::Display for RegressionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pearson   {:9.4}", self.pearson)?;
        writeln!(f, "spearman  {:9.4}", self.spearman)?;
        write!(f, "mse       {:9.4}", self.mse)
    }
}

#[cfg(test)]
mod tests;
