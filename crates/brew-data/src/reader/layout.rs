//! The files of well-known data sets, by the data set's name.

mod columns;
mod files;
mod options;
mod rows;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::nearest;
use crate::{DataError, LabelSet};

pub use options::{LayoutOptions, LayoutRows};
pub use rows::drop_seen;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Split {
    /// What models learn from.
    Train,
    /// What they are tuned and compared on; of MNLI the matched part.
    #[serde(alias = "validation", alias = "dev_matched")]
    Dev,
    /// MNLI's other dev set, of genres that are not in train.
    DevMismatched,
    /// The test set, which often has no labels; of MNLI the matched part.
    #[serde(alias = "test_matched")]
    Test,
    /// MNLI's other test set.
    TestMismatched,
}

impl Split {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::DevMismatched => "dev_mismatched",
            Self::Test => "test",
            Self::TestMismatched => "test_mismatched",
        }
    }
}

/// What a model makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LayoutTask {
    /// One class: [`Layout::read`], then [`label_examples`](crate::label_examples).
    Classification,
    /// A number: [`Layout::read`], then [`value_examples`](crate::value_examples).
    Regression,
    /// Any number of labels: [`Layout::read_multi_label`].
    MultiLabel,
    /// A tag for each word: [`Layout::read_tagged`].
    Tagging,
}

