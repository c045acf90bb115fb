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
//! | [`MultiTaskDistiller`] | [`MultiTask`] | one a [`Task`] |
//! | [`EmdDistiller`] | [`EmdDistillation`], many layers to many | a [`Teacher`] |
//! | [`CrdDistiller`] | [`CrdDistillation`], states told from those of other examples | a [`Teacher`] |
//!
//! Models, batches and data sets are the caller's own types: an [`Adaptor`] runs a model on a batch
//! and names what comes out. Teachers run on the inner backend and build no graph.

mod adaptor;
mod batches;
mod cached;
mod checkpoint;
mod comparison;
mod crd;
mod distillation;
mod distillers;
mod emd;
mod ensemble;
mod error;
mod extensions;
mod fit;
mod hooks;
mod matches;
mod multi_task;
mod objective;
mod objective_state;
mod output;
mod parameters;
mod recipe;
mod split;
mod step;
mod supervised;
mod teacher;
mod trainable;
mod untrusted;

pub use adaptor::{Adaptor, ForwardContext, Wants};
pub use batches::{BatchSource, Counted, EpochBatches, ProcessedBatches};
pub use cached::{BatchRows, CachedTeacher};
pub use checkpoint::CheckpointFolder;
pub use crd::{CrdDistillation, CrdInputs};
pub use distillation::Distillation;
pub use distillers::{
    BasicDistiller, BasicTrainer, CrdDistiller, EmdDistiller, GeneralDistiller, MultiTaskDistiller,
    MultiTeacherDistiller,
};
pub use emd::EmdDistillation;
pub use ensemble::Ensemble;
pub use error::DistillError;
pub use extensions::Extensions;
pub use fit::{Trained, fit};
pub use hooks::{Callback, CallbackError, CheckpointEvent, Hooks, StepReport};
pub use matches::CustomMatch;
pub use multi_task::{MultiTask, Task, TaskBatch, TaskBatches};
pub use objective::{LossTerm, LossTerms, Objective, StepContext};
pub use objective_state::ObjectiveState;
pub use output::{AdaptorOutput, MASKED_LOGIT};
pub use recipe::Recipe;
pub use split::{AlignedTeacher, GivenOutputs, SplitBatch, StudentSide, TeacherSide};
pub use supervised::Supervised;
pub use teacher::{ModelTeacher, Teacher};
pub use trainable::{Projection, Student, Trainable};
