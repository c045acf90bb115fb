//! CRD on models of one linear layer: what a student learns from it alone, and that runs can be continued.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brew_config::{
    CrdConfig, CrdPooling, DistillationConfig, NegativesFrom, NotFiniteAction, OptimizerConfig,
    ProjectionGroup, TrainingConfig,
};
use brew_distillers::{
    AdaptorOutput, BatchRows, CachedTeacher, Callback, CallbackError, CheckpointEvent, CheckpointFolder,
    Counted, CrdDistiller, CrdInputs, DistillError, ForwardContext, Hooks, StepReport, Teacher, Trained,
    Wants,
};
use brew_random::Key;
use brew_testkit::{TestAutodiffBackend as AB, TestBackend as B};
use burn::module::{AutodiffModule, Param};
use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

const INPUTS: usize = 6;
/// Of the inputs, how many the teacher looks at.
const SEEN: usize = 2;
const TEACHER: usize = 5;
const STUDENT: usize = 2;
const EXAMPLES: usize = 48;
/// Tokens of the longest example.
const LENGTH: usize = 3;

/// Examples of one to three tokens, padded to the longest of the batch with what no model should look at.
#[derive(Clone)]
struct Batch {
    ids: Vec<u64>,
    /// `[batch · length, INPUTS]`
    tokens: Tensor<B, 2>,
    /// `[batch, length]`
    mask: Tensor<B, 2>,
}

fn batch(ids: &[u64]) -> Batch {
    let device = Default::default();
    let tokens_of = |id: u64| 1 + id as usize % LENGTH;
    let length = ids.iter().map(|&id| tokens_of(id)).max().unwrap();
    let mut values = Vec::new();
    let mut mask = Vec::new();
    for &id in ids {
        // Tokens of an example are alike, so that their mean and the first say the same.
        let token = Key::new(11).index(id).normal(INPUTS, 1.0);
        for at in 0..length {
            let is_real = at < tokens_of(id);
            values.extend(token.iter().map(|&value| if is_real { value } else { 1e3 * (1.0 + at as f32) }));
            mask.push(f32::from(u8::from(is_real)));
        }
    }
    Batch {
        ids: ids.to_vec(),
        tokens: Tensor::from_data(TensorData::new(values, [ids.len() * length, INPUTS]), &device),
        mask: Tensor::from_data(TensorData::new(mask, [ids.len(), length]), &device),
    }
}

fn batches() -> Vec<Counted<Batch>> {
    let mut ids: Vec<u64> = (0..EXAMPLES as u64).collect();
    Key::new(5).stream().shuffle(&mut ids);
    ids.chunks(8).map(|ids| Counted::new(batch(ids), ids.len())).collect()
}

fn linear<X: Backend>(key: Key, outputs: usize, looks_at: usize) -> Linear<X> {
    let device = Default::default();
    let mut values = key.normal(INPUTS * outputs, 0.5);
    values[looks_at * outputs..].iter_mut().for_each(|weight| *weight = 0.0);
    Linear {
        weight: Param::from_tensor(Tensor::from_data(TensorData::new(values, [INPUTS, outputs]), &device)),
        bias: Some(Param::from_tensor(Tensor::zeros([outputs], &device))),
    }
}

fn states<X: Backend>(model: &Linear<X>, tokens: Tensor<X, 2>, mask: Tensor<X, 2>) -> AdaptorOutput<X> {
    let [batch, length] = mask.dims();
    let hidden = model.forward(tokens).reshape([batch as i64, length as i64, -1]);
    AdaptorOutput { hidden: vec![hidden], inputs_mask: Some(mask), ..AdaptorOutput::default() }
}

fn student(model: &Linear<AB>, batch: &Batch, _: ForwardContext) -> Result<AdaptorOutput<AB>, DistillError> {
    Ok(states(model, Tensor::from_inner(batch.tokens.clone()), Tensor::from_inner(batch.mask.clone())))
}

/// A teacher that looks at the first inputs alone, and how often it was asked.
fn teacher() -> (impl Teacher<B, Batch>, Rc<Cell<usize>>) {
    let model = linear::<B>(Key::new(2), TEACHER, SEEN);
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let says = move |batch: &Batch, _: Wants| {
        count.set(count.get() + 1);
        Ok(states(&model, batch.tokens.clone(), batch.mask.clone()))
    };
    (says, asked)
}

fn training(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        num_epochs: epochs,
        gradient_accumulation_steps: 2,
        log_every: 1,
        optimizer: OptimizerConfig { lr: 0.02, weight_decay: 0.0, ..OptimizerConfig::default() },
        ..TrainingConfig::default()
    }
}

