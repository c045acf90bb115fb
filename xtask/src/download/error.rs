//! What can go wrong while a file is fetched, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::checksum::Sum;

/// A file whose content is not what it should be.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// Path or address.
    pub(crate) what: String,
    pub(crate) expected: Sum,
    pub(crate) found: String,
    /// Where the expected sum is from, as part of a sentence.
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, found, reason, remedy } = self;
        let algorithm = expected.algorithm();
        write!(f, "{what}: {algorithm} is {found} where {expected} was expected ({reason}). {remedy}")
    }
}

/// Why a download did not succeed. Every message says what, where and what to do, its cause included.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DownloadError {
    /// The server has no such file, or does not give it out.
    #[error("{url}: the server answered {status}. {remedy}")]
    Refused { url: String, status: u16, remedy: String },

    /// Everything that passes by itself was waited for, and did not pass.
    #[error(
        "{url}: given up after {tries} tries, the last of which failed so: {last}. {kept} bytes are kept in {}; \
         the same command goes on from there",
        part.display()
    )]
    GaveUp { url: String, tries: u32, last: String, kept: u64, part: PathBuf },

    /// The server asks for a longer break than anyone waits at a terminal.
    #[error(
        "{url}: the server asks to wait {seconds} s before the next try. Run the same command again then"
    )]
    AskedToWait { url: String, seconds: u64 },

    /// The server's length is not the published one.
    #[error(
        "{url}: the server announces {found} bytes where {expected} were published: the file has changed, or a \
         mirror or proxy answers with something else. Open the address in a browser to see what it is"
    )]
    OtherLength { url: String, expected: u64, found: u64 },

    /// The content is not what it should be.
    #[error("{0}")]
    OtherSum(Box<Mismatch>),

    /// The request could not be made at all.
    #[error("{url}: {message}")]
    Request { url: String, message: String },

    /// The answer could be fetched, but not understood.
    #[error("{url}: {message}")]
    BadAnswer { url: String, message: String },

    /// An archive that is damaged, or has something in it that an honest one has not.
    #[error("{}: {message}", path.display())]
    BadArchive { path: PathBuf, message: String },

    /// A data file that is not in the layout of its data set.
    #[error("{}: {message}", path.display())]
    BadData { path: PathBuf, message: String },

    /// The disk is too full.
    #[error(
        "{}: {needed} bytes are needed and {free} are free. Make room, or name another folder in BREW_CACHE or \
         with --cache",
        path.display()
    )]
    NoSpace { path: PathBuf, needed: u64, free: u64 },

    /// A folder in which nothing can be written.
    #[error(
        "{}: cannot write here ({cause}). Name a folder of yours in BREW_CACHE or with --cache",
        path.display()
    )]
    NotWritable { path: PathBuf, cause: io::Error },

    /// Any other trouble with a file.
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },

    /// The record of checksums is not what this program wrote.
    #[error(
        "{}: {message}. Correct the file, or delete it: the sums are then recorded anew, and can no longer be \
         compared with those of the first download",
        path.display()
    )]
    BadRecord { path: PathBuf, message: String },

    /// Nobody has agreed to the licence.
    #[error("{0}")]
    Licence(String),

    /// A wrong argument, or something that only the user can do.
    #[error("{0}")]
    Usage(String),
}

impl DownloadError {
    /// The error of a file operation; a full disk and a forbidden place are told apart.
    pub(crate) fn io(path: &Path, cause: io::Error) -> Self {
        let path = path.to_path_buf();
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let free = path.parent().and_then(|folder| fs4::available_space(folder).ok()).unwrap_or(0);
                Self::NoSpace { path, needed: free.saturating_add(1), free }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, cause }
            }
            _ => Self::Io { path, cause },
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, DownloadError>;
