use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    multi_label: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    gold: Vec<String>,
    predicted: Vec<String>,
    subset_accuracy: f64,
    micro: [f64; 3],
    r#macro: [f64; 3],
    weighted: [f64; 3],
    samples: [f64; 3],
    labels: Vec<(f64, f64, f64, usize)>,
}

fn flags(rows: &[String]) -> Vec<Vec<bool>> {
    rows.iter().map(|row| row.bytes().map(|byte| byte == b'1').collect()).collect()
}

fn close(scores: Scores, expected: [f64; 3], what: &str) {
    let found = [scores.precision, scores.recall, scores.f1];
    let far = found.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-12);
    assert!(!far, "{what}: {found:?}, expected {expected:?}");
}

#[test]
fn golden_every_random_case_scores_as_scikit_learn_scores_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../brew-testkit/golden/metrics.json");
    let golden: Golden = brew_testkit::read_json(path);
    assert!(golden.multi_label.len() >= 200, "{} cases", golden.multi_label.len());
    for (at, case) in golden.multi_label.iter().enumerate() {
        let names = LabelSet::new((0..case.labels.len()).map(|label| label.to_string())).unwrap();
        let report = MultiLabelReport::new(&flags(&case.predicted), &flags(&case.gold), &names).unwrap();
        assert!((report.subset_accuracy - case.subset_accuracy).abs() < 1e-12, "case {at}");
        close(report.micro_average, case.micro, &format!("case {at}, micro"));
        close(report.macro_average, case.r#macro, &format!("case {at}, macro"));
        close(report.weighted_average, case.weighted, &format!("case {at}, weighted"));
        close(report.samples_average, case.samples, &format!("case {at}, samples"));
        assert_eq!((report.micro_f1, report.macro_f1), (report.micro_average.f1, report.macro_average.f1));
        for (row, &(precision, recall, f1, support)) in report.per_label.iter().zip(&case.labels) {
            close(row.scores, [precision, recall, f1], &format!("case {at}, label {}", row.label));
            assert_eq!(row.support, support);
        }
    }
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let names = LabelSet::new(["a", "b"]).unwrap();
    let none: [Vec<bool>; 0] = [];
    let error = MultiLabelReport::new(&[[true, false]], &none.map(|_| [true, true]), &names).unwrap_err();
    assert!(matches!(error, DataError::DifferentLengths { predictions: 1, labels: 0 }));
    let error = MultiLabelReport::new(&[vec![true]], &[vec![true, false]], &names).unwrap_err();
    assert_eq!(error.to_string(), "example 0: 1 flag(s) where there are 2 label(s)");
}

#[test]
fn report_prints_as_a_table() {
    let names = LabelSet::new(["joy", "anger"]).unwrap();
    let report =
        MultiLabelReport::new(&[[true, false], [true, true]], &[[true, false], [false, true]], &names)
            .unwrap();
    let text = report.to_string();
    assert!(text.contains("joy                  0.5000  1.0000  0.6667        1\n"), "{text}");
    assert!(text.ends_with("subset accuracy      0.5000"), "{text}");
}
