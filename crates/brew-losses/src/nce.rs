//! The pieces of contrastive representation distillation with a memory: scores, the noise-contrastive loss and
//! the memory's renewal.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

use crate::hidden::normalise;

/// From so many rows of a memory for each candidate on, the candidates are copied out of it.
const ROWS_A_CANDIDATE: usize = 8;

/// Rows of norm 1, what CRD's heads give; a row of zero norm is left as it is.
///
/// # Shapes
/// - rows and result: `[rows, width]`
pub fn unit_rows<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    normalise(rows)
}

/// How much each anchor agrees with rows of a memory: `anchor · row / τ`.
///
/// With rows of norm 1 on both sides these are cosines over a temperature. No gradient reaches the memory.
///
/// # Shapes
/// - `anchors`: `[batch, width]`
/// - `memory`: `[examples, width]`
/// - `rows`: `[batch, count]`, the rows that each anchor is compared with
/// - result: `[batch, count]`
///
/// # Panics
/// If the shapes do not fit each other, or the temperature is not greater than 0.
///
/// ```
/// use brew_losses::contrast_scores;
/// use brew_testkit::TestBackend;
/// use burn::tensor::{Int, Tensor};
///
/// let device = Default::default();
/// let memory = Tensor::<TestBackend, 2>::from_floats([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], &device);
/// let anchors = Tensor::from_floats([[1.0, 0.0]], &device);
/// let rows = Tensor::<TestBackend, 2, Int>::from_ints([[2, 0]], &device);
/// let scores = contrast_scores(anchors, memory, rows, 0.5);
/// assert_eq!(scores.into_data().to_vec::<f32>().unwrap(), [1.2, 2.0]);
/// ```
pub fn contrast_scores<B: Backend>(
    anchors: Tensor<B, 2>,
    memory: Tensor<B, 2>,
    rows: Tensor<B, 2, Int>,
    temperature: f64,
) -> Tensor<B, 2> {
    assert!(temperature > 0.0, "CRD: the temperature must be greater than 0, found {temperature}");
    let ([batch, width], [examples, columns], [anchored, count]) =
        (anchors.dims(), memory.dims(), rows.dims());
    assert_eq!((batch, width), (anchored, columns), "CRD: each anchor has rows of its own, of its width");
    let memory = memory.detach();
    let scores = if examples <= ROWS_A_CANDIDATE * count {
        // One product with all rows costs less than copying many of them for each anchor.
        anchors.matmul(memory.transpose()).gather(1, rows)
    } else {
        let candidates = memory.select(0, rows.flatten(0, 1)).reshape([batch, count, width]);
        candidates.matmul(anchors.unsqueeze_dim(2)).squeeze_dim::<2>(2)
    };
    scores / temperature
}

/// The logarithm of the constant that makes probabilities of scores: `ln(n · mean exp(score))`.
///
/// It is estimated once, from the scores of a run's first batch, and kept: noise-contrastive estimation takes
/// unnormalised models as they are, and a constant of about the right size keeps them near 1 (Wu et al.,
/// <https://arxiv.org/abs/1805.01978>). Reads the scores back from the device.
///
/// # Shapes
/// - `scores`: `[batch, 1 + negatives]` from [`contrast_scores`], `examples` the number `n` of training examples
///
/// ```
/// use brew_losses::log_normaliser;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let scores = Tensor::<TestBackend, 2>::from_floats([[0.0, 3f32.ln()]], &Default::default());
/// assert!((log_normaliser(scores, 10) - 20f64.ln()).abs() < 1e-6);
/// ```
pub fn log_normaliser<B: Backend>(scores: Tensor<B, 2>, examples: usize) -> f64 {
    let scores: Vec<f64> = scores.into_data().iter::<f64>().collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
    largest + (sum / scores.len() as f64).ln() + (examples as f64).ln()
}

