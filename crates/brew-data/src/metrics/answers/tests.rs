use serde::Deserialize;

use super::words::words;
use super::*;
use crate::qa::Answer;

/// What the official scripts say; see `xtask/peer/make_qa_goldens.py`.
#[derive(Deserialize)]
struct Golden {
    totals_in_percent: Totals,
    squad: Vec<Case>,
    cmrc: Vec<Case>,
    words: Vec<Words>,
}

#[derive(Deserialize)]
struct Totals {
    squad: [f64; 2],
    cmrc: [f64; 2],
}

#[derive(Deserialize)]
struct Case {
    prediction: String,
    answers: Vec<String>,
    squad: Option<[f64; 2]>,
    squad_v2: Option<[f64; 2]>,
    cmrc: Option<[f64; 2]>,
}

#[derive(Deserialize)]
struct Words {
    text: String,
    words: Vec<String>,
}

fn golden() -> Golden {
    brew_testkit::read_json(concat!(env!("CARGO_MANIFEST_DIR"), "/../brew-testkit/golden/answers.json"))
}

/// Checks the cases of one script; every one is looked at before the first failure is told.
fn check(rules: QaRules, cases: &[Case], expected: impl Fn(&Case) -> Option<[f64; 2]>) {
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let [exact_match, f1] = expected(case).expect("a score in every case");
            let scores = rules.scores(&case.prediction, &case.answers);
            let is_close = scores.exact_match == exact_match && (scores.f1 - f1).abs() < 1e-9;
            (!is_close).then(|| {
                format!(
                    "{:?} of {:?}: {scores:?}, expected {exact_match} {f1}",
                    case.prediction, case.answers
                )
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn check_report(rules: QaRules, cases: &[Case], [exact_match, f1]: [f64; 2]) {
    let questions: Vec<QuestionExample> = cases
        .iter()
        .map(|case| {
            let mut question = QuestionExample::new(0, "?", "");
            question.answers = case.answers.iter().map(Answer::new).collect();
            question
        })
        .collect();
    let predictions: Vec<&str> = cases.iter().map(|case| case.prediction.as_str()).collect();
    let report = QaReport::new(rules, &predictions, &questions).unwrap();
    assert_eq!((report.questions, report.unlabelled), (cases.len(), 0));
    assert!((100.0 * report.exact_match - exact_match).abs() < 1e-9, "{report}");
    assert!((100.0 * report.f1 - f1).abs() < 1e-9, "{report}");
    assert!((report.average - (report.exact_match + report.f1) / 2.0).abs() < 1e-12);
}

#[test]
fn golden_squad_answers() {
    let golden = golden();
    check(QaRules::Squad, &golden.squad, |case| case.squad);
    check(QaRules::SquadV2, &golden.squad, |case| case.squad_v2);
    check_report(QaRules::Squad, &golden.squad, golden.totals_in_percent.squad);
}

#[test]
fn golden_cmrc_answers() {
    let golden = golden();
    check(QaRules::Cmrc, &golden.cmrc, |case| case.cmrc);
    check_report(QaRules::Cmrc, &golden.cmrc, golden.totals_in_percent.cmrc);
}

#[test]
fn golden_words_of_nltk() {
    let golden = golden();
    assert!(golden.words.len() >= 200);
    let wrong: Vec<String> = golden
        .words
        .iter()
        .filter(|case| words(&case.text) != case.words)
        .map(|case| format!("{:?}: {:?}, expected {:?}", case.text, words(&case.text), case.words))
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), golden.words.len(), wrong.join("\n"));
}

#[test]
fn unanswerable_questions_count_in_version_2_only() {
    let mut impossible = QuestionExample::new(0, "?", "a text");
    impossible.is_impossible = true;
    let answered = QuestionExample::new(1, "?", "a text").with_answer(Answer::new("text"));
    let unlabelled = QuestionExample::new(2, "?", "a text");
    let questions = [impossible, answered, unlabelled];

    let report = QaReport::new(QaRules::SquadV2, &["", "a text", "x"], &questions).unwrap();
    assert_eq!((report.questions, report.unlabelled), (2, 1));
    assert_eq!((report.exact_match, report.f1), (1.0, 1.0));
    let report = QaReport::new(QaRules::SquadV2, &["text", "", "x"], &questions).unwrap();
    assert_eq!((report.exact_match, report.f1), (0.0, 0.0));
    let report = QaReport::new(QaRules::SquadV2, &["", "text blue", "x"], &questions).unwrap();
    assert_eq!(report.unanswerable.unwrap().scores.exact_match, 1.0);
    assert_eq!(report.answerable.unwrap().scores.f1, 2.0 / 3.0);

    let report = QaReport::new(QaRules::Squad, &["", "", ""], &questions).unwrap();
    assert_eq!((report.questions, report.unlabelled, report.answerable), (1, 2, None));
}

#[test]
fn nothing_to_judge_is_zero_and_different_lengths_are_an_error() {
    let report = QaReport::new(QaRules::Squad, &[] as &[&str], &[]).unwrap();
    assert_eq!((report.questions, report.exact_match, report.f1), (0, 0.0, 0.0));
    let error = QaReport::new(QaRules::Squad, &["x"], &[]).unwrap_err();
    assert!(matches!(error, DataError::DifferentLengths { predictions: 1, labels: 0 }));
    assert_eq!(QaRules::Cmrc.scores("x", &[] as &[&str]), AnswerScores::default());
}

#[test]
fn report_serialises_and_prints() {
    let question = QuestionExample::new(1, "?", "a text").with_answer(Answer::new("text"));
    let report = QaReport::new(QaRules::SquadV2, &["text"], &[question]).unwrap();
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!((&value["rules"], &value["exact_match"]), (&"squad_v2".into(), &1.0.into()));
    assert_eq!(value["answerable"]["f1"], 1.0);
    let table = report.to_string();
    assert!(table.contains("answerable         1.0000  1.0000          1"), "{table}");
    assert!(table.ends_with("average            1.0000"), "{table}");
}
