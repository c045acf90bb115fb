//! Mean, spread and the standard error of a difference.

/// Mean and sample standard deviation of the values of several seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) count: usize,
    pub(super) mean: f64,
    /// 0 for a single value, whose spread is unknown.
    pub(super) deviation: f64,
}

impl Sample {
    /// `None` without any value.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        Some(Self { count, mean, deviation })
    }

    /// The standard error of `self.mean − other.mean` for independent samples (Welch); `None` where
    /// both have a single value.
    pub(super) fn standard_error_of_difference(self, other: Self) -> Option<f64> {
        let part = |one: Self| one.deviation.powi(2) / one.count as f64;
        (self.count > 1 || other.count > 1).then(|| (part(self) + part(other)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_deviation_and_error_are_those_of_a_textbook() {
        let a = Sample::of(&[2.0, 4.0, 6.0]).unwrap();
        assert_eq!((a.count, a.mean, a.deviation), (3, 4.0, 2.0));
        let b = Sample::of(&[1.0, 3.0]).unwrap();
        // 4/3 + 2/2 = 7/3
        let error = a.standard_error_of_difference(b).unwrap();
        assert!((error - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{error}");
    }

    #[test]
    fn single_values_have_no_error_and_no_values_no_mean() {
        let one = Sample::of(&[5.0]).unwrap();
        assert_eq!((one.mean, one.deviation), (5.0, 0.0));
        assert_eq!(one.standard_error_of_difference(one), None);
        assert_eq!(Sample::of(&[]), None);
    }
}
