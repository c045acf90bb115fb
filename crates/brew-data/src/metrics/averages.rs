//! Averages over labels, and the table they are printed in.

use std::fmt;

use super::{LabelReport, Scores};

/// The mean of some scores; zeros for none.
pub(super) fn mean(scores: impl IntoIterator<Item = Scores>) -> Scores {
    weighted_mean(scores.into_iter().map(|scores| (scores, 1)))
}

/// The mean of some scores by weight; zeros where no weight is.
pub(super) fn weighted_mean(scores: impl IntoIterator<Item = (Scores, usize)>) -> Scores {
    let mut sum = Scores::default();
    let mut weights = 0;
    for (scores, weight) in scores {
        sum.precision += scores.precision * weight as f64;
        sum.recall += scores.recall * weight as f64;
        sum.f1 += scores.f1 * weight as f64;
        weights += weight;
    }
    match weights {
        0 => Scores::default(),
        _ => {
            let weights = weights as f64;
            Scores { precision: sum.precision / weights, recall: sum.recall / weights, f1: sum.f1 / weights }
        }
    }
}

/// Writes labels and then averages, a line each.
pub(super) fn write_table(
    f: &mut fmt::Formatter<'_>,
    labels: &[LabelReport],
    averages: &[(&str, Scores)],
    further: &[(&str, f64)],
) -> fmt::Result {
    let names = labels.iter().map(|row| row.label.as_str());
    let names = names.chain(averages.iter().map(|row| row.0)).chain(further.iter().map(|row| row.0));
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0).max(8);
    let support: usize = labels.iter().map(|row| row.support).sum();
    writeln!(f, "{:width$}  precision  recall      f1  support", "")?;
    let rows = labels.iter().map(|row| (row.label.as_str(), row.scores, row.support));
    for (name, Scores { precision, recall, f1 }, support) in
        rows.chain(averages.iter().map(|&(name, scores)| (name, scores, support)))
    {
        writeln!(f, "{name:width$}  {precision:9.4}  {recall:6.4}  {f1:6.4}  {support:7}")?;
    }
    for (at, (name, value)) in further.iter().enumerate() {
        let end = if at + 1 == further.len() { "" } else { "\n" };
        write!(f, "{name:width$}  {value:9.4}{end}")?;
    }
    Ok(())
}
