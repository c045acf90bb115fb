use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::{Collator, Target, WordPieceOptions};

#[derive(Deserialize)]
struct Golden {
    vocabulary: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    question: String,
    context: String,
    max_length: usize,
    doc_stride: usize,
    answer: [usize; 2],
    windows: Vec<Window>,
}

#[derive(Deserialize)]
struct Window {
    input_ids: Vec<u32>,
    token_type_ids: Vec<u32>,
    first: usize,
    offsets: Vec<(u32, u32)>,
    span: [usize; 2],
}

#[test]
fn golden_windows_of_transformers() {
    let golden: Golden =
        brew_testkit::read_json(concat!(env!("CARGO_MANIFEST_DIR"), "/../brew-testkit/golden/windows.json"));
    let tokenizer = TextTokenizer::from_vocabulary(golden.vocabulary, WordPieceOptions::default()).unwrap();
    assert!(golden.cases.len() >= 40);
    for case in golden.cases {
        let mut question = QuestionExample::new(3, case.question, case.context.as_str());
        let span = case.answer[0]..case.answer[1];
        let text: String = case.context.chars().skip(span.start).take(span.len()).collect();
        question.answers.push(Answer { text, span: Some(span) });
        let asked = tokenizer.text_tokens(3, &question.question).unwrap().ids.len();
        let options = SpanOptions {
            max_length: case.max_length,
            doc_stride: case.doc_stride,
            max_question_length: asked,
            ..SpanOptions::default()
        };
        let (features, report) = question_features(&tokenizer, &[question], &options).unwrap();
        assert_eq!(features.len(), case.windows.len(), "{}", case.context);
        assert_eq!(report.windows(), features.len());
        for (at, (found, expected)) in features.iter().zip(case.windows).enumerate() {
            assert_eq!(found.feature.input_ids, expected.input_ids, "{}", case.context);
            assert_eq!(found.feature.token_type_ids, expected.token_type_ids);
            assert_eq!((found.context_start, &found.offsets), (expected.first, &expected.offsets));
            let [start, end] = expected.span;
            assert_eq!(found.feature.target, Some(Target::Span { start, end }), "{} {at}", case.context);
            assert_eq!((found.window, found.feature.id), (at, (3 << 20) + at as u64));
        }
    }
}

#[test]
fn windows_know_where_their_answers_are() {
    let tokenizer = tokenizer();
    let (features, report) = question_features(&tokenizer, &[question()], &windowed(13, 3)).unwrap();
    // 4 tokens of the question and 3 special ones leave room for 6 of the text's 16.
    let texts: Vec<String> = features
        .iter()
        .map(|f| tokenizer.tokens(&f.feature.input_ids)[f.context_start..].join(" "))
        .collect();
    assert_eq!(texts[0], "ann walk ##ed . bob saw [SEP]");
    assert_eq!(texts[1], ". bob saw the old town [SEP]");
    assert_eq!(texts[2], "the old town . the new [SEP]");
    assert_eq!(texts.len(), 5);
    let targets: Vec<_> = features.iter().map(|f| f.feature.target.clone().unwrap()).collect();
    assert_eq!(targets[1], Target::Span { start: 9, end: 11 });
    assert_eq!(targets[2], Target::Span { start: 6, end: 8 });
    assert!([0, 3, 4].iter().all(|&at| targets[at] == Target::Span { start: 0, end: 0 }));
    assert_eq!((report.with_answer, report.without_answer, report.unlabelled), (2, 3, 0));
    // Each token has its place in one window.
    let places: usize = features.iter().map(|f| f.is_max_context.iter().filter(|&&is| is).count()).sum();
    assert_eq!(places, features.last().map(|f| 3 * 4 + f.offsets.len()).unwrap());
    // The collator takes them as they are.
    let batch = Collator::new(0).collate::<brew_testkit::TestBackend>(
        &features.iter().map(|f| &f.feature).collect::<Vec<_>>(),
        &Default::default(),
    );
    assert_eq!(batch.length(), 13);
}

#[test]
fn training_keeps_what_it_can_learn_from() {
    let tokenizer = tokenizer();
    let unaligned = QuestionExample::new(8, "who?", "Ann saw Bob.").with_answer(Answer::new("the river"));
    let mut impossible = question();
    impossible.answers.clear();
    let unlabelled = impossible.clone();
    impossible.is_impossible = true;
    let questions = [question(), unaligned, impossible, unlabelled];
    let mut options = windowed(13, 3);

    let (all, report) = question_features(&tokenizer, &questions, &options).unwrap();
    assert_eq!(all.len(), 5 + 1 + 5 + 5);
    assert_eq!((report.questions, report.unaligned, report.unlabelled), (4, 1, 6));
    let (kept, report) = training_features(&tokenizer, &questions, &options).unwrap();
    assert_eq!(kept.len(), 5 + 5 + 5);
    assert_eq!((report.questions, report.unaligned, report.with_answer), (3, 1, 2));
    assert_eq!((report.without_answer, report.unlabelled), (3 + 5, 5));
    assert!(kept.iter().all(|feature| feature.example != 1));

    options.negative_windows = Some(1);
    options.unaligned_as_unlabelled = true;
    let (kept, report) = training_features(&tokenizer, &questions, &options).unwrap();
    assert_eq!(kept.iter().filter(|feature| feature.example == 0).count(), 3);
    assert_eq!((report.without_answer, report.unlabelled), (1 + 5, 1 + 5));
    assert!(
        report.to_string().starts_with("14 windows of 4 questions: 2 with the answer, 6 without"),
        "{report}"
    );
}

