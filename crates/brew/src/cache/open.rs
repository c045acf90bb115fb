//! What is there of a run's teachers, and room for the rest, before anything is computed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use brew_cache::{Cache, ExampleKey, free_space};

use super::plan::{Plan, UNASKED, asks_again, settings};
use super::readable_bytes;
use crate::{Observer, Run, RunError};

/// A teacher's outputs, ready to be kept.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(crate) plan: Plan,
    /// Where they are kept; in memory where it is `None`.
    pub(crate) cache: Option<Cache>,
}

/// What there is of one teacher's outputs.
struct Found {
    keeping: Keeping,
    /// Examples that are known.
    known: usize,
    /// Bytes that are to be written.
    missing: u64,
    /// Whether what was kept in memory went with a process that was interrupted.
    is_lost: bool,
}

/// Opens what the teachers of some runs, tasks of one student, are to keep: for each run one entry a teacher, none
/// where it keeps nothing. A run that is `resumed` has lost what it kept in memory.
///
/// # Errors
/// More than the limit or the disk allows; files that cannot be read.
pub(crate) fn open(
    runs: &[&Run],
    resumed: bool,
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<Keeping>>, RunError> {
    let mut found = Vec::new();
    for run in runs {
        let of_run: Vec<Found> = match settings(run) {
            None => Vec::new(),
            Some(settings) => (0..run.teachers.len())
                .map(|index| {
                    let plan = Plan::new(run, index, settings.storage());
                    match &settings.dir {
                        None => Ok(Found {
                            missing: plan.records(),
                            keeping: Keeping { plan, cache: None },
                            known: 0,
                            is_lost: resumed,
                        }),
                        Some(dir) => on_disk(run, plan, dir, settings.limit()),
                    }
                })
                .collect::<Result<_, _>>()?,
        };
        found.push(of_run);
    }
    // The tasks of a student have the settings of one table.
    if let Some(settings) = runs.iter().find_map(|run| settings(run)) {
        let all = || found.iter().flatten();
        check_room(all(), settings.dir.as_deref(), settings.limit())?;
        all().for_each(|one| tell(one, observer));
    } else {
        advise(runs, observer);
    }
    Ok(found.into_iter().map(|of_run| of_run.into_iter().map(|one| one.keeping).collect()).collect())
}

fn on_disk(run: &Run, plan: Plan, dir: &Path, limit: u64) -> Result<Found, RunError> {
    let fingerprint = plan.fingerprint(run)?;
    let cache = Cache::open(dir, &fingerprint, limit)?;
    let texts = plan.texts.iter();
    let missing = texts.filter(|(id, text)| !cache.contains(ExampleKey { id: **id, text: text.digest }));
    let missing: Vec<_> = missing.map(|(_, text)| *text).collect();
    let known = plan.texts.len() - missing.len();
    let missing = plan.file(missing.into_iter(), &fingerprint);
    Ok(Found { keeping: Keeping { plan, cache: Some(cache) }, known, missing, is_lost: false })
}

/// Refuses what is larger than it may be.
fn check_room<'a>(
    found: impl Iterator<Item = &'a Found> + Clone,
    dir: Option<&Path>,
    limit: u64,
) -> Result<(), RunError> {
    let mut counted = HashSet::new();
    let there: u64 = found
        .clone()
        .filter_map(|one| one.keeping.cache.as_ref())
        // Two teachers may be the same model.
        .filter(|cache| counted.insert(cache.folder().to_path_buf()))
        .map(Cache::bytes)
        .sum();
    let examples: usize = found.clone().map(|one| one.keeping.plan.texts.len()).sum();
    let missing: u64 = found.map(|one| one.missing).sum();
    let needed = there + missing;
    if needed > limit && missing > 0 {
        let dir = dir.map(Path::to_path_buf);
        let (needed, limit) = (readable_bytes(needed), readable_bytes(limit));
        return Err(RunError::CacheLimit { dir, examples, needed, limit });
    }
    let Some(dir) = dir.filter(|_| missing > 0) else { return Ok(()) };
    check_writable(dir)?;
    let free = free_space(dir)?;
    if missing > free {
        let (needed, free) = (readable_bytes(missing), readable_bytes(free));
        return Err(RunError::CacheSpace { dir: dir.to_path_buf(), needed, free });
    }
    Ok(())
}

/// Finds out now, rather than after the first batch, whether a folder that is there or to be made takes files.
fn check_writable(dir: &Path) -> Result<(), RunError> {
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(there).map_err(RunError::io("write to the folder of caches", dir))?;
    Ok(())
}

/// Says what is there, what is to come, and what cannot be used.
fn tell(found: &Found, observer: &mut dyn Observer) {
    let Found { keeping: Keeping { plan, cache }, known, missing, is_lost } = found;
    let (teacher, examples) = (plan.teacher.display(), plan.texts.len());
    let Some(cache) = cache else {
        let bytes = readable_bytes(*missing);
        observer.note(&format!("what {teacher} says of {examples} texts is kept in memory: {bytes}"));
        if *is_lost {
            observer.note(&format!(
                "{teacher} is asked again about those that the run has had; [cache] with a dir spares that"
            ));
        }
        return;
    };
    // What was computed anew since is missed no more.
    for damage in cache.damages().into_iter().filter(|_| *missing > 0) {
        observer.note(&format!("{damage}; what is missing is computed anew"));
    }
    let there: HashSet<u64> = cache.keys().map(|key| key.id).collect();
    let key = |(&id, text): (&u64, &super::plan::Text)| ExampleKey { id, text: text.digest };
    let changed =
        plan.texts.iter().map(key).filter(|&one| !cache.contains(one) && there.contains(&one.id)).count();
    if changed > 0 {
        observer.note(&format!(
            "{changed} of {examples} texts are not those of which {} holds what {teacher} says; they are computed anew",
            cache.folder().display()
        ));
    }
    let rest = match *missing {
        0 => String::new(),
        bytes => format!(", {} to come", readable_bytes(bytes)),
    };
    observer.note(&format!(
        "what {teacher} says of {known} of {examples} texts is in {} ({}){rest}",
        cache.folder().display(),
        readable_bytes(cache.bytes())
    ));
}

/// Says what keeping would take where a teacher is asked the same again in each epoch, and that is too much to be kept
/// unasked.
fn advise(runs: &[&Run], observer: &mut dyn Observer) {
    let of_run = |run: &&Run| run.config.cache.is_none() && asks_again(run);
    if !runs.iter().any(of_run) {
        return;
    }
    let bytes: u64 = runs.iter().flat_map(|run| super::estimates(run)).map(|one| one.bytes).sum();
    observer.note(&format!(
        "the teacher is asked the same in each epoch: what it says takes {}, more than the {} that are kept unasked; \
         to ask it once, set distillation.is_caching_logits = true, or [cache] with a dir",
        readable_bytes(bytes),
        readable_bytes(UNASKED)
    ));
}

/// The folder that a teacher's cache is in; empty where it is in memory.
pub(super) fn folder(keeping: &Keeping) -> PathBuf {
    keeping.cache.as_ref().map(|cache| cache.folder().to_path_buf()).unwrap_or_default()
}
