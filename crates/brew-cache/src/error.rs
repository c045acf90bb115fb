use std::path::PathBuf;

/// Why a cache could not be read or filled.
///
/// Damage is none: a damaged record is as good as one that is not there, and named by
/// [`Cache::damages`](crate::Cache::damages).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A file or folder that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `create`, `append to`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A disk that is full.
    #[error(
        "there is no room to append to {}; what was complete is kept: make room, and the same again goes on from there",
        path.display()
    )]
    DiskFull {
        /// The segment.
        path: PathBuf,
    },
    /// A cache that would become larger than it may.
    #[error(
        "the cache {} would grow to {needed} bytes, and its limit is {limit}; what it has is kept: raise the limit, or \
         keep less of each example",
        path.display()
    )]
    Limit {
        /// The cache's folder.
        path: PathBuf,
        /// Bytes with what was to be added.
        needed: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// A record that is longer than the format allows.
    #[error(
        "a record of example {id} has {bytes} bytes, and at most {most} can be kept; keep less of each example"
    )]
    LongRecord {
        /// The example.
        id: u64,
        /// Its bytes.
        bytes: usize,
        /// The most that are possible.
        most: usize,
    },
    /// A folder in which caches are looked for and that is not there.
    #[error("there is no folder {}; nothing is kept there", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
}

impl CacheError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether what was asked for is at fault (a setting, a path) rather than the machine.
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::DiskFull { .. })
    }
}
