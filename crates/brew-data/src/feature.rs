//! Token ids of one example.

/// One example as a model reads it, before padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// The example's id.
    pub id: u64,
    /// Token ids, special tokens included.
    pub input_ids: Vec<u32>,
    /// 0 for the first text and 1 for the second, as long as `input_ids`.
    pub token_type_ids: Vec<u32>,
    /// The index of the class, where it is known.
    pub label: Option<usize>,
}

impl Feature {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.input_ids.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.input_ids.is_empty()
    }
}
