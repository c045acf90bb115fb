//! `checksums.json`: the sums of what was downloaded once, to compare with the next time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checksum::{Sum, Sums};
use super::error::{DownloadError, Result};

/// File name in the cache folder.
pub(crate) const FILE_NAME: &str = "checksums.json";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// By the address a file comes from (that of the publisher, also where a mirror served it), or by its path in
    /// the cache folder.
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// The record as it is on disk. Every change is written at once.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    content: Content,
}

impl Record {
    /// Reads the record of a cache folder; an empty one where there is none yet.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let content = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| DownloadError::BadRecord {
                path: path.clone(),
                message: format!("not a record of checksums: {error}"),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(DownloadError::io(&path, error)),
        };
        Ok(Self { path, content })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.content.files.get(key)
    }

    /// The recorded sum of `key`.
    ///
    /// # Errors
    /// An entry that is no SHA-256.
    pub(crate) fn sum(&self, key: &str) -> Result<Option<Sum>> {
        let parse = |entry: &Entry| format!("sha256:{}", entry.sha256).parse();
        self.get(key).map(parse).transpose().map_err(|error: String| DownloadError::BadRecord {
            path: self.path.clone(),
            message: format!("the entry `{key}` has no SHA-256: {error}"),
        })
    }

    /// Adds or replaces entries, and writes the whole record to a temporary name and renames it.
    pub(crate) fn insert(&mut self, entries: impl IntoIterator<Item = (String, Sums)>) -> Result<()> {
        for (key, sums) in entries {
            self.content.files.insert(key, Entry { sha256: sums.sha256, bytes: sums.bytes });
        }
        let wrong = |source| DownloadError::io(&self.path, source);
        let new = self.path.with_extension("json.new");
        let mut file = File::create(&new).map_err(wrong)?;
        serde_json::to_writer_pretty(&mut file, &self.content).map_err(|error| wrong(error.into()))?;
        file.write_all(b"\n").map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        std::fs::rename(&new, &self.path).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(digit: &str) -> Sums {
        Sums { sha256: digit.repeat(64), git: digit.repeat(40), md5: digit.repeat(32), bytes: 7 }
    }

    #[test]
    fn what_was_recorded_is_there_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::open(folder.path()).unwrap();
        assert_eq!(record.get("a"), None);
        record.insert([("a".to_owned(), sums("1")), ("b".to_owned(), sums("2"))]).unwrap();
        record.insert([("b".to_owned(), sums("3"))]).unwrap();
        let again = Record::open(folder.path()).unwrap();
        assert_eq!(again.sum("a").unwrap(), Some(Sum::Sha256("1".repeat(64))));
        assert_eq!(again.get("b"), Some(&Entry { sha256: "3".repeat(64), bytes: 7 }));
    }

    #[test]
    fn a_damaged_record_is_an_error_and_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        for text in ["{", "{\"files\": {\"a\": {\"sha256\": \"x\"}}}"] {
            std::fs::write(&path, text).unwrap();
            let error = Record::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(FILE_NAME) && error.contains("delete it"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, "{\"files\": {\"a\": {\"sha256\": \"x\", \"bytes\": 1}}}").unwrap();
        let error = Record::open(folder.path()).unwrap().sum("a").unwrap_err().to_string();
        assert!(error.contains("`a`"), "{error}");
    }
}
