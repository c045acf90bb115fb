use brew_data::MultiLabelSpec;
use serde::{Deserialize, Serialize};

/// How lists of labels are read and predicted: `data.multi_label` of a run of `multi_label`.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `separator` | `,` | the text between labels; in JSON lines a list works as well |
/// | `empty_means_none` | false | whether an empty cell says that no label holds; else the labels are unknown |
/// | `threshold` | 0.5 | the probability above which a label is predicted, from 0 to 1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiLabelConfig {
    /// The text between labels.
    pub separator: String,
    /// Whether an empty cell says that no label holds.
    pub empty_means_none: bool,
    /// The probability above which a label is predicted.
    pub threshold: f64,
}

impl Default for MultiLabelConfig {
    fn default() -> Self {
        let MultiLabelSpec { separator, empty_means_none } = MultiLabelSpec::default();
        Self { separator, empty_means_none, threshold: 0.5 }
    }
}

impl MultiLabelConfig {
    pub(crate) fn file_spec(&self) -> MultiLabelSpec {
        MultiLabelSpec { separator: self.separator.clone(), empty_means_none: self.empty_means_none }
    }
}
