use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    regression: Vec<Numbers>,
    classes: Vec<Classes>,
}

#[derive(Deserialize)]
struct Numbers {
    values: Vec<f64>,
    predicted: Vec<f64>,
    pearson: f64,
    spearman: f64,
    mse: f64,
}

#[derive(Deserialize)]
struct Classes {
    classes: usize,
    labels: Vec<usize>,
    predicted: Vec<usize>,
    matthews: f64,
}

fn golden() -> Golden {
    brew_testkit::read_json(Path::new(env!("CARGO_MANIFEST_DIR")).join("../brew-testkit/golden/metrics.json"))
}

#[test]
fn golden_correlations_are_those_of_scipy() {
    let cases = golden().regression;
    assert!(cases.len() >= 200, "{} cases", cases.len());
    for (at, case) in cases.iter().enumerate() {
        let report = RegressionReport::new(&case.predicted, &case.values).unwrap();
        for (found, expected) in
            [(report.pearson, case.pearson), (report.spearman, case.spearman), (report.mse, case.mse)]
        {
            let tolerance = 1e-12 * expected.abs().max(1.0);
            assert!((found - expected).abs() <= tolerance, "case {at}: {found}, expected {expected}");
        }
    }
}

#[test]
fn golden_matthews_correlation_is_that_of_scikit_learn() {
    let cases = golden().classes;
    assert!(cases.len() >= 200, "{} cases", cases.len());
    for (at, case) in cases.iter().enumerate() {
        let found = matthews_correlation(&case.predicted, &case.labels, case.classes).unwrap();
        assert!((found - case.matthews).abs() < 1e-12, "case {at}: {found}, expected {}", case.matthews);
    }
}

#[test]
fn what_does_not_vary_correlates_with_nothing() {
    assert_eq!(pearson(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0]).unwrap(), 0.0);
    assert_eq!(spearman(&[1.0, 2.0], &[7.0, 7.0]).unwrap(), 0.0);
    assert_eq!(RegressionReport::new(&[], &[]).unwrap().mse, 0.0);
    assert_eq!(matthews_correlation(&[], &[], 2).unwrap(), 0.0);
    assert_eq!(matthews_correlation(&[1, 1], &[0, 1], 2).unwrap(), 0.0);
}

#[test]
fn numbers_of_any_size_correlate() {
    assert_eq!(pearson(&[0.0, 1e-200, 2e-200], &[1e200, 2e200, 3e200]).unwrap(), 1.0);
    assert_eq!(pearson(&[1e308, -1e308], &[1.0, 2.0]).unwrap(), -1.0);
}

#[test]
fn what_is_not_finite_is_named() {
    let error = pearson(&[1.0, f64::NAN], &[1.0, 2.0]).unwrap_err().to_string();
    assert_eq!(error, "prediction 1 is NaN, which cannot be compared");
    assert!(matches!(
        mean_squared_error(&[1.0], &[]),
        Err(DataError::DifferentLengths { predictions: 1, labels: 0 })
    ));
}
