//! Questions paired with windows of their texts.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::{AnswerChoice, QuestionExample, SpanOptions};
use crate::cores::on_every_core;
use crate::tokenizer::PairTemplate;
use crate::{DataError, Feature, Target, TextTokenizer};

/// The bits of [`Feature::id`] that number the windows of a question.
const WINDOW_BITS: u32 = 20;

/// A question and a window of its text, as a model reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanFeature {
    /// Question first, text second. Its id is the question's number · 2²⁰ + the window's number, so that each
    /// window of a file has its own.
    pub feature: Feature,
    /// The index of the question in the slice that the features were made of.
    pub example: usize,
    /// The number of the window among those of the question, from 0.
    pub window: usize,
    /// Which token of the feature is the first of the text.
    pub context_start: usize,
    /// The characters of the whole text that each token of the window is: from, and one more than the last.
    pub offsets: Vec<(u32, u32)>,
    /// For each token of the window, whether no other window shows more of what stands around it: only there
    /// may an answer start.
    pub is_max_context: Vec<bool>,
}

impl SpanFeature {
    /// Whether the window holds the answer.
    fn has_answer(&self) -> bool {
        matches!(self.feature.target, Some(Target::Span { start, .. }) if start > 0)
    }
}

/// What became of questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WindowReport {
    /// Questions that have at least one window.
    pub questions: usize,
    /// Windows with their answer.
    pub with_answer: usize,
    /// Windows of which is known that they have none.
    pub without_answer: usize,
    /// Windows of which nothing is known.
    pub unlabelled: usize,
    /// Questions with answers that are not in their texts, or only in characters that the tokenizer drops.
    pub unaligned: usize,
}

impl WindowReport {
    /// All windows.
    pub fn windows(&self) -> usize {
        self.with_answer + self.without_answer + self.unlabelled
    }
}

impl fmt::Display for WindowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { questions, with_answer, without_answer, unlabelled, unaligned } = self;
        write!(
            f,
            "{} windows of {questions} questions: {with_answer} with the answer, {without_answer} without, \
             {unlabelled} unlabelled; {unaligned} questions with answers that no token is part of",
            self.windows()
        )
    }
}

/// Every window of every question, in their order: what evaluating and predicting need.
///
/// A window is the question, cut to `max_question_length` tokens, and as many tokens of the text as
/// `max_length` leaves room for; the next one begins `doc_stride` tokens later, until one reaches the end of
/// the text. The pair is built as the tokenizer builds pairs, so that RoBERTa's have its two separators and
/// one token type.
///
/// The target is a [`Target::Span`] where the question's answer is known: the tokens of the feature that have
/// a character in common with it, or 0 and 0 where the window does not hold all of these and where the
/// question is impossible. Without a known answer there is no target.
///
/// # Errors
/// [`DataError::BadSpanOptions`]; a text that the tokenizer refuses.
pub fn question_features(
    tokenizer: &TextTokenizer,
    questions: &[QuestionExample],
    options: &SpanOptions,
) -> Result<(Vec<SpanFeature>, WindowReport), DataError> {
    features(tokenizer, questions, options, |_, _| {})
}

/// The windows to train on. They are those of [`question_features`] without the questions whose answers no
/// token is part of (see `unaligned_as_unlabelled`), and with at most `negative_windows` of those without the
/// answer for each question that has one, spread evenly over the text.
///
/// # Errors
/// Those of [`question_features`].
pub fn training_features(
    tokenizer: &TextTokenizer,
    questions: &[QuestionExample],
    options: &SpanOptions,
) -> Result<(Vec<SpanFeature>, WindowReport), DataError> {
    features(tokenizer, questions, options, |windows, is_unaligned| {
        if is_unaligned && !options.unaligned_as_unlabelled {
            windows.clear();
        }
        if let Some(most) = options.negative_windows
            && windows.iter().any(SpanFeature::has_answer)
        {
            thin_out(windows, most);
        }
    })
}

