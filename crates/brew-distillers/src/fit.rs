use std::sync::atomic::Ordering;
use std::time::Instant;

use brew_config::{ConfigError, TrainingConfig};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::checkpoint::{Position, RunState};
use crate::step::{GradientNorm, Stepper, clip_global_norm};
use crate::{
    BatchSource, CheckpointEvent, DistillError, Hooks, LossTerms, Objective, ObjectiveState, Recipe,
    StepContext, StepReport, Student, TermReport, Trainable,
};

/// How a run ended.
#[derive(Debug)]
pub struct Trained<B: AutodiffBackend, M: Student<B>> {
    /// The student and what was trained with it.
    pub trainable: Trainable<B, M>,
    /// Optimizer steps finished.
    pub steps: usize,
    /// Whether the run was stopped before its last step.
    pub interrupted: bool,
}

/// The one training loop: accumulate, clip, step, schedule, report, checkpoint, call back.
///
/// With `num_epochs` the last, smaller group of micro-batches of an epoch is stepped and divided by
/// the number it holds; with `num_steps` groups carry over the end of an epoch.
///
/// # Errors
/// [`DistillError::Config`] before anything runs; later whatever the objective, the batches, a
/// callback or the disk say. The last complete checkpoint stays valid.
pub fn fit<B, M, T>(
    trainable: Trainable<B, M>,
    recipe: &Recipe<B, M>,
    objective: &mut dyn Objective<B, M, T>,
    batches: &dyn BatchSource<T>,
    mut hooks: Hooks<'_, M>,
) -> Result<Trained<B, M>, DistillError>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    let config = &recipe.config;
    ConfigError::from_problems(config.validate())?;
    let plan = Plan::new(config, batches.batches_per_epoch())?;
    let device = burn::module::Module::<B>::devices(&trainable).into_iter().next().unwrap_or_default();
    let mut position = Position { step: 0, epoch: 0, batch_in_epoch: 0, batch: 0 };
    let run_state = |position| RunState { seed: config.seed, total_steps: plan.total_steps, position };
    let new_stepper = |trainable: &Trainable<B, M>| Stepper::new(trainable, recipe);

    let resumed = match (&hooks.checkpoints, hooks.resume) {
        (Some(folder), true) => folder.load(trainable.clone(), run_state(position), &device, new_stepper)?,
        _ => None,
    };
    let (mut trainable, mut stepper) = match resumed {
        Some(loaded) => {
            position = loaded.position;
            if let Some(state) = loaded.objective {
                objective
                    .restore(state)
                    .map_err(|reason| DistillError::Checkpoint { path: loaded.folder, reason })?;
            }
            (loaded.trainable, loaded.stepper)
        }
        None => {
            let stepper = new_stepper(&trainable);
            (trainable, stepper)
        }
    };

    for callback in &mut hooks.callbacks {
        callback
            .on_start(position.step, plan.total_steps)
            .map_err(|source| DistillError::Callback { step: position.step, source })?;
    }
    let mut accumulator = GradientsAccumulator::<Trainable<B, M>>::new();
    let mut accumulated = 0;
    let mut window = Window::new(position.step);
    let mut interrupted = false;

    'run: while position.step < plan.total_steps {
        let skip = position.batch_in_epoch;
        for item in batches.epoch(position.epoch, skip) {
            let item = item?;
            let context = StepContext {
                seed: config.seed,
                epoch: position.epoch,
                step: position.step,
                total_steps: plan.total_steps,
                batch: position.batch,
            };
            let terms = objective.loss(&trainable, &item.batch, &context)?;
            let group = plan.group_size(position.batch_in_epoch - accumulated.min(position.batch_in_epoch));
            if let Some(total) = terms.total() {
                window.add(&terms, &total, item.examples, item.tokens);
                let loss = if group == 1 { total } else { total.div_scalar(group as f64) };
                let gradients = GradientsParams::from_grads(loss.backward(), &trainable);
                accumulator.accumulate(&trainable, gradients);
            }
            accumulated += 1;
            position.batch += 1;
            position.batch_in_epoch += 1;
            if accumulated < group {
                continue;
            }

            let mut gradients = accumulator.grads();
            accumulated = 0;
            let norm = clip_global_norm::<B, M>(&trainable.student, &mut gradients, config.max_grad_norm);
            let factor = recipe.factor(position.step, plan.total_steps);
            trainable = stepper.step(trainable, gradients, factor);
            position.step += 1;

            let finished = position.step == plan.total_steps;
            interrupted = !finished && hooks.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
            for callback in &mut hooks.callbacks {
                callback
                    .on_step(position.step, plan.total_steps)
                    .map_err(|source| DistillError::Callback { step: position.step, source })?;
            }
            if position.step.is_multiple_of(config.log_every) || finished || interrupted {
                let report = window.report(&plan, position, config.optimizer.lr * factor, norm)?;
                for callback in &mut hooks.callbacks {
                    callback
                        .on_report(&report)
                        .map_err(|source| DistillError::Callback { step: position.step, source })?;
                }
            }
            if plan.is_checkpoint(position) || finished || interrupted {
                let run = run_state(plan.next(position));
                checkpoint(&mut hooks, &trainable, &stepper, run, objective.state(), position)?;
            }
            if finished || interrupted {
                break 'run;
            }
        }
        position.epoch += 1;
        position.batch_in_epoch = 0;
    }
    Ok(Trained { trainable, steps: position.step, interrupted })
}

