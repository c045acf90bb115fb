//! The training loop on a linear model: accumulation, determinism, stopping and resuming.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use brew_config::{DistillationConfig, TrainingConfig};
use brew_distillers::{
    Adaptor, BasicDistiller, BasicTrainer, Callback, CallbackError, CheckpointFolder, Hooks, ModelTeacher,
    StepReport, TensorBoard,
};
use brew_testkit::{TestAutodiffBackend as AB, TestBackend as B};
use burn::nn::Linear;

mod linear;

use linear::{Batch, LinearAdaptor, batches, config, model, train};

fn assert_close(a: &[f32], b: &[f32]) {
    brew_testkit::assert_close(a, b, 1e-5, 1e-6, "weights");
}

#[test]
fn accumulating_two_batches_of_four_is_one_batch_of_eight() {
    let (whole, steps) = train(config(3, 1), &batches(4, 8), Hooks::new());
    let (halves, steps_of_halves) = train(config(3, 2), &batches(8, 4), Hooks::new());
    assert_eq!(steps, 12);
    assert_eq!(steps, steps_of_halves);
    assert_close(&whole, &halves);
}

/// TextBrewer computes the leftover micro-batches of an epoch and throws them away.
#[test]
fn leftover_micro_batches_are_stepped_and_divided_by_their_number() {
    let (_, steps) = train(config(2, 2), &batches(5, 4), Hooks::new());
    assert_eq!(steps, 6, "three groups an epoch, the last of one batch");
    // A group of one batch, alone: divided by 1 whatever the configured number.
    let (alone, _) = train(config(2, 1), &batches(1, 4), Hooks::new());
    let (leftover, _) = train(config(2, 4), &batches(1, 4), Hooks::new());
    assert_eq!(alone, leftover);
}

#[test]
fn in_step_mode_groups_carry_over_the_end_of_an_epoch() {
    let steps = |accumulation| TrainingConfig { num_steps: Some(3), ..config(1, accumulation) };
    // Three batches twice are the same six as three groups of two.
    let (carried, _) = train(steps(2), &batches(3, 4), Hooks::new());
    let mut twice = batches(3, 4);
    twice.extend(batches(3, 4));
    let (unrolled, _) = train(steps(2), &twice, Hooks::new());
    assert_eq!(carried, unrolled);
}

/// Collects the loss of every report.
struct Losses<'a>(&'a RefCell<Vec<f64>>);

impl<M> Callback<M> for Losses<'_> {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.0.borrow_mut().push(report.loss);
        Ok(())
    }
}

#[test]
fn two_runs_give_identical_losses() {
    let run = || {
        let losses = RefCell::new(Vec::new());
        train(config(3, 1), &batches(4, 8), Hooks::new().with_callback(Losses(&losses)));
        losses.into_inner()
    };
    let first = run();
    assert_eq!(first.len(), 12);
    assert_eq!(first, run());
}

/// Sets the flag at a step.
struct StopAt(usize, Arc<AtomicBool>);

impl<M> Callback<M> for StopAt {
    fn on_start(&mut self, _step: usize, _total: usize) -> Result<(), CallbackError> {
        Ok(())
    }
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        if report.step + 1 == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn a_stopped_and_resumed_run_ends_where_an_uninterrupted_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = batches(5, 4);
    let (expected, _) = train(config(4, 2), &data, Hooks::new());
    let stop = Arc::new(AtomicBool::new(false));
    let hooks = Hooks::new()
        .with_callback(StopAt(5, stop.clone()))
        .with_checkpoints(CheckpointFolder::new(folder.path()))
        .with_stop(stop);
    let stopped = BasicTrainer::new(config(4, 2), LinearAdaptor).train(model::<AB>(1), &data, hooks).unwrap();
    assert!(stopped.interrupted);
    assert_eq!(stopped.steps, 5);
    let hooks = Hooks::new().with_checkpoints(CheckpointFolder::new(folder.path())).resuming(true);
    let (resumed, steps) = train(config(4, 2), &data, hooks);
    assert_eq!(steps, 12);
    assert_eq!(resumed, expected, "bit for bit");
}

#[test]
fn basic_distiller_lowers_its_loss_and_finds_the_teacher() {
    let teacher = ModelTeacher::new(model::<B>(2), |model: &Linear<B>, batch: &Batch<AB>, context| {
        let batch = Batch { inputs: batch.inputs.clone().inner(), labels: batch.labels.clone().inner() };
        LinearAdaptor.adapt(model, &batch, context)
    });
    let losses = RefCell::new(Vec::new());
    let hooks = Hooks::new().with_callback(Losses(&losses));
    let distillation = DistillationConfig { temperature: 2.0, ..DistillationConfig::default() };
    let distiller = BasicDistiller::new(config(30, 1), distillation, teacher, LinearAdaptor).unwrap();
    distiller.train(model::<AB>(1), &batches(6, 8), hooks).unwrap();
    let losses = losses.into_inner();
    // The soft cross-entropy is bounded below by the teacher's own entropy, so compare with the start.
    assert!(losses.last().unwrap() + 0.05 < losses[0], "{} → {}", losses[0], losses.last().unwrap());
}

#[test]
fn a_configuration_with_two_problems_names_both() {
    let wrong = TrainingConfig { gradient_accumulation_steps: 0, log_every: 0, ..config(1, 1) };
    let error = BasicTrainer::new(wrong, LinearAdaptor)
        .train(model::<AB>(1), &batches(1, 2), Hooks::new())
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("gradient_accumulation_steps") && text.contains("log_every"), "{text}");
}

#[test]
fn curves_are_written_by_a_callback_and_every_process_has_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let curves = folder.path().join("curves");
    let data = batches(2, 4);
    let hooks = || {
        let checkpoints = CheckpointFolder::new(folder.path().join("checkpoints"));
        Hooks::new().with_callback(TensorBoard::new(&curves)).with_checkpoints(checkpoints).resuming(true)
    };
    let files = || {
        let files = std::fs::read_dir(&curves).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let stop = Arc::new(AtomicBool::new(true));
    train(config(2, 1), &data, hooks().with_stop(stop));
    let first = files();
    assert_eq!(first.len(), 1);
    let points = |bytes: &[u8]| bytes.windows(17).filter(|part| *part == b"scalar/total_loss").count();
    assert_eq!(points(&first[0].1), 1, "stopped after the first step");
    train(config(2, 1), &data, hooks());
    let both = files();
    assert_eq!((both.len(), &both[0]), (2, &first[0]), "the earlier file stays as it is");
    assert_eq!(points(&both[1].1), 3);
}
