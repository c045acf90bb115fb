//! The two layouts of question files, which may be mixed.
//!
//! SQuAD's: `{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
//! "answer_start"}], "is_impossible"}]}]}]}`. CMRC 2018's own: a list of `{"title", "context_text", "qas":
//! [{"query_id", "query_text", "answers": ["…"]}]}`. Keys that are not named here are not read.

use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

/// An article of paragraphs, or a paragraph by itself.
#[derive(Deserialize)]
pub(super) struct Article {
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    paragraphs: Option<Vec<Paragraph>>,
    #[serde(default, alias = "context_text")]
    context: Option<String>,
    #[serde(default)]
    qas: Option<Vec<Question>>,
}

#[derive(Deserialize)]
pub(super) struct Paragraph {
    #[serde(alias = "context_text")]
    pub(super) context: String,
    pub(super) qas: Vec<Question>,
}

#[derive(Deserialize)]
pub(super) struct Question {
    #[serde(alias = "query_id")]
    pub(super) id: Id,
    #[serde(alias = "query_text")]
    pub(super) question: String,
    #[serde(default)]
    pub(super) answers: Option<Vec<GivenAnswer>>,
    #[serde(default)]
    pub(super) is_impossible: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an id must be a string or a whole number")]
pub(super) enum Id {
    Text(String),
    Number(i64),
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        match id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an answer must be a string, or an object with the string `text` and the whole number `answer_start`"
)]
pub(super) enum GivenAnswer {
    Text(String),
    Placed {
        text: String,
        #[serde(default)]
        answer_start: Option<i64>,
    },
}

impl Article {
    /// Its paragraphs; what is missing where it has neither paragraphs nor is one.
    pub(super) fn paragraphs(self) -> Result<Vec<Paragraph>, &'static str> {
        match (self.paragraphs, self.context, self.qas) {
            (Some(paragraphs), ..) => Ok(paragraphs),
            (None, Some(context), Some(qas)) => Ok(vec![Paragraph { context, qas }]),
            (None, Some(_), None) => Err("`qas`"),
            (None, None, _) => Err("`paragraphs` (or `context` and `qas`)"),
        }
    }
}

/// The articles of a file.
pub(super) fn articles(text: &str) -> Result<Vec<Article>, serde_json::Error> {
    match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text),
        false => serde_json::from_str::<File>(text).map(|file| file.data),
    }
}