/// Calls the callbacks and, where the run has a folder, completes a checkpoint.
fn checkpoint<B, M>(
    hooks: &mut Hooks<'_, M>,
    trainable: &Trainable<B, M>,
    stepper: &Stepper<B, M>,
    run: RunState,
    objective: Option<ObjectiveState>,
    position: Position,
) -> Result<(), DistillError>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    let step = position.step;
    let pending = match &hooks.checkpoints {
        Some(folder) => Some(folder.begin(step)?),
        None => None,
    };
    let event = CheckpointEvent {
        step,
        epoch: position.epoch + 1,
        folder: pending.as_ref().map(|pending| pending.path()),
    };
    let mut score = None;
    for callback in &mut hooks.callbacks {
        let given = callback
            .on_checkpoint(&trainable.student, event)
            .map_err(|source| DistillError::Callback { step, source })?;
        score = score.or(given);
    }
    match (&hooks.checkpoints, pending) {
        (Some(folder), Some(pending)) => folder.complete(pending, trainable, stepper, run, objective, score),
        _ => Ok(()),
    }
}

/// When to step, to stop and to take a checkpoint.
struct Plan {
    batches_per_epoch: usize,
    accumulation: usize,
    by_steps: bool,
    total_steps: usize,
    checkpoint_steps: Vec<usize>,
    every: Option<usize>,
}

impl Plan {
    fn new(config: &TrainingConfig, batches_per_epoch: usize) -> Result<Self, DistillError> {
        if batches_per_epoch == 0 {
            return Err(DistillError::NoBatches);
        }
        let accumulation = config.gradient_accumulation_steps;
        let steps_per_epoch = batches_per_epoch.div_ceil(accumulation);
        let total_steps = config.num_steps.unwrap_or(config.num_epochs * steps_per_epoch);
        // As in TextBrewer: `ckpt_frequency` checkpoints in every `ckpt_epoch_frequency`-th epoch,
        // evenly spaced, the last at the epoch's end.
        let mut checkpoint_steps = Vec::new();
        if config.num_steps.is_none() {
            for epoch in (1..=config.num_epochs).filter(|epoch| epoch % config.ckpt_epoch_frequency == 0) {
                for part in 1..=config.ckpt_frequency {
                    let within = (steps_per_epoch * part).div_ceil(config.ckpt_frequency);
                    checkpoint_steps.push((epoch - 1) * steps_per_epoch + within);
                }
            }
        }
        Ok(Self {
            batches_per_epoch,
            accumulation,
            by_steps: config.num_steps.is_some(),
            total_steps,
            checkpoint_steps,
            every: config.ckpt_steps,
        })
    }

    /// How many micro-batches the group holds that begins at this batch of an epoch.
    fn group_size(&self, start: usize) -> usize {
        if self.by_steps { self.accumulation } else { self.accumulation.min(self.batches_per_epoch - start) }
    }

    fn is_checkpoint(&self, position: Position) -> bool {
        match self.every {
            Some(every) => position.step.is_multiple_of(every),
            None if self.by_steps => position.batch_in_epoch == self.batches_per_epoch,
            None => self.checkpoint_steps.binary_search(&position.step).is_ok(),
        }
    }

