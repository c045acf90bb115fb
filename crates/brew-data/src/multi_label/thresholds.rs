//! From which probability on a label is said to hold.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// A probability for each label: a label holds where its own, the sigmoid of its logit, is greater.
///
/// In files it is the list of numbers.
///
/// ```
/// use brew_data::Thresholds;
/// let logits = [2.0, -0.1, -3.0, 0.1];
/// assert_eq!(Thresholds::uniform(0.5, 2).flags(&logits), [[true, false], [false, true]]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thresholds {
    values: Vec<f64>,
}

/// What one threshold for all labels makes large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum F1Average {
    /// F1 of all decisions together.
    Micro,
    /// The mean of the labels' F1.
    #[default]
    Macro,
}

/// The threshold where no other is better.
const USUAL: f64 = 0.5;

impl Thresholds {
    /// The same threshold for every label; 0.5 is usual.
    pub fn uniform(threshold: f64, labels: usize) -> Self {
        Self { values: vec![threshold; labels] }
    }

    /// The threshold of each label.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Which labels hold, a list an example. A NaN never does.
    ///
    /// # Panics
    /// If the number of labels does not divide that of the logits.
    pub fn flags(&self, logits: &[f32]) -> Vec<Vec<bool>> {
        rows(logits, self.values.len())
            .map(|row| {
                row.iter()
                    .zip(&self.values)
                    .map(|(&logit, &threshold)| probability(logit) > threshold)
                    .collect()
            })
            .collect()
    }

    /// For each label the threshold that gives it the best F1 on these examples, such as a dev set: half-way
    /// between the probabilities of two of them. Where none is better than 0.5, as for a label that no example has,
    /// it is 0.5. So is macro F1 made as large as it can be.
    ///
    /// # Errors
    /// Other numbers of examples on either side, or of flags in one.
    ///
    /// # Panics
    /// If `labels` does not divide the number of logits.
    pub fn best_of_each(
        logits: &[f32],
        flags: &[impl AsRef<[bool]>],
        labels: usize,
    ) -> Result<Self, DataError> {
        let decisions = decisions(logits, flags, labels)?;
        let mut each: Vec<Vec<Decision>> = vec![Vec::new(); labels];
        for decision in decisions {
            each[decision.label].push(Decision { label: 0, ..decision });
        }
        Ok(Self { values: each.into_iter().map(|decisions| best(decisions, 1)).collect() })
    }

    /// The one threshold for all labels that gives the best F1 on these examples, by one average or the other.
    ///
    /// # Errors
    /// Other numbers of examples on either side, or of flags in one.
    ///
    /// # Panics
    /// If `labels` does not divide the number of logits.
    pub fn best_of_all(
        logits: &[f32],
        flags: &[impl AsRef<[bool]>],
        labels: usize,
        average: F1Average,
    ) -> Result<Self, DataError> {
        let mut decisions = decisions(logits, flags, labels)?;
        let counted = match average {
            F1Average::Macro => labels,
            F1Average::Micro => {
                decisions.iter_mut().for_each(|decision| decision.label = 0);
                1
            }
        };
        Ok(Self::uniform(best(decisions, counted), labels))
    }
}

/// The sigmoid of a logit; a NaN is least likely of all.
fn probability(logit: f32) -> f64 {
    if logit.is_nan() { -1.0 } else { 1.0 / (1.0 + (-f64::from(logit)).exp()) }
}

fn rows(logits: &[f32], labels: usize) -> std::slice::ChunksExact<'_, f32> {
    assert!(labels > 0 && logits.len().is_multiple_of(labels), "{} logits in rows of {labels}", logits.len());
    logits.chunks_exact(labels)
}

/// One label of one example.
#[derive(Debug, Clone, Copy)]
struct Decision {
    probability: f64,
    /// Whose F1 it counts for.
    label: usize,
    holds: bool,
}

fn decisions(
    logits: &[f32],
    flags: &[impl AsRef<[bool]>],
    labels: usize,
) -> Result<Vec<Decision>, DataError> {
    let rows = rows(logits, labels);
    if rows.len() != flags.len() {
        return Err(DataError::DifferentLengths { predictions: rows.len(), labels: flags.len() });
    }
    let mut decisions = Vec::with_capacity(logits.len());
    for (example, (row, flags)) in rows.zip(flags).enumerate() {
        let flags = flags.as_ref();
        if flags.len() != labels {
            return Err(DataError::FlagCount { example, found: flags.len(), expected: labels });
        }
        decisions.extend(row.iter().zip(flags).enumerate().map(|(label, (&logit, &holds))| Decision {
            probability: probability(logit),
            label,
            holds,
        }));
    }
    Ok(decisions)
}

/// Right ones, predicted ones and true ones of one label.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    hits: usize,
    predicted: usize,
    gold: usize,
}

impl Counts {
    fn f1(self) -> f64 {
        match self.predicted + self.gold {
            0 => 0.0,
            both => 2.0 * self.hits as f64 / both as f64,
        }
    }
}

/// The threshold with the best mean of the labels' F1.
fn best(mut decisions: Vec<Decision>, labels: usize) -> f64 {
    decisions.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let mut counts = vec![Counts::default(); labels];
    for decision in &decisions {
        counts[decision.label].gold += usize::from(decision.holds);
    }
    let say_yes = |counts: &mut [Counts], decision: &Decision| {
        let label = &mut counts[decision.label];
        label.predicted += 1;
        label.hits += usize::from(decision.holds);
    };
    let usual = {
        let mut counts = counts.clone();
        decisions
            .iter()
            .filter(|decision| decision.probability > USUAL)
            .for_each(|d| say_yes(&mut counts, d));
        counts.iter().map(|label| label.f1()).sum::<f64>()
    };
    let mut best = (usual, USUAL);
    let mut said = 0;
    // The sum changes a label at a time and would gather errors: a new best has to be better by more than these.
    let mut sum = 0.0;
    for equal in decisions.chunk_by(|a, b| a.probability == b.probability) {
        if equal[0].probability <= 0.0 {
            break; // no threshold says yes to these
        }
        for decision in equal {
            let before = counts[decision.label].f1();
            say_yes(&mut counts, decision);
            sum += counts[decision.label].f1() - before;
        }
        said += equal.len();
        if sum > best.0 + 1e-9 {
            let here = equal[0].probability;
            let next = decisions.get(said).map_or(0.0, |decision| decision.probability.max(0.0));
            let middle = (here + next) / 2.0;
            best = (sum, if middle < here { middle } else { next });
        }
    }
    best.1
}
