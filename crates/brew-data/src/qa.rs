//! Extractive question answering: a question, a text, and the part of the text that answers it.
//!
//! [`read_questions`] reads files in the layouts of SQuAD, CMRC 2018 and MRQA and finds the answers in their texts.
//! [`question_features`] pairs each question with windows of its text, [`training_features`] with those worth
//! training on. [`decode_spans`] turns what a model says of the windows into an answer a question, and
//! [`QaReport`](crate::metrics::QaReport) judges it.
//!
//! ```
//! use brew_data::metrics::{QaReport, QaRules};
//! use brew_data::{
//!     QuestionFileSpec, SpanDecoding, SpanOptions, Target, TextTokenizer, WordPieceOptions, decode_spans,
//!     question_features, read_questions,
//! };
//!
//! # fn main() -> Result<(), brew_data::DataError> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("dev.json");
//! std::fs::write(&path, r#"{"data": [{"title": "Town", "paragraphs": [{"context": "Ann saw the town.", "qas": [
//!     {"id": "q1", "question": "Who saw it?", "answers": [{"text": "Ann", "answer_start": 0}]}]}]}]}"#).unwrap();
//! let (questions, report) = read_questions(&path, &QuestionFileSpec::default())?;
//! assert_eq!((report.questions, report.unaligned), (1, 0));
//!
//! let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "who", "saw", "it", "ann", "the", "town"];
//! let tokenizer = TextTokenizer::from_vocabulary(words.map(String::from).to_vec(), WordPieceOptions::default())?;
//! let (features, _) = question_features(&tokenizer, &questions, &SpanOptions::default())?;
//! assert_eq!(features[0].feature.target, Some(Target::Span { start: 6, end: 6 }));
//!
//! // What a model would say: the answer starts and ends at token 6.
//! let logits = vec![vec![0., 0., 0., 0., 0., 0., 9., 0., 0., 0., 0., 0.]];
//! let predictions = decode_spans(&questions, &features, &logits, &logits, &SpanDecoding::default())?;
//! assert_eq!(predictions[0].text, "Ann");
//! println!("{}", QaReport::new(QaRules::Squad, &predictions, &questions)?);
//! # Ok(())
//! # }
//! ```

mod align;
mod decode;
mod example;
mod head;
mod json;
mod options;
mod read;
mod windows;

pub use decode::{SpanCandidate, SpanDecoding, SpanPrediction, decode_spans};
pub use example::{Answer, QuestionExample, QuestionOrigin};
pub use options::{AnswerChoice, SpanOptions};
pub use read::{QuestionFileSpec, ReadReport, read_questions, split_by_title};
pub use windows::{SpanFeature, WindowReport, question_features, training_features};

#[cfg(test)]
mod tests;
