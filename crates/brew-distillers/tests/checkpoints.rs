//! Checkpoints: what is kept, what is refused, and what damage does.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use brew_config::{DistillationConfig, TrainingConfig};
use brew_distillers::{
    Adaptor, BasicDistiller, BasicTrainer, BatchRows, CachedTeacher, Callback, CallbackError,
    CheckpointEvent, CheckpointFolder, Counted, DistillError, Hooks, ModelTeacher,
};
use brew_testkit::{TestAutodiffBackend as AB, TestBackend as B};
use burn::module::AutodiffModule;
use burn::nn::Linear;
use burn::tensor::Tensor;
use serde_json::{Value, json};

mod linear;

use linear::{Batch, LinearAdaptor, batches, config, model, train, weights};

fn hooks(folder: &Path) -> Hooks<'static, Linear<AB>> {
    Hooks::new().with_checkpoints(CheckpointFolder::new(folder)).resuming(true)
}

/// Fails at a step, before its checkpoint: as far as the files go, a crash.
struct CrashAt(usize);

impl<M> Callback<M> for CrashAt {
    fn on_step(&mut self, step: usize, _total: usize) -> Result<(), CallbackError> {
        if step == self.0 { Err("crash".into()) } else { Ok(()) }
    }
}

fn crash(config: TrainingConfig, data: &Vec<Counted<Batch<AB>>>, step: usize, folder: &Path) {
    let hooks = hooks(folder).with_callback(CrashAt(step));
    BasicTrainer::new(config, LinearAdaptor).train(model::<AB>(1), data, hooks).unwrap_err();
}

fn checkpoints(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "index.json")
        .collect();
    names.sort();
    names
}

#[test]
fn a_crash_at_any_step_changes_nothing_in_the_end() {
    let data = batches(3, 4);
    let every_two = || TrainingConfig { ckpt_steps: Some(2), ..config(3, 1) };
    let (expected, steps) = train(every_two(), &data, Hooks::new());
    assert_eq!(steps, 9);
    for step in 1..=9 {
        let folder = tempfile::tempdir().unwrap();
        crash(every_two(), &data, step, folder.path());
        let (resumed, steps) = train(every_two(), &data, hooks(folder.path()));
        assert_eq!((resumed, steps), (expected.clone(), 9), "crash at step {step}");
    }
}

/// Scores by step, as given.
struct Scores<'a>(&'a [(usize, f64)]);

impl<M> Callback<M> for Scores<'_> {
    fn on_checkpoint(&mut self, _: &M, event: CheckpointEvent<'_>) -> Result<Option<f64>, CallbackError> {
        Ok(self.0.iter().find(|(step, _)| *step == event.step).map(|(_, score)| *score))
    }
}

#[test]
fn the_last_checkpoints_and_the_best_are_kept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(".writing-left-by-a-crash")).unwrap();
    let config = TrainingConfig { ckpt_steps: Some(1), keep_checkpoints: 2, ..config(2, 1) };
    let scores = [(1, 0.1), (2, 0.9), (3, 0.3), (4, 0.4), (5, 0.5), (6, 0.6)];
    train(config, &batches(3, 4), hooks(folder.path()).with_callback(Scores(&scores)));
    assert_eq!(checkpoints(folder.path()), ["step-00000002", "step-00000005", "step-00000006"]);
    let best = CheckpointFolder::new(folder.path()).best().unwrap().unwrap();
    assert!(best.ends_with("step-00000002"), "{}", best.display());
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before_it() {
    let data = batches(3, 4);
    let two = || TrainingConfig { ckpt_steps: Some(1), keep_checkpoints: 2, ..config(2, 1) };
    let (expected, _) = train(two(), &data, Hooks::new());
    for name in ["trainable.safetensors", "optimizer-0.safetensors", "state.json", "seal.json"] {
        for damage in [cut, flip, remove] {
            let folder = tempfile::tempdir().unwrap();
            crash(two(), &data, 5, folder.path());
            assert_eq!(checkpoints(folder.path()), ["step-00000003", "step-00000004"]);
            damage(&folder.path().join("step-00000004").join(name));
            let (resumed, _) = train(two(), &data, hooks(folder.path()));
            assert_eq!(resumed, expected, "{name}");
        }
    }
}

