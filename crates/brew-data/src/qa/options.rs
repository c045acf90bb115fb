//! How questions and texts become windows.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// How questions are paired with windows of their texts.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `max_length` | 384 | tokens of a window at most, question and special tokens included |
/// | `doc_stride` | 128 | tokens from the beginning of one window to that of the next; at least 1 |
/// | `max_question_length` | 64 | tokens of the question that are kept; at least 1 |
/// | `answer` | `first` | which of several answers is trained on |
/// | `negative_windows` | all | in training: windows of a question kept at most though they do not hold its answer |
/// | `unaligned_as_unlabelled` | false | in training: keep questions whose answers are not in their texts, without a target |
///
/// `doc_stride` is the step of BERT's `run_squad.py`, not the overlap that transformers' scripts call so.
/// Where the room for the text is less than the step, windows follow each other without a gap.
///
/// ```
/// let options: brew_data::SpanOptions = serde_json::from_str(r#"{"max_length": 512, "answer": "majority"}"#).unwrap();
/// assert_eq!((options.max_length, options.doc_stride), (512, 128));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpanOptions {
    /// Tokens of a window at most, question and special tokens included.
    pub max_length: usize,
    /// Tokens from the beginning of one window to that of the next.
    pub doc_stride: usize,
    /// Tokens of the question that are kept.
    pub max_question_length: usize,
    /// Which of several answers is trained on.
    pub answer: AnswerChoice,
    /// Windows of a question that are kept for training though they do not hold its answer, at most; by
    /// default all of them, as BERT keeps them. Questions without an answer keep all of theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_windows: Option<usize>,
    /// Whether questions whose answers are not in their texts stay among the training features, without a
    /// target: a student can still learn from what its teacher says of them.
    pub unaligned_as_unlabelled: bool,
}

impl Default for SpanOptions {
    fn default() -> Self {
        Self {
            max_length: 384,
            doc_stride: 128,
            max_question_length: 64,
            answer: AnswerChoice::First,
            negative_windows: None,
            unaligned_as_unlabelled: false,
        }
    }
}

impl SpanOptions {
    /// All that is out of range, given how many special tokens a pair has.
    pub(super) fn check(&self, special: usize) -> Result<(), DataError> {
        let mut problems = Vec::new();
        for (name, value) in
            [("doc_stride", self.doc_stride), ("max_question_length", self.max_question_length)]
        {
            if value == 0 {
                problems.push(format!("`{name}` is 0; it must be at least 1"));
            }
        }
        if !problems.is_empty() {
            return Err(DataError::BadSpanOptions { problems });
        }
        let least = special + self.max_question_length + 1;
        match self.max_length < least {
            true => Err(DataError::BadSpanOptions {
                problems: vec![format!(
                    "`max_length` is {}; with {special} special tokens, `max_question_length` {} and one token of \
                     the text it must be at least {least}",
                    self.max_length, self.max_question_length
                )],
            }),
            false => Ok(()),
        }
    }
}

/// Which of a question's answers is trained on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerChoice {
    /// The first one that is in the text.
    #[default]
    First,
    /// The place that most of them have, the first of these where several do.
    Majority,
}
