//! Checkpoints on disk: complete or absent.
//!
//! A folder holds one sub-folder a checkpoint and an `index.json` that names the last ones and the best.
//! A checkpoint is written to a temporary name, sealed with the size and sum of each file, synced and
//! renamed before the index names it, and what the index no longer names is removed afterwards, so that a
//! crash at any moment leaves the previous one, and a file that is no longer what was written is found.
//! The loop waits only until everything is written; the rest is done while it goes on.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use burn::tensor::backend::AutodiffBackend;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identity::differences;
use crate::parameters::named_parameters;
use crate::step::Stepper;
use crate::tensor_file::{Deferred, load_tensors, save_tensors};
use crate::weights::{load_weights, weights_of};
use crate::{DistillError, ObjectiveState, Student, Trainable};

mod index;
mod seal;
#[cfg(test)]
mod untrusted;

use index::Index;

/// Version 2: parameters are kept by their paths, files are sealed, the run says what it is.
const VERSION: u32 = 2;
const STATE: &str = "state.json";
const TRAINABLE: &str = "trainable.safetensors";
const OBJECTIVE: &str = "objective.safetensors";
/// What the name of a file or folder starts with that is being written.
const WRITING: &str = ".writing-";

/// Where a run stood when a checkpoint was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Optimizer steps finished, those left out included.
    pub(crate) step: usize,
    /// Epoch of the next batch.
    pub(crate) epoch: usize,
    /// Batches of that epoch that are done.
    pub(crate) batch_in_epoch: usize,
    /// Batches done over the whole run.
    pub(crate) batch: u64,
    /// Steps left out in a row, up to this one.
    pub(crate) left_out: usize,
    /// How often the learning rate was halved.
    pub(crate) halvings: u32,
}

#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    seed: u64,
    total_steps: usize,
    position: Position,
    optimizer_groups: usize,
    /// What the run was: its configuration, its data.
    identity: Value,
    /// What the objective keeps, besides what is trained and the tensors of a file of their own.
    #[serde(default)]
    objective: Option<Value>,
    /// Path and shape of each trained parameter.
    parameters: Vec<(String, Vec<usize>)>,
}

/// A folder with the last and the best checkpoints of a run. One process at a time may write to it.
#[derive(Debug, Clone)]
pub struct CheckpointFolder {
    root: PathBuf,
    keep: usize,
}

impl CheckpointFolder {
    /// The checkpoints in `root`, which is made when the first is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), keep: 1 }
    }

    /// The same with the last `keep` checkpoints kept instead of one, besides the best.
    pub(crate) fn keeping(&self, keep: usize) -> Self {
        Self { root: self.root.clone(), keep }
    }

    /// The last complete checkpoint, if any.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn last(&self) -> Result<Option<PathBuf>, DistillError> {
        Ok(Index::read(&self.root)?.last.last().map(|name| self.root.join(name)))
    }

    /// The checkpoint with the highest score, if any had one.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn best(&self) -> Result<Option<PathBuf>, DistillError> {
        Ok(Index::read(&self.root)?.best.map(|name| self.root.join(name)))
    }

    /// Starts a checkpoint: a temporary folder into which its files go.
    pub(crate) fn begin(&self, step: usize) -> Result<PendingCheckpoint, DistillError> {
        fs::create_dir_all(&self.root).map_err(DistillError::io("create", &self.root))?;
        let folder = tempfile::Builder::new()
            .prefix(WRITING)
            .tempdir_in(&self.root)
            .map_err(DistillError::io("create a folder in", &self.root))?;
        Ok(PendingCheckpoint { name: format!("step-{step:08}"), folder })
    }

    /// Writes a checkpoint's files; [`Completing::start`] does the rest.
    pub(crate) fn write<B, M>(
        &self,
        pending: PendingCheckpoint,
        trainable: &Trainable<B, M>,
        stepper: &Stepper<B, M>,
        run: RunState,
        objective: Option<ObjectiveState>,
    ) -> Result<WrittenCheckpoint, DistillError>
    where
        B: AutodiffBackend,
        M: Student<B>,
    {
        let folder = pending.folder.path();
        let parameters = named_parameters(trainable);
        let weights = weights_of::<B, _>(trainable);
        // The two halves of what is written take about as long.
        thread::scope(|scope| {
            let weights = scope.spawn(move || {
                let path = folder.join(TRAINABLE);
                save_tensors(&weights, &path).map_err(DistillError::io("write", &path))
            });
            for (index, optimizer) in stepper.optimizers().enumerate() {
                optimizer.save(&folder.join(optimizer_stem(index)), &parameters)?;
            }
            if let Some(state) = objective.as_ref().filter(|state| !state.tensors.is_empty()) {
                let path = folder.join(OBJECTIVE);
                let tensors = state.tensors.iter();
                let tensors = tensors.map(|(name, data)| (name.clone(), Deferred::data(Cow::Borrowed(data))));
                save_tensors(&tensors.collect(), &path).map_err(DistillError::io("write", &path))?;
            }
            weights.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        let state = State {
            version: VERSION,
            seed: run.seed,
            total_steps: run.total_steps,
            position: run.position,
            optimizer_groups: stepper.optimizers().len(),
            identity: run.identity.clone(),
            objective: objective.map(|state| state.values),
            parameters: parameters.into_iter().map(|one| (one.path, one.shape)).collect(),
        };
        let json = serde_json::to_vec_pretty(&state).expect("a state of numbers and names is JSON");
        fs::write(folder.join(STATE), json).map_err(DistillError::io("write", folder.join(STATE)))?;
        Ok(WrittenCheckpoint { folder: self.clone(), pending })
    }

    /// Removes the checkpoints that the index does not name, and what crashes left half-written. What cannot
    /// be removed is only logged: the run itself is safe.
    fn prune(&self, index: &Index) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_old = name.starts_with("step-") && !index.names().any(|kept| kept == name);
            let path = entry.path();
            if (is_old || name.starts_with(WRITING))
                && let Err(error) =
                    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
            {
                log::warn!("cannot remove the old checkpoint {}: {error}", path.display());
            }
        }
    }

    /// Weights, optimizer state and position of the newest checkpoint that is whole; `None` where the folder
    /// has none at all.
    pub(crate) fn load<B, M>(
        &self,
        trainable: &Trainable<B, M>,
        run: &RunState,
        accept_changes: bool,
        device: &B::Device,
        stepper: impl Fn(&Trainable<B, M>) -> Stepper<B, M>,
    ) -> Result<Option<Loaded<B, M>>, DistillError>
    where
        B: AutodiffBackend,
        M: Student<B>,
    {
        let index = Index::read(&self.root)?;
        let mut damage = Vec::new();
        for name in index.names() {
            let folder = self.root.join(name);
            match seal::broken(&folder) {
                None => {
                    for reason in &damage {
                        log::warn!("{reason}; the run continues from {name}");
                    }
                    return open(folder, trainable.clone(), run, accept_changes, device, stepper).map(Some);
                }
                Some(reason) => damage.push(format!("the checkpoint {name} is damaged: {reason}")),
            }
        }
        if damage.is_empty() {
            return Ok(None);
        }
        Err(DistillError::Checkpoint { path: self.root.clone(), reason: damage.join("; ") })
    }
}

