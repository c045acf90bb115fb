use brew_random::Key;

use super::*;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

/// Predictions and labels of three classes, with the values that scikit-learn gives for them.
const PREDICTIONS: [usize; 10] = [0, 2, 1, 0, 0, 1, 2, 2, 0, 1];
const LABELS: [usize; 10] = [0, 1, 1, 0, 1, 2, 2, 2, 2, 1];

#[test]
fn three_classes_by_hand() {
    let matrix = ConfusionMatrix::new(&PREDICTIONS, &LABELS, 3).unwrap();
    assert_eq!(matrix.rows(), [[2, 0, 0], [1, 2, 1], [1, 1, 2]]);
    assert!(close(accuracy(&PREDICTIONS, &LABELS).unwrap(), 0.6));
    // F1: 2·2/(4+2), 2·2/(3+4), 2·2/(3+4)
    let expected = (2.0 / 3.0 + 4.0 / 7.0 + 4.0 / 7.0) / 3.0;
    assert!(close(macro_f1(&PREDICTIONS, &LABELS, 3).unwrap(), expected));
    assert!(close(micro_f1(&PREDICTIONS, &LABELS, 3).unwrap(), 0.6));
    let one = binary_scores(&PREDICTIONS, &LABELS, 1).unwrap();
    assert!(close(one.precision, 2.0 / 3.0) && close(one.recall, 0.5) && close(one.f1, 4.0 / 7.0), "{one:?}");
}

#[test]
fn undefined_ratios_are_zero() {
    assert_eq!(accuracy(&[], &[]).unwrap(), 0.0);
    assert_eq!(binary_scores(&[], &[], 1).unwrap(), Scores::default());
    assert_eq!(binary_scores(&[0, 0], &[0, 0], 1).unwrap(), Scores::default());
    assert_eq!(binary_scores(&[0, 0], &[1, 1], 1).unwrap(), Scores::default());
    assert_eq!(macro_f1(&[], &[], 0).unwrap(), 0.0);
    assert_eq!(macro_f1(&[0], &[0], 2).unwrap(), 0.5);
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    for result in [
        accuracy(&[1], &[]),
        macro_f1(&[1], &[], 2),
        micro_f1(&[1], &[], 2),
        binary_scores(&[1], &[], 1).map(|scores| scores.f1),
    ] {
        assert!(matches!(result, Err(DataError::DifferentLengths { predictions: 1, labels: 0 })));
    }
    let error = ConfusionMatrix::new(&[0, 5], &[0, 1], 2).unwrap_err();
    assert!(matches!(error, DataError::ClassOutOfRange { class: 5, position: 1, classes: 2 }), "{error}");
    assert!(ConfusionMatrix::new(&[0], &[2], 2).is_err());
}

#[test]
fn matrix_and_slices_agree_on_random_predictions() {
    let mut stream = Key::new(2).purpose("metrics").stream();
    for _ in 0..100 {
        let (classes, count) = (1 + stream.below(6), stream.below(60));
        let predictions: Vec<usize> = (0..count).map(|_| stream.below(classes)).collect();
        let labels: Vec<usize> = (0..count).map(|_| stream.below(classes)).collect();
        let matrix = ConfusionMatrix::new(&predictions, &labels, classes).unwrap();
        assert!(close(matrix.accuracy(), accuracy(&predictions, &labels).unwrap()));
        assert!(close(matrix.micro_f1(), matrix.accuracy()));
        let mut mean = 0.0;
        for class in 0..classes {
            let scores = binary_scores(&predictions, &labels, class).unwrap();
            assert_eq!(matrix.scores(class), scores);
            let harmonic = match scores.precision + scores.recall {
                0.0 => 0.0,
                sum => 2.0 * scores.precision * scores.recall / sum,
            };
            assert!(close(scores.f1, harmonic));
            mean += scores.f1 / classes as f64;
        }
        assert!(close(matrix.macro_f1(), mean));
    }
}

#[test]
fn the_largest_logit_wins_and_nan_never_does() {
    assert_eq!(predicted_classes(&[1.0, 1.0, 0.0, f32::NAN, -3.0, -2.0], 3), [0, 2]);
    assert_eq!(predicted_classes(&[f32::NAN, f32::NAN], 2), [0]);
    assert_eq!(predicted_classes(&[f32::NEG_INFINITY, -1.0], 2), [1]);
    assert!(predicted_classes(&[], 2).is_empty());
}

#[test]
#[should_panic(expected = "3 logits in rows of 2")]
fn logits_must_fill_their_rows() {
    predicted_classes(&[0.0; 3], 2);
}

#[test]
fn report_takes_the_second_of_two_labels_as_positive() {
    let labels = LabelSet::new(["0", "1"]).unwrap();
    let report = ClassificationReport::new(&[1, 1, 0, 1], &[1, 0, 0, 0], &labels).unwrap();
    assert!(close(report.f1, 0.5));
    assert!(close(report.accuracy, 0.5));
    assert_eq!(report.per_label[0].support, 3);
    let three = LabelSet::new(["a", "b", "c"]).unwrap();
    let report = ClassificationReport::new(&PREDICTIONS, &LABELS, &three).unwrap();
    assert_eq!(report.f1, report.macro_f1);
}

#[test]
fn report_serialises_flat_and_prints_as_a_table() {
    let labels = LabelSet::new(["no", "yes"]).unwrap();
    let report = ClassificationReport::new(&[1, 0], &[1, 1], &labels).unwrap();
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["accuracy"], 0.5);
    assert_eq!(value["per_label"][1]["label"], "yes");
    assert_eq!(value["per_label"][1]["recall"], 0.5);
    assert_eq!(value["confusion"], serde_json::json!([[0, 0], [1, 1]]));
    let table = report.to_string();
    assert!(table.contains("yes          1.0000  0.5000  0.6667        2"), "{table}");
}
