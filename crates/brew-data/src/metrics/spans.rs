//! How good predicted spans are.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::averages::{mean, weighted_mean, write_table};
use super::{LabelReport, Scores, ratio};
use crate::{DataError, EntitySpan, SpanMode, TagScheme};

/// Precision, recall and F1 of spans: a span is right if its words and its type are.
///
/// The numbers are those of [seqeval](https://github.com/chakki-works/seqeval) 1.2.2: of its default where the mode is
/// lenient, of `mode="strict"` with the scheme where it is strict. (`bmes` is its `IOBES` with `I` for `M`.) What is
/// undefined is 0, where seqeval warns, or for no span at all gives NaN.
///
/// ```
/// use brew_data::{SpanMode, SpanReport, TagScheme};
///
/// let predicted = [vec!["B-PER", "I-PER", "O", "B-LOC"]];
/// let gold = [vec!["B-PER", "I-PER", "O", "B-ORG"]];
/// let report = SpanReport::new(&predicted, &gold, TagScheme::Iob2, SpanMode::Lenient)?;
/// assert_eq!((report.f1, report.accuracy), (0.5, 0.75));
/// assert_eq!(report.per_type.iter().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["LOC", "ORG", "PER"]);
/// println!("{report}");
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanReport {
    /// How many sentences.
    pub sentences: usize,
    /// How many words.
    pub words: usize,
    /// The scheme of the tags.
    pub scheme: TagScheme,
    /// What counted as a span.
    pub mode: SpanMode,
    /// The F1 of all spans together: what papers report.
    pub f1: f64,
    /// The share of the words with the right tag, `O` included.
    pub accuracy: f64,
    /// All spans together.
    pub micro_average: Scores,
    /// The mean over the types.
    pub macro_average: Scores,
    /// The mean over the types, weighted by how many correct spans there are.
    pub weighted_average: Scores,
    /// Each type that occurs or is predicted, in alphabetical order.
    pub per_type: Vec<LabelReport>,
}

/// Spans of one type: right ones, predicted ones and correct ones.
#[derive(Default)]
struct Counts {
    hits: usize,
    predicted: usize,
    gold: usize,
}

impl Counts {
    fn scores(&self) -> Scores {
        Scores::from_counts(self.hits, self.predicted - self.hits, self.gold - self.hits)
    }
}

impl SpanReport {
    /// Compares predicted tags with correct ones, sentence by sentence.
    ///
    /// # Errors
    /// Other numbers of sentences or of words in one; a tag that is not of the scheme.
    pub fn new<P: AsRef<str>, G: AsRef<str>>(
        predicted: &[impl AsRef<[P]>],
        gold: &[impl AsRef<[G]>],
        scheme: TagScheme,
        mode: SpanMode,
    ) -> Result<Self, DataError> {
        if predicted.len() != gold.len() {
            return Err(DataError::DifferentLengths { predictions: predicted.len(), labels: gold.len() });
        }
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        let (mut right, mut words) = (0, 0);
        for (sentence, (predicted, gold)) in predicted.iter().zip(gold).enumerate() {
            let (predicted, gold) = (predicted.as_ref(), gold.as_ref());
            if predicted.len() != gold.len() {
                let (predictions, labels) = (predicted.len(), gold.len());
                return Err(DataError::DifferentSentence { sentence, predictions, labels });
            }
            words += gold.len();
            right += predicted.iter().zip(gold).filter(|(a, b)| a.as_ref() == b.as_ref()).count();
            let gold: HashSet<EntitySpan> = scheme.spans(gold, mode)?.into_iter().collect();
            for span in &gold {
                counts.entry(span.kind.clone()).or_default().gold += 1;
            }
            for span in scheme.spans(predicted, mode)? {
                let is_right = gold.contains(&span);
                let counts = counts.entry(span.kind).or_default();
                counts.predicted += 1;
                counts.hits += usize::from(is_right);
            }
        }
        let all = counts.values().fold(Counts::default(), |sum, counts| Counts {
            hits: sum.hits + counts.hits,
            predicted: sum.predicted + counts.predicted,
            gold: sum.gold + counts.gold,
        });
        let micro_average = all.scores();
        Ok(Self {
            sentences: gold.len(),
            words,
            scheme,
            mode,
            f1: micro_average.f1,
            accuracy: ratio(right, words),
            micro_average,
            macro_average: mean(counts.values().map(Counts::scores)),
            weighted_average: weighted_mean(counts.values().map(|counts| (counts.scores(), counts.gold))),
            per_type: counts
                .into_iter()
                .map(|(label, counts)| LabelReport { label, scores: counts.scores(), support: counts.gold })
                .collect(),
        })
    }
}

impl fmt::Display for SpanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let averages = [
            ("micro average", self.micro_average),
            ("macro average", self.macro_average),
            ("weighted average", self.weighted_average),
        ];
        write_table(f, &self.per_type, &averages, &[("accuracy", self.accuracy)])
    }
}

#[cfg(test)]
mod tests;
