use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    scheme: TagScheme,
    gold: Vec<String>,
    predicted: Vec<String>,
    accuracy: f64,
    lenient: Expected,
    strict: Expected,
}

#[derive(Deserialize)]
struct Expected {
    micro: [f64; 3],
    r#macro: [f64; 3],
    weighted: [f64; 3],
    types: BTreeMap<String, (f64, f64, f64, usize)>,
}

fn close(scores: Scores, expected: [f64; 3], what: &str) {
    let found = [scores.precision, scores.recall, scores.f1];
    let far = found.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-12);
    assert!(!far, "{what}: {found:?}, expected {expected:?}");
}

#[test]
fn golden_every_random_pair_scores_as_seqeval_scores_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../brew-testkit/golden/seqeval.json");
    let golden: Golden = brew_testkit::read_json(path);
    assert!(golden.cases.len() >= 200, "{} cases", golden.cases.len());
    for (at, case) in golden.cases.iter().enumerate() {
        let split = |sentences: &'_ [String]| -> Vec<Vec<String>> {
            sentences.iter().map(|tags| tags.split(' ').map(str::to_owned).collect()).collect()
        };
        let (gold, predicted) = (split(&case.gold), split(&case.predicted));
        for (mode, expected) in [(SpanMode::Lenient, &case.lenient), (SpanMode::Strict, &case.strict)] {
            let what = format!("case {at}, {}, {}", case.scheme.name(), mode.name());
            let report = SpanReport::new(&predicted, &gold, case.scheme, mode).unwrap();
            assert!((report.accuracy - case.accuracy).abs() < 1e-12, "{what}: {}", report.accuracy);
            close(report.micro_average, expected.micro, &what);
            close(report.macro_average, expected.r#macro, &what);
            close(report.weighted_average, expected.weighted, &what);
            assert_eq!(report.f1, report.micro_average.f1);
            let types: Vec<&str> = report.per_type.iter().map(|row| row.label.as_str()).collect();
            assert_eq!(types, expected.types.keys().collect::<Vec<_>>(), "{what}");
            for row in &report.per_type {
                let (precision, recall, f1, support) = expected.types[&row.label];
                close(row.scores, [precision, recall, f1], &format!("{what}, {}", row.label));
                assert_eq!(row.support, support, "{what}, {}", row.label);
            }
        }
    }
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let report = |predicted: &[Vec<&str>], gold: &[Vec<&str>]| {
        SpanReport::new(predicted, gold, TagScheme::Iob2, SpanMode::Lenient).unwrap_err().to_string()
    };
    assert_eq!(report(&[vec!["O"]], &[]), "1 predictions but 0 labels");
    assert_eq!(
        report(&[vec!["O"], vec!["O"]], &[vec!["O"], vec!["O", "O"]]),
        "sentence 1: 1 predicted tags but 2 correct ones"
    );
    assert!(report(&[vec!["E-A"]], &[vec!["O"]]).starts_with("`E-A` is no tag of the scheme iob2"));
}

#[test]
fn nothing_to_score_is_zero_and_never_nan() {
    let none: [Vec<&str>; 0] = [];
    let report = SpanReport::new(&none, &none, TagScheme::Bmes, SpanMode::Strict).unwrap();
    assert_eq!((report.accuracy, report.f1, report.macro_average), (0.0, 0.0, Scores::default()));
    assert!(report.per_type.is_empty());
}

#[test]
fn report_prints_as_a_table_and_serialises() {
    let predicted = [vec!["B-PER", "O", "B-LOC"]];
    let gold = [vec!["B-PER", "B-PER", "O"]];
    let report = SpanReport::new(&predicted, &gold, TagScheme::Iob2, SpanMode::Strict).unwrap();
    assert_eq!(
        report.to_string(),
        "                  precision  recall      f1  support\n\
         LOC                  0.0000  0.0000  0.0000        0\n\
         PER                  1.0000  0.5000  0.6667        2\n\
         micro average        0.5000  0.5000  0.5000        2\n\
         macro average        0.5000  0.2500  0.3333        2\n\
         weighted average     1.0000  0.5000  0.6667        2\n\
         accuracy             0.3333"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["scheme"], &json["mode"]), (&"iob2".into(), &"strict".into()));
    assert_eq!(json["per_type"][1]["support"], 2);
    assert_eq!(json["micro_average"]["f1"], 0.5);
}