    /// Where a run continues after this position.
    fn next(&self, position: Position) -> Position {
        if position.batch_in_epoch == self.batches_per_epoch {
            Position { epoch: position.epoch + 1, batch_in_epoch: 0, ..position }
        } else {
            position
        }
    }
}

/// Running sums since the last report, kept on the device until they are read.
struct Window<B: AutodiffBackend> {
    first_step: usize,
    batches: usize,
    examples: usize,
    tokens: usize,
    started: Instant,
    total: Option<Tensor<B::InnerBackend, 1>>,
    /// Not every batch has every term.
    terms: Vec<TermSums<B>>,
    /// Sum and number of the batches' temperatures.
    temperature: (f64, usize),
}

/// Sums of one term over the batches that have it.
struct TermSums<B: AutodiffBackend> {
    name: String,
    value: Tensor<B::InnerBackend, 1>,
    weighted: Tensor<B::InnerBackend, 1>,
    weight: f64,
    count: usize,
}

impl<B: AutodiffBackend> Window<B> {
    fn new(step: usize) -> Self {
        Self {
            first_step: step,
            batches: 0,
            examples: 0,
            tokens: 0,
            started: Instant::now(),
            total: None,
            terms: Vec::new(),
            temperature: (0.0, 0),
        }
    }

    fn add(&mut self, terms: &LossTerms<B>, total: &Tensor<B, 1>, examples: usize, tokens: usize) {
        let total = total.clone().inner();
        self.total = Some(match self.total.take() {
            Some(sum) => sum + total,
            None => total,
        });
        for term in terms.terms() {
            let value = term.value.clone().inner();
            let weighted = value.clone().mul_scalar(term.weight);
            match self.terms.iter_mut().find(|one| one.name == term.name) {
                Some(one) => {
                    one.value = one.value.clone() + value;
                    one.weighted = one.weighted.clone() + weighted;
                    one.weight += term.weight;
                    one.count += 1;
                }
                None => self.terms.push(TermSums {
                    name: term.name.clone(),
                    value,
                    weighted,
                    weight: term.weight,
                    count: 1,
                }),
            }
        }
        if let Some(temperature) = terms.temperature() {
            self.temperature.0 += temperature;
            self.temperature.1 += 1;
        }
        self.batches += 1;
        self.examples += examples;
        self.tokens += tokens;
    }

    /// Reads the means back, all at once, and starts the next window.
    fn report(
        &mut self,
        plan: &Plan,
        position: Position,
        lr: f64,
        grad_norm: GradientNorm<B>,
    ) -> Result<StepReport, DistillError> {
        let done = std::mem::replace(self, Self::new(position.step));
        let pairs = done.terms.iter().flat_map(|term| [term.value.clone(), term.weighted.clone()]);
        let sums: Vec<_> = done.total.iter().cloned().chain(pairs).collect();
        let read: Vec<f64> = match sums.is_empty() {
            true => Vec::new(),
            false => Tensor::cat(sums, 0).into_data().iter::<f64>().collect(),
        };
        let mut read = read.into_iter();
        // Nothing was summed where no batch had a loss.
        let mut next = || read.next().unwrap_or_default();
        let loss = next() / done.batches.max(1) as f64;
        let (temperature, count) = done.temperature;
        let temperature = (count > 0).then(|| temperature / count as f64);
        let mut terms = Vec::with_capacity(done.terms.len());
        for term in done.terms {
            let count = term.count as f64;
            let (value, weighted) = (next() / count, next() / count);
            terms.push(TermReport { name: term.name, value, weight: term.weight / count, weighted });
        }
        if !loss.is_finite() {
            let terms = terms.iter().map(|term| format!("{} {}", term.name, term.value)).collect::<Vec<_>>();
            return Err(DistillError::NotFinite {
                value: loss,
                from: done.first_step + 1,
                to: position.step,
                terms: terms.join(", "),
            });
        }
        Ok(StepReport {
            step: position.step,
            total_steps: plan.total_steps,
            epoch: position.epoch,
            loss,
            terms,
            temperature,
            lr,
            grad_norm: grad_norm.value(),
            examples: done.examples,
            tokens: done.tokens,
            seconds: done.started.elapsed().as_secs_f64(),
        })
    }
}
