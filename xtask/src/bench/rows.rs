//! The rows of the table: what each measures and what is asked of it.

use std::fmt;

use clap::ValueEnum;

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Row {
    /// Forward pass of a BERT-base, the teacher
    #[value(name = "A")]
    A,
    /// Training step of T3
    #[value(name = "B")]
    B,
    /// Training step of T4-tiny
    #[value(name = "C")]
    C,
    /// Training step of T12-nano
    #[value(name = "D")]
    D,
    /// Training step of MiniLM-L6
    #[value(name = "E")]
    E,
    /// Each loss, forward and backward
    #[value(name = "F")]
    F,
    /// A distillation of a BERT-base into T4-tiny
    #[value(name = "G")]
    G,
    /// A distillation of MiniLM-L6 into 3 layers
    #[value(name = "H")]
    H,
    /// From the command to the first step
    #[value(name = "I")]
    I,
    /// Tokenization and collation
    #[value(name = "J")]
    J,
    /// Inference of an exported student
    #[value(name = "K")]
    K,
}

/// What a row's seconds are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// One pass or step, in a process that has made some before.
    Iteration,
    /// A whole process.
    Process,
    /// A process up to the end of its first step.
    FirstStep,
}

impl Row {
    pub(super) const ALL: [Self; 11] =
        [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F, Self::G, Self::H, Self::I, Self::J, Self::K];

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::A => "BERT-base, forward",
            Self::B => "T3, step",
            Self::C => "T4-tiny, step",
            Self::D => "T12-nano, step",
            Self::E => "MiniLM-L6, step",
            Self::F => "losses, forward and backward",
            Self::G => "BERT-base to T4-tiny, whole run",
            Self::H => "MiniLM-L6 to 3 layers, whole run",
            Self::I => "command to first step",
            Self::J => "tokenization and collation",
            Self::K => "inference of T4-tiny",
        }
    }

    /// How many times as fast as the peer Brew is to be.
    pub(super) fn goal(self) -> f64 {
        match self {
            Self::A | Self::F => 1.0,
            Self::B | Self::C | Self::D | Self::E => 1.2,
            Self::G => 6.0,
            Self::H => 3.0,
            Self::I => 20.0,
            Self::J | Self::K => 1.5,
        }
    }

    pub(super) fn measure(self) -> Measure {
        match self {
            Self::G | Self::H => Measure::Process,
            Self::I => Measure::FirstStep,
            _ => Measure::Iteration,
        }
    }

    /// Whether its figure is told as examples a second.
    pub(super) fn is_rate(self) -> bool {
        matches!(self, Self::J | Self::K)
    }

    /// Whether it reads sentences, with a tokenizer.
    pub(super) fn reads_texts(self) -> bool {
        self >= Self::G
    }

    /// The model whose arithmetic is compared with the machine's ceiling, and how many forward passes' worth of it an
    /// iteration does: a step has two more in its backward pass.
    pub(super) fn arithmetic(self) -> Option<(&'static str, f64)> {
        match self {
            Self::A => Some(("base", 1.0)),
            Self::B => Some(("T3", 3.0)),
            Self::C => Some(("T4-tiny", 3.0)),
            Self::D => Some(("T12-nano", 3.0)),
            Self::E => Some(("MiniLM-L6", 3.0)),
            _ => None,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
