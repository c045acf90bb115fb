//! What a run uses of a folder of caches.

use std::fs;
use std::path::{Path, PathBuf};

use brew_cache::{Cache, ExampleKey};
use brew_config::Problem;
use burn::tensor::backend::{AutodiffBackend, Backend};
use serde::Serialize;

use super::plan::{Plan, settings};
use crate::multi_task::{TaskRuns, problems_of_tasks};
use crate::{BackendJob, BackendKind, Run, RunConfig, RunError, RunKind, dispatch};

/// What a run uses of a cache.
#[derive(Debug, Clone, Serialize)]
pub struct CacheUse {
    /// The cache's name in its folder.
    pub name: String,
    /// The teacher's folder.
    pub teacher: PathBuf,
    /// Training texts of the run.
    pub examples: usize,
    /// Those of them that are known.
    pub known: usize,
    /// Bytes of the cache when all are known and it is filled in one go.
    pub expected_bytes: u64,
}

/// What a distillation uses of its folder of caches, one entry a teacher; nothing is computed.
///
/// # Errors
/// Everything that is found before training; `cache.dir` that is not said; files that cannot be read.
pub fn cache_uses(backend: BackendKind, config: RunConfig) -> Result<Vec<CacheUse>, RunError> {
    if config.cache.as_ref().is_none_or(|cache| cache.dir.is_none()) {
        let remedy = "the run keeps nothing on disk; name its folder";
        RunError::check(vec![Problem::new("cache.dir", "missing", remedy)])?;
    }
    dispatch(backend, UsesJob { config })
}

struct UsesJob {
    config: RunConfig,
}

impl BackendJob for UsesJob {
    type Output = Result<Vec<CacheUse>, RunError>;

    fn run<B: AutodiffBackend>(self, _device: B::Device) -> Self::Output {
        let mut uses = Vec::new();
        for run in checked_runs::<B::InnerBackend>(self.config)? {
            let Some(settings) = settings(&run) else { continue };
            let dir = settings.dir.clone().unwrap_or_default();
            for index in 0..run.teachers.len() {
                let plan = Plan::new(&run, index, settings.storage());
                let fingerprint = plan.fingerprint(&run)?;
                let cache = Cache::open(&dir, &fingerprint, u64::MAX)?;
                let key = |(&id, text): (&u64, &super::plan::Text)| ExampleKey { id, text: text.digest };
                uses.push(CacheUse {
                    name: fingerprint.name().to_owned(),
                    examples: plan.texts.len(),
                    known: plan.texts.iter().map(key).filter(|&key| cache.contains(key)).count(),
                    expected_bytes: plan.file(plan.texts.values().copied(), &fingerprint),
                    teacher: plan.teacher,
                });
            }
        }
        Ok(uses)
    }
}

/// The runs of a distillation: one, or one a task.
pub(super) fn checked_runs<B: Backend>(config: RunConfig) -> Result<Vec<Run>, RunError> {
    if config.tasks.is_empty() {
        return Ok(vec![Run::check::<B>(config, RunKind::Distill)?]);
    }
    RunError::check(problems_of_tasks::<B>(&config))?;
    Ok(TaskRuns::read(config)?.runs)
}

/// Bytes of the files in a folder.
pub(super) fn folder_bytes(folder: &Path) -> Result<u64, RunError> {
    let failed = |error| RunError::io("read", folder)(error);
    let mut bytes = 0;
    if folder.is_dir() {
        for entry in fs::read_dir(folder).map_err(failed)? {
            bytes += entry.and_then(|entry| entry.metadata()).map_err(failed)?.len();
        }
    }
    Ok(bytes)
}
