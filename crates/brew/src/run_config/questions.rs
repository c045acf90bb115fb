use brew_data::metrics::QaRules;
use brew_data::{AnswerChoice, QuestionFileSpec, SpanDecoding, SpanOptions};
use serde::{Deserialize, Serialize};

/// How questions become windows of their texts, and windows' logits answers: `data.questions` of a run of
/// `question_answering`.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `doc_stride` | 128 | tokens from the beginning of one window to that of the next |
/// | `max_question_length` | 64 | tokens of the question that are kept |
/// | `answer` | `first` | which of several answers is trained on: `first` or `majority` |
/// | `negative_windows` | all | windows without the answer that are trained on for each question, at most |
/// | `unaligned_as_unlabelled` | false | distil questions whose answers are not in their texts, too |
/// | `n_best` | 20 | candidates that predictions hold for each question |
/// | `max_answer_length` | 30 | tokens of an answer at most; Chinese answers are long in tokens, which are characters |
/// | `null_threshold` | none | by how much no answer must score higher to be given, for SQuAD 2.0 |
/// | `rules` | `squad` | whose script judges: `squad`, `squad_v2`, `cmrc` (CMRC 2018 and DRCD) |
/// | `skip_titles` | 0 | leave out the questions about so many articles, the first of a file |
/// | `take_titles` | all | then read those about so many articles |
/// | `train_titles` | none | of a file without a split, train on so many articles, the first; `dev` and `test`, where they are the same file, take the others |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionsConfig {
    /// Tokens from the beginning of one window to that of the next.
    pub doc_stride: usize,
    /// Tokens of the question that are kept.
    pub max_question_length: usize,
    /// Which of several answers is trained on.
    pub answer: AnswerChoice,
    /// Windows without the answer that are trained on for each question, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_windows: Option<usize>,
    /// Whether questions whose answers are not in their texts are distilled.
    pub unaligned_as_unlabelled: bool,
    /// Candidates that predictions hold for each question.
    pub n_best: usize,
    /// Tokens of an answer at most.
    pub max_answer_length: usize,
    /// By how much no answer must score higher to be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_threshold: Option<f32>,
    /// Whose script judges.
    pub rules: QaRules,
    /// Articles at the beginning of a file to leave out.
    pub skip_titles: usize,
    /// Articles to read after those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_titles: Option<usize>,
    /// Articles to train on, of a file without a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_titles: Option<usize>,
}

impl Default for QuestionsConfig {
    fn default() -> Self {
        let options = SpanOptions::default();
        let decoding = SpanDecoding::default();
        Self {
            doc_stride: options.doc_stride,
            max_question_length: options.max_question_length,
            answer: options.answer,
            negative_windows: options.negative_windows,
            unaligned_as_unlabelled: options.unaligned_as_unlabelled,
            n_best: decoding.n_best,
            max_answer_length: decoding.max_answer_length,
            null_threshold: decoding.null_threshold,
            rules: QaRules::default(),
            skip_titles: 0,
            take_titles: None,
            train_titles: None,
        }
    }
}

impl QuestionsConfig {
    pub(crate) fn options(&self, max_length: usize) -> SpanOptions {
        SpanOptions {
            max_length,
            doc_stride: self.doc_stride,
            max_question_length: self.max_question_length,
            answer: self.answer,
            negative_windows: self.negative_windows,
            unaligned_as_unlabelled: self.unaligned_as_unlabelled,
        }
    }

    pub(crate) fn decoding(&self) -> SpanDecoding {
        SpanDecoding {
            n_best: self.n_best,
            max_answer_length: self.max_answer_length,
            null_threshold: self.null_threshold,
        }
    }

    /// Which articles of a file are read.
    pub(crate) fn file_spec(&self) -> QuestionFileSpec {
        QuestionFileSpec {
            skip_titles: self.skip_titles,
            take_titles: self.take_titles,
            ..QuestionFileSpec::default()
        }
    }

    /// Which articles of the training file are read.
    pub(crate) fn training_part(&self) -> Self {
        Self { take_titles: self.train_titles.or(self.take_titles), ..self.clone() }
    }

    /// Which articles of the training file are read to judge by.
    pub(crate) fn other_part(&self) -> Self {
        let trained = self.train_titles.unwrap_or(0);
        Self {
            skip_titles: self.skip_titles + trained,
            take_titles: self.take_titles.map(|titles| titles.saturating_sub(trained)),
            ..self.clone()
        }
    }
}
