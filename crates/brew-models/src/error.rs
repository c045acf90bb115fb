//! What can go wrong with a model and its files.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Architecture;

/// A tensor of a checkpoint whose shape is not the one its configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// The tensor's name, as in the file.
    pub name: String,
    /// The shape `config.json` asks for, in PyTorch's layout.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// Everything that keeps a checkpoint from fitting its configuration, all of it at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Names the model needs and the file lacks.
    pub missing: Vec<String>,
    /// Names in the file that no part of the model takes.
    pub unused: Vec<String>,
    /// Tensors of another shape.
    pub wrong_shape: Vec<ShapeMismatch>,
    /// Tensors that are not floating point, as `name (type)`.
    pub wrong_type: Vec<String>,
    /// Names that stand for one parameter more than once.
    pub ambiguous: Vec<String>,
}

impl Misfit {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let lists = [
            ("missing", &self.missing),
            ("not used by this model", &self.unused),
            ("not floating point", &self.wrong_type),
            ("given more than once", &self.ambiguous),
        ];
        for (what, names) in lists {
            if !names.is_empty() {
                parts.push(format!("{what} ({}): {}", names.len(), names.join(", ")));
            }
        }
        if !self.wrong_shape.is_empty() {
            let shapes: Vec<String> = self
                .wrong_shape
                .iter()
                .map(|m| format!("{} is {:?} and should be {:?}", m.name, m.found, m.expected))
                .collect();
            parts.push(format!("of another shape ({}): {}", shapes.len(), shapes.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration that is not JSON, lacks sense, or asks for what is not built.
    #[error("{}: {message}", path.display())]
    Config {
        /// The `config.json`; empty for one that was made in code.
        path: PathBuf,
        /// Field, value and allowed range.
        message: String,
    },
    /// A model family this crate does not build.
    #[error("{}: the architecture {found:?} is not supported; supported model types: {}", path.display(), supported.join(", "))]
    UnknownArchitecture {
        /// The `config.json`.
        path: PathBuf,
        /// Its `model_type`.
        found: String,
        /// The model types that are built.
        supported: Vec<&'static str>,
    },
    /// A folder without weights this crate can read.
    #[error("{}: {message}", path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        message: String,
    },
    /// A weight file that is truncated, damaged or of another format.
    #[error("{}: {message}", path.display())]
    Corrupt {
        /// The weight file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        message: String,
    },
    /// A weight file whose tensors are not those of its configuration.
    #[error("{}: the weights do not fit config.json: {misfit}", path.display())]
    Mismatch {
        /// The weight file.
        path: PathBuf,
        /// Every tensor that is missing, unused or of the wrong shape.
        misfit: Box<Misfit>,
    },
    /// A classification head for another number of labels.
    #[error(
        "{}: the classifier in the file is for {found} labels and {asked} are asked for; \
         ask for {found}, or set `reinitialise_head` to start with a new classifier", path.display()
    )]
    LabelCount {
        /// The weight file.
        path: PathBuf,
        /// Labels of the classifier in the file.
        found: usize,
        /// Labels of the configuration or of `LoadOptions::num_labels`.
        asked: usize,
    },
    /// A checkpoint whose classifier is of another kind, which would fit by its shape alone.
    #[error(
        "{}: the checkpoint is a {found}, and a {asked} is asked for; set `reinitialise_head` to keep its \
         encoder and start with a new classifier", path.display()
    )]
    OtherHead {
        /// The folder.
        path: PathBuf,
        /// The first of the checkpoint's `architectures`.
        found: String,
        /// The class asked for.
        asked: String,
    },
    /// A student layer taken from a teacher layer that does not exist.
    #[error("layer {layer} is asked for and the teacher has {available} layers, counted from 0")]
    NoSuchLayer {
        /// The layer asked for.
        layer: usize,
        /// How many layers the teacher has.
        available: usize,
    },
    /// A student made of layers of a teacher whose layers share their parameters, or that has none.
    #[error(
        "a student cannot be made of layers of a {architecture}, which has none of their own; load the whole model, \
         or start from a configuration"
    )]
    NoDistinctLayers {
        /// The teacher's family.
        architecture: Architecture,
    },
    /// A name that is no preset's.
    #[error("{found:?} is not a student preset; there are {}", known.join(", "))]
    UnknownPreset {
        /// The name.
        found: String,
        /// The names of the presets.
        known: Vec<&'static str>,
    },
}

impl ModelError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn config(path: &Path, message: impl Into<String>) -> Self {
        Self::Config { path: path.to_path_buf(), message: message.into() }
    }

    pub(crate) fn corrupt(path: &Path, message: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), message: message.into() }
    }
}
