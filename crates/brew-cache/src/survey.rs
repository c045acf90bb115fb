//! What is in a folder of caches.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::cache::segments_in;
use crate::fingerprint::is_name;
use crate::lock;
use crate::segment::{Damage, read_description, read_record, scan};
use crate::{CacheError, ExampleKey};

/// How closely caches are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// The headers of all blocks.
    Headers,
    /// Every byte.
    Records,
}

/// What one cache holds.
#[derive(Debug, Clone, Serialize)]
pub struct CacheSurvey {
    /// Its folder.
    pub path: PathBuf,
    /// Its name, the beginning of its fingerprint's digest.
    pub name: String,
    /// What its records depend on; empty where no segment can be read.
    pub made_of: BTreeMap<String, Value>,
    /// What was noted beside it.
    pub about: BTreeMap<String, Value>,
    /// Examples of which there is a record, each text of one counted.
    pub examples: usize,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Whether a process has it open.
    pub in_use: bool,
    /// Its files, the oldest first.
    pub segments: Vec<SegmentSurvey>,
}

/// What one file of a cache holds.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentSurvey {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Complete blocks.
    pub blocks: usize,
    /// Whole records in them.
    pub records: usize,
    /// Those that no older segment has.
    pub new: usize,
    /// Bytes at its end that are no complete block.
    pub tail: u64,
    /// What is damaged or cut off.
    #[serde(skip)]
    pub damages: Vec<Damage>,
}

impl CacheSurvey {
    /// Everything that is damaged or cut off.
    pub fn damages(&self) -> impl Iterator<Item = &Damage> {
        self.segments.iter().flat_map(|segment| &segment.damages)
    }
}

/// The caches below a folder, by name.
///
/// # Errors
/// [`CacheError::NoFolder`]; files that cannot be read.
pub fn survey(root: &Path, thoroughness: Thoroughness) -> Result<Vec<CacheSurvey>, CacheError> {
    caches_in(root)?.into_iter().map(|(name, path)| survey_one(name, path, thoroughness)).collect()
}

/// Name and folder of each cache below a folder.
pub(crate) fn caches_in(root: &Path) -> Result<Vec<(String, PathBuf)>, CacheError> {
    if !root.is_dir() {
        return Err(CacheError::NoFolder { path: root.to_path_buf() });
    }
    let failed = |error| CacheError::io("read", root)(error);
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_name(&name) && entry.path().is_dir() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn survey_one(name: String, path: PathBuf, thoroughness: Thoroughness) -> Result<CacheSurvey, CacheError> {
    let mut survey = CacheSurvey {
        in_use: lock::is_shared(&path),
        path,
        name,
        made_of: BTreeMap::new(),
        about: BTreeMap::new(),
        examples: 0,
        bytes: 0,
        segments: Vec::new(),
    };
    let mut known = HashSet::new();
    for path in segments_in(&survey.path)? {
        let segment = survey_segment(path, thoroughness, &mut known, &mut survey)?;
        survey.bytes += segment.bytes;
        survey.segments.push(segment);
    }
    survey.examples = known.len();
    Ok(survey)
}

fn survey_segment(
    path: PathBuf,
    thoroughness: Thoroughness,
    known: &mut HashSet<ExampleKey>,
    survey: &mut CacheSurvey,
) -> Result<SegmentSurvey, CacheError> {
    let failed = |error| CacheError::io("read", &path)(error);
    let mut file = File::open(&path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut found = SegmentSurvey {
        path: path.clone(),
        bytes,
        blocks: 0,
        records: 0,
        new: 0,
        tail: 0,
        damages: Vec::new(),
    };
    let damage = |from, bytes, what| Damage { path: path.clone(), from, bytes, what };
    let begin = match read_description(&mut file).map_err(failed)? {
        Ok((description, begin)) if description.fingerprint.starts_with(&survey.name) => {
            if survey.made_of.is_empty() {
                (survey.made_of, survey.about) = (description.made_of, description.about);
            }
            begin
        }
        Ok((description, _)) => {
            let what = format!("it is of another cache, {}", description.fingerprint);
            found.damages.push(damage(0, bytes, what));
            return Ok(found);
        }
        Err(wrong) => {
            found.damages.push(damage(0, bytes, wrong));
            return Ok(found);
        }
    };
    let scanned = scan(&mut file, begin).map_err(failed)?;
    found.blocks = scanned.blocks;
    found.damages.extend(scanned.damages.into_iter().map(|(from, bytes, what)| damage(from, bytes, what)));
    if scanned.end < bytes {
        found.tail = bytes - scanned.end;
        found.damages.push(damage(scanned.end, bytes - scanned.end, "no complete block".to_owned()));
    }
    for place in &scanned.places {
        if thoroughness == Thoroughness::Records && read_record(&mut file, place).map_err(failed)?.is_none() {
            let what = format!("the record of example {} is damaged", place.row.key.id);
            found.damages.push(damage(place.offset, place.row.bytes.into(), what));
            continue;
        }
        found.records += 1;
        found.new += usize::from(known.insert(place.row.key));
    }
    Ok(found)
}
