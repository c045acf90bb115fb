use sha2::{Digest, Sha256};

/// A digest of the text of an example as a model reads it: 128 bits of SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextDigest(pub [u8; 16]);

impl TextDigest {
    /// The digest of lists of numbers, such as the token ids of a text and which of its parts each is of.
    ///
    /// ```
    /// use brew_cache::TextDigest;
    ///
    /// let digest = TextDigest::of(&[&[101, 7, 102], &[0, 0, 0]]);
    /// assert_eq!(digest, TextDigest::of(&[&[101, 7, 102], &[0, 0, 0]]));
    /// assert_ne!(digest, TextDigest::of(&[&[101, 7], &[102, 0, 0, 0]]));
    /// ```
    pub fn of(lists: &[&[u32]]) -> Self {
        let mut hash = Sha256::new();
        for list in lists {
            hash.update((list.len() as u64).to_le_bytes());
            for number in *list {
                hash.update(number.to_le_bytes());
            }
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        Self(digest)
    }
}

/// What a record is found by: the number of an example, and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExampleKey {
    /// The example's number.
    pub id: u64,
    /// Its text; a changed text has another record.
    pub text: TextDigest,
}
