//! A question, its text and its answers.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A question about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionExample {
    /// What the file calls it.
    pub id: String,
    /// Its number among the file's questions, from 0.
    pub number: u64,
    /// The question.
    pub question: String,
    /// The text that holds the answer. Questions of one paragraph share it.
    pub context: Arc<str>,
    /// The answers that count as right. None at all: the question is unlabelled, unless it is said to be
    /// impossible.
    pub answers: Vec<Answer>,
    /// Whether the file says that the text does not answer the question, as SQuAD 2.0 may.
    pub is_impossible: bool,
    /// The title of the article; empty where the file has none.
    pub title: Arc<str>,
    /// Where the question stands.
    pub origin: QuestionOrigin,
}

impl QuestionExample {
    /// An unlabelled question that comes from no file. Its id is its number.
    pub fn new(number: u64, question: impl Into<String>, context: impl Into<Arc<str>>) -> Self {
        let origin = QuestionOrigin {
            path: Path::new("<memory>").into(),
            article: number as usize,
            paragraph: 0,
            question: 0,
        };
        Self {
            id: number.to_string(),
            number,
            question: question.into(),
            context: context.into(),
            answers: Vec::new(),
            is_impossible: false,
            title: "".into(),
            origin,
        }
    }

    /// This question with one answer more, which is looked for in the text where it does not know its place.
    ///
    /// ```
    /// use brew_data::{Answer, QuestionExample};
    ///
    /// let question = QuestionExample::new(0, "谁？", "李白写诗。").with_answer(Answer::new("李白"));
    /// assert_eq!(question.answers[0].span, Some(0..2));
    /// ```
    pub fn with_answer(mut self, mut answer: Answer) -> Self {
        if answer.span.is_none() {
            answer.span = super::align::nearest(&self.context, &answer.text, None);
        }
        self.answers.push(answer);
        self
    }

    /// Whether it is known what a model should say.
    pub fn is_labelled(&self) -> bool {
        self.is_impossible || !self.answers.is_empty()
    }
}

/// An answer that counts as right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer as the file has it, which predictions are compared with.
    pub text: String,
    /// Which characters of the context it is, counted in Unicode scalar values from 0; `None` where the context
    /// does not hold it, so that it serves for evaluation alone.
    pub span: Option<Range<usize>>,
}

impl Answer {
    /// An answer whose place is not known.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), span: None }
    }
}

/// Where a question was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionOrigin {
    /// The file, or `<memory>`.
    pub path: Arc<Path>,
    /// The number of the article in the file, from 0.
    pub article: usize,
    /// The number of the paragraph in the article, from 0.
    pub paragraph: usize,
    /// The number of the question about the paragraph, from 0.
    pub question: usize,
}

impl QuestionOrigin {
    /// The place in the file.
    pub(super) fn place(&self) -> String {
        format!("data[{}].paragraphs[{}].qas[{}]", self.article, self.paragraph, self.question)
    }
}

impl fmt::Display for QuestionOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.path.display(), self.place())
    }
}
