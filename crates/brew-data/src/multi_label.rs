//! Texts with any number of labels each.

mod thresholds;

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::reader::lists;
use crate::{DataError, Example, LabelSet, Origin, Target, TargetedExample, TextFileSpec};

pub use thresholds::{F1Average, Thresholds};

/// A text with its labels by name, or with their numbers where the file has these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiLabelExample {
    /// The number of the row among the file's rows of data, from 0.
    pub id: u64,
    /// The text, or the first one of a pair.
    pub text: String,
    /// The second text of a pair.
    pub text_pair: Option<String>,
    /// The labels that hold, which may be none; `None` where they are not known.
    pub labels: Option<Vec<String>>,
    /// Where the row stands.
    pub origin: Origin,
}

/// How the labels of a text stand in its label column.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `separator` | `,` | the text between labels; in JSON lines a list works as well |
/// | `empty_means_none` | false | whether an empty cell says that no label holds; else the labels are unknown, which an empty JSON list never means |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiLabelSpec {
    /// The text between labels.
    pub separator: String,
    /// Whether an empty cell says that no label holds.
    pub empty_means_none: bool,
}

impl Default for MultiLabelSpec {
    fn default() -> Self {
        Self { separator: ",".to_owned(), empty_means_none: false }
    }
}

/// Reads every row of a file with a list of labels in its label column, such as GoEmotions'. Where columns have names
/// and the specification names none, that column is `label`, else `labels`.
///
/// # Errors
/// Those of [`read_examples`](crate::read_examples); an empty separator.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train.tsv");
/// use brew_data::{LabelSet, Target, flag_examples, read_multi_label_examples};
///
/// std::fs::write(&path, "Thanks, that made my day\t0,2\teebbqej\n").unwrap();
/// let raw = read_multi_label_examples(&path, &Default::default(), &Default::default())?;
/// let labels = LabelSet::new(["gratitude", "grief", "joy"])?;
/// let examples = flag_examples(&raw, &labels)?;
/// assert_eq!(examples[0].target, Some(Target::Flags(vec![true, false, true])));
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn read_multi_label_examples(
    path: &Path,
    file: &TextFileSpec,
    spec: &MultiLabelSpec,
) -> Result<Vec<MultiLabelExample>, DataError> {
    if spec.separator.is_empty() {
        return Err(DataError::EmptySeparator);
    }
    let rows = lists::rows(path, file, &spec.separator)?;
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf() });
    }
    let example = |(id, row): (usize, lists::ListRow)| MultiLabelExample {
        id: id as u64,
        text: row.text,
        text_pair: row.text_pair,
        labels: row.labels.or_else(|| spec.empty_means_none.then(Vec::new)),
        origin: row.origin,
    };
    Ok(rows.into_iter().enumerate().map(example).collect())
}

/// The distinct labels of some examples, sorted as numbers where every one is a number, else as text.
///
/// # Errors
/// No label anywhere.
pub fn multi_label_set(examples: &[MultiLabelExample]) -> Result<LabelSet, DataError> {
    let names: BTreeSet<&str> =
        examples.iter().filter_map(|example| example.labels.as_ref()).flatten().map(String::as_str).collect();
    LabelSet::sorted(names)
}

/// Replaces labels by a flag for each of the set. A label that the set has no such name for may be the number of
/// one, from 0, where no name is a number. An example whose labels are not known has no target.
///
/// # Errors
/// [`DataError::UnknownLabel`] at the first row concerned.
pub fn flag_examples(
    raw: &[MultiLabelExample],
    labels: &LabelSet,
) -> Result<Vec<TargetedExample>, DataError> {
    raw.iter()
        .map(|example| {
            let target = example.labels.as_ref().map(|names| flags(example, names, labels)).transpose()?;
            let (text, text_pair) = (example.text.clone(), example.text_pair.clone());
            let example = Example { id: example.id, text, text_pair, label: None };
            Ok(TargetedExample { example, target: target.map(Target::Flags) })
        })
        .collect()
}

fn flags(example: &MultiLabelExample, names: &[String], labels: &LabelSet) -> Result<Vec<bool>, DataError> {
    let mut flags = vec![false; labels.len()];
    for name in names {
        // A number that stands among names of numbers is a name.
        let number = || {
            let by_name = labels.names().iter().any(|name| name.parse::<f64>().is_ok());
            name.parse().ok().filter(|&number: &usize| !by_name && number < labels.len())
        };
        let index = labels.index(name).or_else(number).ok_or_else(|| DataError::UnknownLabel {
            path: example.origin.path_buf(),
            line: example.origin.line,
            value: name.clone(),
            nearest: labels.nearest(name),
            known: labels.names().to_vec(),
        })?;
        flags[index] = true;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests;
