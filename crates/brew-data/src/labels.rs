//! Names of classes and their indexes.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::nearest;
use crate::reader::{read_utf8, without_mark};
use crate::{DataError, Example, RawExample};

/// The names of the classes, in the order of a model's logits.
///
/// In files it is the list of names.
///
/// ```
/// use brew_data::{LabelSet, RawExample};
///
/// let raw = [RawExample::new(0, "a").with_label("10"), RawExample::new(1, "b").with_label("9")];
/// let labels = LabelSet::from_examples(&raw)?;
/// assert_eq!(labels.names(), ["9", "10"]);
/// assert_eq!(labels.index("10"), Some(1));
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct LabelSet {
    names: Vec<String>,
    indexes: HashMap<String, usize>,
}

impl LabelSet {
    /// The labels in the order given.
    ///
    /// # Errors
    /// No label, or one twice.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, DataError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Err(DataError::NoLabels);
        }
        let mut indexes = HashMap::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            if indexes.insert(name.clone(), index).is_some() {
                return Err(DataError::DuplicateLabel { value: name.clone() });
            }
        }
        Ok(Self { names, indexes })
    }

    /// The distinct labels of some examples: sorted as numbers where every one is a number, else as text.
    ///
    /// # Errors
    /// [`DataError::MissingLabel`] at the first example without a label; no example at all.
    pub fn from_examples(examples: &[RawExample]) -> Result<Self, DataError> {
        let names = examples.iter().map(required_label).collect::<Result<BTreeSet<_>, _>>()?;
        Self::sorted(names)
    }

    /// These labels, sorted as numbers where every one is a number, else as text.
    pub(crate) fn sorted(names: BTreeSet<&str>) -> Result<Self, DataError> {
        let mut names: Vec<&str> = names.into_iter().collect();
        let numbers: Option<Vec<f64>> =
            names.iter().map(|name| name.parse::<f64>().ok().filter(|number| number.is_finite())).collect();
        if let Some(numbers) = numbers {
            let mut pairs: Vec<(f64, &str)> = numbers.into_iter().zip(names).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            names = pairs.into_iter().map(|(_, name)| name).collect();
        }
        Self::new(names)
    }

    /// The labels that a file names, one a line in the order of their indexes, such as `labels.txt`. White space
    /// around a name and blank lines play no part.
    ///
    /// # Errors
    /// A file that cannot be read; no name in it, or one twice.
    pub fn from_file(path: &Path) -> Result<Self, DataError> {
        let content = read_utf8(path)?;
        let names: Vec<&str> =
            without_mark(&content).lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Err(DataError::Empty { path: path.to_path_buf() });
        }
        Self::new(names)
    }

    /// How many classes; at least 1.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The names by index.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a class, if there are that many.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.names.get(index).map(String::as_str)
    }

    /// The index of a label, if it is one of these.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.indexes.get(name).copied()
    }

    /// The label whose name is closest to `name`, if one is close.
    pub fn nearest(&self, name: &str) -> Option<String> {
        nearest(name, self.names.iter().map(String::as_str))
    }
}

impl TryFrom<Vec<String>> for LabelSet {
    type Error = DataError;

    fn try_from(names: Vec<String>) -> Result<Self, DataError> {
        Self::new(names)
    }
}

impl From<LabelSet> for Vec<String> {
    fn from(labels: LabelSet) -> Self {
        labels.names
    }
}

fn required_label(example: &RawExample) -> Result<&str, DataError> {
    example
        .label
        .as_deref()
        .ok_or_else(|| DataError::MissingLabel { path: example.origin.path_buf(), line: example.origin.line })
}

/// Replaces label names by indexes, for training and evaluating.
///
/// # Errors
/// [`DataError::MissingLabel`] and [`DataError::UnknownLabel`], each at the first row concerned.
pub fn label_examples(raw: &[RawExample], labels: &LabelSet) -> Result<Vec<Example>, DataError> {
    raw.iter()
        .map(|example| {
            let value = required_label(example)?;
            Ok(example.resolve(Some(index_of(example, value, labels)?)))
        })
        .collect()
}

