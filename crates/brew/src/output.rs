//! The folder of a run: what is in it, and who may write there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use brew_config::TrainingConfig;
use brew_distillers::{CheckpointFolder, TensorBoard};
use serde_json::Value;

use crate::RunError;

/// The resolved configuration; its presence marks a folder as a run's.
const CONFIG: &str = "run.json";
/// One JSON object a line: reports, evaluations, the end.
const LOG: &str = "log.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const MODEL: &str = "model";
const RESULT: &str = "result.json";
/// Curves for TensorBoard.
const TENSORBOARD: &str = "tensorboard";
/// The page of `textbrew report`.
const PAGE: &str = "report.html";

/// Every name a run writes, the only ones that `--overwrite` removes.
const OWN: [&str; 7] = [CONFIG, LOG, CHECKPOINTS, MODEL, RESULT, TENSORBOARD, PAGE];

/// What to do with an output folder that is not empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputPolicy {
    /// Refuse it.
    #[default]
    Fresh,
    /// Remove the run in it.
    Overwrite,
    /// Continue the run in it from its last checkpoint.
    Resume,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Makes the folder ready to be written to.
    pub(crate) fn open(root: &Path, policy: OutputPolicy, config: &Value) -> Result<Self, RunError> {
        let folder = Self { root: root.to_path_buf() };
        let is_run = folder.path(CONFIG).exists();
        match policy {
            OutputPolicy::Resume if !is_run => {
                return Err(RunError::NothingToResume { path: root.to_path_buf() });
            }
            OutputPolicy::Fresh if is_run => return Err(RunError::OutputInUse { path: root.to_path_buf() }),
            OutputPolicy::Resume => {}
            OutputPolicy::Fresh | OutputPolicy::Overwrite => {
                fs::create_dir_all(root).map_err(RunError::io("create the output folder", root))?;
                folder.refuse_foreign_files(is_run)?;
                folder.remove_own()?;
            }
        }
        // Found out now rather than at the first checkpoint.
        tempfile::tempfile_in(root).map_err(RunError::io("write to the output folder", root))?;
        folder.write_json(CONFIG, config)?;
        Ok(folder)
    }

    /// Where a run keeps its configuration.
    pub(crate) fn config_in(root: &Path) -> PathBuf {
        root.join(CONFIG)
    }

    /// Where a run keeps its events.
    pub(crate) fn log_in(root: &Path) -> PathBuf {
        root.join(LOG)
    }

    /// Where a finished run keeps its scores.
    pub(crate) fn result_in(root: &Path) -> PathBuf {
        root.join(RESULT)
    }

    /// Where a run's page is written.
    pub(crate) fn page_in(root: &Path) -> PathBuf {
        root.join(PAGE)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn refuse_foreign_files(&self, is_run: bool) -> Result<(), RunError> {
        if is_run {
            return Ok(());
        }
        let mut entries = fs::read_dir(&self.root).map_err(RunError::io("read", &self.root))?;
        match entries.next() {
            None => Ok(()),
            Some(entry) => {
                let entry = entry.map_err(RunError::io("read", &self.root))?;
                let found = entry.file_name().to_string_lossy().into_owned();
                Err(RunError::OutputNotARun { path: self.root.clone(), found })
            }
        }
    }

    fn remove_own(&self) -> Result<(), RunError> {
        for name in OWN {
            let path = self.path(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RunError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn checkpoints(&self) -> CheckpointFolder {
        CheckpointFolder::new(self.path(CHECKPOINTS))
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.path(MODEL)
    }

    /// The curves of a run, where it is to have some.
    pub(crate) fn tensorboard(&self, training: &TrainingConfig) -> Option<TensorBoard> {
        let folder = training.log_dir.clone().unwrap_or_else(|| self.path(TENSORBOARD));
        training.tensorboard.then(|| TensorBoard::new(folder))
    }

    /// Whether the run in the folder came to its end.
    pub(crate) fn is_finished(&self) -> bool {
        self.path(RESULT).exists()
    }

    pub(crate) fn log(&self) -> Result<EventLog, RunError> {
        let path = self.path(LOG);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(RunError::io("open", &path))?;
        Ok(EventLog { path, file })
    }

    pub(crate) fn write_result(&self, result: &Value) -> Result<(), RunError> {
        self.write_json(RESULT, result)
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<(), RunError> {
        let path = self.path(name);
        let failed = RunError::io("write", &path);
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.root)?;
            serde_json::to_writer_pretty(&mut file, value)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(failed)
    }
}

/// JSON lines, each written whole.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    file: fs::File,
}

impl EventLog {
    pub(crate) fn write(&mut self, event: &Value) -> Result<(), RunError> {
        let line = format!("{event}\n");
        self.file.write_all(line.as_bytes()).map_err(RunError::io("write", &self.path))
    }
}

/// The Hugging Face folder of a checkpoint or of a finished run.
///
/// # Errors
/// [`RunError::SeveralModels`] for a run of several tasks, whose models are named; [`RunError::NotAModel`] for
/// any other folder.
pub fn model_folder(path: &Path) -> Result<PathBuf, RunError> {
    let is_model = |folder: &PathBuf| folder.join("config.json").exists();
    let places = [path.to_path_buf(), path.join(MODEL)];
    if let Some(folder) = places.iter().find(|folder| is_model(folder)) {
        return Ok(folder.clone());
    }
    let within = fs::read_dir(&places[1]).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut models: Vec<PathBuf> = within.filter(is_model).collect();
    models.sort();
    let path = path.to_path_buf();
    Err(if models.is_empty() {
        RunError::NotAModel { path }
    } else {
        RunError::SeveralModels { path, models }
    })
}

/// The Hugging Face folder of a run's last or best checkpoint.
///
/// # Errors
/// [`RunError::NotAModel`] where the run has no such checkpoint; else as [`model_folder`].
pub fn checkpoint_model(run: &Path, best: bool) -> Result<PathBuf, RunError> {
    let folder = CheckpointFolder::new(run.join(CHECKPOINTS));
    let checkpoint = if best { folder.best()? } else { folder.last()? };
    let checkpoint = checkpoint.ok_or_else(|| RunError::NotAModel { path: run.join(CHECKPOINTS) })?;
    model_folder(&checkpoint)
}

/// Where a checkpoint keeps its Hugging Face folder.
pub(crate) fn model_in(checkpoint: &Path) -> PathBuf {
    checkpoint.join(MODEL)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn open(root: &Path, policy: OutputPolicy) -> Result<RunFolder, RunError> {
        RunFolder::open(root, policy, &json!({}))
    }

    #[test]
    fn a_folder_with_a_run_is_refused_unless_told_otherwise() {
        let root = tempfile::tempdir().unwrap();
        open(root.path(), OutputPolicy::Fresh).unwrap();
        fs::write(root.path().join(RESULT), "{}").unwrap();
        let error = open(root.path(), OutputPolicy::Fresh).unwrap_err();
        assert!(
            error.to_string().contains("--resume") && error.to_string().contains("--overwrite"),
            "{error}"
        );
        open(root.path(), OutputPolicy::Resume).unwrap();
        assert!(root.path().join(RESULT).exists());
        open(root.path(), OutputPolicy::Overwrite).unwrap();
        assert!(!root.path().join(RESULT).exists());
    }

    #[test]
    fn foreign_files_are_never_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "years of work").unwrap();
        for policy in [OutputPolicy::Fresh, OutputPolicy::Overwrite] {
            let error = open(root.path(), policy).unwrap_err();
            assert!(error.to_string().contains("thesis.tex"), "{error}");
        }
        assert!(root.path().join("thesis.tex").exists());
    }

    #[test]
    fn there_is_nothing_to_resume_in_an_empty_folder() {
        let root = tempfile::tempdir().unwrap();
        let error = open(root.path(), OutputPolicy::Resume).unwrap_err();
        assert!(matches!(error, RunError::NothingToResume { .. }), "{error}");
    }

    #[test]
    fn an_output_folder_below_a_file_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = open(&file.join("run"), OutputPolicy::Fresh).unwrap_err();
        assert!(matches!(error, RunError::Io { .. }), "{error}");
    }
}