/// A data set whose files are known by name and whose columns need no configuration.
///
/// | value | texts | label | official metric |
/// |---|---|---|---|
/// | `cola` | `sentence`, no header but in test | 0, 1 | Matthews' correlation |
/// | `sst2` | `sentence`, with or without header | 0, 1 | accuracy |
/// | `mrpc` | `#1 String`, `#2 String` | `Quality` 0, 1 | accuracy, F1 |
/// | `qqp` | `question1`, `question2` | `is_duplicate` 0, 1 | accuracy, F1 |
/// | `stsb` | `sentence1`, `sentence2` | `score`, 0 to 5 | Pearson, Spearman |
/// | `mnli` | `sentence1`, `sentence2` | `gold_label`, `-` rows dropped | accuracy, matched and mismatched |
/// | `qnli` | `question`, `sentence` | entailment, not_entailment | accuracy |
/// | `rte` | `sentence1`, `sentence2` | entailment, not_entailment | accuracy |
/// | `wnli` | `sentence1`, `sentence2` | 0, 1 | accuracy |
/// | `xnli` | `sentence1`, `sentence2` of one `language`; train `premise`, `hypo` | `gold_label`; train `label` | accuracy |
/// | `lcqmc` | two columns, with or without header | 0, 1 | accuracy |
/// | `afqmc` | `sentence1`, `sentence2` in JSON lines; or two columns | 0, 1 | accuracy |
/// | `chnsenticorp` | a column, or `text_a` by header | positive, negative; or 1, 0 | accuracy |
/// | `goemotions` | a column | numbers between commas, names in `labels.txt` | macro F1 |
/// | `conll2003`, `wnut17`, `resume_ner`, `msra_ner` | words | tags | span F1 |
///
/// Rows are cells between tabs without quoting, as everywhere in GLUE, or a JSON object a line in a file called
/// `.json` or `.jsonl`, with the same names as keys.
/// Sources: [GLUE](https://gluebenchmark.com/tasks), [XNLI](https://github.com/facebookresearch/XNLI),
/// [CLUE](https://github.com/CLUEbenchmark/CLUE), [GoEmotions](https://github.com/google-research/google-research/tree/master/goemotions).
///
/// ```
/// use brew_data::{Layout, Split};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// std::fs::write(folder.join("dev.tsv"), "index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt is wet.\tentailment\n").unwrap();
/// let rows = Layout::Rte.read(folder, Split::Dev, &Default::default())?;
/// assert_eq!(rows.examples[0].text_pair.as_deref(), Some("It is wet."));
/// assert_eq!(rows.examples[0].label.as_deref(), Some("entailment"));
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
#[non_exhaustive]
#[allow(missing_docs)] // the table above
pub enum Layout {
    Cola,
    Sst2,
    Mrpc,
    Qqp,
    Stsb,
    Mnli,
    Qnli,
    Rte,
    Wnli,
    Xnli,
    Lcqmc,
    Afqmc,
    Chnsenticorp,
    Goemotions,
    Conll2003,
    Wnut17,
    ResumeNer,
    MsraNer,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Cola,
        Self::Sst2,
        Self::Mrpc,
        Self::Qqp,
        Self::Stsb,
        Self::Mnli,
        Self::Qnli,
        Self::Rte,
        Self::Wnli,
        Self::Xnli,
        Self::Lcqmc,
        Self::Afqmc,
        Self::Chnsenticorp,
        Self::Goemotions,
        Self::Conll2003,
        Self::Wnut17,
        Self::ResumeNer,
        Self::MsraNer,
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cola => "cola",
            Self::Sst2 => "sst2",
            Self::Mrpc => "mrpc",
            Self::Qqp => "qqp",
            Self::Stsb => "stsb",
            Self::Mnli => "mnli",
            Self::Qnli => "qnli",
            Self::Rte => "rte",
            Self::Wnli => "wnli",
            Self::Xnli => "xnli",
            Self::Lcqmc => "lcqmc",
            Self::Afqmc => "afqmc",
            Self::Chnsenticorp => "chnsenticorp",
            Self::Goemotions => "goemotions",
            Self::Conll2003 => "conll2003",
            Self::Wnut17 => "wnut17",
            Self::ResumeNer => "resume_ner",
            Self::MsraNer => "msra_ner",
        }
    }

    /// What a model makes of its texts.
    pub fn task(self) -> LayoutTask {
        match self {
            Self::Stsb => LayoutTask::Regression,
            Self::Goemotions => LayoutTask::MultiLabel,
            Self::Conll2003 | Self::Wnut17 | Self::ResumeNer | Self::MsraNer => LayoutTask::Tagging,
            _ => LayoutTask::Classification,
        }
    }

    /// Whether its examples are pairs of texts.
    pub fn is_pair(self) -> bool {
        self.task() != LayoutTask::MultiLabel
            && self.task() != LayoutTask::Tagging
            && self.columns().text_pair.is_some()
    }

    /// The parts that it has.
    pub fn splits(self) -> &'static [Split] {
        match self {
            Self::Mnli => {
                &[Split::Train, Split::Dev, Split::DevMismatched, Split::Test, Split::TestMismatched]
            }
            _ => &[Split::Train, Split::Dev, Split::Test],
        }
    }

    /// The classes where they are known beforehand, in the order of GLUE's own programs, which is also that of
    /// [`LabelSet::from_examples`]; `None` for numbers and for labels that the files name.
    pub fn labels(self) -> Option<LabelSet> {
        let names: &[&str] = match self {
            Self::Mnli | Self::Xnli => &["contradiction", "entailment", "neutral"],
            Self::Qnli | Self::Rte => &["entailment", "not_entailment"],
            Self::Cola | Self::Sst2 | Self::Mrpc | Self::Qqp | Self::Wnli | Self::Lcqmc | Self::Afqmc => {
                &["0", "1"]
            }
            _ => return None,
        };
        LabelSet::new(names.iter().copied()).ok()
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = DataError;

    /// The layout of a name, in any case and with or without `-` and `_`: `SST-2` is `sst2`.
    fn from_str(name: &str) -> Result<Self, DataError> {
        let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_', ' '], "");
        let found = Self::ALL.into_iter().find(|layout| plain(layout.name()) == plain(name));
        found.ok_or_else(|| DataError::UnknownLayout {
            name: name.to_owned(),
            nearest: nearest(name, Self::ALL.iter().map(|layout| layout.name())),
            known: Self::ALL.iter().map(|layout| layout.name().to_owned()).collect(),
        })
    }
}

impl TryFrom<String> for Layout {
    type Error = DataError;

    fn try_from(name: String) -> Result<Self, DataError> {
        name.parse()
    }
}

impl From<Layout> for &'static str {
    fn from(layout: Layout) -> Self {
        layout.name()
    }
}

#[cfg(test)]
mod tests;
