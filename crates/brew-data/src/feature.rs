//! Token ids of one example, and what a model should say of it.

/// One example as a model reads it, before padding.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The example's id.
    pub id: u64,
    /// Token ids, special tokens included.
    pub input_ids: Vec<u32>,
    /// 0 for the first text and 1 for the second, as long as `input_ids`.
    pub token_type_ids: Vec<u32>,
    /// What a model should say of it, where that is known.
    pub target: Option<Target>,
}

/// What a model should say of an example: which kind depends on the task.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Classification: the index of the class.
    Class(usize),
    /// Multi-label classification: for each label whether it holds.
    Flags(Vec<bool>),
    /// Regression: a number.
    Value(f32),
    /// Token classification: the class of each token, special tokens included, `None` where it does not count.
    Tags(Vec<Option<usize>>),
    /// Extractive question answering: the first and the last token of the answer; 0 and 0, the first token of
    /// all, where this text has none.
    Span {
        /// The first token of the answer.
        start: usize,
        /// Its last token.
        end: usize,
    },
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

    /// The index of the class, where the target is one.
    pub fn class(&self) -> Option<usize> {
        match self.target {
            Some(Target::Class(class)) => Some(class),
            _ => None,
        }
    }
}
