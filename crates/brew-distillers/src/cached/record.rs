//! What is kept of an example, as bytes.
//!
//! ```text
//! record: tokens u32 · flags u8 (1: aligned, 2: float16) · logits u16 · masks u16 · layers of each feature 6 × u16
//!         · pieces in this order
//! piece:  0 for a layer that is left out; else kind u8 · width or heads u32 · k u32 · numbers
//! ```
//!
//! With a `k` above 0 a row of logits is `k` places u32, `k` values, and the value of all others. Numbers are
//! little-endian, values in float32 or float16.

use half::f16;

use super::kept::Kept;
use super::piece::{Kind, Piece};
use super::top_k::largest;
use crate::{Precision, Storage};

const HEAD: usize = 21;
const LEFT_OUT: usize = 1;
const PIECE_HEAD: usize = 9;
/// Numbers of a record at most, when all of them are there again: 1 GiB.
const MOST_NUMBERS: usize = 1 << 28;

const ALIGNED: u8 = 1;
const HALF: u8 = 2;

impl Kind {
    fn code(self) -> (u8, usize) {
        match self {
            Self::Text { width } => (1, width),
            Self::Mask => (2, 0),
            Self::Places => (3, 0),
            Self::Tokens { width } => (4, width),
            Self::Pairs { heads, flat: false } => (5, heads),
            Self::Pairs { heads, flat: true } => (6, heads),
        }
    }

    fn of_code(code: u8, width: usize) -> Option<Self> {
        Some(match code {
            1 => Self::Text { width },
            2 => Self::Mask,
            3 => Self::Places,
            4 => Self::Tokens { width },
            5 => Self::Pairs { heads: width, flat: false },
            6 => Self::Pairs { heads: width, flat: true },
            _ => return None,
        })
    }

    /// How many of a row's logits are kept; 0 for all.
    fn kept_of_row(self, storage: Storage) -> usize {
        match (self, storage.top_k) {
            (Self::Text { width } | Self::Tokens { width }, Some(k)) if k < width => k,
            _ => 0,
        }
    }
}

/// What an example takes, by its number of tokens, before any is computed.
///
/// ```
/// use brew_distillers::{KeptSize, Precision, Storage};
///
/// // Two logits, and of thirteen hidden states of 768 units the last.
/// let half = Storage { precision: Precision::F16, top_k: None };
/// let mut size = KeptSize::new(half);
/// size.logits_of_text(2);
/// (0..12).for_each(|_| size.left_out());
/// size.tokens(768);
/// assert_eq!(size.bytes(20), 21 + (9 + 2 * 2) + 12 + (9 + 20 * 768 * 2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptSize {
    storage: Storage,
    fixed: u64,
    a_token: u64,
    a_pair: u64,
}

impl KeptSize {
    /// Nothing yet.
    pub const fn new(storage: Storage) -> Self {
        Self { storage, fixed: HEAD as u64, a_token: 0, a_pair: 0 }
    }

    /// A row of `width` logits.
    pub fn logits_of_text(&mut self, width: usize) {
        self.fixed += PIECE_HEAD as u64 + self.row(Kind::Text { width }, width);
    }

    /// A row of `width` logits a token.
    pub fn logits_of_tokens(&mut self, width: usize) {
        self.fixed += PIECE_HEAD as u64;
        self.a_token += self.row(Kind::Tokens { width }, width);
    }

    /// A number a token: logits of places, a mask.
    pub fn places(&mut self) {
        self.tokens(1);
    }

    /// A layer of `width` numbers a token.
    pub fn tokens(&mut self, width: usize) {
        self.fixed += PIECE_HEAD as u64;
        self.a_token += (width * self.storage.precision.bytes()) as u64;
    }

    /// A layer of `heads` numbers for each pair of tokens.
    pub fn pairs(&mut self, heads: usize) {
        self.fixed += PIECE_HEAD as u64;
        self.a_pair += (heads * self.storage.precision.bytes()) as u64;
    }

    /// A layer that is not kept.
    pub fn left_out(&mut self) {
        self.fixed += LEFT_OUT as u64;
    }

    /// Bytes of an example of so many tokens.
    pub const fn bytes(&self, tokens: u64) -> u64 {
        self.fixed + tokens * (self.a_token + tokens * self.a_pair)
    }

    fn row(&self, kind: Kind, width: usize) -> u64 {
        let value = self.storage.precision.bytes();
        (match kind.kept_of_row(self.storage) {
            0 => width * value,
            k => k * (4 + value) + value,
        }) as u64
    }
}

/// A number that float16 does not hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BeyondHalf(pub(super) f32);

impl Kept {
    fn pieces(&self) -> impl Iterator<Item = (Option<&Piece>, bool)> {
        let logits = self.logits.iter().map(|piece| (Some(piece), true));
        let masks = self.logits_mask.iter().map(|piece| (Some(piece), false));
        logits.chain(masks).chain(self.features.iter().flatten().map(|layer| (layer.as_ref(), false)))
    }

