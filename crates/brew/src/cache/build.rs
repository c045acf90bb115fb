//! `textbrew cache build`: the teachers' outputs before a run needs them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use brew_config::{MatmulPrecision, Problem};
use brew_distillers::{BatchSource, Filled};
use brew_kernels::with_bf16_products;
use burn::tensor::backend::AutodiffBackend;
use serde::Serialize;

use super::open::{Keeping, open};
use super::tools::checked_runs;
use crate::teaching::{cached_teacher, read_batches};
use crate::train::teachers;
use crate::{BackendJob, BackendKind, Observer, Run, RunConfig, RunError, dispatch};

/// What became of a run's caches.
#[derive(Debug, Clone, Serialize)]
pub struct CacheBuild {
    /// One a teacher.
    pub caches: Vec<BuiltCache>,
    /// Seconds it took.
    pub seconds: f64,
    /// Whether it was stopped early; the same again goes on where it ended.
    pub interrupted: bool,
}

/// What became of one teacher's cache.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltCache {
    /// Its folder.
    pub folder: PathBuf,
    /// The teacher's folder.
    pub teacher: PathBuf,
    /// Training texts.
    pub examples: usize,
    /// Batches of which everything was known before.
    pub known_batches: usize,
    /// Batches for which the teacher was run.
    pub computed_batches: usize,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Fills the caches of a distillation, of all its tasks, as its first epoch would: with the same batches, so that a
/// run afterwards reads to the last bit what it would have computed.
///
/// `stop` ends it after the batch during which it becomes true. What is complete stays, however it ends.
///
/// # Errors
/// Everything that is found before training; `cache.dir` that is not said; a disk that is full.
pub fn build_cache(
    backend: BackendKind,
    config: RunConfig,
    stop: Arc<AtomicBool>,
    observer: &mut dyn Observer,
) -> Result<CacheBuild, RunError> {
    if config.cache.as_ref().is_none_or(|cache| cache.dir.is_none()) {
        let remedy = "name the folder to fill, in the run file or as `--set cache.dir=FOLDER`";
        RunError::check(vec![Problem::new("cache.dir", "missing", remedy)])?;
    }
    dispatch(backend, BuildJob { config, stop, observer })
}

/// The epoch in whose batches every text is asked about.
const FIRST: usize = 0;

struct BuildJob<'a> {
    config: RunConfig,
    stop: Arc<AtomicBool>,
    observer: &'a mut dyn Observer,
}

impl BackendJob for BuildJob<'_> {
    type Output = Result<CacheBuild, RunError>;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
        let started = Instant::now();
        let runs = checked_runs::<B::InnerBackend>(self.config)?;
        let keeping = open(&runs.iter().collect::<Vec<_>>(), false, self.observer)?;
        let mut build = CacheBuild { caches: Vec::new(), seconds: 0.0, interrupted: false };
        for (run, keeping) in runs.iter().zip(keeping) {
            let models = teachers::<B>(run, &device)?;
            for (keeping, model) in keeping.into_iter().zip(models) {
                if self.stop.load(Ordering::Relaxed) {
                    build.interrupted = true;
                    continue;
                }
                let one = fill::<B>(run, keeping, model, &device, &self.stop, self.observer)?;
                build.interrupted |= one.known_batches + one.computed_batches < batches_of(run);
                build.caches.push(one);
            }
        }
        build.seconds = started.elapsed().as_secs_f64();
        Ok(build)
    }
}

fn batches_of(run: &Run) -> usize {
    run.train.features.len().div_ceil(run.config.data.batch_size)
}

fn fill<B: AutodiffBackend>(
    run: &Run,
    keeping: Keeping,
    model: crate::TaskModel<B::InnerBackend>,
    device: &B::Device,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<BuiltCache, RunError> {
    let (teacher, wants) = (keeping.plan.teacher.clone(), keeping.plan.wants);
    let folder = super::open::folder(&keeping);
    let batches = read_batches(run, run.batches::<B>(device)?);
    let cached = cached_teacher::<B>(model, keeping);
    let (mut known_batches, mut computed_batches) = (0, 0);
    let bf16 = run.config.training.matmul_precision == MatmulPrecision::Bf16;
    observer.begin("cache", 0, batches.batches_per_epoch());
    for batch in batches.epoch(FIRST, 0) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let batch = batch?;
        match with_bf16_products(bf16, || cached.fill(&batch.batch, wants))? {
            Filled::Known => known_batches += 1,
            Filled::Computed => computed_batches += 1,
            Filled::NotKept => return Err(RunError::CannotKeep { teacher }),
        }
        observer.step(known_batches + computed_batches);
    }
    observer.end();
    drop(cached);
    let bytes = super::tools::folder_bytes(&folder)?;
    let examples = run.train.features.len();
    Ok(BuiltCache { folder, teacher, examples, known_batches, computed_batches, bytes })
}