fn crd() -> CrdConfig {
    CrdConfig {
        feature_dim: 4,
        negatives: 20,
        temperature: 0.2,
        head: ProjectionGroup { lr: Some(0.05), ..ProjectionGroup::default() },
        ..CrdConfig::default()
    }
}

fn inputs() -> CrdInputs<Batch> {
    let classes = (0..EXAMPLES).map(|id| (id % 7 != 0).then_some(id % 3));
    CrdInputs::new([STUDENT, TEACHER], 0..EXAMPLES as u64, |batch: &Batch| batch.ids.clone())
        .with_classes(classes)
}

fn run(
    crd: CrdConfig,
    epochs: usize,
    teacher: impl Teacher<B, Batch> + 'static,
    hooks: Hooks<'_, Linear<AB>>,
) -> Result<Trained<AB, Linear<AB>>, DistillError> {
    let distillation = DistillationConfig::default();
    let distiller = CrdDistiller::new(training(epochs), distillation, crd, inputs(), teacher, student)?;
    distiller.train(linear(Key::new(1), STUDENT, INPUTS), &batches(), hooks)
}

fn weights(trained: &Trained<AB, Linear<AB>>) -> Vec<f32> {
    trained.trainable.student.valid().weight.val().into_data().to_vec().unwrap()
}

/// The share of the student's weights, squared, on the inputs that the teacher looks at.
fn share(weights: &[f32]) -> f32 {
    let squared = |weights: &[f32]| weights.iter().map(|weight| weight * weight).sum::<f32>();
    squared(&weights[..SEEN * STUDENT]) / squared(weights)
}

/// Keeps the loss of every report.
struct Losses<'a>(&'a RefCell<Vec<f64>>);

impl<M> Callback<M> for Losses<'_> {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        assert_eq!(report.terms.len(), 1, "CRD alone: {report:?}");
        assert_eq!(report.terms[0].name, "crd_loss");
        self.0.borrow_mut().push(report.terms[0].value);
        Ok(())
    }
}

/// No soft labels, no gold labels, no match: only which states belong together says what to look at.
#[test]
fn a_student_learns_from_crd_alone_what_its_teacher_looks_at() {
    let before: Vec<f32> =
        linear::<B>(Key::new(1), STUDENT, INPUTS).weight.val().into_data().to_vec().unwrap();
    assert!(share(&before) < 0.5, "at first {}", share(&before));
    for pooling in [CrdPooling::First, CrdPooling::Mean] {
        let losses = RefCell::new(Vec::new());
        let hooks = Hooks::new().with_callback(Losses(&losses));
        let trained = run(CrdConfig { pooling, ..crd() }, 100, teacher().0, hooks).unwrap();
        assert_eq!(trained.trainable.projections.len(), 2);
        let after = share(&weights(&trained));
        assert!(after > 0.95, "{pooling:?}: {after}");
        let losses = losses.borrow();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..6]), mean(&losses[losses.len() - 6..]));
        assert!(last < 0.7 * first, "{pooling:?}: {first} → {last}");
    }
}

#[test]
fn a_run_stopped_and_resumed_ends_where_an_uninterrupted_one_does() {
    for negatives_from in [NegativesFrom::All, NegativesFrom::DifferentClass] {
        let crd = CrdConfig { negatives_from, ..crd() };
        let whole = run(crd.clone(), 4, teacher().0, Hooks::new()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let hooks = || Hooks::new().with_checkpoints(CheckpointFolder::new(folder.path()));
        let stop = Arc::new(AtomicBool::new(true));
        // Three steps an epoch of two batches each: the first stop is in the middle of an epoch.
        assert!(run(crd.clone(), 4, teacher().0, hooks().with_stop(stop.clone())).unwrap().interrupted);
        let again = run(crd.clone(), 4, teacher().0, hooks().with_stop(stop).resuming(true)).unwrap();
        assert!(again.interrupted && again.steps == 2);
        let resumed = run(crd, 4, teacher().0, hooks().resuming(true)).unwrap();
        assert_eq!(weights(&resumed), weights(&whole), "{negatives_from}");
        let heads = |trained: &Trained<AB, Linear<AB>>| format!("{:?}", head_values(trained));
        assert_eq!(heads(&resumed), heads(&whole), "{negatives_from}");
    }
}

/// What the heads make of a fixed state.
fn head_values(trained: &Trained<AB, Linear<AB>>) -> Vec<Vec<f32>> {
    let device = Default::default();
    let widths = [STUDENT, TEACHER];
    let heads = trained.trainable.projections.iter().zip(widths);
    heads
        .map(|(head, width)| {
            let state = Tensor::<AB, 3>::ones([1, 1, width], &device);
            head.as_ref().unwrap().forward(state).into_data().to_vec().unwrap()
        })
        .collect()
}

#[test]
fn a_checkpoint_of_other_examples_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = || Hooks::new().with_checkpoints(CheckpointFolder::new(folder.path()));
    let stop = Arc::new(AtomicBool::new(true));
    run(crd(), 4, teacher().0, hooks().with_stop(stop)).unwrap();
    let other = CrdInputs::new([STUDENT, TEACHER], 0..EXAMPLES as u64 + 1, |batch: &Batch| batch.ids.clone());
    let distiller =
        CrdDistiller::new(training(4), DistillationConfig::default(), crd(), other, teacher().0, student)
            .unwrap();
    let student = linear(Key::new(1), STUDENT, INPUTS);
    let error = distiller.train(student, &batches(), hooks().resuming(true)).unwrap_err().to_string();
    assert!(error.contains("other training examples") && error.contains("step-"), "{error}");
}

