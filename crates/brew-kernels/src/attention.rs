//! Attention over packed sequences.

use burn::tensor::{Tensor, backend::Backend};

use crate::DropoutMask;

/// Where the sequences of a batch stand in rows without padding, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    /// How many rows each has; none is 0.
    pub lengths: Vec<usize>,
    /// The length to which the batch would be padded: the fate of a probability under dropout is decided by its
    /// place in `[batch, heads, padded, padded]`, or `[batch, heads, 1, padded]` where first rows alone ask, so that
    /// packed and padded runs draw the same.
    pub padded: usize,
}

/// Multi-head attention, `softmax(Q·Kᵀ/√d)·V`, within each sequence (Vaswani et al.,
/// <https://arxiv.org/abs/1706.03762>), if there is a kernel for these tensors; else gives back the three.
///
/// The probabilities are computed once more for the gradient instead of being kept, as in FlashAttention (Dao et
/// al., <https://arxiv.org/abs/2205.14135>).
///
/// # Shapes
/// - `key`, `value`: `[rows, heads · d]`, rows of all sequences one after the other
/// - `query`, output: the same, or `[sequences, heads · d]`, those of each sequence's first row alone
///
/// # Errors
/// The inputs, unchanged, if there is no kernel for them.
///
/// # Panics
/// If the sequences' lengths do not add up to the rows, there is a query neither for each row nor for each sequence,
/// a length is 0 or above the padded length, or the width is no multiple of `heads`.
pub fn attention<B: Backend>(
    query: Tensor<B, 2>,
    key: Tensor<B, 2>,
    value: Tensor<B, 2>,
    sequences: &Sequences,
    heads: usize,
    dropout: Option<DropoutMask>,
) -> Result<Tensor<B, 2>, [Tensor<B, 2>; 3]> {
    #[cfg(feature = "flex")]
    {
        let [rows, width] = key.dims();
        let [queries, _] = query.dims();
        let first_only = queries != rows;
        let has_queries = !first_only || queries == sequences.lengths.len();
        assert!(has_queries, "{queries} queries for {rows} rows of {} sequences", sequences.lengths.len());
        assert_eq!(sequences.lengths.iter().sum::<usize>(), rows, "the sequences have not as many rows");
        assert!(heads > 0 && width.is_multiple_of(heads), "{width} is no multiple of {heads} heads");
        let fits = |length: &usize| (1..=sequences.padded).contains(length);
        assert!(sequences.lengths.iter().all(fits), "a sequence is empty or longer than the padding");
        let operation =
            crate::flex::Attention { sequences: sequences.clone().into(), first_only, heads, dropout };
        let inputs = [query, key, value].map(crate::primitive);
        crate::flex::apply::<B, _, _>(operation, inputs)
            .map(crate::tensor)
            .map_err(|inputs| inputs.map(crate::tensor))
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = (sequences, heads, dropout);
        Err([query, key, value])
    }
}
