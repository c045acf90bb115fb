//! One tensor's share of an example: its real tokens without padding.

use brew_losses::FeatureTensor;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::MASKED_LOGIT;

/// One tensor's share of an example, its tokens without padding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) values: Vec<f32>,
}

/// What a piece is a piece of, and so where its padding goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[width]`
    Text { width: usize },
    /// `[tokens]`
    Mask,
    /// `[tokens]`, and [`MASKED_LOGIT`] at padding
    Places,
    /// `[tokens, width]`
    Tokens { width: usize },
    /// `[heads, tokens, tokens]`; `flat` where the tensor has no dimension for heads.
    Pairs { heads: usize, flat: bool },
}

impl Kind {
    /// Numbers of one example of so many tokens.
    ///
    /// # Panics
    /// If that is beyond what a machine can count; see [`checked_size`](Self::checked_size).
    pub(super) fn size(self, tokens: usize) -> usize {
        self.checked_size(tokens).expect("a tensor of a batch that is there")
    }

    /// The same for what a file says; `None` where no machine can hold it.
    pub(super) fn checked_size(self, tokens: usize) -> Option<usize> {
        match self {
            Self::Text { width } => Some(width),
            Self::Mask | Self::Places => Some(tokens),
            Self::Tokens { width } => tokens.checked_mul(width),
            Self::Pairs { heads, .. } => tokens.checked_mul(tokens)?.checked_mul(heads),
        }
    }

    /// Calls `run` with each stretch of an example's numbers: where it starts with padding to `length`, where
    /// without, and how long it is.
    fn runs(self, tokens: usize, length: usize, mut run: impl FnMut(usize, usize, usize)) {
        match self {
            Self::Text { width } => run(0, 0, width),
            Self::Mask | Self::Places => run(0, 0, tokens),
            Self::Tokens { width } => run(0, 0, tokens * width),
            Self::Pairs { heads, .. } => {
                for (head, row) in (0..heads).flat_map(|head| (0..tokens).map(move |row| (head, row))) {
                    run((head * length + row) * length, (head * tokens + row) * tokens, tokens);
                }
            }
        }
    }
}

/// The number of real tokens of each text; `None` where they do not come first.
pub(super) fn token_counts<B: Backend>(mask: &Tensor<B, 2>) -> Option<Vec<usize>> {
    let [_, length] = mask.dims();
    let values: Vec<f32> = mask.clone().into_data().iter::<f32>().collect();
    values
        .chunks(length)
        .map(|row| {
            let count = row.iter().filter(|&&value| value != 0.0).count();
            row[..count].iter().all(|&value| value == 1.0).then_some(count)
        })
        .collect()
}

/// Each example's share of a tensor; `None` where it has tokens that cannot be told from padding.
pub(super) fn split<B: Backend>(
    feature: FeatureTensor<B>,
    is_attention: bool,
    tokens: &[usize],
) -> Option<Vec<Piece>> {
    let dims = feature.dims();
    let (kind, length) = match &feature {
        FeatureTensor::D2(_) => (Kind::Text { width: dims[1] }, 0),
        FeatureTensor::D3(_) if is_attention => (Kind::Pairs { heads: 1, flat: true }, dims[1]),
        FeatureTensor::D3(_) => (Kind::Tokens { width: dims[2] }, dims[1]),
        FeatureTensor::D4(_) => (Kind::Pairs { heads: dims[1], flat: false }, dims[2]),
    };
    if dims[0] != tokens.len() || (length > 0 && tokens.contains(&0)) {
        return None;
    }
    let values = values_of(feature);
    Some(cut(kind, &values, length, tokens))
}

/// The same of a tensor with one number a token.
pub(super) fn split_mask<B: Backend>(mask: Tensor<B, 2>, kind: Kind, tokens: &[usize]) -> Option<Vec<Piece>> {
    let [batch, length] = mask.dims();
    if batch != tokens.len() || tokens.contains(&0) {
        return None;
    }
    Some(cut(kind, &values_of(mask.into()), length, tokens))
}

fn values_of<B: Backend>(feature: FeatureTensor<B>) -> Vec<f32> {
    let data: TensorData = match feature {
        FeatureTensor::D2(tensor) => tensor.into_data(),
        FeatureTensor::D3(tensor) => tensor.into_data(),
        FeatureTensor::D4(tensor) => tensor.into_data(),
    };
    data.convert::<f32>().into_vec().expect("converted to f32 above")
}

/// Pieces without padding of a tensor of padded length `length`.
fn cut(kind: Kind, values: &[f32], length: usize, tokens: &[usize]) -> Vec<Piece> {
    let size = kind.size(length);
    let pieces = values.chunks(size).zip(tokens).map(|(padded, &tokens)| {
        let mut values = Vec::with_capacity(kind.size(tokens));
        kind.runs(tokens, length, |from, _, run| values.extend_from_slice(&padded[from..from + run]));
        Piece { kind, values }
    });
    pieces.collect()
}

/// Pieces of the examples of a batch, all of one kind, padded to `length`.
pub(super) fn joined<B: Backend>(
    pieces: &[&Piece],
    tokens: &[usize],
    length: usize,
    device: &B::Device,
) -> FeatureTensor<B> {
    let kind = pieces[0].kind;
    let (batch, size) = (pieces.len(), kind.size(length));
    let padding = if kind == Kind::Places { MASKED_LOGIT } else { 0.0 };
    let mut values = vec![padding; batch * size];
    for ((piece, &tokens), padded) in pieces.iter().zip(tokens).zip(values.chunks_mut(size)) {
        kind.runs(tokens, length, |to, from, run| {
            padded[to..to + run].copy_from_slice(&piece.values[from..from + run]);
        });
    }
    match kind {
        Kind::Text { width } => {
            Tensor::<B, 2>::from_data(TensorData::new(values, [batch, width]), device).into()
        }
        Kind::Mask | Kind::Places => {
            Tensor::<B, 2>::from_data(TensorData::new(values, [batch, length]), device).into()
        }
        Kind::Tokens { width } => {
            Tensor::<B, 3>::from_data(TensorData::new(values, [batch, length, width]), device).into()
        }
        Kind::Pairs { flat: true, .. } => {
            Tensor::<B, 3>::from_data(TensorData::new(values, [batch, length, length]), device).into()
        }
        Kind::Pairs { heads, flat: false } => {
            Tensor::<B, 4>::from_data(TensorData::new(values, [batch, heads, length, length]), device).into()
        }
    }
}
