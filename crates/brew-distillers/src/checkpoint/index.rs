//! Which checkpoints a folder holds.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::write_atomically;
use crate::DistillError;

pub(super) const INDEX: &str = "index.json";

/// The checkpoints that are kept, by the names of their folders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    /// The last ones, oldest first.
    pub(super) last: Vec<String>,
    /// The one with the highest score.
    pub(super) best: Option<String>,
    pub(super) best_score: Option<f64>,
}

impl Index {
    /// The index of a folder; an empty one where it has none.
    pub(super) fn read(root: &Path) -> Result<Self, DistillError> {
        let path = root.join(INDEX);
        let damaged = |reason: String| DistillError::Checkpoint { path: path.clone(), reason };
        match fs::read(&path) {
            Ok(bytes) => {
                let index: Self =
                    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
                if let Some(name) = index.names().find(|name| !is_name(name)) {
                    return Err(damaged(format!("{name:?} is not the name of a checkpoint")));
                }
                Ok(index)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(DistillError::Io { action: "read", path, source }),
        }
    }

    pub(super) fn write(&self, root: &Path) -> Result<(), DistillError> {
        let json = serde_json::to_vec_pretty(self).expect("names and numbers are JSON");
        write_atomically(&root.join(INDEX), &json)
    }

    /// Takes in a new checkpoint and keeps the last `keep`.
    pub(super) fn add(&mut self, name: &str, score: Option<f64>, keep: usize) {
        self.last.retain(|one| one != name);
        self.last.push(name.to_owned());
        let surplus = self.last.len().saturating_sub(keep.max(1));
        self.last.drain(..surplus);
        if let Some(score) = score
            && self.best_score.is_none_or(|best| score >= best)
        {
            self.best = Some(name.to_owned());
            self.best_score = Some(score);
        }
    }

    /// Every checkpoint that is kept, the newest first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let best = self.best.iter().filter(|best| !self.last.contains(best));
        let mut names: Vec<&str> = self.last.iter().chain(best).map(String::as_str).collect();
        // The names hold the step with leading zeros.
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.into_iter()
    }
}

/// Whether this is the name of a checkpoint's folder, and so of nothing outside.
fn is_name(name: &str) -> bool {
    name.strip_prefix("step-").is_some_and(|step| step.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_and_the_best_are_kept() {
        let mut index = Index::default();
        for (step, score) in [(1, 0.5), (2, 0.9), (3, 0.7), (4, 0.8)] {
            index.add(&format!("step-0000000{step}"), Some(score), 2);
        }
        assert_eq!(index.names().collect::<Vec<_>>(), ["step-00000004", "step-00000003", "step-00000002"]);
        assert_eq!(index.best.as_deref(), Some("step-00000002"));
    }

    #[test]
    fn an_index_names_nothing_outside_of_its_folder() {
        let root = tempfile::tempdir().unwrap();
        for name in ["../../etc", "step-../x", "/tmp", ""] {
            fs::write(root.path().join(INDEX), serde_json::json!({ "last": [name] }).to_string()).unwrap();
            let error = Index::read(root.path()).unwrap_err();
            assert!(error.to_string().contains("is not the name of a checkpoint"), "{error}");
        }
    }
}
