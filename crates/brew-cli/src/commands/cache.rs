//! `textbrew cache`: what teachers say, kept on disk.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use brew::caches::{CacheSurvey, Thoroughness, prune, survey};
use brew::{CacheUse, RunConfig, RunError, readable_bytes};
use serde_json::json;

use super::{INTERRUPTED, backend, print, stop_on_ctrl_c};
use crate::args::{
    BackendArgs, CacheBuildArgs, CacheCommand, CacheInspectArgs, CachePruneArgs, CacheVerifyArgs,
};
use crate::progress::Progress;

pub(super) fn run(command: CacheCommand) -> Result<ExitCode> {
    match command {
        CacheCommand::Build(args) => build(&args),
        CacheCommand::Inspect(args) => inspect(&args),
        CacheCommand::Verify(args) => verify(&args),
        CacheCommand::Prune(args) => remove(&args),
    }
}

fn build(args: &CacheBuildArgs) -> Result<ExitCode> {
    let backend = backend(&args.backend)?;
    let config = brew::load_run(&args.run, &args.settings)?;
    let stop = stop_on_ctrl_c("stopping after this batch; what is complete is kept")?;
    let build = brew::build_cache(backend, config, stop, &mut Progress::default())?;
    let mut text = String::new();
    for one in &build.caches {
        let batches = one.known_batches + one.computed_batches;
        let _ = writeln!(
            text,
            "{}: {} of {} texts by {}; of {batches} batches {} were known",
            one.folder.display(),
            readable_bytes(one.bytes),
            one.examples,
            one.teacher.display(),
            one.known_batches
        );
    }
    print(&text)?;
    if build.interrupted {
        eprintln!("stopped; the same again goes on from here");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder of caches, and of a run file what it uses of it.
struct Place {
    folder: PathBuf,
    uses: Option<Vec<CacheUse>>,
}

/// A folder as it is; a run file as the folder that it names.
fn place(path: &Path, settings: &[String]) -> Result<Place> {
    if path.is_dir() {
        return Ok(Place { folder: path.to_path_buf(), uses: None });
    }
    let config: RunConfig = brew::load_run(path, settings)?;
    let folder = config.cache.as_ref().and_then(|cache| cache.dir.clone());
    let uses = brew::cache_uses(backend(&BackendArgs { backend: None })?, config)?;
    Ok(Place { folder: folder.unwrap_or_default(), uses: Some(uses) })
}

fn inspect(args: &CacheInspectArgs) -> Result<ExitCode> {
    let Place { folder, uses } = place(&args.path, &args.settings)?;
    // Of a run that has not begun, what it will take is worth knowing.
    let is_to_come = uses.is_some() && !folder.exists();
    let caches = if is_to_come { Vec::new() } else { surveyed(&folder, Thoroughness::Headers)? };
    if args.json {
        let found = json!({"folder": folder, "caches": caches, "uses": uses});
        print(&format!("{found:#}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for cache in &caches {
        describe(&mut text, cache);
    }
    if caches.is_empty() && uses.is_none() {
        let _ = writeln!(text, "{} holds no cache", folder.display());
    }
    for one in uses.iter().flatten() {
        let _ = writeln!(
            text,
            "{}: the run uses {}, {} of its {} texts; whole it is {}",
            args.path.display(),
            one.name,
            one.known,
            one.examples,
            readable_bytes(one.expected_bytes)
        );
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(text: &mut String, cache: &CacheSurvey) {
    let in_use = if cache.in_use { ", in use" } else { "" };
    let files = match cache.segments.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let _ = writeln!(
        text,
        "{}: {} texts, {} in {files}{in_use}",
        cache.path.display(),
        cache.examples,
        readable_bytes(cache.bytes)
    );
    for (name, value) in cache.about.iter().chain(&cache.made_of) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "  {name:<10} {value}");
    }
    for damage in cache.damages() {
        let _ = writeln!(text, "  left out   {damage}");
    }
}

fn verify(args: &CacheVerifyArgs) -> Result<ExitCode> {
    let Place { folder, .. } = place(&args.path, &args.settings)?;
    let caches = surveyed(&folder, Thoroughness::Records)?;
    let mut text = String::new();
    let mut damages = 0;
    for cache in &caches {
        let records: usize = cache.segments.iter().map(|segment| segment.records).sum();
        let bytes = readable_bytes(cache.bytes);
        let _ = writeln!(text, "{}: {records} records are whole, {bytes}", cache.path.display());
        for damage in cache.damages() {
            damages += 1;
            let _ = writeln!(text, "  {damage}");
        }
    }
    if damages > 0 {
        text.push_str("what is left out is never read, and computed anew by the next run that needs it\n");
    }
    print(&text)?;
    Ok(if damages > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn remove(args: &CachePruneArgs) -> Result<ExitCode> {
    let mut folder: Option<PathBuf> = None;
    let mut keep: Option<HashSet<String>> = None;
    for path in &args.paths {
        let place = place(path, &args.settings)?;
        if let Some(other) = folder.replace(place.folder.clone()).filter(|other| *other != place.folder) {
            anyhow::bail!(
                "{} is about {}, and {} before it; prune one folder at a time",
                path.display(),
                place.folder.display(),
                other.display()
            );
        }
        if let Some(uses) = place.uses {
            keep.get_or_insert_default().extend(uses.into_iter().map(|one| one.name));
        }
    }
    let folder = folder.unwrap_or_default();
    let removals = prune(&folder, keep.as_ref(), args.yes).map_err(RunError::from)?;
    let mut text = String::new();
    let mut freed = 0;
    for removal in &removals {
        let what = match (removal.in_use, args.yes) {
            (true, _) => "stays, a process uses it:",
            (false, true) => "removed",
            (false, false) => "would be removed:",
        };
        freed += if removal.in_use { 0 } else { removal.bytes };
        let (path, bytes) = (removal.path.display(), readable_bytes(removal.bytes));
        let _ = writeln!(text, "{what} {path}, {bytes}: {}", removal.why);
    }
    let freed = readable_bytes(freed);
    text += &match (removals.is_empty(), args.yes) {
        (true, _) => format!("{}: there is nothing to remove\n", folder.display()),
        (false, true) => format!("{freed} are free\n"),
        (false, false) => format!("{freed} would be free; add --yes to remove\n"),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn surveyed(folder: &Path, thoroughness: Thoroughness) -> Result<Vec<CacheSurvey>> {
    Ok(survey(folder, thoroughness).map_err(RunError::from)?)
}