/// How well an anchor's own counterpart is told from negatives drawn at random: CRD's noise-contrastive loss,
/// equation 18 of <https://arxiv.org/abs/1910.10699>, for one side as the anchor.
///
/// With `p = exp(score) / Z` and `c = K/n`, the number of negatives over that of training examples, a pair is
/// true with probability `h = p / (p + c)`, and the loss is `−ln h(own) − Σ ln(1 − h(negative))`, averaged over
/// the batch. CRD's loss is the sum of this with the student's vectors as anchors and with the teacher's.
///
/// It is computed as the binary cross-entropy of `score − ln Z − ln c`, so that no score is too large. The
/// released code adds 1e-7 to `p + c`, which changes the seventh digit.
///
/// # Shapes
/// - `scores`: `[batch, 1 + K]` from [`contrast_scores`], an anchor's own counterpart first
/// - `log_normaliser`: `ln Z` from [`log_normaliser`]
/// - `examples`: `n`
///
/// # Panics
/// If there are no negatives, or no examples.
///
/// ```
/// use brew_losses::crd_nce_loss;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// // One negative of 4 examples, c = 1/4; p = 3/4 of the own and 1/12 of the other: h is 3/4 and 1/4.
/// let scores = Tensor::<TestBackend, 2>::from_floats([[9f32.ln(), 0.0]], &Default::default());
/// let loss = crd_nce_loss(scores, 12f64.ln(), 4).into_scalar();
/// assert!((loss + 2.0 * 0.75f32.ln()).abs() < 1e-6);
/// ```
pub fn crd_nce_loss<B: Backend>(scores: Tensor<B, 2>, log_normaliser: f64, examples: usize) -> Tensor<B, 1> {
    let [batch, candidates] = scores.dims();
    assert!(candidates > 1 && examples > 0, "CRD: an own counterpart, negatives, and examples are needed");
    let negatives = candidates - 1;
    let log_noise = (negatives as f64 / examples as f64).ln();
    let odds = scores - (log_normaliser + log_noise);
    let own = softplus(odds.clone().narrow(1, 0, 1).neg()).sum();
    let others = softplus(odds.narrow(1, 1, negatives)).sum();
    (own + others) / batch.max(1) as f64
}

/// A memory's vectors of a batch after its examples were seen again: the direction of
/// `momentum · old + (1 − momentum) · new`.
///
/// # Shapes
/// - `old`, `new`, result: `[batch, width]`
pub fn renewed<B: Backend>(old: Tensor<B, 2>, new: Tensor<B, 2>, momentum: f64) -> Tensor<B, 2> {
    normalise(old * momentum + new * (1.0 - momentum))
}

