//! What can be said of a run before it begins: every problem at once, and what it will take.

mod data;
mod estimate;
mod examine;
mod models;
mod output;
mod report;
mod trial;
mod using;

use brew_config::Problem;
use burn::tensor::backend::Backend;

use crate::multi_task::problems_of_tasks;
use crate::{OutputPolicy, RunConfig, RunError, RunKind};

pub use estimate::{CacheSize, DataSize, MemoryEstimate, ModelSize, StepCount, cache_size};
pub use report::{CheckOptions, CheckReport, check_run, load_run_for};
pub use trial::Trial;

pub(crate) use examine::examine;
pub(crate) use using::before_use;

/// The problems of a run of one task, its output folder included.
///
/// # Errors
/// [`RunError::Config`] with all of them.
pub(crate) fn before_training<B: Backend>(
    config: &RunConfig,
    kind: RunKind,
    policy: OutputPolicy,
) -> Result<(), RunError> {
    RunError::check(all_problems::<B>(config, kind, policy))
}

/// The problems of a run of one task or of several, its output folder included.
fn all_problems<B: Backend>(config: &RunConfig, kind: RunKind, policy: OutputPolicy) -> Vec<Problem> {
    let mut found = match kind {
        RunKind::Distill if !config.tasks.is_empty() => problems_of_tasks::<B>(config),
        _ => examine::<B>(config, kind).problems,
    };
    found.extend(output::problems(&config.training.output_dir, policy));
    found
}

/// The problems of a run of several tasks, its output folder included.
///
/// # Errors
/// [`RunError::Config`] with all of them.
pub(crate) fn before_tasks<B: Backend>(config: &RunConfig, policy: OutputPolicy) -> Result<(), RunError> {
    before_training::<B>(config, RunKind::Distill, policy)
}