/// Reads a checkpoint that is whole.
fn open<B, M>(
    folder: PathBuf,
    trainable: Trainable<B, M>,
    run: &RunState,
    accept_changes: bool,
    device: &B::Device,
    stepper: impl Fn(&Trainable<B, M>) -> Stepper<B, M>,
) -> Result<Loaded<B, M>, DistillError>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    let damaged = |reason: String| DistillError::Checkpoint { path: folder.clone(), reason };
    let bytes = fs::read(folder.join(STATE)).map_err(DistillError::io("read", folder.join(STATE)))?;
    let version = serde_json::from_slice::<Value>(&bytes).map_err(|error| damaged(error.to_string()))?;
    if version["version"] != VERSION {
        let version = &version["version"];
        return Err(damaged(format!("its format is {version}, this version of Brew reads {VERSION}")));
    }
    let state: State = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let Position { step, epoch, batch, .. } = state.position;
    if epoch as u64 > batch || step as u64 > batch {
        return Err(damaged(format!("its position cannot be: step {step}, epoch {epoch}, batch {batch}")));
    }
    if let Some(reason) = state.misfit(&parameter_shapes(&trainable)) {
        return Err(damaged(reason));
    }
    let changes = state.changes(run);
    if !changes.is_empty() {
        if !accept_changes {
            return Err(DistillError::Changed { path: folder, changes });
        }
        log::warn!("the run goes on although it changed: {}", changes.join("; "));
    }
    let trainable = load_weights::<B, _>(trainable, &folder.join(TRAINABLE), device)
        .map_err(|reason| damaged(format!("{TRAINABLE}: {reason}")))?;
    let mut stepper = stepper(&trainable);
    if stepper.optimizers().len() != state.optimizer_groups {
        return Err(damaged("the optimizer's parameter groups differ from the configuration's".into()));
    }
    let parameters = named_parameters(&trainable);
    for (index, optimizer) in stepper.optimizers_mut().enumerate() {
        let stem = optimizer_stem(index);
        optimizer
            .load(&folder.join(&stem), &parameters, device)
            .map_err(|error| damaged(format!("{stem}: {error}")))?;
    }
    let tensors =
        load_tensors(&folder.join(OBJECTIVE)).map_err(|reason| damaged(format!("{OBJECTIVE}: {reason}")))?;
    let objective = state.objective.map(|values| ObjectiveState { values, tensors });
    Ok(Loaded { trainable, stepper, position: state.position, objective, folder })
}

/// What a checkpoint brings back.
pub(crate) struct Loaded<B: AutodiffBackend, M: Student<B>> {
    pub(crate) trainable: Trainable<B, M>,
    pub(crate) stepper: Stepper<B, M>,
    pub(crate) position: Position,
    /// What the objective kept.
    pub(crate) objective: Option<ObjectiveState>,
    /// Where it came from, for errors.
    pub(crate) folder: PathBuf,
}

