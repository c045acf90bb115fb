//! A few steps of a run, to see how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use brew_distillers::{BasicTrainer, Callback, CallbackError, Hooks};
use burn::tensor::backend::AutodiffBackend;
use serde::Serialize;

use crate::multi_task::{self, TaskRuns, initial_student};
use crate::teaching::distil;
use crate::train::{initial_model, teachers};
use crate::{
    BackendJob, BackendKind, DataConfig, Run, RunConfig, RunError, RunKind, TaskModelAdaptor, dispatch,
};

/// Steps of a trial; the first one, in which memory is taken, is not timed.
const STEPS: usize = 6;

/// What a few steps of a run took. Nothing of them is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Trial {
    /// Optimizer steps that were timed.
    pub steps: usize,
    /// Seconds of one, on average.
    pub seconds_per_step: f64,
    /// Seconds that an epoch takes at this speed, without evaluation; by the lengths of the first rows.
    pub seconds_per_epoch: f64,
    /// The most bytes of memory that the process had so far; `None` where the system does not tell.
    pub peak_memory: Option<u64>,
}

/// Loads the models and makes a few steps on the first rows.
pub(super) fn trial(
    backend: BackendKind,
    config: RunConfig,
    kind: RunKind,
    steps_per_epoch: usize,
) -> Result<Trial, RunError> {
    let times = dispatch(backend, TrialJob { config, kind })?;
    let spans: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    let seconds_per_step = spans.iter().sum::<f64>() / spans.len().max(1) as f64;
    Ok(Trial {
        steps: spans.len(),
        seconds_per_step,
        seconds_per_epoch: seconds_per_step * steps_per_epoch as f64,
        peak_memory: peak_memory(),
    })
}

struct TrialJob {
    config: RunConfig,
    kind: RunKind,
}

impl BackendJob for TrialJob {
    type Output = Result<Vec<Instant>, RunError>;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
        let rows = STEPS * self.config.training.gradient_accumulation_steps;
        let mut config = self.config;
        // The states of all examples are told apart by CRD; the rest of a run does not need them.
        let all = config.crd.is_some();
        let shorten = |data: &DataConfig| {
            let few = data.batch_size.saturating_mul(rows);
            let most = data.train_examples.unwrap_or(usize::MAX);
            DataConfig {
                train_examples: if all { data.train_examples } else { Some(few.min(most)) },
                transfer: Vec::new(),
                transfer_examples: None,
                dev: None,
                test: None,
                folder: None,
                ..data.clone()
            }
        };
        config.data.fill_from_folder();
        config.data = shorten(&config.data);
        for task in &mut config.tasks {
            task.data.fill_from_folder();
            task.data = shorten(&task.data);
        }
        // Long enough for every step, and for a schedule that warms up.
        config.training.num_epochs = config.training.num_epochs.max(STEPS);
        let stop = Arc::new(AtomicBool::new(false));
        let mut clock = Clock { times: Vec::new(), stop: Arc::clone(&stop) };
        if !config.tasks.is_empty() {
            let runs = TaskRuns::read(config)?;
            let student = initial_student::<B>(&runs, &mut (), &device)?;
            let teachers =
                runs.runs.iter().map(|run| teachers::<B>(run, &device)).collect::<Result<Vec<_>, _>>()?;
            let hooks = Hooks::new().with_callback(&mut clock).with_stop(stop);
            let nothing_kept = runs.runs.iter().map(|_| Vec::new()).collect();
            multi_task::distil(&runs, student, teachers, nothing_kept, &device, hooks)?;
            return Ok(clock.times);
        }
        let run = Run::read(config, self.kind)?;
        let (student, _) = initial_model::<B>(&run, run.key().purpose("initial weights"), &device)?;
        let teachers = teachers::<B>(&run, &device)?;
        let batches = run.batches::<B>(&device)?;
        let hooks = Hooks::new().with_callback(&mut clock).with_stop(stop);
        match self.kind {
            RunKind::Train => {
                let trainer = BasicTrainer::new(run.config.training.clone(), TaskModelAdaptor);
                trainer.train(student, &batches, hooks)?;
            }
            RunKind::Distill => {
                distil(&run, student, teachers, Vec::new(), batches, hooks)?;
            }
        }
        Ok(clock.times)
    }
}

/// When each step was done.
struct Clock {
    times: Vec<Instant>,
    stop: Arc<AtomicBool>,
}

impl<M> Callback<M> for &mut Clock {
    fn on_step(&mut self, _step: usize, _total_steps: usize) -> Result<(), CallbackError> {
        self.times.push(Instant::now());
        if self.times.len() >= STEPS {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The most memory that this process had, as Linux tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
