//! Removing what no run uses.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::CacheError;
use crate::cache::EXTENSION;
use crate::lock::{self, LOCK};
use crate::survey::{CacheSurvey, SegmentSurvey, Thoroughness, survey};

/// A file or cache that can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// A segment, all of it or its end, or the folder of a cache.
    pub path: PathBuf,
    /// Bytes that are removed.
    pub bytes: u64,
    /// Why it is of no use.
    pub why: String,
    /// Whether a process has the cache open; then it stays.
    pub in_use: bool,
}

/// What can be removed below a folder of caches, and is removed where `remove` says so.
///
/// Always: segments that hold no whole record that an older segment does not hold too, and the ends of others that are
/// no complete block, such as what interrupted processes left. With `keep`, also all caches of other names. A cache that a process has open stays, and so does
/// every file that is no cache's.
///
/// # Errors
/// [`CacheError::NoFolder`]; files that cannot be read or removed.
pub fn prune(root: &Path, keep: Option<&HashSet<String>>, remove: bool) -> Result<Vec<Removal>, CacheError> {
    let mut removals = Vec::new();
    for cache in survey(root, Thoroughness::Records)? {
        let is_kept = keep.is_none_or(|keep| keep.contains(&cache.name));
        let (useless, useful): (Vec<&SegmentSurvey>, Vec<&SegmentSurvey>) =
            cache.segments.iter().partition(|segment| !is_kept || segment.new == 0);
        let cut_off: Vec<_> = useful.into_iter().filter(|segment| segment.tail > 0).collect();
        if is_kept && useless.is_empty() && cut_off.is_empty() {
            continue;
        }
        // Held until its files are gone, so that no process begins to use them.
        let alone = if remove {
            lock::alone(&cache.path).map_err(CacheError::io("lock", cache.path.join(LOCK)))?
        } else {
            None
        };
        let in_use = cache.in_use || (remove && alone.is_none());
        if remove && !in_use {
            for segment in &useless {
                remove_file(&segment.path)?;
            }
            for segment in &cut_off {
                let file = File::options().write(true).open(&segment.path);
                let cut = file.and_then(|file| file.set_len(segment.bytes - segment.tail));
                cut.map_err(CacheError::io("cut off the end of", &segment.path))?;
            }
            if !is_kept {
                remove_folder(&cache)?;
            }
        }
        if is_kept {
            removals.extend(useless.iter().map(|segment| Removal {
                path: segment.path.clone(),
                bytes: segment.bytes,
                why: why(segment),
                in_use,
            }));
            removals.extend(cut_off.iter().map(|segment| Removal {
                path: segment.path.clone(),
                bytes: segment.tail,
                why: "its end is no complete block".to_owned(),
                in_use,
            }));
        } else {
            let (path, bytes) = (cache.path.clone(), cache.bytes);
            removals.push(Removal { path, bytes, why: "no run that is kept uses it".to_owned(), in_use });
        }
    }
    Ok(removals)
}

fn why(segment: &SegmentSurvey) -> String {
    match (segment.records, segment.damages.first()) {
        (0, Some(damage)) => format!("it holds no whole record: {}", damage.what),
        (0, None) => "it holds no record".to_owned(),
        _ => "older files hold all that it holds".to_owned(),
    }
}

fn remove_file(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes what is left of a cache without segments; its folder stays where a file of someone else is in it.
fn remove_folder(cache: &CacheSurvey) -> Result<(), CacheError> {
    let failed = |error| CacheError::io("read", &cache.path)(error);
    for entry in fs::read_dir(&cache.path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        if path.file_name().is_some_and(|name| name != LOCK) && !is_segment {
            return Ok(());
        }
    }
    remove_file(&cache.path.join(LOCK))?;
    match fs::remove_dir(&cache.path) {
        // A segment that was begun since.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.map_err(CacheError::io("remove", &cache.path)),
    }
}
