use brew_random::Key;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::{DistillError, ObjectiveState, Student, Trainable};

/// Where a run stands when a loss is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepContext {
    /// The run's seed.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: usize,
    /// Optimizer steps finished before this batch.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Batches computed before this one, over the whole run.
    pub batch: u64,
}

impl StepContext {
    /// The share of the run's steps that is finished, in `[0, 1]`.
    pub fn progress(&self) -> f64 {
        self.step as f64 / self.total_steps.max(1) as f64
    }

    /// The key of this batch's dropout masks.
    pub fn dropout(&self) -> Key {
        Key::new(self.seed).purpose("dropout").index(self.batch)
    }
}

/// One named part of a loss.
#[derive(Debug, Clone)]
pub struct LossTerm<B: AutodiffBackend> {
    /// TextBrewer's name without `unweighted_`: `kd_loss`, `hidden_hidden_mse_0_0`, …
    pub name: String,
    /// The unweighted value, `[1]`.
    pub value: Tensor<B, 1>,
    /// The weight at this step.
    pub weight: f64,
}

/// The parts a loss is the weighted sum of.
#[derive(Debug, Clone)]
pub struct LossTerms<B: AutodiffBackend> {
    terms: Vec<LossTerm<B>>,
    temperature: Option<f64>,
}

impl<B: AutodiffBackend> Default for LossTerms<B> {
    fn default() -> Self {
        Self { terms: Vec::new(), temperature: None }
    }
}

impl<B: AutodiffBackend> LossTerms<B> {
    /// Adds a term.
    pub fn push(&mut self, name: impl Into<String>, value: Tensor<B, 1>, weight: f64) {
        self.terms.push(LossTerm { name: name.into(), value, weight });
    }

    /// Tells what logits were divided by, for the reports; on the mean, where it differs from position to
    /// position.
    pub fn set_temperature(&mut self, temperature: f64) {
        self.temperature = Some(temperature);
    }

    /// What logits were divided by, where there are soft labels.
    pub fn temperature(&self) -> Option<f64> {
        self.temperature
    }

    /// The same terms with names below another, `parent/name`.
    pub(crate) fn within(mut self, parent: &str) -> Self {
        for term in &mut self.terms {
            term.name = format!("{parent}/{}", term.name);
        }
        self
    }

    /// The terms, in the order they were added.
    pub fn terms(&self) -> &[LossTerm<B>] {
        &self.terms
    }

    /// The weighted sum, `[1]`; `None` when no term has a weight other than 0.
    pub fn total(&self) -> Option<Tensor<B, 1>> {
        self.terms
            .iter()
            .filter(|term| term.weight != 0.0)
            .map(|term| match term.weight {
                1.0 => term.value.clone(),
                weight => term.value.clone().mul_scalar(weight),
            })
            .reduce(|sum, term| sum + term)
    }
}

/// What the loop minimises: a way to turn a batch into loss terms. Every distiller is one.
pub trait Objective<B: AutodiffBackend, M: Student<B>, T> {
    /// The loss terms of one batch.
    ///
    /// # Errors
    /// Whatever keeps the models from being run or their outputs from being compared.
    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &T,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError>;

    /// Whether a teacher of the objective keeps its outputs: see [`Teacher::keeps_outputs`](crate::Teacher::keeps_outputs).
    fn keeps_outputs(&self) -> bool {
        false
    }

    /// Lets the teachers keep their outputs of a batch that an earlier process of the run had: see
    /// [`Teacher::recall`](crate::Teacher::recall).
    ///
    /// # Errors
    /// Whatever keeps a teacher from being run.
    fn recall(&mut self, batch: &T) -> Result<(), DistillError> {
        let _ = batch;
        Ok(())
    }

    /// Every batch of an epoch was computed: teachers that kept all they said may rest, see
    /// [`Teacher::rest`](crate::Teacher::rest).
    fn rest_teachers(&mut self) {}

    /// What the objective keeps between batches besides what is trained, for a checkpoint; `None` where it
    /// keeps nothing.
    fn state(&self) -> Option<ObjectiveState> {
        None
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// Why the state does not fit, in words.
    fn restore(&mut self, state: ObjectiveState) -> Result<(), String> {
        let names: Vec<&str> = state.tensors.keys().map(String::as_str).collect();
        Err(format!(
            "this objective keeps no state, the checkpoint holds {} {}",
            state.values,
            names.join(", ")
        ))
    }
}
