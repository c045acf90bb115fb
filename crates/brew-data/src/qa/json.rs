//! The layouts of question files, which may be mixed.
//!
//! SQuAD's: `{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
//! "answer_start"}], "is_impossible"}]}]}]}`. CMRC 2018's own: a list of `{"title", "context_text", "qas":
//! [{"query_id", "query_text", "answers": ["…"]}]}`. That of the [MRQA 2019 shared
//! task](https://github.com/mrqa/MRQA-Shared-Task-2019), where NewsQA and HotpotQA are had: a line `{"header": …}`,
//! then lines of `{"context", "qas": [{"qid", "question", "answers": ["…"], "detected_answers": [{"text",
//! "char_spans": [[from, to]]}]}]}`. Keys that are not named here are not read.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// An article of paragraphs, a paragraph by itself, a whole file, or the first line of MRQA's.
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
    #[serde(default)]
    data: Option<Vec<Article>>,
    #[serde(default)]
    header: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Paragraph {
    #[serde(alias = "context_text")]
    pub(super) context: String,
    pub(super) qas: Vec<Question>,
}

#[derive(Deserialize)]
pub(super) struct Question {
    #[serde(default, alias = "query_id")]
    id: Option<Id>,
    /// MRQA's, which may stand beside an `id`.
    #[serde(default)]
    qid: Option<Id>,
    #[serde(alias = "query_text")]
    pub(super) question: String,
    #[serde(default)]
    answers: Option<Vec<GivenAnswer>>,
    #[serde(default)]
    detected_answers: Option<Vec<DetectedAnswer>>,
    #[serde(default)]
    pub(super) is_impossible: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an id must be a string or a whole number")]
enum Id {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an answer must be a string, or an object with the string `text` and the whole number `answer_start`"
)]
enum GivenAnswer {
    Text(String),
    /// The published files of CMRC 2018 have a few numbers among their texts.
    Number(serde_json::Number),
    Placed {
        text: String,
        #[serde(default)]
        answer_start: Option<i64>,
    },
}

#[derive(Deserialize)]
struct DetectedAnswer {
    text: String,
    /// The first and the last character of each place.
    char_spans: Vec<(i64, i64)>,
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

impl Question {
    /// What the file calls it, if it does.
    pub(super) fn id(&self) -> Option<String> {
        Some(match self.qid.as_ref().or(self.id.as_ref())? {
            Id::Text(text) => text.clone(),
            Id::Number(number) => number.to_string(),
        })
    }

    /// The texts of the answers and where they start, if the file says: those that the file has places of, and
    /// then the others.
    pub(super) fn answers(&mut self) -> Vec<(String, Option<i64>)> {
        let detected = self.detected_answers.take().unwrap_or_default();
        let mut answers: Vec<(String, Option<i64>)> = detected
            .into_iter()
            .map(|answer| (answer.text, answer.char_spans.first().map(|&(first, _)| first)))
            .collect();
        let detected = answers.len();
        for answer in self.answers.take().unwrap_or_default() {
            let (text, start) = match answer {
                GivenAnswer::Text(text) => (text, None),
                GivenAnswer::Number(number) => (number.to_string(), None),
                GivenAnswer::Placed { text, answer_start } => (text, answer_start),
            };
            if answers[..detected].iter().all(|(known, _)| *known != text) {
                answers.push((text, start));
            }
        }
        answers
    }
}

/// The articles of a file: of its list, or of the objects in it one after the other.
pub(super) fn articles(text: &str) -> Result<Vec<Article>, serde_json::Error> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text);
    }
    let mut articles = Vec::new();
    for object in serde_json::Deserializer::from_str(text).into_iter::<Article>() {
        let mut object = object?;
        match object.data.take() {
            Some(data) => articles.extend(data),
            None if object.header.is_some() => {}
            None => articles.push(object),
        }
    }
    Ok(articles)
}
