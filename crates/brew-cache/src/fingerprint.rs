//! What a cache depends on, as one name.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use blake3::Hasher;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::CacheError;

/// Everything that the records of a cache depend on, by name, and a digest of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    digest: String,
    made_of: BTreeMap<String, Value>,
    about: BTreeMap<String, Value>,
}

impl Fingerprint {
    /// The fingerprint of these parts, in whatever order.
    ///
    /// ```
    /// use brew_cache::Fingerprint;
    ///
    /// let one = Fingerprint::new([("weights", "ab".into()), ("layers", 3.into())]);
    /// let same = Fingerprint::new([("layers", 3.into()), ("weights", "ab".into())]);
    /// assert_eq!(one.name(), same.name());
    /// assert_ne!(one.name(), Fingerprint::new([("weights", "ab".into()), ("layers", 4.into())]).name());
    /// ```
    pub fn new<'a>(parts: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let made_of: BTreeMap<String, Value> =
            parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let text = serde_json::to_string(&made_of).expect("names and values are JSON");
        Self { digest: hex(&Sha256::digest(text)), made_of, about: BTreeMap::new() }
    }

    /// Notes something that a reader of the cache may like to know, and that is no part of the digest.
    #[must_use]
    pub fn with_note(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.about.insert(name.to_owned(), value.into());
        self
    }

    /// The name of the cache's folder: the first 32 of the digest's 64 hexadecimal digits.
    pub fn name(&self) -> &str {
        &self.digest[..NAME_DIGITS]
    }

    /// The whole digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The parts.
    pub fn made_of(&self) -> &BTreeMap<String, Value> {
        &self.made_of
    }

    pub(crate) fn about(&self) -> &BTreeMap<String, Value> {
        &self.about
    }
}

/// Digits of a folder's name.
const NAME_DIGITS: usize = 32;

/// Whether a folder's name may be a fingerprint's.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() == NAME_DIGITS && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// BLAKE3 of a file (<https://github.com/BLAKE3-team/BLAKE3-specs>), in hexadecimal digits, as `b3sum` tells it: files of
/// weights are large, and there are several at each checkpoint.
///
/// # Errors
/// A file that cannot be read.
pub fn digest_file(path: &Path) -> Result<String, CacheError> {
    let read = || {
        let mut hash = Hasher::new();
        hash.update_reader(File::open(path)?)?;
        Ok(hash.finalize().to_hex().to_string())
    };
    read().map_err(CacheError::io("read", path))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_digest_that_others_compute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        // What `b3sum` says of it.
        let expected = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        assert_eq!(digest_file(&path).unwrap(), expected);
        let error = digest_file(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none"), "{error}");
    }

    #[test]
    fn notes_are_no_part_of_the_name() {
        let plain = Fingerprint::new([("weights", "ab".into())]);
        assert_eq!(plain.clone().with_note("teacher", "a folder").name(), plain.name());
        assert!(is_name(plain.name()) && !is_name("vocab") && !is_name(plain.digest()));
    }
}
