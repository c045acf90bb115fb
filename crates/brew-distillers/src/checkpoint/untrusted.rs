//! Checkpoints from elsewhere: whatever their files hold, with a seal that fits, they are read or refused.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use brew_config::{OptimizerConfig, TrainingConfig};
use brew_testkit::{TestAutodiffBackend as AB, fuzz};
use burn::module::Initializer;
use burn::nn::Linear;
use burn::optim::AdamConfig;
use burn::tensor::Tensor;
use serde_json::json;

use super::*;
use crate::{Counted, Hooks, LossTerms, Objective, Recipe, StepContext, Trained, fit};

/// The mean of what a linear layer says of ones, with a state of both kinds.
struct Mean(RefCell<ObjectiveState>);

impl Mean {
    fn new() -> Self {
        let tensors = [("bank".to_owned(), burn::tensor::TensorData::new(vec![1.0f32; 6], [2, 3]))].into();
        Self(RefCell::new(ObjectiveState { values: json!({"batches": 0}), tensors }))
    }
}

impl Objective<AB, Linear<AB>, ()> for Mean {
    fn loss(
        &mut self,
        trainable: &Trainable<AB, Linear<AB>>,
        _batch: &(),
        _context: &StepContext,
    ) -> Result<LossTerms<AB>, DistillError> {
        let mut terms = LossTerms::default();
        let says = trainable.student.forward(Tensor::<AB, 2>::ones([2, 3], &Default::default()));
        terms.push("mean", says.mean(), 1.0);
        Ok(terms)
    }

    fn state(&self) -> Option<ObjectiveState> {
        Some(self.0.borrow().clone())
    }

    fn restore(&mut self, state: ObjectiveState) -> Result<(), String> {
        *self.0.borrow_mut() = state;
        Ok(())
    }
}

fn student() -> Linear<AB> {
    let device = Default::default();
    Linear {
        weight: Initializer::Ones.init([3, 2], &device),
        bias: Some(Initializer::Zeros.init([2], &device)),
    }
}

/// A run of two steps, with the loop's own optimizer or one of Burn's.
fn run(folder: &Path, of_burn: bool) -> Result<Trained<AB, Linear<AB>>, DistillError> {
    let config = TrainingConfig {
        num_epochs: 1,
        optimizer: OptimizerConfig { lr: 0.1, ..OptimizerConfig::default() },
        ..TrainingConfig::default()
    };
    let mut recipe = Recipe::new(config);
    if of_burn {
        recipe = recipe.with_optimizer(|_| AdamConfig::new().init());
    }
    let batches: Vec<Counted<()>> = vec![Counted::new((), 1); 2];
    let hooks = Hooks::new().with_checkpoints(CheckpointFolder::new(folder)).resuming(true);
    fit(Trainable::new(student()), &recipe, &mut Mean::new(), &batches, hooks)
}

fn seal_again(checkpoint: &Path) {
    fs::remove_file(checkpoint.join(seal::SEAL)).unwrap();
    seal::seal(checkpoint).unwrap();
}

/// Continues from a checkpoint one of whose files is damaged, under a seal that fits where there is one.
fn fuzz_file(of_burn: bool, name: &str, in_checkpoint: bool, is_sealed_again: bool) {
    let whole = tempfile::tempdir().unwrap();
    run(whole.path(), of_burn).unwrap();
    let checkpoint = |folder: &Path| folder.join("step-00000002");
    let of = |folder: &Path| if in_checkpoint { checkpoint(folder).join(name) } else { folder.join(name) };
    let valid = fs::read(of(whole.path())).unwrap();
    fuzz(&[&valid], |bytes| {
        fs::write(of(whole.path()), bytes).unwrap();
        if is_sealed_again {
            seal_again(&checkpoint(whole.path()));
        }
        // Read or refused; a run that is read is at its end and writes nothing.
        let _ = run(whole.path(), of_burn);
        fs::write(of(whole.path()), &valid).unwrap();
    });
}

#[test]
fn fuzz_checkpoint_state() {
    fuzz_file(false, STATE, true, true);
}

#[test]
fn fuzz_checkpoint_weights() {
    fuzz_file(false, TRAINABLE, true, true);
}

#[test]
fn fuzz_checkpoint_objective() {
    fuzz_file(false, OBJECTIVE, true, true);
}

#[test]
fn fuzz_checkpoint_moments() {
    fuzz_file(false, "optimizer-0.safetensors", true, true);
}

#[test]
fn fuzz_checkpoint_record_of_burn() {
    fuzz_file(true, "optimizer-0.mpk", true, true);
}

#[test]
fn fuzz_checkpoint_seal() {
    fuzz_file(false, seal::SEAL, true, false);
}

#[test]
fn fuzz_checkpoint_index() {
    fuzz_file(false, index::INDEX, false, false);
}

#[test]
fn tensors_of_another_shape_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), false).unwrap();
    let checkpoint = folder.path().join("step-00000002");
    let path = checkpoint.join(TRAINABLE);
    let tensors = load_tensors(&path).unwrap().into_iter();
    let mut tensors: BTreeMap<String, Deferred<'_>> =
        tensors.map(|(name, data)| (name, Deferred::data(Cow::Owned(data)))).collect();
    let bias = burn::tensor::TensorData::new(vec![0.0f32; 3], [3]);
    tensors.insert("student.bias".to_owned(), Deferred::data(Cow::Owned(bias)));
    save_tensors(&tensors, &path).unwrap();
    seal_again(&checkpoint);
    let error = run(folder.path(), false).unwrap_err().to_string();
    assert!(error.contains("student.bias is [2], and the file has [3]"), "{error}");
}

#[test]
fn a_position_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), false).unwrap();
    let checkpoint = folder.path().join("step-00000002");
    let path = checkpoint.join(STATE);
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["position"]["epoch"] = u64::MAX.into();
    fs::write(&path, state.to_string()).unwrap();
    seal_again(&checkpoint);
    let error = run(folder.path(), false).unwrap_err().to_string();
    assert!(error.contains("its position cannot be"), "{error}");
}