/// What a checkpoint says of its run.
#[derive(Debug, Clone)]
pub(crate) struct RunState {
    pub(crate) seed: u64,
    pub(crate) total_steps: usize,
    pub(crate) position: Position,
    /// What the run is, beyond that: its configuration, its data.
    pub(crate) identity: Value,
}

/// A checkpoint whose files are being written; removed when dropped before it is complete.
pub(crate) struct PendingCheckpoint {
    name: String,
    folder: tempfile::TempDir,
}

impl PendingCheckpoint {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A checkpoint whose files are all written, but neither sealed nor on the disk for sure.
pub(crate) struct WrittenCheckpoint {
    folder: CheckpointFolder,
    pending: PendingCheckpoint,
}

impl WrittenCheckpoint {
    /// Completes it: it becomes the last one and, with a score at least as high as the best so far, the best one.
    fn complete(self, score: Option<f64>) -> Result<(), DistillError> {
        let Self { folder: checkpoints, pending: PendingCheckpoint { name, folder } } = self;
        let root = &checkpoints.root;
        seal::seal(folder.path())?;
        let target = root.join(&name);
        if target.exists() {
            // Of a run that was taken up before this step.
            fs::remove_dir_all(&target).map_err(DistillError::io("replace", &target))?;
        }
        fs::rename(folder.path(), &target).map_err(DistillError::io("rename", folder.path()))?;
        // Nothing is left under the old name.
        let _ = folder.keep();
        sync_folder(root)?;

        let mut index = Index::read(root)?;
        index.add(&name, score, checkpoints.keep);
        index.write(root)?;
        checkpoints.prune(&index);
        Ok(())
    }
}

/// The checkpoint that is being completed on a thread of its own, if any: one at a time. Dropped, it is waited for.
#[derive(Default)]
pub(crate) struct Completing(Option<JoinHandle<Result<(), DistillError>>>);

impl Completing {
    /// Begins to complete a checkpoint, when the one before it is.
    ///
    /// # Errors
    /// Those of the one before it; a thread that cannot be had.
    pub(crate) fn start(
        &mut self,
        written: WrittenCheckpoint,
        score: Option<f64>,
    ) -> Result<(), DistillError> {
        self.wait()?;
        let root = written.folder.root.clone();
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        let started = thread.spawn(move || written.complete(score));
        self.0 = Some(started.map_err(DistillError::io("start a thread for", root))?);
        Ok(())
    }

    /// Waits until everything that was begun is complete.
    ///
    /// # Errors
    /// Why it could not be completed. The checkpoint before it is still there.
    pub(crate) fn wait(&mut self) -> Result<(), DistillError> {
        match self.0.take() {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => Ok(()),
        }
    }
}

impl Drop for Completing {
    fn drop(&mut self) {
        if let Some(Ok(Err(error))) = self.0.take().map(JoinHandle::join) {
            log::warn!("the last checkpoint was not completed: {error}");
        }
    }
}

impl State {
    /// What this checkpoint's run was and `run` is not.
    fn changes(&self, run: &RunState) -> Vec<String> {
        let mut changes = differences(&self.identity, &run.identity);
        if self.seed != run.seed && !changes.iter().any(|change| change.contains("seed")) {
            changes.push(format!("seed: {} then, {} now", self.seed, run.seed));
        }
        if self.total_steps != run.total_steps {
            changes.push(format!(
                "optimizer steps of the run: {} then, {} now",
                self.total_steps, run.total_steps
            ));
        }
        changes
    }

    /// Why these are not the parameters of the trained model.
    fn misfit(&self, parameters: &[(String, Vec<usize>)]) -> Option<String> {
        let differing = self.parameters.iter().zip(parameters).find(|(saved, now)| saved != now);
        match differing {
            Some(((saved, shape), (now, now_shape))) => {
                Some(format!("it holds {saved} {shape:?} where the model has {now} {now_shape:?}"))
            }
            None if self.parameters.len() != parameters.len() => Some(format!(
                "it holds {} parameters, the model has {}",
                self.parameters.len(),
                parameters.len()
            )),
            None => None,
        }
    }
}

fn parameter_shapes<B, M>(trainable: &Trainable<B, M>) -> Vec<(String, Vec<usize>)>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    named_parameters(trainable).into_iter().map(|one| (one.path, one.shape)).collect()
}

fn optimizer_stem(group: usize) -> String {
    format!("optimizer-{group}")
}

/// Writes a file under a temporary name, syncs it and renames it.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DistillError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(WRITING)
        .tempfile_in(folder)
        .map_err(DistillError::io("write", path))?;
    file.write_all(bytes).map_err(DistillError::io("write", path))?;
    file.as_file().sync_all().map_err(DistillError::io("sync", path))?;
    file.persist(path).map_err(|error| DistillError::io("rename", path)(error.error))?;
    sync_folder(folder)
}

/// Flushes a folder's names to the disk, where the system can.
fn sync_folder(folder: &Path) -> Result<(), DistillError> {
    if cfg!(unix) {
        File::open(folder).and_then(|file| file.sync_all()).map_err(DistillError::io("sync", folder))?;
    }
    Ok(())
}
