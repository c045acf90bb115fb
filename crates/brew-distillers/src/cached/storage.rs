//! Where records are kept, and how closely.

use std::borrow::Cow;
use std::collections::HashMap;

use brew_cache::{Cache, ExampleKey};
use serde::{Deserialize, Serialize};

use super::kept::Kept;
use crate::{DistillError, Wants};

/// How the outputs of an example are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Storage {
    /// The precision of all numbers.
    pub precision: Precision,
    /// How many logits of a row are kept, the largest ones; all where it is `None` or not below their number. The
    /// student then gets rows whose softmax at temperature 1 has the kept probabilities unchanged and spreads the
    /// remaining mass evenly: marginal smoothing, <https://arxiv.org/abs/2112.01528>. Logits of places are kept
    /// whole.
    pub top_k: Option<usize>,
}

/// The precision of kept numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// float32: to the last bit.
    #[default]
    F32,
    /// float16: half the bytes, 11 significant bits, and numbers up to 65504.
    F16,
}

impl Precision {
    /// The name in run files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// What happened to a batch that was to be kept; see [`CachedTeacher::fill`](crate::CachedTeacher::fill).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// All its examples were known.
    Known,
    /// The teacher was run, and its outputs are kept.
    Computed,
    /// The outputs cannot be kept by example.
    NotKept,
}

/// Where records are.
pub(super) enum Store {
    Memory {
        records: HashMap<ExampleKey, Vec<u8>>,
        /// The features that the records have.
        wants: Wants,
    },
    Disk {
        cache: Box<Cache>,
        wants: Wants,
    },
}

impl Store {
    /// Makes ready for outputs with these features; `false` where they are not kept here.
    pub(super) fn is_for(&mut self, wants: Wants) -> bool {
        match self {
            Self::Memory { records, wants: kept } => {
                if *kept != wants {
                    records.clear();
                    *kept = wants;
                }
                true
            }
            Self::Disk { wants: kept, .. } => *kept == wants,
        }
    }

    /// What is known of an example, without a record that cannot be read or has more tokens than that.
    pub(super) fn find(&mut self, key: ExampleKey, most_tokens: usize) -> Option<Kept> {
        loop {
            let bytes = match self {
                Self::Memory { records, .. } => Cow::Borrowed(records.get(&key)?.as_slice()),
                Self::Disk { cache, .. } => Cow::Owned(cache.get(key)?),
            };
            if let Some(kept) = Kept::decode(&bytes).filter(|kept| kept.tokens <= most_tokens) {
                return Some(kept);
            }
            drop(bytes);
            self.forget(key);
        }
    }

    /// Whether there is a record of an example.
    pub(super) fn contains(&self, key: ExampleKey) -> bool {
        match self {
            Self::Memory { records, .. } => records.contains_key(&key),
            Self::Disk { cache, .. } => cache.contains(key),
        }
    }

    pub(super) fn forget(&mut self, key: ExampleKey) {
        match self {
            Self::Memory { records, .. } => {
                records.remove(&key);
            }
            Self::Disk { cache, .. } => cache.forget(key),
        }
    }

    /// Takes in what other processes have added; `false` where there cannot be any.
    pub(super) fn refresh(&mut self) -> Result<bool, DistillError> {
        match self {
            Self::Memory { .. } => Ok(false),
            Self::Disk { cache, .. } => {
                cache.refresh()?;
                Ok(true)
            }
        }
    }

    pub(super) fn add(&mut self, added: Vec<(ExampleKey, Vec<u8>)>) -> Result<(), DistillError> {
        match self {
            Self::Memory { records, .. } => records.extend(added),
            Self::Disk { cache, .. } => cache.append(&added)?,
        }
        Ok(())
    }
}