/// ln(1 + eˣ), with its exact derivative on every backend.
///
/// The derivatives of Burn's own take `recip`, which ndarray computes to four or five digits. Here the value is a
/// constant beside a term that is 0 and has the derivative.
fn softplus<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let constant = x.clone().detach();
    // At most 1, so that nothing overflows.
    let small = constant.clone().abs().neg().exp();
    let value = constant.clone().clamp_min(0.0) + small.clone().log1p();
    if !B::ad_enabled(&x.device()) {
        return value;
    }
    let is_negative = constant.clone().lower_elem(0.0);
    let slope = small.ones_like().mask_where(is_negative, small.clone()) / small.add_scalar(1.0);
    value + (x - constant) * slope
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;
    use crate::gradient_check::{assert_gradient, finite_gradient, numbers};

    /// In double precision, from the definition of `h`.
    fn by_definition(scores: &[f64], candidates: usize, z: f64, examples: f64) -> f64 {
        let rows = scores.chunks(candidates);
        let count = rows.len() as f64;
        let c = (candidates - 1) as f64 / examples;
        let h = |score: f64| score.exp() / z / (score.exp() / z + c);
        rows.map(|row| -h(row[0]).ln() - row[1..].iter().map(|&score| (1.0 - h(score)).ln()).sum::<f64>())
            .sum::<f64>()
            / count
    }

    #[test]
    fn the_loss_is_its_definition() {
        let device = Default::default();
        let data = numbers([3, 5], 2);
        let scores: Vec<f64> = data.iter::<f64>().collect();
        for (z, examples) in [(40.0f64, 20), (3.0, 1000)] {
            let expected = by_definition(&scores, 5, z, examples as f64) as f32;
            let scores = Tensor::<TestBackend, 2>::from_data(data.clone(), &device);
            let found = crd_nce_loss(scores.clone(), z.ln(), examples).into_scalar();
            assert_close(&[found], &[expected], 1e-5, 0.0, "loss");
            let tracked = Tensor::<TestAutodiffBackend, 2>::from_data(data.clone(), &device);
            let found = crd_nce_loss(tracked, z.ln(), examples).into_scalar();
            assert_close(&[found], &[expected], 1e-5, 0.0, "loss with gradients");
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        assert_gradient::<2>(numbers([3, 5], 4), |scores| crd_nce_loss(scores, 2.0, 20));
        for memory in memories() {
            assert_gradient::<2>(numbers([3, 4], 4), |anchors| {
                crd_nce_loss(contrast_scores(unit_rows(anchors), memory.clone(), rows(), 0.5), 2.0, 20)
            });
        }
    }

    fn rows<B: Backend>() -> Tensor<B, 2, Int> {
        Tensor::from_ints([[0, 5, 2], [3, 0, 0], [6, 1, 4]], &Default::default())
    }

    /// Vectors of few examples and of many, the first ones alike.
    fn memories() -> [Tensor<TestAutodiffBackend, 2>; 2] {
        let few = Tensor::from_data(numbers([7, 4], 1), &Default::default());
        let rest = Tensor::from_data(numbers([3 * ROWS_A_CANDIDATE, 4], 2), &Default::default());
        [few.clone(), Tensor::cat(vec![few, rest], 0)]
    }

    #[test]
    fn scores_are_products_over_the_temperature_of_few_examples_and_of_many() {
        let anchors = numbers([3, 4], 3);
        let found = memories().map(|memory| {
            let anchors = Tensor::from_data(anchors.clone(), &Default::default());
            contrast_scores(anchors, memory, rows(), 0.25).into_data().to_vec::<f32>().unwrap()
        });
        let (anchors, memory): (Vec<f32>, Vec<f32>) =
            (anchors.iter().collect(), numbers([7, 4], 1).iter().collect());
        let expected: Vec<f32> = [(0, [0, 5, 2]), (1, [3, 0, 0]), (2, [6, 1, 4])]
            .iter()
            .flat_map(|&(anchor, rows)| {
                let anchor = anchors[4 * anchor..4 * anchor + 4].to_vec();
                let product =
                    |row: usize| anchor.iter().zip(&memory[4 * row..]).map(|(a, b)| a * b).sum::<f32>();
                rows.map(|row| product(row) / 0.25)
            })
            .collect();
        for found in found {
            assert_close(&found, &expected, 1e-5, 1e-6, "scores");
        }
    }

    #[test]
    fn the_derivative_is_exact_where_ndarrays_reciprocal_is_not() {
        let device = Default::default();
        let data = numbers([4, 65], 9);
        let scores = Tensor::<TestAutodiffBackend, 2>::from_data(data.clone(), &device).require_grad();
        let gradients = crd_nce_loss(scores.clone(), 1.5, 100).backward();
        let found: Vec<f32> = scores.grad(&gradients).unwrap().into_data().to_vec().unwrap();
        // h − 1 for the own, h for the others, over the batch.
        let c = 0.64f64;
        let h = |score: f64| (score - 1.5).exp() / ((score - 1.5).exp() + c);
        let expected: Vec<f32> = data
            .iter::<f64>()
            .enumerate()
            .map(|(at, score)| ((h(score) - if at % 65 == 0 { 1.0 } else { 0.0 }) / 4.0) as f32)
            .collect();
        assert_close(&found, &expected, 2e-6, 1e-7, "gradient");
    }

    #[test]
    fn scores_far_beyond_exp_are_finite_in_value_and_gradient() {
        let scores = Tensor::<TestAutodiffBackend, 2>::from_floats(
            [[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0]],
            &Default::default(),
        );
        let (value, gradient) = finite_gradient(scores.clone(), |scores| crd_nce_loss(scores, 0.0, 2));
        // The first row costs ln 2 for its last score; in the second everything is wrong by 1000.
        assert_close(&[value], &[(2f32.ln() + 3000.0) / 2.0], 1e-6, 0.0, "loss");
        assert_close(&gradient, &[0.0, 0.0, 0.25, -0.5, 0.5, 0.5], 1e-6, 1e-7, "gradient");
        assert!((log_normaliser(scores, 6) - 1000.0 - 3f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn the_memory_gets_no_gradient() {
        for memory in memories() {
            let anchors =
                Tensor::<TestAutodiffBackend, 2>::from_data(numbers([3, 4], 1), &Default::default());
            let (anchors, memory) = (anchors.require_grad(), memory.require_grad());
            let scores = contrast_scores(anchors.clone(), memory.clone(), rows(), 0.5);
            let gradients = crd_nce_loss(scores, 1.0, 10).backward();
            assert!(anchors.grad(&gradients).is_some() && memory.grad(&gradients).is_none());
        }
    }

    #[test]
    fn a_renewed_vector_lies_between_old_and_new() {
        let device = Default::default();
        let old = Tensor::<TestBackend, 2>::from_floats([[1.0, 0.0]], &device);
        let new = Tensor::<TestBackend, 2>::from_floats([[0.0, 1.0]], &device);
        let found: Vec<f32> = renewed(old, new, 0.6).into_data().to_vec().unwrap();
        let norm = (0.6f32 * 0.6 + 0.4 * 0.4).sqrt();
        assert_close(&found, &[0.6 / norm, 0.4 / norm], 1e-6, 0.0, "vector");
    }

    #[test]
    #[should_panic(expected = "of its width")]
    fn a_memory_of_another_width_is_refused() {
        let device = Default::default();
        let memory = Tensor::<TestBackend, 2>::zeros([7, 5], &device);
        contrast_scores(Tensor::zeros([3, 4], &device), memory, rows(), 1.0);
    }

    #[test]
    fn softplus_has_the_value_of_its_definition() {
        let x = [-30.0f32, -1.0, 0.0, 0.5, 40.0];
        let tensor = Tensor::<TestBackend, 1>::from_data(TensorData::from(x), &Default::default());
        let found: Vec<f32> = softplus(tensor).into_data().to_vec().unwrap();
        let expected = x.map(|x| f64::from(x).exp().ln_1p() as f32);
        assert_close(&found, &expected, 1e-6, 1e-20, "softplus");
    }
}
