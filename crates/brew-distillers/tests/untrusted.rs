//! Checkpoints as nobody should have written them: a run that continues from one, or an error, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use brew_config::TrainingConfig;
use brew_distillers::{
    Adaptor, AdaptorOutput, BasicTrainer, CheckpointFolder, Counted, DistillError, ForwardContext, Hooks,
};
use brew_losses::cross_entropy;
use brew_random::Key;
use brew_testkit::{TestAutodiffBackend as AB, fuzz};
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

const INPUTS: usize = 3;
const CLASSES: usize = 2;

#[derive(Clone, Debug)]
struct Batch<X: Backend> {
    inputs: Tensor<X, 2>,
    labels: Tensor<X, 1, Int>,
}

fn model() -> Linear<AB> {
    let device = Default::default();
    let weight = TensorData::new(Key::new(1).normal(INPUTS * CLASSES, 0.5), [INPUTS, CLASSES]);
    Linear {
        weight: Param::from_tensor(Tensor::from_data(weight, &device)),
        bias: Some(Param::from_tensor(Tensor::zeros([CLASSES], &device))),
    }
}

fn batches() -> Vec<Counted<Batch<AB>>> {
    let device = Default::default();
    let batch = |index: u64| Batch {
        inputs: Tensor::from_data(
            TensorData::new(Key::new(index).normal(2 * INPUTS, 1.0), [2, INPUTS]),
            &device,
        ),
        labels: Tensor::from_data(TensorData::new(vec![0_i64, 1], [2]), &device),
    };
    (0..4).map(|index| Counted { batch: batch(index), examples: 2 }).collect()
}

struct LinearAdaptor;

impl<X: Backend> Adaptor<X, Linear<X>, Batch<X>> for LinearAdaptor {
    fn adapt(
        &self,
        model: &Linear<X>,
        batch: &Batch<X>,
        _: ForwardContext,
    ) -> Result<AdaptorOutput<X>, DistillError> {
        let logits = model.forward(batch.inputs.clone());
        let loss = cross_entropy(logits.clone(), batch.labels.clone());
        Ok(AdaptorOutput { logits: vec![logits.into()], losses: vec![loss], ..AdaptorOutput::default() })
    }
}

fn train(folder: &Path, resume: bool) -> Result<usize, DistillError> {
    let config = TrainingConfig { num_epochs: 3, ..TrainingConfig::default() };
    let hooks = Hooks::new().with_checkpoints(CheckpointFolder::new(folder)).resuming(resume);
    Ok(BasicTrainer::new(config, LinearAdaptor).train(model(), &batches(), hooks)?.steps)
}

/// The files of a finished run's last checkpoint, by their paths from the folder.
fn finished() -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, root, found),
                false => {
                    found.push((path.strip_prefix(root).unwrap().to_path_buf(), fs::read(&path).unwrap()))
                }
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), false).unwrap();
    let mut files = Vec::new();
    walk(folder.path(), folder.path(), &mut files);
    files.sort();
    files
}

/// Continues from a checkpoint with one of its files damaged.
fn fuzz_files(is_meant: impl Fn(&str) -> bool) {
    let files = finished();
    let meant: Vec<usize> = (0..files.len())
        .filter(|&at| is_meant(&files[at].0.file_name().unwrap().to_string_lossy()))
        .collect();
    assert!(!meant.is_empty(), "{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
    let valid: Vec<&[u8]> = meant.iter().map(|&at| files[at].1.as_slice()).collect();
    let folder = tempfile::tempdir().unwrap();
    fuzz(&valid, |bytes| {
        for &damaged in &meant {
            let _ = fs::remove_dir_all(folder.path());
            for (at, (path, whole)) in files.iter().enumerate() {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, if at == damaged { bytes } else { whole }).unwrap();
            }
            let _ = train(folder.path(), true);
        }
    });
}

#[test]
fn fuzz_checkpoint_json() {
    fuzz_files(|name| name.ends_with(".json"));
}

#[test]
fn fuzz_checkpoint_records() {
    fuzz_files(|name| !name.ends_with(".json"));
}

/// What continuing says when `change` was made to the file of a checkpoint whose name begins so.
fn continued(begins: &str, from: &[u8], to: &[u8]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut changed = 0;
    for (path, mut bytes) in finished() {
        if path.file_name().unwrap().to_string_lossy().starts_with(begins) {
            while let Some(at) = bytes.windows(from.len()).position(|part| part == from) {
                bytes.splice(at..at + from.len(), to.iter().copied());
                changed += 1;
            }
        }
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    assert!(changed > 0, "no such bytes in {begins}");
    train(folder.path(), true).map_err(|error| error.to_string())
}

#[test]
fn a_tensor_of_other_dimensions_than_its_place_is_refused() {
    for begins in ["trainable", "optimizer"] {
        let error = continued(begins, b"\xa5shape\x92\x03\x02", b"\xa5shape\x91\x06").unwrap_err();
        assert!(error.contains(begins) && error.contains("not what it says"), "{error}");
    }
}

#[test]
fn a_parameter_of_another_shape_than_the_models_is_refused() {
    let error = continued("trainable", b"\xa5shape\x92\x03\x02", b"\xa5shape\x92\x02\x03").unwrap_err();
    assert!(error.contains("trainable.mpk: its shapes are not those that state.json names"), "{error}");
}
