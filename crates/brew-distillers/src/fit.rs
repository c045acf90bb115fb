use std::sync::atomic::Ordering;

use brew_config::{ConfigError, MatmulPrecision, NotFiniteAction, TrainingConfig};
use brew_kernels::with_bf16_products;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::backend::AutodiffBackend;

use crate::checkpoint::{Completing, Position, RunState, WrittenCheckpoint};
use crate::parameters::keyed_by_path;
use crate::step::{Stepper, clip_global_norm};
use crate::window::{Computed, Means, Window, shown};
use crate::{
    BatchSource, CheckpointEvent, DistillError, Hooks, NotFiniteEvent, Objective, ObjectiveState, Recipe,
    StepContext, Student, Trainable,
};

/// So many steps in a row without a finite gradient end a run that leaves such steps out.
const MOST_LEFT_OUT: usize = 10;

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
/// [`DistillError::Config`] before anything runs; [`DistillError::Changed`] where the checkpoint to continue
/// from is of another run; later whatever the objective, the batches, a callback or the disk say, and
/// [`DistillError::NotFiniteGradient`]. The last complete checkpoint stays valid.
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
    let bf16 = config.matmul_precision == MatmulPrecision::Bf16;
    hooks.checkpoints = hooks.checkpoints.map(|folder| folder.keeping(config.keep_checkpoints));
    let device = Module::<B>::devices(&trainable).into_iter().next().unwrap_or_default();
    let trainable = keyed_by_path::<B, _>(trainable);
    let mut position = Position::default();
    let identity = hooks.identity.clone();
    let run_state = |position| RunState {
        seed: config.seed,
        total_steps: plan.total_steps,
        position,
        identity: identity.clone(),
    };
    let new_stepper = |trainable: &Trainable<B, M>| Stepper::new(trainable, recipe);

    let resumed = match (&hooks.checkpoints, hooks.resume) {
        (Some(folder), true) => {
            folder.load(&trainable, &run_state(position), hooks.accepts_changes, &device, new_stepper)?
        }
        _ => None,
    };
    let (mut trainable, mut stepper) = match resumed {
        Some(loaded) => {
            position = plan.within(loaded.position);
            if objective.keeps_outputs() {
                with_bf16_products(bf16, || recall(objective, batches, position))?;
            }
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
    let mut group: Vec<Computed<B, T>> = Vec::new();
    let mut window = Window::new(position.step);
    let mut last_norm = 0.0;
    let mut interrupted = false;
    let mut completing = Completing::default();

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
            // What is begun within has its gradients computed so as well.
            let terms = with_bf16_products(bf16, || objective.loss(&trainable, &item.batch, &context))?;
            let size = plan.group_size(position.batch_in_epoch - group.len().min(position.batch_in_epoch));
            let total = terms.total();
            if let Some(total) = &total {
                let loss = if size == 1 { total.clone() } else { total.clone().div_scalar(size as f64) };
                let gradients = GradientsParams::from_grads(loss.backward(), &trainable);
                accumulator.accumulate(&trainable, gradients);
            }
            group.push(Computed::new(item, &terms, total));
            position.batch += 1;
            position.batch_in_epoch += 1;
            if position.batch_in_epoch == plan.batches_per_epoch {
                objective.rest_teachers();
                for callback in &mut hooks.callbacks {
                    callback
                        .on_epoch_end(position.epoch)
                        .map_err(|source| DistillError::Callback { step: position.step, source })?;
                }
            }
            if group.len() < size {
                continue;
            }

            let computed = std::mem::take(&mut group);
            let mut gradients = accumulator.grads();
            let norm = clip_global_norm::<B, M>(&trainable.student, &mut gradients, config.max_grad_norm);
            let factor =
                recipe.factor(position.step, plan.total_steps) * 0.5f64.powi(position.halvings as i32);
            position.step += 1;
            if norm.is_finite() {
                trainable = stepper.step(trainable, gradients, factor);
                position.left_out = 0;
                last_norm = norm;
                computed.into_iter().for_each(|one| window.add(one));
            } else {
                leave_out(config.on_not_finite, &mut position, computed, batches, norm, &mut hooks)?;
            }

            let finished = position.step == plan.total_steps;
            interrupted = !finished && hooks.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
            for callback in &mut hooks.callbacks {
                callback
                    .on_step(position.step, plan.total_steps)
                    .map_err(|source| DistillError::Callback { step: position.step, source })?;
            }
            let is_due = position.step.is_multiple_of(config.log_every) || finished || interrupted;
            // Of steps that were left out there is nothing to report.
            if is_due && !window.is_empty() {
                let lr = config.optimizer.lr * factor;
                let report = window.report(plan.total_steps, position, lr, last_norm)?;
                for callback in &mut hooks.callbacks {
                    callback
                        .on_report(&report)
                        .map_err(|source| DistillError::Callback { step: position.step, source })?;
                }
            }
            if plan.is_checkpoint(position) || finished || interrupted {
                let run = run_state(plan.next(position));
                completing.wait()?;
                let written = checkpoint(&mut hooks, &trainable, &stepper, run, objective.state(), position)?;
                if let Some((written, score)) = written {
                    completing.start(written, score)?;
                }
            }
            if finished || interrupted {
                break 'run;
            }
        }
        position.epoch += 1;
        position.batch_in_epoch = 0;
    }
    completing.wait()?;
    Ok(Trained { trainable, steps: position.step, interrupted })
}

