//! Steps whose gradient is not a finite number.

use std::cell::RefCell;

use brew_config::{NotFiniteAction, TrainingConfig};
use brew_distillers::{
    BasicTrainer, BatchSource, Callback, CallbackError, CheckpointFolder, Counted, DistillError,
    EpochBatches, Hooks, NotFiniteEvent, StepReport,
};
use brew_testkit::TestAutodiffBackend as AB;
use burn::module::AutodiffModule;
use burn::nn::Linear;
use serde_json::{Value, json};

mod linear;

use linear::{Batch, LinearAdaptor, batches, config, model, train, weights};

/// Batches of which some hold a NaN in every epoch; they are described by their place.
struct Poisoned {
    batches: Vec<Counted<Batch<AB>>>,
    bad: Vec<usize>,
}

impl BatchSource<(usize, Batch<AB>)> for Poisoned {
    fn batches_per_epoch(&self) -> usize {
        self.batches.len()
    }

    fn epoch(&self, _epoch: usize, skip: usize) -> EpochBatches<'_, (usize, Batch<AB>)> {
        Box::new(self.batches.iter().cloned().enumerate().skip(skip).map(|(index, counted)| {
            let mut batch = counted.batch;
            if self.bad.contains(&index) {
                batch.inputs = batch.inputs.mul_scalar(f32::NAN);
            }
            Ok(Counted::new((index, batch), counted.examples))
        }))
    }

    fn describe(&self, batch: &(usize, Batch<AB>)) -> Value {
        json!(batch.0)
    }
}

#[derive(Default)]
struct Seen {
    events: RefCell<Vec<NotFiniteEvent>>,
    reports: RefCell<Vec<StepReport>>,
}

impl<M> Callback<M> for &Seen {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.reports.borrow_mut().push(report.clone());
        Ok(())
    }

    fn on_not_finite(&mut self, event: &NotFiniteEvent) -> Result<(), CallbackError> {
        self.events.borrow_mut().push(event.clone());
        Ok(())
    }
}

fn run(
    config: TrainingConfig,
    source: &Poisoned,
    hooks: Hooks<'_, Linear<AB>>,
) -> Result<Vec<f32>, DistillError> {
    let adaptor = |model: &Linear<AB>, batch: &(usize, Batch<AB>), context| {
        brew_distillers::Adaptor::adapt(&LinearAdaptor, model, &batch.1, context)
    };
    let trained = BasicTrainer::new(config, adaptor).train(model::<AB>(1), source, hooks)?;
    Ok(weights(&trained.trainable.student.valid()))
}

fn with(action: NotFiniteAction) -> TrainingConfig {
    TrainingConfig { on_not_finite: action, schedule: Default::default(), ..config(1, 1) }
}

#[test]
fn the_run_stops_at_the_step_with_its_batch_and_healthy_weights() {
    let source = Poisoned { batches: batches(6, 4), bad: vec![3] };
    let seen = Seen::default();
    let folder = tempfile::tempdir().unwrap();
    let config = TrainingConfig { ckpt_steps: Some(1), log_every: 4, ..with(NotFiniteAction::Stop) };
    let hooks = Hooks::new().with_callback(&seen).with_checkpoints(CheckpointFolder::new(folder.path()));
    let error = run(config, &source, hooks).unwrap_err();
    assert!(matches!(error, DistillError::NotFiniteGradient { step: 4, .. }), "{error}");
    assert!(error.to_string().contains("on_not_finite"), "{error}");
    let events = seen.events.borrow();
    assert_eq!(events[0].batches, [json!(3)]);
    assert!(events[0].loss.is_nan() && events[0].norm.is_nan());
    let last = CheckpointFolder::new(folder.path()).last().unwrap().unwrap();
    assert!(last.ends_with("step-00000003"), "{}", last.display());
}

#[test]
fn a_step_that_is_left_out_leaves_no_trace_in_the_weights() {
    let source = Poisoned { batches: batches(6, 4), bad: vec![3] };
    let seen = Seen::default();
    let skipped = run(with(NotFiniteAction::Skip), &source, Hooks::new().with_callback(&seen)).unwrap();
    // The schedule is constant: the same steps without the bad batch.
    let mut good = batches(6, 4);
    good.remove(3);
    assert_eq!(skipped, train(with(NotFiniteAction::Skip), &good, Hooks::new()).0);
    assert_eq!(seen.events.borrow().len(), 1);
    let reports = seen.reports.borrow();
    assert_eq!(reports.iter().map(|report| report.step).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
    assert!(reports.iter().all(|report| report.loss.is_finite() && report.grad_norm.is_finite()));
}

#[test]
fn with_lower_every_later_rate_is_halved_and_a_resumed_run_remembers() {
    let source = Poisoned { batches: batches(6, 4), bad: vec![1, 3] };
    let seen = Seen::default();
    let lower = || TrainingConfig { ckpt_steps: Some(1), ..with(NotFiniteAction::Lower) };
    let whole = run(lower(), &source, Hooks::new().with_callback(&seen)).unwrap();
    let rates: Vec<f64> = seen.reports.borrow().iter().map(|report| report.lr / 0.05).collect();
    assert_eq!(rates, [1.0, 0.5, 0.25, 0.25], "after steps 1, 3, 5 and 6");

    let folder = tempfile::tempdir().unwrap();
    let checkpoints = || Hooks::new().with_checkpoints(CheckpointFolder::new(folder.path())).resuming(true);
    run(lower(), &source, checkpoints().with_callback(FailAt(5))).unwrap_err();
    assert_eq!(run(lower(), &source, checkpoints()).unwrap(), whole);
}

struct FailAt(usize);

impl<M> Callback<M> for FailAt {
    fn on_step(&mut self, step: usize, _total: usize) -> Result<(), CallbackError> {
        if step == self.0 { Err("crash".into()) } else { Ok(()) }
    }
}

#[test]
fn ten_steps_in_a_row_end_the_run_whatever_it_is_told() {
    let source = Poisoned { batches: batches(14, 4), bad: (2..14).collect() };
    let error = run(with(NotFiniteAction::Skip), &source, Hooks::new()).unwrap_err();
    let DistillError::NotFiniteGradient { step, left_out, .. } = error else { panic!("{error}") };
    assert_eq!((step, left_out), (12, 9));
}

#[test]
fn one_bad_micro_batch_spoils_its_group_alone() {
    let source = Poisoned { batches: batches(6, 4), bad: vec![3] };
    let seen = Seen::default();
    let pairs = TrainingConfig { gradient_accumulation_steps: 2, ..with(NotFiniteAction::Skip) };
    run(pairs, &source, Hooks::new().with_callback(&seen)).unwrap();
    assert_eq!(seen.events.borrow()[0].batches, [json!(2), json!(3)]);
}
