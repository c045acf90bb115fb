//! The folder of a run: what is in it, and who may write there.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
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
/// One file a step that was not taken, with its batches.
const NOT_FINITE: &str = "not-finite";
/// Held locked while a process writes to the folder. It stays, since another process may hold it open.
const LOCK: &str = "run.lock";
/// What the name of a file starts with that is being written.
const WRITING: &str = ".writing-";

/// Curves for TensorBoard.
const TENSORBOARD: &str = "tensorboard";
/// The page of `textbrew report`.
const PAGE: &str = "report.html";

/// Every name a run writes, the only ones that `--overwrite` removes.
const OWN: [&str; 8] = [CONFIG, LOG, CHECKPOINTS, MODEL, RESULT, NOT_FINITE, TENSORBOARD, PAGE];

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
    /// The same even where configuration, models or data are no longer what they were.
    ResumeChanged,
}

impl OutputPolicy {
    /// Whether a run is continued.
    pub fn is_resuming(self) -> bool {
        matches!(self, Self::Resume | Self::ResumeChanged)
    }
}

/// A run's folder.
#[derive(Debug)]
pub(crate) struct RunFolder {
    root: PathBuf,
    /// Locked as long as the run lasts; the system lets go of it however the process ends.
    _lock: fs::File,
}

impl RunFolder {
    /// Makes the folder ready to be written to.
    pub(crate) fn open(root: &Path, policy: OutputPolicy, config: &Value) -> Result<Self, RunError> {
        let is_run = root.join(CONFIG).exists();
        match policy {
            _ if policy.is_resuming() && !is_run => {
                return Err(RunError::NothingToResume { path: root.to_path_buf() });
            }
            OutputPolicy::Fresh if is_run => return Err(RunError::OutputInUse { path: root.to_path_buf() }),
            _ => fs::create_dir_all(root).map_err(RunError::io("create the output folder", root))?,
        }
        if !is_run && let Some(found) = foreign_file(root).map_err(RunError::io("read", root))? {
            return Err(RunError::OutputNotARun { path: root.to_path_buf(), found });
        }
        let folder = Self { root: root.to_path_buf(), _lock: lock(root)? };
        remove_unfinished(root)?;
        if !policy.is_resuming() {
            folder.remove_own()?;
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

    /// The run's log, to be written on at its end. A last line that a crash cut off is removed.
    pub(crate) fn log(&self) -> Result<EventLog, RunError> {
        let path = self.path(LOG);
        let open = || {
            let mut file =
                fs::OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path)?;
            let whole = whole_lines(&mut file)?;
            file.set_len(whole)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(RunError::io("open", &path))?;
        Ok(EventLog { path, file })
    }

    /// Writes what there is to know of a step that was not taken, and gives the file.
    pub(crate) fn write_not_finite(&self, step: usize, event: &Value) -> Result<PathBuf, RunError> {
        let folder = self.path(NOT_FINITE);
        fs::create_dir_all(&folder).map_err(RunError::io("create", &folder))?;
        let name = format!("{NOT_FINITE}/step-{step:08}.json");
        self.write_json(&name, event)?;
        Ok(self.path(&name))
    }

    pub(crate) fn write_result(&self, result: &Value) -> Result<(), RunError> {
        self.write_json(RESULT, result)
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<(), RunError> {
        let path = self.path(name);
        let failed = RunError::io("write", &path);
        let write = || {
            let folder = path.parent().unwrap_or(&self.root);
            let mut file = tempfile::Builder::new().prefix(WRITING).tempfile_in(folder)?;
            serde_json::to_writer_pretty(&mut file, value)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(failed)
    }
}

/// Whether a file or folder of this name was being written by a process that did not finish it.
fn is_unfinished(name: &str) -> bool {
    [WRITING, brew_models::STAGING_PREFIX].iter().any(|prefix| name.starts_with(prefix))
}

/// Removes what a process left that did not finish it. The folder is locked, so nobody is writing it now.
fn remove_unfinished(root: &Path) -> Result<(), RunError> {
    for entry in fs::read_dir(root).map_err(RunError::io("read", root))? {
        let entry = entry.map_err(RunError::io("read", root))?;
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(RunError::io("remove", path))?;
        }
    }
    Ok(())
}

/// A file or folder, in one that holds no run, that no run left there.
pub(crate) fn foreign_file(root: &Path) -> std::io::Result<Option<String>> {
    for entry in fs::read_dir(root)? {
        let found = entry?.file_name().to_string_lossy().into_owned();
        if found != LOCK && !is_unfinished(&found) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Takes the folder for this process.
fn lock(root: &Path) -> Result<fs::File, RunError> {
    let path = root.join(LOCK);
    let file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(RunError::io("write to the output folder", root))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(RunError::OutputLocked { path: root.to_path_buf() }),
        Err(fs::TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
            log::warn!("{} cannot be locked here: start no second run in its folder", path.display());
            Ok(file)
        }
        Err(fs::TryLockError::Error(error)) => Err(RunError::io("lock", path)(error)),
    }
}

/// The length of a file up to the end of its last whole line.
fn whole_lines(file: &mut fs::File) -> std::io::Result<u64> {
    const PART: u64 = 1 << 12;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(PART);
        let mut part = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut part)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
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
        drop(open(root.path(), OutputPolicy::Fresh).unwrap());
        fs::write(root.path().join(RESULT), "{}").unwrap();
        let error = open(root.path(), OutputPolicy::Fresh).unwrap_err();
        assert!(
            error.to_string().contains("--resume") && error.to_string().contains("--overwrite"),
            "{error}"
        );
        drop(open(root.path(), OutputPolicy::Resume).unwrap());
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

    #[test]
    fn two_processes_do_not_write_to_one_folder() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), OutputPolicy::Fresh).unwrap();
        for policy in [OutputPolicy::Resume, OutputPolicy::Overwrite] {
            let error = open(root.path(), policy).unwrap_err();
            assert!(matches!(error, RunError::OutputLocked { .. }), "{error}");
        }
        drop(first);
        open(root.path(), OutputPolicy::Resume).unwrap();
    }

    #[test]
    fn a_line_that_was_cut_off_is_removed_and_the_others_stay() {
        let root = tempfile::tempdir().unwrap();
        let folder = open(root.path(), OutputPolicy::Fresh).unwrap();
        let path = root.path().join(LOG);
        let long = format!("{}\n", "x".repeat(10_000));
        for (before, after) in [
            ("", ""),
            ("{\"a\"", ""),
            ("{}\n", "{}\n"),
            ("{}\n{}\n{\"event", "{}\n{}\n"),
            (&format!("{long}{}", "y".repeat(9_000)), &long),
        ] {
            fs::write(&path, before).unwrap();
            folder.log().unwrap().write(&json!(1)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after}1\n"));
        }
    }
}