/// Goes through the batches before `position`, so that the teachers keep of each example what the process that
/// came to it first kept.
fn recall<B, M, T>(
    objective: &mut dyn Objective<B, M, T>,
    batches: &dyn BatchSource<T>,
    position: Position,
) -> Result<(), DistillError>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    for epoch in 0..=position.epoch {
        let done = if epoch == position.epoch { position.batch_in_epoch } else { usize::MAX };
        for item in batches.epoch(epoch, 0).take(done) {
            objective.recall(&item?.batch)?;
        }
    }
    Ok(())
}

/// Tells of a step whose gradient is not finite, with its batches, and ends the run where it has to.
fn leave_out<B, M, T>(
    action: NotFiniteAction,
    position: &mut Position,
    computed: Vec<Computed<B, T>>,
    batches: &dyn BatchSource<T>,
    norm: f64,
    hooks: &mut Hooks<'_, M>,
) -> Result<(), DistillError>
where
    B: AutodiffBackend,
{
    let step = position.step;
    let descriptions = computed.iter().map(|one| batches.describe(&one.batch)).collect();
    // What was computed since the last report was told already, or is in the running window.
    let mut sums = Window::new(step);
    computed.into_iter().for_each(|one| sums.add(one));
    let Means { loss, terms, .. } = sums.means();
    let event =
        NotFiniteEvent { step, epoch: position.epoch, loss, terms, norm, action, batches: descriptions };
    for callback in &mut hooks.callbacks {
        callback.on_not_finite(&event).map_err(|source| DistillError::Callback { step, source })?;
    }
    if action == NotFiniteAction::Stop || position.left_out + 1 >= MOST_LEFT_OUT {
        let left_out = position.left_out;
        return Err(DistillError::NotFiniteGradient {
            step,
            norm,
            loss,
            terms: shown(&event.terms),
            left_out,
        });
    }
    position.left_out += 1;
    position.halvings += u32::from(action == NotFiniteAction::Lower);
    Ok(())
}

/// Calls the callbacks and, where the run has a folder, writes a checkpoint; returns it with its score.
fn checkpoint<B, M>(
    hooks: &mut Hooks<'_, M>,
    trainable: &Trainable<B, M>,
    stepper: &Stepper<B, M>,
    run: RunState,
    objective: Option<ObjectiveState>,
    position: Position,
) -> Result<Option<(WrittenCheckpoint, Option<f64>)>, DistillError>
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
        (Some(folder), Some(pending)) => {
            Ok(Some((folder.write(pending, trainable, stepper, run, objective)?, score)))
        }
        _ => Ok(None),
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

    /// A saved position in a run whose epochs may have become shorter.
    fn within(&self, position: Position) -> Position {
        let batch_in_epoch = position.batch_in_epoch.min(self.batches_per_epoch);
        self.next(Position { batch_in_epoch, ..position })
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
