//! Everything that knows what a mask does, except the kernels: they and what is here agree.

use brew_kernels::losses::{MASKED_SCORE, SMALLEST_COUNT};
use burn::tensor::backend::Backend;
use burn::tensor::{BasicOps, Int, Tensor, TensorData};

use crate::LossError;

/// A score that no softmax gives any probability, and that is finite, so that a row of nothing else is too.
const NO_SCORE: f64 = -1e30;

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

/// `values` with 0 wherever `scores` look masked by the model, which is at most −0.001: TextBrewer recognises them by
/// their value.
pub(crate) fn drop_masked_scores<B: Backend>(values: Tensor<B, 4>, scores: Tensor<B, 4>) -> Tensor<B, 4> {
    values.mask_fill(scores.lower_equal_elem(MASKED_SCORE), 0.0)
}

/// `states` `[batch, length, width]` with 0 at the tokens that do not count, whatever was there.
pub(crate) fn drop_tokens<B: Backend>(states: Tensor<B, 3>, mask: Tensor<B, 2>) -> Tensor<B, 3> {
    let shape = states.dims();
    states.mask_fill(mask.equal_elem(0.0).unsqueeze_dim::<3>(2).expand(shape), 0.0)
}

/// `scores` `[batch, heads, queries, keys]` with the keys that do not count left out of a softmax.
pub(crate) fn drop_keys<B: Backend>(scores: Tensor<B, 4>, mask: Tensor<B, 2>) -> Tensor<B, 4> {
    let shape = scores.dims();
    let is_dropped = mask.equal_elem(0.0).unsqueeze_dims::<4>(&[1, 2]);
    scores.mask_fill(is_dropped.expand(shape), NO_SCORE)
}

/// 1 for each sequence of which a token counts, 0 for the others: `[batch]`.
pub(crate) fn counted_sequences<B: Backend>(
    mask: Option<Tensor<B, 2>>,
    batch: usize,
    device: &B::Device,
) -> Tensor<B, 1> {
    match mask {
        None => Tensor::ones([batch], device),
        Some(mask) => mask.not_equal_elem(0.0).float().max_dim(1).squeeze_dim(1),
    }
}

/// `states` `[batch, width]` with 0 for the sequences that do not count, whatever was there.
pub(crate) fn drop_sequences<B: Backend>(states: Tensor<B, 2>, counted: Tensor<B, 1>) -> Tensor<B, 2> {
    let shape = states.dims();
    states.mask_fill(counted.equal_elem(0.0).unsqueeze_dim::<2>(1).expand(shape), 0.0)
}

/// `scores` `[batch, batch]` with the columns of sequences that do not count left out of a softmax.
pub(crate) fn drop_candidates<B: Backend>(scores: Tensor<B, 2>, counted: Tensor<B, 1>) -> Tensor<B, 2> {
    let shape = scores.dims();
    scores.mask_fill(counted.equal_elem(0.0).unsqueeze_dim::<2>(0).expand(shape), NO_SCORE)
}

/// 1 for each ordered pair of two different sequences that both count: `[batch, batch]`.
pub(crate) fn counted_pairs<B: Backend>(counted: Tensor<B, 1>) -> Tensor<B, 2> {
    let [batch] = counted.dims();
    let others = Tensor::<B, 2>::eye(batch, &counted.device()).neg().add_scalar(1.0);
    counted.clone().unsqueeze_dim::<2>(1) * counted.unsqueeze_dim::<2>(0) * others
}

/// 1 for each vertex and ordered pair of two others, all different sequences that count:
/// `[batch, batch, batch]`.
pub(crate) fn counted_triples<B: Backend>(counted: Tensor<B, 1>) -> Tensor<B, 3> {
    let pairs = counted_pairs(counted);
    pairs.clone().unsqueeze_dim::<3>(2) * pairs.clone().unsqueeze_dim::<3>(1) * pairs.unsqueeze_dim::<3>(0)
}

/// Mean of `values` where `counted` is 1, or 0 where it never is.
pub(crate) fn counted_mean<B: Backend, const D: usize>(
    values: Tensor<B, D>,
    counted: Tensor<B, D>,
) -> Tensor<B, 1> {
    let count = counted.clone().sum().clamp_min(SMALLEST_COUNT);
    (values * counted).sum() / count
}

/// The rows of `logits` where `mask` is not 0 (TextBrewer's `select_logits_with_mask`, for logits of
/// tokens), or the entries of labels.
///
/// Reads the mask back from the device, since the number of rows depends on it.
///
/// # Shapes
/// - `logits`: `[positions, classes]`, or labels `[positions]`
/// - `mask`: `[positions]`
/// - result: `[kept, classes]`, or `[kept]`
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
pub fn select_positions<B: Backend, const D: usize, K: BasicOps<B>>(
    logits: Tensor<B, D, K>,
    mask: Tensor<B, 1>,
) -> Tensor<B, D, K> {
    let positions = logits.dims()[0];
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
