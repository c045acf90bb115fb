use std::path::PathBuf;

use brew_cache::CacheError;
use brew_config::{ConfigError, Problem};
use brew_data::DataError;
use brew_distillers::DistillError;
use brew_models::ModelError;

use crate::backend::BackendError;

/// Why a run could not be started or finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A run file that cannot be read, or a configuration with problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A run file with mistakes, or that names what cannot be used: all of it.
    #[error("{}: {}", run.display(), ConfigError::Invalid { problems: problems.clone() })]
    Wrong {
        /// The run file.
        run: PathBuf,
        /// Everything that was found.
        problems: Vec<Problem>,
    },
    /// A `--set` that cannot be applied.
    #[error("--set {setting}: {reason}")]
    Setting {
        /// What was written.
        setting: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A data file or tokenizer that cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint that cannot be read or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training that could not begin, go on or be continued.
    #[error(transparent)]
    Distill(#[from] DistillError),
    /// A cache of teacher outputs that cannot be read or filled.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Teacher outputs that would take more than they may.
    #[error(
        "what the teachers say of {examples} texts would take {needed}{}, and cache.limit_gb allows {limit}; raise it, \
         keep numbers as cache.dtype = \"f16\", or match fewer layers",
        place(dir)
    )]
    CacheLimit {
        /// Where they are to be kept; in memory where it is `None`.
        dir: Option<PathBuf>,
        /// Training texts of all teachers.
        examples: usize,
        /// Bytes that are needed, as a person reads them.
        needed: String,
        /// Bytes that are allowed.
        limit: String,
    },
    /// Teacher outputs that the disk has no room for.
    #[error(
        "what the teachers say takes {needed} more, and where {} is {free} are free; make room, choose another \
         cache.dir, or keep numbers as cache.dtype = \"f16\"",
        dir.display()
    )]
    CacheSpace {
        /// The folder of caches.
        dir: PathBuf,
        /// Bytes that are to be written.
        needed: String,
        /// Bytes that are free.
        free: String,
    },
    /// A teacher whose outputs depend on more than an example.
    #[error("what {} says cannot be kept by example; leave out [cache]", teacher.display())]
    CannotKeep {
        /// The teacher's folder.
        teacher: PathBuf,
    },
    /// A backend this build does not have.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An output folder that holds a run already.
    #[error(
        "{} already holds a run; add --resume to continue it, --overwrite to replace it, or choose another \
         training.output_dir",
        path.display()
    )]
    OutputInUse {
        /// The folder.
        path: PathBuf,
    },
    /// An output folder into which another process writes.
    #[error("another process writes to {}; wait for it, or choose another training.output_dir", path.display())]
    OutputLocked {
        /// The folder.
        path: PathBuf,
    },
    /// An output folder that holds files that are no run.
    #[error("{} holds files that are not a run ({found}); choose an empty or new folder", path.display())]
    OutputNotARun {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        found: String,
    },
    /// `--resume` without anything to continue.
    #[error("{} holds no run to continue; start it without --resume", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that is neither a checkpoint nor a run.
    #[error(
        "{} is not a model: it has neither a config.json nor a model/config.json; give a Hugging Face checkpoint \
         folder or the folder of a finished run",
        path.display()
    )]
    NotAModel {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that is to be a run's and is not.
    #[error(
        "{} is not the folder of a run: it has no run.json; give the training.output_dir of a run of \
         `textbrew train` or `textbrew distill`",
        path.display()
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// A file of a run that does not hold what it should.
    #[error("{} is damaged: {reason}; restore it, or start the run again with --overwrite", path.display())]
    BrokenRunFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A run of several tasks where a model of one is needed.
    #[error("{} holds models of several tasks; name one of them: {}", path.display(), list(models))]
    SeveralModels {
        /// The folder.
        path: PathBuf,
        /// The models in it.
        models: Vec<PathBuf>,
    },
    /// A question of which nothing is known where that is needed.
    #[error(
        "{place}: the question has neither an answer nor `is_impossible`; such questions can only be predicted for or \
         distilled"
    )]
    UnansweredQuestion {
        /// File, article, paragraph and question.
        place: String,
    },
    /// A checkpoint without a trained classifier.
    #[error(
        "{} has no classifier, only an encoder; fine-tune it first with `textbrew train`",
        path.display()
    )]
    NoClassifier {
        /// The folder.
        path: PathBuf,
    },
    /// A folder to export to that is there already.
    #[error("{} exists already; choose a new folder", path.display())]
    TargetExists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that a tokenizer is to be written to and that holds one.
    #[error("{} holds a tokenizer already ({file}); choose another folder", path.display())]
    TokenizerExists {
        /// The folder.
        path: PathBuf,
        /// The file that is there.
        file: &'static str,
    },
    /// A build without any backend.
    #[error("this build has no backend; build with `--features flex`")]
    NoBackend,
    /// A file or folder that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `create`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn place(dir: &Option<PathBuf>) -> String {
    match dir {
        Some(dir) => format!(" in {}", dir.display()),
        None => " of memory".to_owned(),
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl RunError {
    /// All problems of a configuration as one error.
    pub(crate) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        Ok(ConfigError::from_problems(problems)?)
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the input is at fault (a file, a flag, a configuration) rather than the run.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Cache(error) | Self::Distill(DistillError::Cache(error)) => error.is_input(),
            Self::Distill(error) => matches!(
                error,
                DistillError::Config(_) | DistillError::Changed { .. } | DistillError::BeyondHalf { .. }
            ),
            Self::Io { .. } => false,
            _ => true,
        }
    }
}