    /// The bytes of a record; the error is a number that the precision does not hold.
    pub(super) fn encode(&self, storage: Storage) -> Result<Vec<u8>, BeyondHalf> {
        let mut bytes = Vec::new();
        let half = if storage.precision == Precision::F16 { HALF } else { 0 };
        bytes.extend((self.tokens as u32).to_le_bytes());
        bytes.push(half | if self.aligned { ALIGNED } else { 0 });
        let layers = self.features.iter().map(Vec::len);
        for count in [self.logits.len(), self.logits_mask.len()].into_iter().chain(layers) {
            bytes.extend((count as u16).to_le_bytes());
        }
        for (piece, is_logits) in self.pieces() {
            let Some(piece) = piece else {
                bytes.push(0);
                continue;
            };
            let (code, width) = piece.kind.code();
            let k = if is_logits { piece.kind.kept_of_row(storage) } else { 0 };
            bytes.push(code);
            bytes.extend((width as u32).to_le_bytes());
            bytes.extend((k as u32).to_le_bytes());
            if k == 0 {
                push_values(&mut bytes, &piece.values, storage.precision)?;
                continue;
            }
            for row in piece.values.chunks(width) {
                let (kept, rest) = largest(row, k);
                bytes.extend(kept.iter().flat_map(|(place, _)| place.to_le_bytes()));
                let values: Vec<f32> = kept.iter().map(|&(_, value)| value).chain([rest]).collect();
                push_values(&mut bytes, &values, storage.precision)?;
            }
        }
        Ok(bytes)
    }

    /// What a record holds; `None` where these bytes are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes, numbers: 0, is_half: false };
        let tokens = reader.u32()?;
        let flags = reader.take(1)?[0];
        if flags > (ALIGNED | HALF) {
            return None;
        }
        reader.is_half = flags & HALF > 0;
        let counts: Vec<usize> = (0..8).map(|_| reader.u16()).collect::<Option<_>>()?;
        let logits = reader.pieces(counts[0], tokens)?;
        let logits_mask = reader.pieces(counts[1], tokens)?;
        let mut features: [Vec<Option<Piece>>; 6] = Default::default();
        for (layers, &count) in features.iter_mut().zip(&counts[2..]) {
            for _ in 0..count {
                layers.push(reader.piece(tokens)?);
            }
        }
        let aligned = flags & ALIGNED > 0;
        let is_mask = |piece: &Piece| piece.kind == Kind::Mask;
        (reader.bytes.is_empty() && logits_mask.iter().all(is_mask)).then_some(Self {
            tokens,
            aligned,
            logits,
            logits_mask,
            features,
        })
    }
}

fn push_values(bytes: &mut Vec<u8>, values: &[f32], precision: Precision) -> Result<(), BeyondHalf> {
    match precision {
        Precision::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Precision::F16 => {
            bytes.reserve(2 * values.len());
            for &value in values {
                let half = f16::from_f32(value);
                if half.is_infinite() && value.is_finite() {
                    return Err(BeyondHalf(value));
                }
                bytes.extend(half.to_le_bytes());
            }
        }
    }
    Ok(())
}

/// What is left of a record.
struct Reader<'a> {
    bytes: &'a [u8],
    /// Numbers read so far, when all of them are there again.
    numbers: usize,
    is_half: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<usize> {
        self.take(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]).into())
    }

    fn u32(&mut self) -> Option<usize> {
        self.take(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }

    fn values(&mut self, count: usize) -> Option<Vec<f32>> {
        Some(if self.is_half {
            let bytes = self.take(count.checked_mul(2)?)?;
            bytes.chunks_exact(2).map(|two| f16::from_le_bytes([two[0], two[1]]).to_f32()).collect()
        } else {
            let bytes = self.take(count.checked_mul(4)?)?;
            bytes
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect()
        })
    }

    fn pieces(&mut self, count: usize, tokens: usize) -> Option<Vec<Piece>> {
        (0..count).map(|_| self.piece(tokens)?).collect()
    }

    /// The outer `None` where there is no piece, the inner where it is left out.
    fn piece(&mut self, tokens: usize) -> Option<Option<Piece>> {
        let code = self.take(1)?[0];
        if code == 0 {
            return Some(None);
        }
        let (width, k) = (self.u32()?, self.u32()?);
        let kind = Kind::of_code(code, width)?;
        if width == 0 && !matches!(kind, Kind::Mask | Kind::Places) {
            return None;
        }
        let size = kind.checked_size(tokens)?;
        // Before memory is taken: `k` logits of a row stand for as many as it says.
        self.numbers = self.numbers.checked_add(size).filter(|&numbers| numbers <= MOST_NUMBERS)?;
        if k == 0 {
            return Some(Some(Piece { kind, values: self.values(size)? }));
        }
        if k >= width || !matches!(kind, Kind::Text { .. } | Kind::Tokens { .. }) {
            return None;
        }
        let mut values = vec![0.0; size];
        for row in values.chunks_mut(width) {
            let places: Vec<usize> = (0..k).map(|_| self.u32()).collect::<Option<_>>()?;
            let kept = self.values(k + 1)?;
            row.fill(kept[k]);
            for (place, value) in places.into_iter().zip(kept) {
                *row.get_mut(place)? = value;
            }
        }
        Some(Some(Piece { kind, values }))
    }
}

#[cfg(test)]
mod tests;
