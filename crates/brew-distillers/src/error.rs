use std::path::PathBuf;

use brew_cache::CacheError;
use brew_config::ConfigError;
use brew_losses::LossError;

/// Why a distillation could not be set up, continued or finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistillError {
    /// A configuration with at least one problem; all of them are listed.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// A loss that is unknown or was given tensors it cannot compare.
    #[error("{term}: {source}")]
    Loss {
        /// The loss term, as it is logged.
        term: String,
        /// What the loss function said.
        source: Box<LossError>,
    },

    /// An adaptor that does not give what the configuration needs.
    #[error("the {side} adaptor gave {found}, but {term} needs {needed}")]
    Adaptor {
        /// `student` or `teacher`.
        side: &'static str,
        /// The loss term that needs it.
        term: String,
        /// What is needed.
        needed: String,
        /// What was given instead.
        found: String,
    },

    /// A loss that is not a finite number.
    #[error(
        "the loss became {value} between steps {from} and {to} (terms: {terms}); lower optimizer.lr, \
         set max_grad_norm, or look at the batches of these steps"
    )]
    NotFinite {
        /// The mean loss since it was last read.
        value: f64,
        /// First optimizer step of the interval, from 1.
        from: usize,
        /// Last optimizer step of the interval, from 1.
        to: usize,
        /// Each loss term with its value.
        terms: String,
    },

    /// A gradient that is not a finite number.
    #[error(
        "the gradient of step {step} has a norm of {norm}{} (loss {loss}; terms: {terms}); the step was not taken. \
         Lower optimizer.lr, set max_grad_norm, look at the batch, or let the run go on with \
         on_not_finite = \"skip\" or \"lower\"",
        in_a_row(*left_out)
    )]
    NotFiniteGradient {
        /// The optimizer step, from 1.
        step: usize,
        /// The global norm.
        norm: f64,
        /// The loss of the step's batches.
        loss: f64,
        /// Each loss term with its value.
        terms: String,
        /// Steps left out before it, in a row.
        left_out: usize,
    },

    /// A batch source that gives no batches, so that no step can be made.
    #[error("the training data gives no batches; it needs at least one example")]
    NoBatches,

    /// A batch that could not be made, or a model that could not be run on it.
    #[error("{0}")]
    Batch(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// A cache of teacher outputs that could not be read or filled.
    #[error(transparent)]
    Cache(#[from] CacheError),

    /// A teacher output that float16 does not hold.
    #[error(
        "of example {example} the teacher gave {value}, and float16 holds numbers up to 65504; keep its outputs as f32"
    )]
    BeyondHalf {
        /// The example's id.
        example: u64,
        /// What the teacher gave.
        value: f32,
    },

    /// A callback that failed; training stops and the last checkpoint stays.
    #[error("a callback failed at step {step}: {source}")]
    Callback {
        /// The optimizer step.
        step: usize,
        /// What the callback said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A checkpoint file that could not be written or read.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `write`, `read`, `rename`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A checkpoint of a run that was another one.
    #[error(
        "the run changed since the checkpoint {} was made: {}. Undo the changes, accept them (--accept-changes), or \
         start anew (--overwrite)",
        path.display(), changes.join("; ")
    )]
    Changed {
        /// The checkpoint's folder.
        path: PathBuf,
        /// Each place with what was there then and what is there now.
        changes: Vec<String>,
    },

    /// A checkpoint that is damaged or belongs to another model or configuration.
    #[error("the checkpoint {} cannot be continued from: {reason}", path.display())]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn in_a_row(left_out: usize) -> String {
    match left_out {
        0 => String::new(),
        count => format!(", after {count} steps in a row that were left out for the same"),
    }
}

impl DistillError {
    /// Wraps any error from the caller's side (data, model) as one of a batch.
    pub fn batch(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Batch(source.into())
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