#[test]
fn a_cached_teacher_teaches_the_same() {
    let with_mean = || CrdConfig { pooling: CrdPooling::Mean, ..crd() };
    let (plain, asked) = teacher();
    let expected = weights(&run(with_mean(), 3, plain, Hooks::new()).unwrap());
    assert_eq!(asked.get(), 18);
    let (own, asked) = teacher();
    assert_eq!(weights(&run(with_mean(), 3, cached(own), Hooks::new()).unwrap()), expected);
    assert_eq!(asked.get(), 6);
}

fn cached<Te>(teacher: Te) -> CachedTeacher<Te, impl Fn(&Batch) -> BatchRows<B>> {
    CachedTeacher::new(teacher, |batch: &Batch| BatchRows {
        ids: batch.ids.clone(),
        texts: Vec::new(),
        length: batch.mask.dims()[1],
        device: Default::default(),
    })
}

/// Knows of a teacher whether it still is, at each checkpoint.
struct IsHere<'a>(Rc<Cell<usize>>, &'a RefCell<Vec<bool>>);

impl<M> Callback<M> for IsHere<'_> {
    fn on_checkpoint(&mut self, _: &M, _: CheckpointEvent<'_>) -> Result<Option<f64>, CallbackError> {
        self.1.borrow_mut().push(Rc::strong_count(&self.0) > 1);
        Ok(None)
    }
}

#[test]
fn a_teacher_that_has_said_everything_is_gone_before_the_first_checkpoint() {
    let is_here = |reloads: bool| {
        let (own, asked) = teacher();
        let seen = RefCell::new(Vec::new());
        let hooks = Hooks::new().with_callback(IsHere(asked, &seen));
        let cached = if reloads { cached(own).with_reload(|| Ok(teacher().0)) } else { cached(own) };
        run(crd(), 2, cached, hooks).unwrap();
        seen.into_inner()
    };
    assert_eq!(is_here(true), [false, false]);
    assert_eq!(is_here(false), [true, true], "one that cannot be made again stays");
}

#[test]
fn every_problem_of_the_configuration_is_reported_before_the_run() {
    let wrong = CrdConfig { momentum: 1.0, negatives: 0, ..crd() };
    let error = run(wrong, 1, teacher().0, Hooks::new()).unwrap_err().to_string();
    assert!(error.contains("crd.momentum") && error.contains("crd.negatives"), "{error}");
}

#[test]
fn a_batch_that_is_left_out_does_not_spoil_the_memory() {
    let training = TrainingConfig { on_not_finite: NotFiniteAction::Skip, ..training(6) };
    let says = teacher().0;
    let distiller =
        CrdDistiller::new(training, DistillationConfig::default(), crd(), inputs(), says, student).unwrap();
    // Two steps of an epoch are bad, and their examples come again unspoilt.
    let spoil = |mut batch: Batch| {
        batch.tokens = batch.tokens.mul_scalar(f32::NAN);
        batch
    };
    let mut data = batches();
    let bad = Counted::new(spoil(data[0].batch.clone()), 8);
    data.splice(0..0, [bad.clone(), bad]);
    let trained = distiller.train(linear(Key::new(1), STUDENT, INPUTS), &data, Hooks::new()).unwrap();
    assert!(weights(&trained).iter().all(|weight| weight.is_finite()));
    assert!(share(&weights(&trained)) > share(&weights_at_first()), "it learned from the others");
}

fn weights_at_first() -> Vec<f32> {
    linear::<B>(Key::new(1), STUDENT, INPUTS).weight.val().into_data().to_vec().unwrap()
}
