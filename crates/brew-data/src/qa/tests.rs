mod decoding;
mod real;
mod windows;

use std::path::Path;

use serde_json::json;

use super::*;
use crate::{DataError, TextTokenizer, WordPieceOptions};

const WORDS: &str =
    "[PAD] [UNK] [CLS] [SEP] who saw the town old new river ##s walk ##ed ann bob . ? 李 白 写 诗";

fn tokenizer() -> TextTokenizer {
    let words = WORDS.split(' ').map(String::from).collect();
    TextTokenizer::from_vocabulary(words, WordPieceOptions::default()).unwrap()
}

/// Ann walked to the old town by the new rivers, as one text and with one answer.
fn question() -> QuestionExample {
    QuestionExample::new(7, "who saw the town?", "Ann walked. Bob saw the old town. The new rivers, too.")
        .with_answer(Answer::new("the old town"))
}

fn windowed(max_length: usize, doc_stride: usize) -> SpanOptions {
    SpanOptions { max_length, doc_stride, max_question_length: 4, ..SpanOptions::default() }
}

fn read(content: &str, spec: &QuestionFileSpec) -> Result<(Vec<QuestionExample>, ReadReport), DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("questions.json");
    std::fs::write(&path, content).unwrap();
    read_questions(&path, spec)
}

fn squad_like(titles: &[&str]) -> String {
    let articles: Vec<_> = titles
        .iter()
        .enumerate()
        .map(|(at, title)| {
            json!({"title": title, "paragraphs": [{"context": "Ann saw Bob.", "qas": [
                {"id": format!("q{at}"), "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]},
                {"id": format!("r{at}"), "question": "Whom?", "answers": [{"text": "Bob", "answer_start": 8}]},
            ]}]})
        })
        .collect();
    json!({"version": "1.1", "data": articles}).to_string()
}

#[test]
fn squad_2_and_unlabelled_questions_are_read() {
    let content = r#"{"version": "v2.0", "data": [{"paragraphs": [{"context": "Zoë saw 北京.", "qas": [
        {"id": "a", "question": "What?", "is_impossible": false, "answers": [{"text": "北京", "answer_start": 8}]},
        {"id": "b", "question": "Why?", "is_impossible": true, "answers": [],
         "plausible_answers": [{"text": "saw", "answer_start": 4}]},
        {"id": 3, "question": "When?"},
        {"id": "d", "question": "Who?", "answers": [{"text": "Zoe", "answer_start": 0}]},
        {"id": "d", "question": "Who?", "answers": [{"text": "Zoë", "answer_start": 5}]}]}]}]}"#;
    let (questions, report) = read(&format!("\u{feff}{content}"), &QuestionFileSpec::default()).unwrap();
    let expected = ReadReport {
        titles: 1,
        paragraphs: 1,
        questions: 5,
        answers: 3,
        realigned: 1,
        unaligned: 1,
        without_span: 1,
        impossible: 1,
        unlabelled: 1,
        repeated_ids: 1,
    };
    assert_eq!(report, expected);
    assert_eq!(questions[0].answers[0].span, Some(8..10));
    assert!(questions[1].is_impossible && questions[1].answers.is_empty() && questions[1].is_labelled());
    assert_eq!(questions[2].id, "3");
    assert!(!questions[2].is_labelled());
    assert_eq!(questions[3].answers, [Answer::new("Zoe")]);
    assert_eq!(questions[4].answers[0].span, Some(0..3));
    assert_eq!(questions[4].number, 4);
    assert!(questions[4].origin.to_string().ends_with("questions.json, data[0].paragraphs[0].qas[4]"));
    assert!(report.to_string().contains("; 1 answers not in their text; "), "{report}");
}

#[test]
fn questions_of_some_titles_keep_their_numbers() {
    let content = squad_like(&["a", "b", "a", "", ""]);
    let part = |skip_titles, take_titles| {
        read(&content, &QuestionFileSpec { skip_titles, take_titles, extent: crate::Extent::Whole })
    };
    let ids = |questions: &[QuestionExample]| -> Vec<String> {
        questions.iter().filter(|question| question.number % 2 == 0).map(|q| q.id.clone()).collect()
    };
    let (all, report) = part(0, None).unwrap();
    assert_eq!((all.len(), report.titles), (10, 4));
    let (first, report) = part(0, Some(2)).unwrap();
    assert_eq!(
        (ids(&first), report.titles, report.paragraphs),
        (vec!["q0".into(), "q1".into(), "q2".into()], 2, 3)
    );
    let (rest, report) = part(2, None).unwrap();
    assert_eq!((ids(&rest), report.titles), (vec!["q3".into(), "q4".into()], 2));
    assert_eq!(rest[0].number, 6);
    let (left, right) = split_by_title(all.clone(), 2).unwrap();
    assert_eq!((ids(&left), ids(&right)), (ids(&first), ids(&rest)));
    assert_eq!((left.len(), right.len()), (first.len(), rest.len()));

    let error = part(4, Some(9)).unwrap_err();
    assert!(matches!(error, DataError::NoQuestions { skip_titles: 4, titles: 4, .. }), "{error}");
    for titles in [0, 4] {
        let error = split_by_title(all.clone(), titles).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the first {titles} of 4 title(s)")), "{error}");
    }
}

