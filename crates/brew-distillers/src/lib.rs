//! The training loop, the objectives that make it a distiller, and what watches it.
//!
//! There is one loop, [`fit`]. What it minimises is an [`Objective`]; every distiller is a way to
//! build one:
//!
//! | distiller | objective | teacher |
//! |---|---|---|
//! | [`BasicTrainer`] | [`Supervised`] | none |
//! | [`BasicDistiller`] | [`Distillation`] without matches | a [`Teacher`] |
//! | [`GeneralDistiller`] | [`Distillation`] with matches and projections | a [`Teacher`] |
//! | [`MultiTeacherDistiller`] | [`Distillation`] of averaged logits, matches with any teacher | an [`Ensemble`] |
//!
//! Models, batches and data sets are the caller's own types: an [`Adaptor`] runs a model on a batch
//! and names what comes out. Teachers run on the inner backend and build no graph.

mod adaptor;
mod batches;
mod checkpoint;
mod distillation;
mod distillers;
mod ensemble;
mod error;
mod fit;
mod hooks;
mod objective;
mod output;
mod parameters;
mod step;
mod supervised;
mod teacher;
mod trainable;

pub use adaptor::{Adaptor, ForwardContext, Wants};
pub use batches::{BatchSource, Counted, EpochBatches};
pub use checkpoint::CheckpointFolder;
pub use distillation::Distillation;
pub use distillers::{BasicDistiller, BasicTrainer, GeneralDistiller, MultiTeacherDistiller};
pub use ensemble::Ensemble;
pub use error::DistillError;
pub use fit::{Trained, fit};
pub use hooks::{Callback, CallbackError, CheckpointEvent, Hooks, StepReport};
pub use objective::{LossTerm, LossTerms, Objective, StepContext};
pub use output::AdaptorOutput;
pub use supervised::Supervised;
pub use teacher::{CachedLogits, ModelTeacher, Teacher};
pub use trainable::{Projection, Student, Trainable};