#[test]
fn the_answer_that_most_give_can_be_trained_on() {
    let question = QuestionExample::new(0, "who?", "Ann saw Bob. Ann saw the town.");
    let at = |start: usize, text: &str| Answer {
        text: text.into(),
        span: Some(start..start + text.chars().count()),
    };
    let question = question
        .with_answer(Answer::new("Carl"))
        .with_answer(at(0, "Ann"))
        .with_answer(at(8, "Bob"))
        .with_answer(at(8, "Bob"));
    let target = |answer| {
        let options = SpanOptions { answer, ..SpanOptions::default() };
        let (features, _) =
            question_features(&tokenizer(), std::slice::from_ref(&question), &options).unwrap();
        features[0].feature.target.clone().unwrap()
    };
    assert_eq!(target(AnswerChoice::First), Target::Span { start: 4, end: 4 });
    assert_eq!(target(AnswerChoice::Majority), Target::Span { start: 6, end: 6 });
}

#[test]
fn empty_texts_and_questions_have_one_window() {
    let questions = [QuestionExample::new(0, "who?", " "), QuestionExample::new(1, "", "Ann")];
    let (features, _) = question_features(&tokenizer(), &questions, &SpanOptions::default()).unwrap();
    assert_eq!(features[0].feature.input_ids, [2, 4, 17, 3, 3]);
    assert_eq!(features[1].feature.input_ids, [2, 3, 14, 3]);
    let logits = [vec![0.0; 5], vec![0.0; 4]];
    let found = decode_spans(&questions, &features, &logits, &logits, &SpanDecoding::default()).unwrap();
    assert_eq!((found[0].text.as_str(), found[0].span.clone(), found[0].n_best.len()), ("", None, 0));
    assert_eq!(found[1].text, "Ann");
}

/// RoBERTa's pairs: two separators between the texts, one token type, and words that begin with their space.
#[test]
fn pairs_are_built_as_the_tokenizer_builds_them() {
    let folder = tempfile::tempdir().unwrap();
    let vocabulary = json!({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "Ġ": 6, "Ġa": 7, "Ġb": 8, "ab": 9});
    let added = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [added(0, "<s>"), added(1, "<pad>"), added(2, "</s>"), added(3, "<unk>")],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                           "trim_offsets": true, "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
                  "merges": [["Ġ", "a"], ["Ġ", "b"], ["a", "b"]]},
    });
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    let question = QuestionExample::new(0, "a b", "b a b ab a").with_answer(Answer::new("a b"));
    let (features, _) =
        question_features(&tokenizer, std::slice::from_ref(&question), &windowed(9, 3)).unwrap();
    let ids: Vec<_> = features.iter().map(|feature| feature.feature.input_ids.clone()).collect();
    // Four special tokens: room is left for 9 - 4 - 2 = 3 tokens.
    assert_eq!(ids, [vec![0, 4, 8, 2, 2, 5, 7, 8, 2], vec![0, 4, 8, 2, 2, 7, 5, 7, 2]]);
    assert!(features.iter().all(|feature| feature.feature.token_type_ids.iter().all(|&kind| kind == 0)));
    assert_eq!(features[0].feature.target, Some(Target::Span { start: 6, end: 7 }));
    // The space before a word is no part of it; a space by itself is what it is.
    assert_eq!(features[0].offsets, [(0, 1), (2, 3), (4, 5)]);
    let mut logits = vec![vec![0.0; 9]; 2];
    logits[0][6] = 5.0;
    let mut ends = vec![vec![0.0; 9]; 2];
    ends[0][7] = 5.0;
    let found = decode_spans(&[question], &features, &logits, &ends, &SpanDecoding::default()).unwrap();
    assert_eq!((found[0].text.as_str(), found[0].span.clone()), ("a b", Some(2..5)));
}

#[test]
fn settings_out_of_range_are_named() {
    let message = |options: SpanOptions| {
        question_features(&tokenizer(), &[question()], &options).unwrap_err().to_string()
    };
    let zero = SpanOptions { doc_stride: 0, max_question_length: 0, ..SpanOptions::default() };
    assert_eq!(
        message(zero),
        "`doc_stride` is 0; it must be at least 1; `max_question_length` is 0; it must be at least 1"
    );
    assert!(message(windowed(7, 1)).contains("`max_length` is 7; with 3 special tokens"));
    assert!(question_features(&tokenizer(), &[question()], &windowed(8, 1)).is_ok());
    let decoding = SpanDecoding { n_best: 0, max_answer_length: 0, null_threshold: Some(f32::NAN) };
    let error = decode_spans::<Vec<f32>>(&[], &[], &[], &[], &decoding).unwrap_err().to_string();
    assert!(error.contains("`n_best` is 0") && error.contains("`null_threshold` is not a number"), "{error}");
}
