//! The data sets of an experiment, and where they lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde::Deserialize;

use super::given;

/// What `--data` is and where to get it: one folder, or one that holds a folder for each data set, by name.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a text about one data set, a table with `about` and its files, or a table `[data.NAME]` for each of \
                 several"
)]
pub(super) enum Data {
    One(String),
    OneWithFiles(DataSet),
    Several(BTreeMap<String, DataSet>),
}

/// One of several data sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataSet {
    /// What it is and where to get it.
    about: String,
    /// Its files; where none is named they are train.tsv, dev.tsv and test.tsv.
    train: Option<String>,
    dev: Option<String>,
    test: Option<String>,
}

impl Data {
    /// The names of the data sets, where they have some.
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        match self {
            Self::One(_) | Self::OneWithFiles(_) => None,
            Self::Several(sets) => Some(sets.keys().map(String::as_str).collect()),
        }
    }

    /// The folder of the data, every data set in it.
    pub(super) fn given(&self, value: Option<&Path>) -> anyhow::Result<PathBuf> {
        match self {
            Self::One(about) | Self::OneWithFiles(DataSet { about, .. }) => {
                given(value, "--data", "BREW_DATA", about)
            }
            Self::Several(sets) => {
                let names = self.names().unwrap_or_default().join(", ");
                let about = format!("a folder that holds the folders {names}");
                let folder = given(value, "--data", "BREW_DATA", &about)?;
                for (name, set) in sets {
                    let path = folder.join(name);
                    ensure!(
                        path.is_dir(),
                        "--data: {} is no folder. It should be {}",
                        path.display(),
                        set.about
                    );
                }
                Ok(folder)
            }
        }
    }

    /// The files for training, dev and test below `folder` of the data set of this name, those that it has.
    pub(super) fn files(&self, folder: &Path, name: Option<&str>) -> Vec<(&'static str, PathBuf)> {
        let (folder, set) = match (self, name) {
            (Self::Several(sets), Some(name)) => (folder.join(name), sets.get(name)),
            (Self::OneWithFiles(set), _) => (folder.to_path_buf(), Some(set)),
            _ => (folder.to_path_buf(), None),
        };
        let named = set.map_or([None; 3], |set| [&set.train, &set.dev, &set.test].map(Option::as_deref));
        let usual = ["train.tsv", "dev.tsv", "test.tsv"].map(Some);
        let names = if named.iter().all(Option::is_none) { usual } else { named };
        let splits = ["train", "dev", "test"].into_iter().zip(names);
        splits.filter_map(|(split, file)| Some((split, folder.join(file?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn two() -> Data {
        let text = "a.about = \"the A files\"\nb = { about = \"the B files\", test = \"b-test.tsv\" }";
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_missing_data_set_says_what_it_should_be() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let error = two().given(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("the B files"), "{error}");
        let error = two().given(None).unwrap_err().to_string();
        assert!(error.contains("--data FOLDER") && error.contains("the folders a, b"), "{error}");
    }
}