/// Keeps `most` of the windows without the answer, evenly spread.
fn thin_out(windows: &mut Vec<SpanFeature>, most: usize) {
    let negative = windows.iter().filter(|window| !window.has_answer()).count();
    if negative <= most {
        return;
    }
    let mut at = 0;
    windows.retain(|window| {
        if window.has_answer() {
            return true;
        }
        // Of every `negative` steps of `most`, those that reach a new multiple: exactly `most` of them.
        let is_kept = (at * most).div_ceil(negative) != ((at + 1) * most).div_ceil(negative);
        at += 1;
        is_kept
    });
}

fn features(
    tokenizer: &TextTokenizer,
    questions: &[QuestionExample],
    options: &SpanOptions,
    choose: impl Fn(&mut Vec<SpanFeature>, bool) + Sync,
) -> Result<(Vec<SpanFeature>, WindowReport), DataError> {
    let template = tokenizer.pair_template()?;
    options.check(template.special_tokens())?;
    let windower = Windower { tokenizer, template, options };
    let numbered: Vec<(usize, &QuestionExample)> = questions.iter().enumerate().collect();
    let made = on_every_core(&numbered, |&(example, question)| {
        let (mut windows, is_unaligned) = windower.windows(example, question)?;
        choose(&mut windows, is_unaligned);
        Ok((windows, is_unaligned))
    })?;
    let mut report = WindowReport::default();
    let mut features = Vec::new();
    for (windows, is_unaligned) in made {
        report.questions += usize::from(!windows.is_empty());
        report.unaligned += usize::from(is_unaligned);
        for window in &windows {
            *match (&window.feature.target, window.has_answer()) {
                (None, _) => &mut report.unlabelled,
                (Some(_), true) => &mut report.with_answer,
                (Some(_), false) => &mut report.without_answer,
            } += 1;
        }
        features.extend(windows);
    }
    Ok((features, report))
}

/// What is known of a question's answer.
enum Known {
    /// The tokens of the text, the last one included.
    Tokens(usize, usize),
    NoAnswer,
    Nothing,
}

struct Windower<'a> {
    tokenizer: &'a TextTokenizer,
    template: PairTemplate,
    options: &'a SpanOptions,
}

impl Windower<'_> {
    /// The windows of a question, and whether it has answers that no token is part of.
    fn windows(
        &self,
        example: usize,
        question: &QuestionExample,
    ) -> Result<(Vec<SpanFeature>, bool), DataError> {
        let mut asked = self.tokenizer.text_tokens(question.number, &question.question)?.ids;
        asked.truncate(self.options.max_question_length);
        let context = self.tokenizer.text_tokens(question.number, &question.context)?;
        let room = self.options.max_length - self.template.special_tokens() - asked.len();
        let ranges = ranges(context.ids.len(), room, self.options.doc_stride);
        let tokens = chosen(question, self.options.answer).and_then(|span| covering(&context.spans, &span));
        let is_unaligned = tokens.is_none() && !question.answers.is_empty();
        let known = match tokens {
            Some((start, end)) => Known::Tokens(start, end),
            None if question.is_impossible => Known::NoAnswer,
            None => Known::Nothing,
        };
        let windows = ranges.iter().enumerate().map(|(window, range)| {
            let (input_ids, token_type_ids, begin) = self.template.join(&asked, &context.ids[range.clone()]);
            let target = match known {
                Known::Tokens(start, end) if range.start <= start && end < range.end => {
                    Some(Target::Span { start: begin + start - range.start, end: begin + end - range.start })
                }
                Known::Tokens(..) | Known::NoAnswer => Some(Target::Span { start: 0, end: 0 }),
                Known::Nothing => None,
            };
            let spans = &context.spans[range.clone()];
            SpanFeature {
                feature: Feature {
                    id: (question.number << WINDOW_BITS) + window as u64,
                    input_ids,
                    token_type_ids,
                    target,
                },
                example,
                window,
                context_start: begin,
                offsets: spans.iter().map(|&(start, end)| (start as u32, end as u32)).collect(),
                is_max_context: range.clone().map(|token| most_context(&ranges, token) == window).collect(),
            }
        });
        Ok((windows.collect(), is_unaligned))
    }
}

/// The tokens of each window of a text; one empty window for an empty text.
fn ranges(length: usize, room: usize, stride: usize) -> Vec<Range<usize>> {
    let step = stride.min(room);
    let mut ranges = Vec::new();
    let mut start = 0;
    loop {
        let end = length.min(start + room);
        ranges.push(start..end);
        if end == length {
            return ranges;
        }
        start += step;
    }
}

