//! Distil language models: models, data, losses and distillers behind one facade.
//!
//! The crates below are re-exported: [`config`], [`losses`], [`models`], [`data`], [`distillers`].
//! This one joins them: [`adaptors`] makes the shipped models, batches and distillers meet;
//! a [`RunConfig`] describes a run as a file does, [`Run`] is the same checked, and [`train`] does
//! it on a [`BackendKind`] chosen at run time.

pub mod adaptors;
mod backend;
mod cache;
mod check;
mod corpus;
mod error;
mod identity;
mod inference;
mod journal;
mod model;
pub mod multi_task;
mod observer;
mod output;
mod quickstart;
mod report;
mod run;
mod run_config;
mod run_page;
mod settings;
mod task;
mod teaching;
mod train;
mod vocabulary;

pub use backend::{BackendError, BackendJob, BackendKind, dispatch, names as backend_names};
pub use cache::{BuiltCache, CacheBuild, CacheEstimate, CacheUse, build_cache, cache_uses, readable_bytes};
pub use check::{
    CacheSize, CheckOptions, CheckReport, DataSize, MemoryEstimate, ModelSize, StepCount, Trial, cache_size,
    check_run, load_run_for,
};
pub use error::RunError;
pub use inference::{
    ClassPrediction, EntityPrediction, FlagsPrediction, LabelPrediction, Prediction, TagPrediction,
    ValuePrediction, evaluate_file, export, parameter_table, predict_file, preset_table, write_predictions,
};
pub use model::{TaskModel, TaskModelAdaptor};
pub use multi_task::{TaskSummary, TasksSummary, distill_tasks};
pub use observer::Observer;
pub use output::{OutputPolicy, checkpoint_model, model_folder};
pub use quickstart::{QuickstartOutcome, SeedOutcome, quickstart};
pub use report::{Figure, TaskReport};
pub use run::{Run, RunKind};
pub use run_config::{
    CacheConfig, DataConfig, EvaluationConfig, Keep, Metric, ModelConfig, MultiLabelConfig, QuestionsConfig,
    RunConfig, TagsConfig, TaskConfig, TeacherConfig,
};
pub use run_page::write_report;
pub use settings::{load_data_config, load_run};
pub use task::TaskKind;
pub use train::{Summary, train};
pub use vocabulary::train_vocabulary;
pub use {
    brew_cache as caches, brew_config as config, brew_data as data, brew_distillers as distillers,
    brew_losses as losses, brew_models as models, brew_random as random,
};
