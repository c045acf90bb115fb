//! Who uses a cache: readers and writers share its lock, and what removes files wants it alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

pub(crate) const LOCK: &str = "lock";

/// A lock that is held as long as this lives; the system gives it back when a process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Shares a cache with other users of it. `None` on a file system that has no locks, or where the folder cannot
/// be written to: nothing is removed there either.
pub(crate) fn share(folder: &Path) -> io::Result<Option<Lock>> {
    let Some(file) = open(folder)? else { return Ok(None) };
    match file.lock_shared() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// Has a cache alone; `None` where another process uses it.
pub(crate) fn alone(folder: &Path) -> io::Result<Option<Lock>> {
    let Some(file) = open(folder)? else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    match OpenOptions::new().create(true).append(true).open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(File::open(&path).ok())
        }
        Err(error) => Err(error),
    }
}

/// Whether a process uses a cache; `false` where that cannot be found out.
pub(crate) fn is_shared(folder: &Path) -> bool {
    // Only looked at: nothing is made where nothing is.
    let Ok(file) = File::open(folder.join(LOCK)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}
