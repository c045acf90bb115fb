//! The largest logits of a row, and one number for all others.
//!
//! With the `k` largest logits `z` of `c` classes kept, each of the others becomes
//! `log Σ exp(z of the others) − log(c − k)`: a softmax at temperature 1 then has the kept probabilities unchanged,
//! and spreads what remains of the mass evenly. This is the marginal smoothing with top-K of Shen and Xing, "A Fast
//! Knowledge Distillation Framework for Visual Recognition", <https://arxiv.org/abs/2112.01528>. At another
//! temperature the kept logits keep their ratios to each other; what the others have together is then only near to
//! what they had, for they are alike.

/// The largest `k` values of a row with their places, the largest first and the first of equal ones, and the value
/// that stands for each of the others.
///
/// # Panics
/// If there is no other.
pub(super) fn largest(row: &[f32], k: usize) -> (Vec<(u32, f32)>, f32) {
    assert!(k < row.len(), "the {k} largest of {} leave none", row.len());
    let mut places: Vec<u32> = (0..row.len() as u32).collect();
    places.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
    let others = places[k..].iter().map(|&place| f64::from(row[place as usize]));
    let greatest = others.clone().fold(f64::NEG_INFINITY, f64::max);
    let rest = if greatest.is_finite() {
        let sum: f64 = others.map(|value| (value - greatest).exp()).sum();
        greatest + (sum / (row.len() - k) as f64).ln()
    } else {
        greatest
    };
    let kept = places[..k].iter().map(|&place| (place, row[place as usize]));
    (kept.collect(), rest as f32)
}

#[cfg(test)]
mod tests {
    use brew_testkit::assert_close;

    use super::*;

    fn softmax(row: &[f32]) -> Vec<f32> {
        let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials: Vec<f64> = row.iter().map(|&value| f64::from(value - greatest).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        exponentials.into_iter().map(|value| (value / sum) as f32).collect()
    }

    #[test]
    fn the_kept_probabilities_stay_and_the_rest_is_even() {
        let row = [0.3, 4.0, -2.0, 1.5, 0.0];
        let (kept, rest) = largest(&row, 2);
        assert_eq!(kept, [(1, 4.0), (3, 1.5)]);
        let spread = [rest, 4.0, rest, 1.5, rest];
        let (expected, found) = (softmax(&row), softmax(&spread));
        let remaining = (expected[0] + expected[2] + expected[4]) / 3.0;
        let expected = [remaining, expected[1], remaining, expected[3], remaining];
        assert_close(&found, &expected, 1e-6, 0.0, "probabilities");
    }

    #[test]
    fn one_that_is_left_is_itself_and_huge_ones_do_not_overflow() {
        let (kept, rest) = largest(&[900.0, -3.25, 1000.0], 2);
        assert_eq!((kept, rest), (vec![(2, 1000.0), (0, 900.0)], -3.25));
        let (_, rest) = largest(&[1e30, 1000.0, 1000.0], 1);
        assert_eq!(rest, 1000.0);
        let (kept, rest) = largest(&[0.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY], 2);
        assert_eq!((kept, rest), (vec![(0, 0.0), (2, 0.0)], f32::NEG_INFINITY));
    }
}