#[test]
fn with_no_whole_checkpoint_the_run_is_refused_and_every_damage_is_named() {
    let data = batches(3, 4);
    let two = || TrainingConfig { ckpt_steps: Some(1), keep_checkpoints: 2, ..config(2, 1) };
    let folder = tempfile::tempdir().unwrap();
    crash(two(), &data, 5, folder.path());
    cut(&folder.path().join("step-00000004/trainable.safetensors"));
    flip(&folder.path().join("step-00000003/optimizer-0.safetensors"));
    let trainer = BasicTrainer::new(two(), LinearAdaptor);
    let error = trainer.train(model::<AB>(1), &data, hooks(folder.path())).unwrap_err().to_string();
    assert!(error.contains("step-00000004 is damaged: trainable.safetensors has"), "{error}");
    assert!(
        error.contains("step-00000003 is damaged: optimizer-0.safetensors is not what was written"),
        "{error}"
    );
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

#[test]
fn a_run_that_is_another_one_is_refused_with_each_difference_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let data = batches(2, 4);
    let identity = |rate: f64| json!({"configuration": {"lr": rate}, "train": "8 examples"});
    let start = hooks(folder.path()).with_identity(identity(1.0)).with_callback(CrashAt(4));
    let shorter = TrainingConfig { ckpt_steps: Some(1), ..config(2, 1) };
    BasicTrainer::new(shorter, LinearAdaptor).train(model::<AB>(1), &data, start).unwrap_err();

    let longer = || TrainingConfig { seed: 8, ckpt_steps: Some(1), ..config(3, 1) };
    let changed = || hooks(folder.path()).with_identity(identity(2.0));
    let error =
        BasicTrainer::new(longer(), LinearAdaptor).train(model::<AB>(1), &data, changed()).unwrap_err();
    let DistillError::Changed { changes, .. } = &error else { panic!("{error}") };
    assert_eq!(
        changes,
        &[
            "configuration.lr: 1.0 then, 2.0 now",
            "seed: 0 then, 8 now",
            "optimizer steps of the run: 4 then, 6 now"
        ]
    );
    assert!(error.to_string().contains("--accept-changes"), "{error}");
    let (_, steps) = train(longer(), &data, changed().accepting_changes(true));
    assert_eq!(steps, 6);
}

#[test]
fn with_changes_accepted_an_epoch_may_become_shorter() {
    let folder = tempfile::tempdir().unwrap();
    let one = |epochs| TrainingConfig { ckpt_steps: Some(1), ..config(epochs, 1) };
    crash(one(2), &batches(6, 4), 6, folder.path());
    let accepting = hooks(folder.path()).accepting_changes(true);
    let (_, steps) = train(one(4), &batches(2, 4), accepting);
    assert_eq!(steps, 8, "4 epochs of 2 steps, of which 5 were done");
}

/// The output of an example depends on the batch it is in, as the last bits of a model's do.
#[test]
fn kept_teacher_outputs_come_back_as_they_were_first_computed() {
    let asked = Rc::new(Cell::new(0));
    let new_teacher = || {
        let asked = Rc::clone(&asked);
        let says = move |model: &Linear<B>, batch: &Numbered, context| {
            asked.set(asked.get() + 1);
            let inputs = batch.batch.inputs.clone().inner();
            let mean = inputs.clone().mean().reshape([1, 1]);
            let batch = Batch { inputs: inputs + mean, labels: batch.batch.labels.clone().inner() };
            LinearAdaptor.adapt(model, &batch, context)
        };
        CachedTeacher::new(ModelTeacher::new(model::<B>(2), says), |batch: &Numbered| BatchRows {
            ids: batch.ids.clone(),
            texts: Vec::new(),
            length: 0,
            device: Default::default(),
        })
    };
    let student =
        |model: &Linear<AB>, batch: &Numbered, context| LinearAdaptor.adapt(model, &batch.batch, context);
    let run = |hooks: Hooks<'_, Linear<AB>>| {
        let config = TrainingConfig { ckpt_steps: Some(2), ..config(4, 1) };
        BasicDistiller::new(config, DistillationConfig::default(), new_teacher(), student).unwrap().train(
            model::<AB>(1),
            &Rotating(batches(12, 1)),
            hooks,
        )
    };
    let expected = weights(&run(Hooks::new()).unwrap().trainable.student.valid());
    assert_eq!(asked.get(), 4, "each of the first epoch's batches once");
    let folder = tempfile::tempdir().unwrap();
    run(hooks(folder.path()).with_callback(CrashAt(11))).unwrap_err();
    let resumed = run(hooks(folder.path())).unwrap();
    assert_eq!(weights(&resumed.trainable.student.valid()), expected);
}

/// A batch whose examples have ids.
#[derive(Clone)]
struct Numbered {
    ids: Vec<u64>,
    batch: Batch<AB>,
}

/// Twelve examples in batches of three, put together anew in each epoch.
struct Rotating(Vec<Counted<Batch<AB>>>);

impl brew_distillers::BatchSource<Numbered> for Rotating {
    fn batches_per_epoch(&self) -> usize {
        self.0.len() / 3
    }

    fn epoch(&self, epoch: usize, skip: usize) -> brew_distillers::EpochBatches<'_, Numbered> {
        let count = self.0.len();
        Box::new((skip..count / 3).map(move |index| {
            // Strides without a common divisor with 12 pass through every example once.
            let stride = [1, 5, 7, 11][epoch % 4];
            let ids: Vec<usize> = (0..3).map(|row| (index * 3 + row) * stride % count).collect();
            let inputs = ids.iter().map(|&id| self.0[id].batch.inputs.clone()).collect();
            let labels = ids.iter().map(|&id| self.0[id].batch.labels.clone()).collect();
            let batch = Batch { inputs: Tensor::cat(inputs, 0), labels: Tensor::cat(labels, 0) };
            Ok(Counted::new(Numbered { ids: ids.into_iter().map(|id| id as u64).collect(), batch }, 3))
        }))
    }

    fn describe(&self, batch: &Numbered) -> Value {
        json!(batch.ids)
    }
}
