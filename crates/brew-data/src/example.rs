//! Texts before tokenization: as read, and with labels resolved to indexes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One text, or a pair of texts, ready to be tokenized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Identifies the example within its data set; it follows the example into [`Batch::ids`](crate::Batch).
    pub id: u64,
    /// The text, or the first one of a pair.
    pub text: String,
    /// The second text of a pair.
    pub text_pair: Option<String>,
    /// The index of the class, where it is known.
    pub label: Option<usize>,
}

impl Example {
    /// An unlabelled single text.
    ///
    /// ```
    /// let example = brew_data::Example::new(0, "a fine film").with_label(1);
    /// assert_eq!(example.label, Some(1));
    /// ```
    pub fn new(id: u64, text: impl Into<String>) -> Self {
        Self { id, text: text.into(), text_pair: None, label: None }
    }

    /// This example with a second text.
    pub fn with_pair(mut self, text_pair: impl Into<String>) -> Self {
        self.text_pair = Some(text_pair.into());
        self
    }

    /// This example with a class.
    pub fn with_label(mut self, label: usize) -> Self {
        self.label = Some(label);
        self
    }
}

/// Where an example was read: error messages point there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, or `<memory>`.
    pub path: Arc<Path>,
    /// The line the row starts on, from 1.
    pub line: usize,
}

impl Origin {
    pub(crate) fn path_buf(&self) -> PathBuf {
        self.path.to_path_buf()
    }
}

/// One row of a file: like [`Example`], with the label as the name that stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawExample {
    /// The number of the row among the file's rows of data, from 0.
    pub id: u64,
    /// The text, or the first one of a pair.
    pub text: String,
    /// The second text of a pair.
    pub text_pair: Option<String>,
    /// The label's name, where the row has one.
    pub label: Option<String>,
    /// Where the row stands.
    pub origin: Origin,
}

impl RawExample {
    /// An unlabelled example that comes from no file: its origin is line `id + 1` of `<memory>`.
    pub fn new(id: u64, text: impl Into<String>) -> Self {
        let origin = Origin { path: Path::new("<memory>").into(), line: id as usize + 1 };
        Self { id, text: text.into(), text_pair: None, label: None, origin }
    }

    /// This example with a second text.
    pub fn with_pair(mut self, text_pair: impl Into<String>) -> Self {
        self.text_pair = Some(text_pair.into());
        self
    }

    /// This example with a label.
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// This example with the label's name replaced by an index.
    pub(crate) fn resolve(&self, label: Option<usize>) -> Example {
        Example { id: self.id, text: self.text.clone(), text_pair: self.text_pair.clone(), label }
    }
}
