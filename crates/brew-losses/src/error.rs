use std::fmt;

use thiserror::Error;

/// Which of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that learns.
    Student,
    /// The one it learns from.
    Teacher,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Student => "student",
            Self::Teacher => "teacher",
        })
    }
}

/// Why a loss could not be computed from what it was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// No loss of that name is registered.
    #[error(
        "unknown loss `{name}`{}; known losses: {}; register a loss of your own with `LossRegistry::with`",
        nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default(),
        known.join(", ")
    )]
    UnknownLoss {
        /// The name asked for.
        name: String,
        /// The registered name it resembles.
        nearest: Option<String>,
        /// All registered names.
        known: Vec<String>,
    },
    /// Student and teacher cannot be compared.
    #[error(
        "loss `{loss}`: the student's feature has shape {student:?}, the teacher's {teacher:?}; {remedy}"
    )]
    ShapeMismatch {
        /// Name of the loss.
        loss: String,
        /// Shape of the student's feature.
        student: Vec<usize>,
        /// Shape of the teacher's feature.
        teacher: Vec<usize>,
        /// What to do.
        remedy: String,
    },
    /// A feature has not the dimensions the loss is made for.
    #[error("loss `{loss}`: the {side}'s feature has shape {shape:?}, but must be {expected}; {remedy}")]
    FeatureShape {
        /// Name of the loss.
        loss: String,
        /// Whose feature.
        side: Side,
        /// Its shape.
        shape: Vec<usize>,
        /// What the shape must be.
        expected: String,
        /// What to do.
        remedy: String,
    },
    /// The two layers of one model cannot be multiplied.
    #[error(
        "loss `{loss}`: the {side}'s two layers have shapes {first:?} and {second:?}, but must agree in {agree_in}; \
         choose two layers that do"
    )]
    PairMismatch {
        /// Name of the loss.
        loss: String,
        /// Whose layers.
        side: Side,
        /// Shape of the first.
        first: Vec<usize>,
        /// Shape of the second.
        second: Vec<usize>,
        /// The dimensions that must be equal.
        agree_in: String,
    },
    /// A loss of one layer was given several, or one of two layers another number.
    #[error(
        "loss `{loss}` takes {expected} layer(s) of each model, but the {side} gave {found}; \
         give that many in `layer_S` and `layer_T`"
    )]
    LayerCount {
        /// Name of the loss.
        loss: String,
        /// Which model.
        side: Side,
        /// How many layers the loss takes.
        expected: usize,
        /// How many it got.
        found: usize,
    },
    /// The loss compares with the true labels, and there are none.
    #[error("loss `{loss}` needs the labels of the logits; give them, or use another loss")]
    MissingLabels {
        /// Name of the loss.
        loss: String,
    },
    /// Costs or masses of which no flow can be made.
    #[error("the earth mover's distance cannot be computed: {reason}")]
    Transport {
        /// What is wrong with them.
        reason: String,
    },
    /// The mask is not over the features' tokens.
    #[error(
        "loss `{loss}`: the mask has shape {mask:?}, but the features {feature:?} need one of {expected:?}, \
         [batch, length]; give the mask of the same batch, or none"
    )]
    MaskMismatch {
        /// Name of the loss.
        loss: String,
        /// Shape of the mask.
        mask: Vec<usize>,
        /// Shape of the student's feature.
        feature: Vec<usize>,
        /// Shape the mask must have.
        expected: Vec<usize>,
    },
}

impl LossError {
    /// The same error under the name the user wrote, where that is an alias.
    pub(crate) fn renamed(mut self, name: &str) -> Self {
        match &mut self {
            Self::ShapeMismatch { loss, .. }
            | Self::FeatureShape { loss, .. }
            | Self::PairMismatch { loss, .. }
            | Self::LayerCount { loss, .. }
            | Self::MaskMismatch { loss, .. } => *loss = name.to_string(),
            Self::MissingLabels { loss } => *loss = name.to_string(),
            Self::UnknownLoss { .. } | Self::Transport { .. } => {}
        }
        self
    }
}