/// Replaces label names by indexes where there are some, for distilling: an example without a label learns from
/// its teacher alone.
///
/// ```
/// use brew_data::{LabelSet, RawExample, partly_label_examples};
/// let raw = [RawExample::new(0, "a fine film").with_label("good"), RawExample::new(1, "a film")];
/// let examples = partly_label_examples(&raw, &LabelSet::new(["bad", "good"])?)?;
/// assert_eq!((examples[0].label, examples[1].label), (Some(1), None));
/// # Ok::<(), brew_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::UnknownLabel`] at the first row concerned.
pub fn partly_label_examples(raw: &[RawExample], labels: &LabelSet) -> Result<Vec<Example>, DataError> {
    raw.iter()
        .map(|example| {
            let index = example.label.as_deref().map(|value| index_of(example, value, labels)).transpose()?;
            Ok(example.resolve(index))
        })
        .collect()
}

fn index_of(example: &RawExample, value: &str, labels: &LabelSet) -> Result<usize, DataError> {
    labels.index(value).ok_or_else(|| DataError::UnknownLabel {
        path: example.origin.path_buf(),
        line: example.origin.line,
        value: value.to_owned(),
        nearest: labels.nearest(value),
        known: labels.names.clone(),
    })
}

/// Drops whatever labels there are, for predicting.
pub fn unlabelled_examples(raw: &[RawExample]) -> Vec<Example> {
    raw.iter().map(|example| example.resolve(None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(labels: &[&str]) -> Vec<RawExample> {
        labels
            .iter()
            .enumerate()
            .map(|(at, label)| RawExample::new(at as u64, "t").with_label(*label))
            .collect()
    }

    #[test]
    fn numbers_sort_as_numbers_and_anything_else_as_text() {
        let names = |labels: &[&str]| LabelSet::from_examples(&labelled(labels)).unwrap().names().to_vec();
        assert_eq!(names(&["10", "2", "-1", "2"]), ["-1", "2", "10"]);
        assert_eq!(names(&["10", "2", "b"]), ["10", "2", "b"]);
        assert_eq!(names(&["nan", "2"]), ["2", "nan"]);
        assert_eq!(names(&["positive", "negative"]), ["negative", "positive"]);
    }

    #[test]
    fn labels_become_indexes() {
        let raw = labelled(&["b", "a", "b"]);
        let labels = LabelSet::from_examples(&raw).unwrap();
        let examples = label_examples(&raw, &labels).unwrap();
        assert_eq!(examples.iter().map(|e| e.label).collect::<Vec<_>>(), [Some(1), Some(0), Some(1)]);
        assert_eq!(examples[2].id, 2);
        assert!(unlabelled_examples(&raw).iter().all(|e| e.label.is_none()));
        assert!(partly_label_examples(&labelled(&["c"]), &labels).is_err(), "an unknown label is still one");
    }

    #[test]
    fn an_unknown_label_names_the_line_and_the_nearest() {
        let labels = LabelSet::new(["negative", "positive"]).unwrap();
        let error = label_examples(&labelled(&["positive", "postive"]), &labels).unwrap_err();
        match error {
            DataError::UnknownLabel { line, value, nearest, known, .. } => {
                assert_eq!((line, value.as_str(), nearest.as_deref()), (2, "postive", Some("positive")));
                assert_eq!(known, ["negative", "positive"]);
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_missing_label_is_an_error_only_where_labels_are_needed() {
        let raw = [RawExample::new(4, "text")];
        assert!(matches!(LabelSet::from_examples(&raw), Err(DataError::MissingLabel { line: 5, .. })));
        let labels = LabelSet::new(["a"]).unwrap();
        assert!(matches!(label_examples(&raw, &labels), Err(DataError::MissingLabel { line: 5, .. })));
        assert_eq!(unlabelled_examples(&raw)[0].text, "text");
    }

    #[test]
    fn empty_and_repeated_sets_are_refused_also_in_files() {
        assert!(matches!(LabelSet::new(Vec::<String>::new()), Err(DataError::NoLabels)));
        assert!(matches!(LabelSet::new(["a", "a"]), Err(DataError::DuplicateLabel { .. })));
        assert!(serde_json::from_str::<LabelSet>(r#"["a","a"]"#).unwrap_err().to_string().contains("twice"));
        let labels = LabelSet::new(["x", "y"]).unwrap();
        let text = serde_json::to_string(&labels).unwrap();
        assert_eq!(text, r#"["x","y"]"#);
        assert_eq!(serde_json::from_str::<LabelSet>(&text).unwrap(), labels);
    }
}
