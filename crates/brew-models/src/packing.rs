//! How a batch's tokens stand in rows: padded, or packed without the padding.

use brew_kernels::Sequences;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// The rows of a batch on their way through the encoder, and the mask of its attention.
///
/// Everything but attention works on each token by itself, so it is given rows of real tokens only,
/// `[rows, hidden]`, sequence by sequence. Attention sees `[batch · length, hidden]`: a padding
/// position there repeats its sequence's first row. As a key it has probability 0, as a query it is
/// not packed back, so nothing of it reaches a real token, in either direction.
///
/// A batch without padding, or whose lengths are unknown, has a row for each position, and no row
/// moves.
pub(crate) struct Layout<B: Backend> {
    pub(crate) batch: usize,
    pub(crate) length: usize,
    /// `[batch, 1, 1, length]`, added to the scores.
    pub(crate) mask: Tensor<B, 4>,
    /// `[batch, length]`, 1 at tokens.
    pub(crate) tokens: Tensor<B, 2>,
    /// Whether every position is known to be a token.
    pub(crate) is_full: bool,
    /// Where the sequences stand in the rows, if those hold tokens alone.
    pub(crate) sequences: Option<Sequences>,
    packing: Option<Packing<B>>,
}

/// The rows that a layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Every row.
    All,
    /// The first of each sequence, which is all that a classifier of whole texts reads.
    First,
}

struct Packing<B: Backend> {
    /// Of each row its padded position, `[rows]`.
    tokens: Tensor<B, 1, Int>,
    /// Of each row its place in its sequence, `[rows]`.
    places: Tensor<B, 1, Int>,
    /// Of each padded position its row, `[batch · length]`.
    positions: Tensor<B, 1, Int>,
    /// The first row of each sequence, `[batch]`.
    first: Tensor<B, 1, Int>,
    /// Whether a sequence without a token keeps its positions.
    holds_padding: bool,
}

impl<B: Backend> Layout<B> {
    /// `mask` is `[batch, length]`, 1 at tokens.
    ///
    /// # Panics
    /// If the padded length is 0, `lengths` has not one entry a sequence, or one is above the padded length.
    pub(crate) fn new(mask: Tensor<B, 2>, lengths: Option<&[usize]>) -> Self {
        let [batch, length] = mask.dims();
        assert!(length > 0, "a batch of sequences without any position");
        let packing = lengths.and_then(|lengths| Packing::new(lengths, batch, length, &mask.device()));
        let is_full = lengths.is_some_and(|lengths| lengths.iter().all(|&count| count == length));
        let sequences = lengths
            .filter(|lengths| !lengths.contains(&0))
            .map(|lengths| Sequences { lengths: lengths.to_vec(), padded: length });
        Self { batch, length, mask: additive_mask(mask.clone()), tokens: mask, is_full, sequences, packing }
    }

    /// Whether there may be rows of padding.
    pub(crate) fn holds_padding(&self) -> bool {
        self.packing.as_ref().is_none_or(|packing| packing.holds_padding)
    }

    /// Ids of `[batch, length]`, as `[1, rows]` if packed.
    pub(crate) fn pack_ids(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 2, Int> {
        match &self.packing {
            Some(packing) => ids.reshape([1, -1]).select(1, packing.tokens.clone()),
            None => ids,
        }
    }

    /// What each row takes from a table with an entry a place, `[longest, hidden]`: `[1, rows, hidden]` if
    /// packed, else `[1, length, hidden]`, the same for each sequence.
    pub(crate) fn by_place(&self, table: Tensor<B, 2>) -> Tensor<B, 3> {
        let entries = match &self.packing {
            Some(packing) => table.select(0, packing.places.clone()),
            None => table.narrow(0, 0, self.length),
        };
        entries.unsqueeze_dim(0)
    }

    /// `[batch · length, hidden]` to `[rows, hidden]`.
    pub(crate) fn pack(&self, padded: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.packing {
            Some(packing) => padded.select(0, packing.tokens.clone()),
            None => padded,
        }
    }

    /// `[rows, hidden]` to `[batch · length, hidden]`.
    pub(crate) fn unpack(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        match &self.packing {
            Some(packing) => rows.select(0, packing.positions.clone()),
            None => rows,
        }
    }

    /// The first row of each sequence, `[batch, hidden]`.
    pub(crate) fn first(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        let [_, hidden] = rows.dims();
        match &self.packing {
            Some(packing) => rows.select(0, packing.first.clone()),
            None => {
                let by_sequence = rows.reshape([self.batch, self.length * hidden]);
                by_sequence.slice([0..self.batch, 0..hidden])
            }
        }
    }
}

impl<B: Backend> Packing<B> {
    fn new(lengths: &[usize], batch: usize, length: usize, device: &B::Device) -> Option<Self> {
        let rows = rows_of(lengths, batch, length);
        if rows.iter().all(|&count| count == length) {
            return None;
        }
        let total = rows.iter().sum();
        let (mut tokens, mut places) = (Vec::with_capacity(total), Vec::with_capacity(total));
        let (mut positions, mut first) = (Vec::with_capacity(batch * length), Vec::with_capacity(batch));
        for (sequence, &count) in rows.iter().enumerate() {
            let start = tokens.len();
            first.push(start as i64);
            tokens.extend((0..count).map(|place| (sequence * length + place) as i64));
            places.extend((0..count).map(|place| place as i64));
            positions
                .extend((0..length).map(|place| (if place < count { start + place } else { start }) as i64));
        }
        let indices = |values: Vec<i64>| {
            let shape = [values.len()];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Some(Self {
            tokens: indices(tokens),
            places: indices(places),
            positions: indices(positions),
            first: indices(first),
            holds_padding: lengths.contains(&0),
        })
    }
}

/// How many rows each sequence has: a sequence without a token keeps all its positions, for it attends to
/// all of them.
fn rows_of(lengths: &[usize], batch: usize, length: usize) -> Vec<usize> {
    assert_eq!(lengths.len(), batch, "there is not one length a sequence");
    let of_sequence = |&count: &usize| {
        assert!(count <= length, "a sequence of {count} tokens in a batch of length {length}");
        if count == 0 { length } else { count }
    };
    lengths.iter().map(of_sequence).collect()
}

/// 0 at tokens and the type's lowest number at padding, as transformers does: a row that is all
/// padding attends evenly instead of dividing by zero.
fn additive_mask<B: Backend>(mask: Tensor<B, 2>) -> Tensor<B, 4> {
    let [batch, length] = mask.dims();
    let lowest = mask.dtype().finfo().map_or(f64::from(f32::MIN), |info| info.min);
    mask.neg().add_scalar(1.0).mul_scalar(lowest).reshape([batch, 1, 1, length])
}

#[cfg(test)]
mod tests;
