/// Asserts that `actual` equals `expected` within `rel · |expected| + abs`, entry by entry.
///
/// ```
/// brew_testkit::assert_close(&[1.0, 2.00001], &[1.0, 2.0], 1e-5, 1e-6, "loss");
/// ```
///
/// # Panics
/// If the lengths differ or an entry is too far off, naming `what`, the worst entry and both values. A
/// value that is not a number is only close to another one.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f32], rel: f64, abs: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: number of values");
    let mut worst: Option<(f64, usize)> = None;
    for (index, (&found, &wanted)) in actual.iter().zip(expected).enumerate() {
        if (found.is_nan() && wanted.is_nan()) || found == wanted {
            continue;
        }
        let difference = (f64::from(found) - f64::from(wanted)).abs();
        let excess = difference / (rel * f64::from(wanted).abs() + abs);
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        if excess > 1.0 && worst.is_none_or(|(most, _)| excess > most) {
            worst = Some((excess, index));
        }
    }
    if let Some((excess, index)) = worst {
        panic!(
            "{what}: value {index} of {} is {}, expected {}: {excess:.1} times the tolerance (relative {rel}, \
             absolute {abs})",
            actual.len(),
            actual[index],
            expected[index]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::assert_close;

    #[test]
    fn close_values_pass() {
        assert_close(
            &[100.0005, f32::NAN, f32::INFINITY],
            &[100.0, f32::NAN, f32::INFINITY],
            1e-5,
            0.0,
            "values",
        );
        assert_close(&[0.0], &[1e-7], 0.0, 1e-6, "zero");
    }

    #[test]
    #[should_panic(expected = "value 1 of 2 is 2.1, expected 2")]
    fn far_values_are_named() {
        assert_close(&[1.0, 2.1], &[1.0, 2.0], 1e-5, 1e-6, "loss");
    }

    #[test]
    #[should_panic(expected = "value 0 of 1 is NaN")]
    fn not_a_number_is_not_close() {
        assert_close(&[f32::NAN], &[2.0], 1e-5, 1e-6, "loss");
    }

    #[test]
    #[should_panic(expected = "value 0 of 1 is inf")]
    fn infinity_is_not_close() {
        assert_close(&[f32::INFINITY], &[2.0], 1e-5, 1e-6, "loss");
    }

    #[test]
    #[should_panic(expected = "number of values")]
    fn lengths_must_agree() {
        assert_close(&[1.0], &[1.0, 2.0], 1e-5, 1e-6, "loss");
    }
}
