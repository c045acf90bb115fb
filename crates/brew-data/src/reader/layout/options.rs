//! What may be chosen about a layout, and what reading gives.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Extent, RawExample};

/// What may be chosen about a layout.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `language` | `zh` | XNLI: the language whose rows and whose translated train file are read |
/// | `drop_seen` | false | leave out the examples of dev and test whose texts are in train as well, as 338 of ChnSentiCorp's dev texts are |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutOptions {
    /// XNLI: the language that is read.
    pub language: String,
    /// Leave out the examples of dev and test whose texts are in train as well.
    pub drop_seen: bool,
    /// How much of a file is read; no matter of the file, and so in no configuration.
    #[serde(skip)]
    pub extent: Extent,
}

impl Default for LayoutOptions {
    fn default() -> Self {
        Self { language: "zh".to_owned(), drop_seen: false, extent: Extent::Whole }
    }
}

/// The examples of a part of a data set, and what was left out.
///
/// [`Display`](fmt::Display) tells it in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutRows {
    /// The examples. [`RawExample::id`] counts them from 0.
    pub examples: Vec<RawExample>,
    /// Rows whose annotators did not agree on a label, marked `-`.
    pub without_agreement: usize,
    /// Rows of other languages.
    pub other_languages: usize,
    /// Rows that lack columns, which QQP has.
    pub broken: usize,
    /// Examples that are in train as well.
    pub seen: usize,
}

impl fmt::Display for LayoutRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} examples", self.examples.len())?;
        for (count, what) in [
            (self.without_agreement, "without an agreed label left out"),
            (self.other_languages, "of other languages left out"),
            (self.broken, "that lack columns left out"),
            (self.seen, "that are in train as well left out"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
