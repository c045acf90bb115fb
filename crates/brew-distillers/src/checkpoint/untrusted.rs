//! Checkpoints from elsewhere: whatever their files hold, with a seal that fits, they are read or refused.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use brew_config::{OptimizerConfig, TrainingConfig};
use brew_testkit::TestAutodiffBackend as AB;
use burn::module::Initializer;
use burn::nn::Linear;
use burn::optim::AdamConfig;
use burn::tensor::Tensor;
use proptest::prelude::*;
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

/// What is done to a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Set(prop::sample::Index, u8),
    Fill(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Replace(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>();
    prop_oneof![
        place.clone().prop_map(Damage::Cut),
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Fill(at, byte)),
        (place, prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(Damage::Replace),
    ]
}

impl Damage {
    fn done_to(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        match self {
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Set(at, byte) => bytes[at.index(length)] = *byte,
            Self::Fill(at, byte) => {
                let start = at.index(length);
                bytes[start..length.min(start + 8)].fill(*byte);
            }
            Self::Insert(at, new) => {
                let at = at.index(length);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Replace(new) => bytes.clone_from(new),
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_checkpoint_holds_it_is_read_or_refused(
        file in 0usize..4,
        of_burn: bool,
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), of_burn).unwrap();
        let checkpoint = folder.path().join("step-00000002");
        let optimizer = if of_burn { "optimizer-0.mpk" } else { "optimizer-0.safetensors" };
        let path = checkpoint.join([STATE, TRAINABLE, OBJECTIVE, optimizer][file]);
        let mut bytes = fs::read(&path).unwrap();
        for damage in &damages {
            if !bytes.is_empty() {
                damage.done_to(&mut bytes);
            }
        }
        fs::write(&path, bytes).unwrap();
        seal_again(&checkpoint);
        let _read_or_refused = run(folder.path(), of_burn);
    }

    #[test]
    fn whatever_the_index_and_the_seal_hold_they_are_read_or_refused(
        of_seal: bool,
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), false).unwrap();
        let seal = folder.path().join("step-00000002").join(seal::SEAL);
        let path = if of_seal { seal } else { folder.path().join(index::INDEX) };
        let mut bytes = fs::read(&path).unwrap();
        for damage in &damages {
            if !bytes.is_empty() {
                damage.done_to(&mut bytes);
            }
        }
        fs::write(&path, bytes).unwrap();
        let _read_or_refused = run(folder.path(), false);
    }
}

#[test]
fn tensors_of_another_shape_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), false).unwrap();
    let checkpoint = folder.path().join("step-00000002");
    let path = checkpoint.join(TRAINABLE);
    let mut tensors = load_tensors(&path).unwrap();
    let name = "student.bias";
    tensors.insert(name.to_owned(), burn::tensor::TensorData::new(vec![0.0f32; 3], [3]));
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