/// The window with the most context on the poorer side of a token; of equal ones the longer, then the first.
/// It is the rule of BERT's `run_squad.py`.
fn most_context(ranges: &[Range<usize>], token: usize) -> usize {
    let holding = ranges.iter().enumerate().filter(|(_, range)| range.contains(&token));
    let (best, _) = holding.fold((0, None), |(best, most), (window, range)| {
        let context = ((token - range.start).min(range.end - 1 - token), range.len());
        if most.is_none_or(|most| context > most) { (window, Some(context)) } else { (best, most) }
    });
    best
}

/// The characters of the answer to train on.
fn chosen(question: &QuestionExample, choice: AnswerChoice) -> Option<Range<usize>> {
    let spans = || question.answers.iter().filter_map(|answer| answer.span.as_ref());
    let count = |span: &Range<usize>| spans().filter(|other| *other == span).count();
    let chosen = match choice {
        AnswerChoice::First => spans().next(),
        // `max_by_key` would take the last of equals.
        AnswerChoice::Majority => spans().rev().max_by_key(|span| count(span)),
    };
    chosen.cloned()
}

/// The first and the last token that have a character in common with an answer.
fn covering(spans: &[(usize, usize)], answer: &Range<usize>) -> Option<(usize, usize)> {
    let overlaps = |&(start, end): &(usize, usize)| start.max(answer.start) < end.min(answer.end);
    Some((spans.iter().position(overlaps)?, spans.iter().rposition(overlaps)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_step_until_one_reaches_the_end() {
        assert_eq!(ranges(10, 10, 4).as_slice(), std::slice::from_ref(&(0..10)));
        assert_eq!(ranges(11, 10, 4), [0..10, 4..11]);
        assert_eq!(ranges(20, 10, 4), [0..10, 4..14, 8..18, 12..20]);
        assert_eq!(ranges(5, 2, 9), [0..2, 2..4, 4..5]);
        assert_eq!(ranges(0, 2, 1).as_slice(), std::slice::from_ref(&(0..0)));
    }

    #[test]
    fn the_window_with_the_most_context_is_berts() {
        // The example in run_squad.py: "the man went to the store and bought a gallon of milk", stride 3.
        let ranges = [0..5, 3..8, 6..11];
        // `bought` has 4 left and 0 right in the second window, 1 left and 3 right in the third.
        assert_eq!(most_context(&ranges, 7), 2);
        assert_eq!(most_context(&ranges, 3), 0);
        assert_eq!(most_context(&ranges, 4), 1);
    }

    #[test]
    fn longer_windows_win_only_where_the_context_is_equal() {
        // Token 6 has 0 on its poorer side in both; the first is the longer.
        assert_eq!(most_context(&[0..7, 6..9], 6), 0);
        assert_eq!(most_context(&[0..3, 2..7], 2), 1);
    }

    #[test]
    fn answers_between_tokens_take_the_covering_ones() {
        let spans = [(0, 3), (3, 3), (4, 9), (9, 12)];
        assert_eq!(covering(&spans, &(5..6)), Some((2, 2)));
        assert_eq!(covering(&spans, &(2..10)), Some((0, 3)));
        assert_eq!(covering(&spans, &(3..4)), None);
    }

    #[test]
    fn negative_windows_are_spread_evenly() {
        let window = |window: usize, target| SpanFeature {
            feature: Feature { id: 0, input_ids: vec![], token_type_ids: vec![], target: Some(target) },
            example: 0,
            window,
            context_start: 0,
            offsets: vec![],
            is_max_context: vec![],
        };
        for most in 0..12 {
            let mut windows: Vec<_> = (0..10)
                .map(|at| {
                    let place = if at == 4 { 7 } else { 0 };
                    window(at, Target::Span { start: place, end: place })
                })
                .collect();
            thin_out(&mut windows, most);
            let kept: Vec<usize> = windows.iter().map(|window| window.window).collect();
            assert_eq!(kept.len(), 1 + most.min(9));
            assert!(kept.contains(&4));
            if most == 3 {
                assert_eq!(kept, [0, 3, 4, 7]);
            }
        }
    }
}
