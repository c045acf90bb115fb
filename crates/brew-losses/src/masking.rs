//! Everything that knows what a mask does.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::LossError;

/// Below this a count is taken for zero: nothing was selected, and the loss is 0 and not 0/0.
const SMALLEST_COUNT: f64 = 1e-6;

/// TextBrewer recognises attention scores that the model masked by their value.
const MASKED_SCORE: f64 = -1e-3;

/// The mask if there is one, checked to be `[batch, length]`.
pub(crate) fn checked<B: Backend>(
    loss: &str,
    mask: &Option<Tensor<B, 2>>,
    feature: &[usize],
    expected: [usize; 2],
) -> Result<Option<Tensor<B, 2>>, LossError> {
    match mask {
        Some(mask) if mask.dims() != expected => Err(LossError::MaskMismatch {
            loss: loss.to_string(),
            mask: mask.dims().to_vec(),
            feature: feature.to_vec(),
            expected: expected.to_vec(),
        }),
        mask => Ok(mask.clone()),
    }
}

/// Sum of `per_token` `[batch, length, 1]` over tokens that count, over their number.
pub(crate) fn token_mean<B: Backend>(per_token: Tensor<B, 3>, mask: Tensor<B, 2>) -> Tensor<B, 1> {
    let count = mask.clone().sum().clamp_min(SMALLEST_COUNT);
    (per_token * mask.unsqueeze_dim(2)).sum() / count
}

/// Sum of `per_pair` `[batch, length, length]` over pairs of tokens that both count, over the number of
/// such pairs.
pub(crate) fn pair_mean<B: Backend>(per_pair: Tensor<B, 3>, mask: Tensor<B, 2>) -> Tensor<B, 1> {
    let count = mask.clone().sum_dim(1).square().sum().clamp_min(SMALLEST_COUNT);
    pair_sum(per_pair, mask) / count
}

/// Sum of `per_pair` `[batch, queries, keys]` over pairs of tokens that both count, over the number of
/// *queries* that count.
pub(crate) fn query_mean<B: Backend>(per_pair: Tensor<B, 3>, mask: Tensor<B, 2>) -> Tensor<B, 1> {
    let count = mask.clone().sum().clamp_min(SMALLEST_COUNT);
    pair_sum(per_pair, mask) / count
}

fn pair_sum<B: Backend>(per_pair: Tensor<B, 3>, mask: Tensor<B, 2>) -> Tensor<B, 1> {
    let rows = mask.clone().unsqueeze_dim::<3>(2);
    let columns = mask.unsqueeze_dim::<3>(1);
    (per_pair * (rows * columns)).sum()
}

/// The number of tokens of each sequence, `[batch, 1, 1]`, never 0.
pub(crate) fn token_counts<B: Backend>(mask: Tensor<B, 2>) -> Tensor<B, 3> {
    mask.sum_dim(1).clamp_min(SMALLEST_COUNT).unsqueeze_dim(2)
}

/// `values` with 0 wherever `scores` look masked by the model, which is at most −0.001.
pub(crate) fn drop_masked_scores<B: Backend>(values: Tensor<B, 4>, scores: Tensor<B, 4>) -> Tensor<B, 4> {
    values.mask_fill(scores.lower_equal_elem(MASKED_SCORE), 0.0)
}

/// The rows of `logits` where `mask` is not 0 (TextBrewer's `select_logits_with_mask`, for logits of
/// tokens).
///
/// Reads the mask back from the device, since the number of rows depends on it.
///
/// # Shapes
/// - `logits`: `[positions, classes]`
/// - `mask`: `[positions]`
/// - result: `[kept, classes]`
///
/// # Panics
/// If there is not one mask entry a row.
///
/// ```
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let logits = Tensor::<TestBackend, 2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
/// let kept = brew_losses::select_positions(logits, Tensor::from_floats([1.0, 0.0, 1.0], &device));
/// assert_eq!(kept.into_data().to_vec::<f32>().unwrap(), [1.0, 2.0, 5.0, 6.0]);
/// ```
pub fn select_positions<B: Backend>(logits: Tensor<B, 2>, mask: Tensor<B, 1>) -> Tensor<B, 2> {
    let [positions, _] = logits.dims();
    assert_eq!(positions, mask.dims()[0], "the mask must have one entry for each position of the logits");
    let kept: Vec<i64> = mask
        .into_data()
        .iter::<f32>()
        .enumerate()
        .filter(|(_, entry)| *entry != 0.0)
        .map(|(position, _)| position as i64)
        .collect();
    if kept.len() == positions {
        return logits;
    }
    let count = kept.len();
    let kept = Tensor::<B, 1, Int>::from_data(TensorData::new(kept, [count]), &logits.device());
    logits.select(0, kept)
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend};

    use super::*;

    #[test]
    fn selected_rows_pass_their_gradient_back() {
        let device = Default::default();
        let logits =
            Tensor::<TestAutodiffBackend, 2>::from_floats([[1.0], [2.0], [3.0]], &device).require_grad();
        let kept = select_positions(logits.clone(), Tensor::from_floats([0.0, 1.0, 1.0], &device));
        let gradients = kept.square().sum().backward();
        assert_eq!(logits.grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap(), [0.0, 4.0, 6.0]);
    }

    #[test]
    fn a_mask_of_ones_keeps_every_row() {
        let device = Default::default();
        let logits = Tensor::<TestBackend, 2>::from_floats([[1.0], [2.0]], &device);
        let kept = select_positions(logits.clone(), Tensor::ones([2], &device));
        kept.into_data().assert_eq(&logits.into_data(), true);
    }
}
