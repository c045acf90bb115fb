//! Checkpoints on disk: complete or absent.
//!
//! A folder holds one sub-folder a checkpoint and an `index.json` that names the last and the best.
//! A checkpoint is written to a temporary name, synced and renamed before the index names it, and
//! what the index no longer names is removed afterwards, so that a crash at any moment leaves the
//! previous one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::record::{FullPrecisionSettings, NamedMpkFileRecorder, Recorder};
use burn::tensor::backend::AutodiffBackend;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::objective_state::{load_tensors, save_tensors};
use crate::parameters::named_parameters;
use crate::step::Stepper;
use crate::untrusted::reading;
use crate::{DistillError, ObjectiveState, Student, Trainable};

const VERSION: u32 = 1;
const INDEX: &str = "index.json";
const STATE: &str = "state.json";
const TRAINABLE: &str = "trainable.mpk";
const OBJECTIVE: &str = "objective.safetensors";

/// Where a run stood when a checkpoint was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Optimizer steps finished.
    pub(crate) step: usize,
    /// Epoch of the next batch.
    pub(crate) epoch: usize,
    /// Batches of that epoch that are done.
    pub(crate) batch_in_epoch: usize,
    /// Batches done over the whole run.
    pub(crate) batch: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    seed: u64,
    total_steps: usize,
    position: Position,
    optimizer_groups: usize,
    /// What the objective keeps, besides what is trained and the tensors of a file of their own.
    #[serde(default)]
    objective: Option<Value>,
    /// Path and shape of each trained parameter.
    parameters: Vec<(String, Vec<usize>)>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Index {
    last: Option<String>,
    best: Option<String>,
    best_score: Option<f64>,
}

/// A folder with the last and the best checkpoint of a run.
#[derive(Debug, Clone)]
pub struct CheckpointFolder {
    root: PathBuf,
}