#[test]
fn what_is_no_file_of_questions_says_where() {
    let message = |content: &str| read(content, &QuestionFileSpec::default()).unwrap_err().to_string();
    let qas = |qas: &str| format!(r#"{{"data": [{{"paragraphs": [{{"context": "c", "qas": [{qas}]}}]}}]}}"#);
    for (content, expected) in [
        ("", "no question after the first 0 of its 0 title(s)"),
        ("{\"date\": []}", "data[0] lacks `paragraphs`"),
        ("{\"data\": [}", "expected value at line 1 column 11"),
        ("context: c", "expected value at line 1 column 1"),
        ("{\"data\": [{\"title\": \"t\"}]}", "data[0] lacks `paragraphs`"),
        ("[{\"context_text\": \"t\"}]", "data[0] lacks `qas`"),
        (&qas("\n{\"id\": \"a\"}"), "missing field `question` at line 2"),
        (&qas("{\"question\": \"q\"}"), "data[0].paragraphs[0].qas[0] lacks `id`"),
        (&qas("{\"id\": 1.5, \"question\": \"q\"}"), "an id must be a string"),
        (
            &qas("{\"id\": 1, \"question\": \"q\", \"answers\": [{\"text\": 2}]}"),
            "an answer must be a string, or",
        ),
        ("{\"data\": []}", "no question after the first 0 of its 0 title(s)"),
    ] {
        let message = message(content);
        assert!(message.contains(expected), "{content}: {message}");
        assert!(message.contains("questions.json"), "{message}");
    }
    assert!(matches!(
        read_questions(Path::new("/nowhere"), &Default::default()),
        Err(DataError::Missing { .. })
    ));
    assert!(serde_json::from_str::<QuestionFileSpec>(r#"{"take_title": 1}"#).is_err());
}

#[test]
fn lines_of_mrqa_are_read() {
    let content = r#"{"header": {"dataset": "NewsQA", "split": "train"}}
{"id": "", "context": "Bob saw Ann. Zoë saw Ann.", "qas": [{"qid": "a1", "id": "./story#1", "question": "Whom?",
  "answers": ["Ann", "ann", "Bob"], "detected_answers": [{"text": "Ann", "char_spans": [[21, 23]], "token_spans": [[8, 8]]}]}],
  "context_tokens": [["Bob", 0]]}
{"context": "The end.", "qas": [{"qid": "b1", "question": "What?", "answers": ["end"], "detected_answers": []}]}
"#;
    let (questions, report) = read(content, &QuestionFileSpec::default()).unwrap();
    assert_eq!((report.titles, report.questions, report.answers), (2, 2, 4));
    assert_eq!((report.realigned, report.unaligned), (0, 1));
    let answers: Vec<_> =
        questions[0].answers.iter().map(|answer| (answer.text.as_str(), answer.span.clone())).collect();
    assert_eq!(answers, [("Ann", Some(21..24)), ("ann", None), ("Bob", Some(0..3))]);
    assert_eq!((questions[0].id.as_str(), questions[1].id.as_str()), ("a1", "b1"));
    assert_eq!(questions[1].answers[0].span, Some(4..7));
}

#[test]
fn the_own_layout_of_cmrc_is_read_with_its_numbers() {
    let content = r#"[{"context_id": "D", "context_text": "共39764.0人，39764年。", "title": "人", "qas": [
        {"query_id": "D_0", "query_text": "几人？", "answers": [39764.0, 39764, "三人"]}]}]"#;
    let (questions, report) = read(content, &QuestionFileSpec::default()).unwrap();
    let spans: Vec<_> = questions[0].answers.iter().map(|answer| answer.span.clone()).collect();
    assert_eq!(spans, [Some(1..8), Some(1..6), None]);
    assert_eq!((&*questions[0].title, report.realigned, report.unaligned), ("人", 0, 1));
}
