//! Medians, and the ratio of two sides measured in pairs.

/// The middle value, or the mean of the two middle ones; `None` without any.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len().is_multiple_of(2) { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 } else { upper })
}

/// How many times as fast as the peer, over the pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) median: f64,
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

impl Ratio {
    /// Of the seconds of both sides, pair by pair; `None` without any pair.
    pub(super) fn of(brew: &[f64], peer: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = brew.iter().zip(peer).map(|(brew, peer)| peer / brew).collect();
        Some(Self {
            median: median(&ratios)?,
            lowest: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            highest: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs_not_the_ratio_of_medians() {
        // Pairs of 2, 0.5 and 3: the machine was slower in the second, for both.
        let ratio = Ratio::of(&[1.0, 20.0, 2.0], &[2.0, 10.0, 6.0]).unwrap();
        assert_eq!(ratio, Ratio { median: 2.0, lowest: 0.5, highest: 3.0 });
        assert_eq!(Ratio::of(&[], &[]), None);
    }
}