impl CheckpointFolder {
    /// The checkpoints in `root`, which is made when the first is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The last complete checkpoint, if any.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn last(&self) -> Result<Option<PathBuf>, DistillError> {
        Ok(self.index()?.last.map(|name| self.root.join(name)))
    }

    /// The checkpoint with the highest score, if any had one.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn best(&self) -> Result<Option<PathBuf>, DistillError> {
        Ok(self.index()?.best.map(|name| self.root.join(name)))
    }

    fn index(&self) -> Result<Index, DistillError> {
        let path = self.root.join(INDEX);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| DistillError::Checkpoint { path, reason: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Index::default()),
            Err(source) => Err(DistillError::Io { action: "read", path, source }),
        }
    }

    /// Starts a checkpoint: a temporary folder into which its files go.
    pub(crate) fn begin(&self, step: usize) -> Result<PendingCheckpoint, DistillError> {
        fs::create_dir_all(&self.root).map_err(DistillError::io("create", &self.root))?;
        let folder = tempfile::Builder::new()
            .prefix(".writing-")
            .tempdir_in(&self.root)
            .map_err(DistillError::io("create a folder in", &self.root))?;
        Ok(PendingCheckpoint { name: format!("step-{step:08}"), folder })
    }

    /// Completes a checkpoint, which becomes the last one and, with a score at least as high as the
    /// best so far, the best one.
    pub(crate) fn complete<B, M>(
        &self,
        pending: PendingCheckpoint,
        trainable: &Trainable<B, M>,
        stepper: &Stepper<B, M>,
        run: RunState,
        objective: Option<ObjectiveState>,
        score: Option<f64>,
    ) -> Result<(), DistillError>
    where
        B: AutodiffBackend,
        M: Student<B>,
    {
        let folder = pending.folder.path();
        let recorder = NamedMpkFileRecorder::<FullPrecisionSettings>::new();
        let failed = |file: &str| {
            let path = folder.join(file);
            move |error: burn::record::RecorderError| DistillError::Checkpoint {
                path,
                reason: error.to_string(),
            }
        };
        Recorder::<B>::record(&recorder, trainable.clone().into_record(), folder.join(TRAINABLE))
            .map_err(failed(TRAINABLE))?;
        for (index, optimizer) in stepper.optimizers().enumerate() {
            let file = optimizer_file(index);
            optimizer.save(&folder.join(&file)).map_err(failed(&file))?;
        }
        if let Some(state) = objective.as_ref().filter(|state| !state.tensors.is_empty()) {
            let path = folder.join(OBJECTIVE);
            save_tensors(&state.tensors, &path)
                .map_err(|reason| DistillError::Checkpoint { path: path.clone(), reason })?;
        }
        let state = State {
            version: VERSION,
            seed: run.seed,
            total_steps: run.total_steps,
            position: run.position,
            optimizer_groups: stepper.optimizers().len(),
            objective: objective.map(|state| state.values),
            parameters: parameter_shapes(trainable),
        };
        let json = serde_json::to_vec_pretty(&state).expect("a state of numbers and names is JSON");
        fs::write(folder.join(STATE), json).map_err(DistillError::io("write", folder.join(STATE)))?;
        sync_files(folder)?;

        let target = self.root.join(&pending.name);
        if target.exists() {
            fs::remove_dir_all(&target).map_err(DistillError::io("replace", &target))?;
        }
        let written = pending.folder.keep();
        fs::rename(&written, &target).map_err(DistillError::io("rename", &written))?;

        let mut index = self.index()?;
        index.last = Some(pending.name.clone());
        if let Some(score) = score
            && index.best_score.is_none_or(|best| score >= best)
        {
            index.best = Some(pending.name);
            index.best_score = Some(score);
        }
        let json = serde_json::to_vec_pretty(&index).expect("an index of names is JSON");
        write_atomically(&self.root.join(INDEX), &json)?;
        self.prune(&index);
        Ok(())
    }

    /// Removes the checkpoints that the index does not name. What cannot be removed is only logged:
    /// the run itself is safe.
    fn prune(&self, index: &Index) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kept = Some(&name) == index.last.as_ref() || Some(&name) == index.best.as_ref();
            if name.starts_with("step-")
                && !kept
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                log::warn!("cannot remove the old checkpoint {}: {error}", entry.path().display());
            }
        }
    }

    /// The last checkpoint's weights, optimizer state and position.
    pub(crate) fn load<B, M>(
        &self,
        trainable: Trainable<B, M>,
        run: RunState,
        device: &B::Device,
        stepper: impl FnOnce(&Trainable<B, M>) -> Stepper<B, M>,
    ) -> Result<Option<Loaded<B, M>>, DistillError>
    where
        B: AutodiffBackend,
        M: Student<B>,
    {
        let Some(folder) = self.last()? else { return Ok(None) };
        let damaged = |reason: String| DistillError::Checkpoint { path: folder.clone(), reason };
        let bytes = fs::read(folder.join(STATE)).map_err(DistillError::io("read", folder.join(STATE)))?;
        let state: State = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if state.version != VERSION {
            return Err(damaged(format!("its format is {}, this version reads {VERSION}", state.version)));
        }
        if let Some(reason) = state.difference(&run, &parameter_shapes(&trainable)) {
            return Err(damaged(reason));
        }
        let recorder = NamedMpkFileRecorder::<FullPrecisionSettings>::new();
        let record = reading(|| Recorder::<B>::load(&recorder, folder.join(TRAINABLE), device))
            .map_err(|error| damaged(format!("{TRAINABLE}: {error}")))?;
        let trainable = trainable.load_record(record);
        if parameter_shapes(&trainable) != state.parameters {
            return Err(damaged(format!("{TRAINABLE}: its shapes are not those that {STATE} names")));
        }
        let mut stepper = stepper(&trainable);
        if stepper.optimizers().len() != state.optimizer_groups {
            return Err(damaged("the optimizer's parameter groups differ from the configuration's".into()));
        }
        for (index, optimizer) in stepper.optimizers_mut().enumerate() {
            let file = optimizer_file(index);
            reading(|| optimizer.load(&folder.join(&file), device))
                .map_err(|error| damaged(format!("{file}: {error}")))?;
        }
        let tensors = load_tensors(&folder.join(OBJECTIVE))
            .map_err(|reason| damaged(format!("{OBJECTIVE}: {reason}")))?;
        let objective = state.objective.map(|values| ObjectiveState { values, tensors });
        Ok(Some(Loaded { trainable, stepper, position: state.position, objective, folder }))
    }
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunState {
    pub(crate) seed: u64,
    pub(crate) total_steps: usize,
    pub(crate) position: Position,
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

impl State {
    /// What makes this checkpoint unfit for a run.
    fn difference(&self, run: &RunState, parameters: &[(String, Vec<usize>)]) -> Option<String> {
        if self.seed != run.seed {
            return Some(format!("it was made with seed {}, this run has seed {}", self.seed, run.seed));
        }
        if self.total_steps != run.total_steps {
            return Some(format!(
                "it is of a run of {} steps, this one has {}: data, batch size or epochs changed",
                self.total_steps, run.total_steps
            ));
        }
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

fn optimizer_file(group: usize) -> String {
    format!("optimizer-{group}.mpk")
}

/// Writes a file under a temporary name, syncs it and renames it.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DistillError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(DistillError::io("write", path))?;
    file.write_all(bytes).map_err(DistillError::io("write", path))?;
    file.as_file().sync_all().map_err(DistillError::io("sync", path))?;
    file.persist(path).map_err(|error| DistillError::io("rename", path)(error.error))?;
    Ok(())
}

/// Syncs every file below a folder.
fn sync_files(folder: &Path) -> Result<(), DistillError> {
    for entry in fs::read_dir(folder).map_err(DistillError::io("read", folder))? {
        let path = entry.map_err(DistillError::io("read", folder))?.path();
        if path.is_dir() {
            sync_files(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(DistillError::io("sync", &path))?;
        }
    }
    Ok(())
}
