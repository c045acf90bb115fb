//! What is to be measured, as `cargo xtask bench` writes it down for both sides.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A task, by the field `task` of its file.
#[derive(Debug, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub(crate) enum Task {
    /// Forward passes without gradients.
    Forward(Padded),
    /// Training steps on labels: forward, backward, AdamW.
    Step(Padded),
    /// Each loss of TextBrewer's, forward and backward.
    Losses(Losses),
    /// Texts to batches.
    Tokenize(Texts),
    /// The logits of texts.
    Infer(Infer),
    /// Reads a model and writes it as a user exports it.
    Export(Export),
    /// Matrix products.
    Products(Products),
}

/// How often something is measured, after so many times that do not count.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Times {
    pub(crate) warmup: usize,
    pub(crate) iterations: usize,
}

/// A model on a made-up batch of texts of one length.
#[derive(Debug, Deserialize)]
pub(crate) struct Padded {
    pub(crate) model: PathBuf,
    pub(crate) batch: usize,
    pub(crate) length: usize,
    #[serde(flatten)]
    pub(crate) times: Times,
}

/// Losses on the tensors of a safetensors file.
#[derive(Debug, Deserialize)]
pub(crate) struct Losses {
    pub(crate) tensors: PathBuf,
    #[serde(flatten)]
    pub(crate) times: Times,
}

/// The texts of a file, on each line a text, a tab and its label.
#[derive(Debug, Deserialize)]
pub(crate) struct Texts {
    pub(crate) tokenizer: PathBuf,
    pub(crate) texts: PathBuf,
    pub(crate) max_length: usize,
    pub(crate) batch: usize,
    #[serde(flatten)]
    pub(crate) times: Times,
}

/// A model on the texts of a file, in batches of several sizes.
#[derive(Debug, Deserialize)]
pub(crate) struct Infer {
    pub(crate) model: PathBuf,
    pub(crate) texts: PathBuf,
    pub(crate) max_length: usize,
    pub(crate) batches: Vec<usize>,
    #[serde(flatten)]
    pub(crate) times: Times,
}

/// A model's folder and the one to write.
#[derive(Debug, Deserialize)]
pub(crate) struct Export {
    pub(crate) model: PathBuf,
    /// Whose tokenizer goes with it.
    pub(crate) tokenizer: PathBuf,
    pub(crate) folder: PathBuf,
}

/// Products of `[m, k]` with `[k, n]`.
#[derive(Debug, Deserialize)]
pub(crate) struct Products {
    pub(crate) shapes: Vec<[usize; 3]>,
    #[serde(flatten)]
    pub(crate) times: Times,
}

impl Task {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let task: Self = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let iterations = task.times().map_or(1, |times| times.iterations);
        ensure!(iterations > 0, "{}: iterations = 0: measure at least once", path.display());
        Ok(task)
    }

    fn times(&self) -> Option<Times> {
        match self {
            Self::Forward(spec) | Self::Step(spec) => Some(spec.times),
            Self::Losses(spec) => Some(spec.times),
            Self::Tokenize(spec) => Some(spec.times),
            Self::Infer(spec) => Some(spec.times),
            Self::Products(spec) => Some(spec.times),
            Self::Export(_) => None,
        }
    }
}
