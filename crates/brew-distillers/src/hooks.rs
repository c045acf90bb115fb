use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brew_config::NotFiniteAction;
use serde_json::Value;

use crate::CheckpointFolder;

/// What went wrong in a callback.
pub type CallbackError = Box<dyn Error + Send + Sync>;

/// One loss term in a report: means over the batches since the last one that have the term.
///
/// `weighted` is the mean of the products, which under a weight that changes is not the product of the means.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TermReport {
    /// The term's name: [`LossTerm::name`](crate::LossTerm::name).
    pub name: String,
    /// Its value, unweighted.
    pub value: f64,
    /// Its weight.
    pub weight: f64,
    /// Its value times its weight, what it adds to the loss of such a batch.
    pub weighted: f64,
}

/// Means over the batches since the last report, and where the run stands.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StepReport {
    /// Optimizer steps finished.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Epoch of the last batch, from 0.
    pub epoch: usize,
    /// The weighted loss.
    pub loss: f64,
    /// Every loss term, in order.
    pub terms: Vec<TermReport>,
    /// The mean temperature of the soft labels, under `flsw` and `cwsm` over their positions too; `None` where
    /// there are none.
    pub temperature: Option<f64>,
    /// The last step's learning rate of the student.
    pub lr: f64,
    /// The last step's global gradient norm before clipping.
    pub grad_norm: f64,
    /// Examples computed since the last report.
    pub examples: usize,
    /// Tokens of these that the student read, without padding; 0 where the batches do not say.
    pub tokens: usize,
    /// Seconds since the last report.
    pub seconds: f64,
}

/// A step whose gradient is not a finite number, and which was not taken.
#[derive(Debug, Clone)]
pub struct NotFiniteEvent {
    /// The optimizer step, from 1.
    pub step: usize,
    /// Its epoch, from 0.
    pub epoch: usize,
    /// The weighted loss of its batches.
    pub loss: f64,
    /// Every loss term, in order.
    pub terms: Vec<TermReport>,
    /// The global gradient norm.
    pub norm: f64,
    /// What the configuration asks for.
    pub action: NotFiniteAction,
    /// The batches of the step, as [`BatchSource::describe`](crate::BatchSource::describe) says them.
    pub batches: Vec<Value>,
}

impl StepReport {
    /// The loss term of this name.
    pub fn term(&self, name: &str) -> Option<&TermReport> {
        self.terms.iter().find(|term| term.name == name)
    }

    /// Examples a second.
    pub fn examples_per_second(&self) -> f64 {
        self.examples as f64 / self.seconds.max(1e-9)
    }

    /// Tokens a second, where the batches say how many they have.
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.tokens as f64 / self.seconds.max(1e-9))
    }
}

/// A checkpoint about to be completed.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointEvent<'a> {
    /// Optimizer steps finished.
    pub step: usize,
    /// Epochs begun, the current one included.
    pub epoch: usize,
    /// Where further files may be written; they become part of the checkpoint. `None` in a run
    /// without checkpoints on disk.
    pub folder: Option<&'a Path>,
}

/// Watches a run. Every method does nothing unless it is given.
pub trait Callback<M> {
    /// Before the first step, with the steps a resumed run has already made.
    ///
    /// # Errors
    /// Any error keeps the run from starting.
    fn on_start(&mut self, step: usize, total_steps: usize) -> Result<(), CallbackError> {
        let _ = (step, total_steps);
        Ok(())
    }

    /// After every optimizer step, without reading anything from the device.
    ///
    /// # Errors
    /// Any error stops the run.
    fn on_step(&mut self, step: usize, total_steps: usize) -> Result<(), CallbackError> {
        let _ = (step, total_steps);
        Ok(())
    }

    /// When the last batch of an epoch, counted from 0, was computed, before the step that it belongs to.
    ///
    /// # Errors
    /// Any error stops the run.
    fn on_epoch_end(&mut self, epoch: usize) -> Result<(), CallbackError> {
        let _ = epoch;
        Ok(())
    }

    /// Every `log_every` steps and at the end.
    ///
    /// # Errors
    /// Any error stops the run.
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        let _ = report;
        Ok(())
    }

    /// After a step that was not taken because its gradient is not finite, before the run goes on or ends.
    ///
    /// # Errors
    /// Any error stops the run.
    fn on_not_finite(&mut self, event: &NotFiniteEvent) -> Result<(), CallbackError> {
        let _ = event;
        Ok(())
    }

    /// At each checkpoint, with the student as it stands. The value is a score, higher is better, by
    /// which the best checkpoint is chosen.
    ///
    /// # Errors
    /// Any error stops the run; the checkpoint is not written.
    fn on_checkpoint(
        &mut self,
        student: &M,
        event: CheckpointEvent<'_>,
    ) -> Result<Option<f64>, CallbackError> {
        let _ = (student, event);
        Ok(None)
    }
}

/// What happens around a run: who watches it, where it is kept and how it is stopped.
pub struct Hooks<'a, M> {
    pub(crate) callbacks: Vec<Box<dyn Callback<M> + 'a>>,
    pub(crate) checkpoints: Option<CheckpointFolder>,
    pub(crate) resume: bool,
    pub(crate) identity: Value,
    pub(crate) accepts_changes: bool,
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

impl<M> Default for Hooks<'_, M> {
    fn default() -> Self {
        Self {
            callbacks: Vec::new(),
            checkpoints: None,
            resume: false,
            identity: Value::Null,
            accepts_changes: false,
            stop: None,
        }
    }
}

impl<'a, M> Hooks<'a, M> {
    /// No callbacks, nothing on disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a callback; they are called in the order they were added.
    #[must_use]
    pub fn with_callback(mut self, callback: impl Callback<M> + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Keeps the last and the best checkpoint in a folder.
    #[must_use]
    pub fn with_checkpoints(mut self, folder: CheckpointFolder) -> Self {
        self.checkpoints = Some(folder);
        self
    }

    /// Continues from the folder's last checkpoint where it has one.
    #[must_use]
    pub fn resuming(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Says what the run is, beyond its training configuration's seed and steps: its configuration, sums of its
    /// data. Each checkpoint holds it, and a run that is another one does not continue from it.
    #[must_use]
    pub fn with_identity(mut self, identity: Value) -> Self {
        self.identity = identity;
        self
    }

    /// Continues even where the run is no longer what it was; the differences are logged as a warning.
    #[must_use]
    pub fn accepting_changes(mut self, accepts: bool) -> Self {
        self.accepts_changes = accepts;
        self
    }

    /// Stops after the step during which the flag becomes true, with a checkpoint.
    #[must_use]
    pub fn with_stop(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = Some(stop);
        self
    }
}
