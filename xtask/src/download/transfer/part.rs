//! The unfinished file, and whether an answer goes on with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ureq::http::HeaderMap;

use crate::download::client::header;
use crate::download::error::{DownloadError, Result};

/// What is known of the file that a `.part` is the beginning of; beside it as `.part.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) url: String,
    /// A strong `ETag`, else `Last-Modified`: what `If-Range` takes (RFC 9110, section 13.1.5).
    pub(super) validator: Option<String>,
    pub(super) total: Option<u64>,
}

impl Origin {
    /// What the headers of a whole answer tell about the file.
    pub(super) fn of_answer(url: &str, headers: &HeaderMap) -> Self {
        // A weak ETag names files that are equivalent, not equal: pieces of them do not fit together.
        let etag = header(headers, "etag").filter(|etag| etag.starts_with('"'));
        let validator = etag.or_else(|| header(headers, "last-modified")).map(str::to_owned);
        let total = header(headers, "content-length").and_then(|length| length.trim().parse().ok());
        Self { url: url.to_owned(), validator, total }
    }
}

/// The unfinished file.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) note: PathBuf,
    pub(super) file: File,
    pub(super) origin: Option<Origin>,
    pub(super) length: u64,
    /// Whether bytes of an earlier request are in it.
    pub(super) joined: bool,
}

impl Part {
    /// Opens what an earlier run left, if it is of the same address and can be told from a newer version.
    pub(super) fn open(target: &Path, url: &str) -> Result<Self> {
        let beside = |ending: &str| {
            let mut name = target.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            target.with_file_name(name)
        };
        let (path, note) = (beside(".part"), beside(".part.json"));
        let origin: Option<Origin> =
            fs::read(&note).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let origin = origin.filter(|origin| origin.url == url && origin.validator.is_some());
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|source| DownloadError::io(&path, source))?;
        let length = file.metadata().map_err(|source| DownloadError::io(&path, source))?.len();
        let mut part = Self { path, note, file, origin, length, joined: false };
        let too_long =
            part.origin.as_ref().and_then(|origin| origin.total).is_some_and(|total| length > total);
        if part.origin.is_none() || too_long {
            part.discard()?;
        }
        part.joined = part.length > 0;
        Ok(part)
    }

    /// Forgets what is there.
    pub(super) fn discard(&mut self) -> Result<()> {
        self.origin = None;
        self.joined = false;
        self.length = 0;
        self.file.set_len(0).map_err(|source| DownloadError::io(&self.path, source))
    }

    /// Begins anew, with what an answer tells about the whole file.
    pub(super) fn restart(&mut self, origin: Origin) -> Result<()> {
        self.discard()?;
        let text =
            serde_json::to_vec(&origin).map_err(|error| DownloadError::io(&self.note, error.into()))?;
        fs::write(&self.note, text).map_err(|source| DownloadError::io(&self.note, source))?;
        self.origin = Some(origin);
        Ok(())
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.origin.as_ref().and_then(|origin| origin.total)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.total() == Some(self.length)
    }

    /// Whether a 206 answer goes on where this ends, in the same version of the file.
    pub(super) fn goes_on_with(&self, headers: &HeaderMap) -> std::result::Result<(), String> {
        let (start, total) = header(headers, "content-range")
            .and_then(content_range)
            .ok_or("the server sent a piece without saying which")?;
        let known = self.origin.as_ref();
        let other_version =
            known.zip(Origin::of_answer("", headers).validator).is_some_and(|(known, validator)| {
                known.validator.as_ref().is_some_and(|before| *before != validator)
            });
        let other_length = self.total().zip(total).is_some_and(|(before, now)| before != now);
        if other_version || other_length {
            return Err("the file has changed on the server and is fetched from its beginning".to_owned());
        }
        if start != self.length {
            return Err(format!("the server sent the piece from byte {start}, not from {}", self.length));
        }
        Ok(())
    }

    /// Keeps what is there for another command, if there is something.
    pub(super) fn leave(self) {
        if self.length == 0 {
            self.remove();
        }
    }

    /// Removes the files.
    pub(super) fn remove(self) {
        drop(self.file);
        let _ = fs::remove_file(&self.note);
        let _ = fs::remove_file(&self.path);
    }
}

/// First byte and whole length of `bytes 5-9/10`; the length may be `*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_as_rfc_9110_writes_them() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["", "bytes", "bytes */10", "lines 1-2/3", "bytes 5-9/x"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
