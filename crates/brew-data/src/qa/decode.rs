//! From what a model says of windows to an answer a question.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{QuestionExample, SpanFeature};
use crate::DataError;

/// How answers are chosen.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `n_best` | 20 | candidates that are kept for each question; at least 1 |
/// | `max_answer_length` | 30 | tokens of an answer at most, as in BERT's `run_squad.py`; at least 1 |
/// | `null_threshold` | none | answer nothing where that scores higher by more than this, for SQuAD 2.0 |
///
/// Without `null_threshold` every question is answered. Chinese answers are long in tokens, which are
/// characters: 30 are enough for 94% of the answers of CMRC 2018's development set and 64% of its trial set,
/// 100 for all and 97%.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpanDecoding {
    /// Candidates that are kept for each question.
    pub n_best: usize,
    /// Tokens of an answer at most.
    pub max_answer_length: usize,
    /// By how much no answer must score higher than the best one to be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_threshold: Option<f32>,
}

impl Default for SpanDecoding {
    fn default() -> Self {
        Self { n_best: 20, max_answer_length: 30, null_threshold: None }
    }
}

impl SpanDecoding {
    fn check(&self) -> Result<(), DataError> {
        let mut problems = Vec::new();
        for (name, value) in [("n_best", self.n_best), ("max_answer_length", self.max_answer_length)] {
            if value == 0 {
                problems.push(format!("`{name}` is 0; it must be at least 1"));
            }
        }
        if self.null_threshold.is_some_and(f32::is_nan) {
            problems.push("`null_threshold` is not a number".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(DataError::BadSpanOptions { problems }) }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanPrediction {
    /// What the question's file calls it.
    pub id: String,
    /// The answer, as it stands in the text; empty where there is none.
    pub text: String,
    /// The characters of the text that it is; `None` where there is none.
    pub span: Option<Range<usize>>,
    /// Its share among the candidates, in `[0, 1]`.
    pub probability: f64,
    /// By how much no answer scores higher than the best one; `None` where the question has no candidate.
    pub null_difference: Option<f64>,
    /// The best candidates, the best first. Where `null_threshold` is given, no answer is one of them.
    pub n_best: Vec<SpanCandidate>,
}

impl AsRef<str> for SpanPrediction {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// One possible answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanCandidate {
    /// The answer, as it stands in the text.
    pub text: String,
    /// The characters of the text that it is; `None` for no answer.
    pub span: Option<Range<usize>>,
    /// The logit of its first token as a start, plus that of its last as an end.
    pub score: f64,
    /// The softmax of the scores over the candidates.
    pub probability: f64,
}

/// The answers to questions from the logits of their windows, one a question, in the order of the questions.
///
/// A candidate starts and ends on tokens of the text in one window, the end not before the start, and has at
/// most `max_answer_length` tokens; it starts where its window shows the most context of that token
/// ([`SpanFeature::is_max_context`]), so that no place counts twice. Its score is the sum of the two logits.
/// All of them are compared, not only those of the highest starts with the highest ends as in BERT's script,
/// so that the answer is never one of a lower score. Of candidates with the same text the best is kept.
///
/// No answer scores what the first token of the window does as start and end, the least over the windows.
///
/// `start_logits` and `end_logits` have a row a feature, in their order, with a number for each of its tokens;
/// what is behind these, as for padding, is not looked at. A logit that is not a number never wins.
///
/// # Errors
/// [`DataError::SpanLogits`] for too few rows or numbers; [`DataError::BadSpanOptions`].
///
/// # Panics
/// If a feature is of a question that is not among `questions`.
pub fn decode_spans<L: AsRef<[f32]>>(
    questions: &[QuestionExample],
    features: &[SpanFeature],
    start_logits: &[L],
    end_logits: &[L],
    decoding: &SpanDecoding,
) -> Result<Vec<SpanPrediction>, DataError> {
    decoding.check()?;
    for (name, rows) in [("start", start_logits), ("end", end_logits)] {
        if rows.len() != features.len() {
            let message = format!("{} rows of {name} logits for {} features", rows.len(), features.len());
            return Err(DataError::SpanLogits { message });
        }
        for (at, (row, feature)) in rows.iter().zip(features).enumerate() {
            let (found, tokens) = (row.as_ref().len(), feature.feature.len());
            if found < tokens {
                let message = format!("feature {at} has {tokens} tokens but {found} {name} logits");
                return Err(DataError::SpanLogits { message });
            }
        }
    }
    let mut best: Vec<Best> = questions.iter().map(|_| Best::default()).collect();
    for (feature, (starts, ends)) in features.iter().zip(start_logits.iter().zip(end_logits)) {
        best[feature.example].add(feature, starts.as_ref(), ends.as_ref(), decoding);
    }
    Ok(questions.iter().zip(best).map(|(question, best)| best.prediction(question, decoding)).collect())
}

/// The best places of one question, the best first.
#[derive(Default)]
struct Best {
    places: Vec<Place>,
    null: Option<f64>,
}

struct Place {
    score: f64,
    span: Range<usize>,
}

impl Best {
    fn add(&mut self, feature: &SpanFeature, starts: &[f32], ends: &[f32], decoding: &SpanDecoding) {
        if let (Some(&start), Some(&end)) = (starts.first(), ends.first()) {
            let null = logit(start) + logit(end);
            self.null = Some(self.null.map_or(null, |least| least.min(null)));
        }
        let tokens = feature.context_start..feature.context_start + feature.offsets.len();
        let (starts, ends) = (&starts[tokens.clone()], &ends[tokens]);
        let is_text = |at: usize| feature.offsets[at].0 < feature.offsets[at].1;
        for (start, &start_logit) in starts.iter().enumerate() {
            if !feature.is_max_context[start] || start_logit.is_nan() || !is_text(start) {
                continue;
            }
            let last = ends.len().min(start + decoding.max_answer_length);
            for (end, &end_logit) in ends.iter().enumerate().take(last).skip(start) {
                let score = logit(start_logit) + logit(end_logit);
                if !end_logit.is_nan() && is_text(end) && self.may_enter(score, decoding.n_best) {
                    let span = feature.offsets[start].0 as usize..feature.offsets[end].1 as usize;
                    self.enter(Place { score, span }, decoding.n_best);
                }
            }
        }
    }

    fn may_enter(&self, score: f64, n_best: usize) -> bool {
        self.places.len() < n_best || self.places.last().is_some_and(|last| score > last.score)
    }

    /// Puts a place behind those that score no less.
    fn enter(&mut self, place: Place, n_best: usize) {
        let at = self.places.partition_point(|other| other.score >= place.score);
        self.places.insert(at, place);
        self.places.truncate(n_best);
    }

    fn prediction(self, question: &QuestionExample, decoding: &SpanDecoding) -> SpanPrediction {
        let bytes: Vec<usize> =
            question.context.char_indices().map(|(byte, _)| byte).chain([question.context.len()]).collect();
        let mut n_best: Vec<SpanCandidate> = Vec::with_capacity(self.places.len() + 1);
        for Place { score, span } in self.places {
            let text = &question.context[bytes[span.start]..bytes[span.end]];
            if n_best.iter().all(|other| other.text != text) {
                n_best.push(SpanCandidate {
                    text: text.to_owned(),
                    span: Some(span),
                    score,
                    probability: 0.0,
                });
            }
        }
        let null_difference = self.null.zip(n_best.first()).map(|(null, best)| null - best.score);
        let is_null = match (decoding.null_threshold, null_difference) {
            (Some(threshold), Some(difference)) => difference > f64::from(threshold),
            (_, difference) => difference.is_none(),
        };
        if let (Some(null), Some(_)) = (self.null, decoding.null_threshold) {
            let at = n_best.partition_point(|other| other.score >= null);
            n_best
                .insert(at, SpanCandidate { text: String::new(), span: None, score: null, probability: 0.0 });
        }
        set_probabilities(&mut n_best);
        let answer = n_best.iter().find(|candidate| candidate.span.is_none() == is_null);
        SpanPrediction {
            id: question.id.clone(),
            text: answer.map(|answer| answer.text.clone()).unwrap_or_default(),
            span: answer.and_then(|answer| answer.span.clone()),
            probability: answer.map_or(0.0, |answer| answer.probability),
            null_difference,
            n_best,
        }
    }
}

/// A logit as a finite number; one that is not a number as the least.
fn logit(logit: f32) -> f64 {
    f64::from(if logit.is_nan() { f32::MIN } else { logit.clamp(f32::MIN, f32::MAX) })
}

fn set_probabilities(candidates: &mut [SpanCandidate]) {
    let most = candidates.iter().map(|candidate| candidate.score).fold(f64::MIN, f64::max);
    let sum: f64 = candidates.iter().map(|candidate| (candidate.score - most).exp()).sum();
    for candidate in candidates {
        candidate.probability = (candidate.score - most).exp() / sum;
    }
}
