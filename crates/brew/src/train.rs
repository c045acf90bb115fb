//! Training and distillation of a checked run.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use brew_distillers::{
    BasicTrainer, Callback, CallbackError, CheckpointEvent, Hooks, NotFiniteEvent, StepReport, Trained,
};
use brew_models::LoadOptions;
use brew_random::Key;
use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::{AutodiffBackend, Backend};
use serde::Serialize;
use serde_json::json;

use crate::cache;
use crate::check::before_training;
use crate::corpus::Split;
use crate::journal::{Curves, Journal};
use crate::output::{RunFolder, model_in};
use crate::teaching::distil;
use crate::{
    BackendJob, BackendKind, Keep, Observer, OutputPolicy, Run, RunConfig, RunError, RunKind, TaskKind,
    TaskModel, TaskModelAdaptor, TaskReport, dispatch, identity,
};

/// How a run ended, as `result.json` holds it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// `train` or `distill`.
    pub command: &'static str,
    /// The backend's name.
    pub backend: String,
    /// The task's name.
    pub task: TaskKind,
    /// What `config.json` calls the architecture of the trained model.
    pub model_type: &'static str,
    /// Parameters of the trained model.
    pub parameters: usize,
    /// Optimizer steps finished.
    pub steps: usize,
    /// Seconds of training and evaluation, of this process.
    pub seconds: f64,
    /// Whether the run was stopped early; it can be continued.
    pub interrupted: bool,
    /// Scores on the development file.
    pub dev: Option<TaskReport>,
    /// Scores on the test file.
    pub test: Option<TaskReport>,
    /// The folder of the exported model; `None` after an interruption.
    pub model: Option<PathBuf>,
}

/// Trains or distils as a configuration says.
///
/// `stop` ends the run after the step during which it becomes true, with a checkpoint.
///
/// # Errors
/// Everything that [`Run::check`] finds before training, which refuses a configuration of several tasks:
/// [`distill_tasks`](crate::distill_tasks) is for those. Later what keeps training from going on.
pub fn train(
    backend: BackendKind,
    config: RunConfig,
    kind: RunKind,
    policy: OutputPolicy,
    stop: Arc<AtomicBool>,
    observer: &mut dyn Observer,
) -> Result<Summary, RunError> {
    dispatch(backend, TrainJob { backend, config, kind, policy, stop, observer })
}

struct TrainJob<'a> {
    backend: BackendKind,
    config: RunConfig,
    kind: RunKind,
    policy: OutputPolicy,
    stop: Arc<AtomicBool>,
    observer: &'a mut dyn Observer,
}

impl BackendJob for TrainJob<'_> {
    type Output = Result<Summary, RunError>;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
        let started = Instant::now();
        before_training::<B::InnerBackend>(&self.config, self.kind, self.policy)?;
        let run = Run::read(self.config, self.kind)?;
        for ignored in run.config.training.ignored_fields() {
            self.observer.note(&format!("training.{ignored}"));
        }
        for (name, note) in run.notes() {
            self.observer.note(&format!("{name}: {note}"));
        }
        // Weights are read before the output folder is touched: a broken checkpoint leaves no trace.
        let (student, initialised) = initial_model::<B>(&run, run.key().purpose("initial weights"), &device)?;
        note_initialised(&run, &initialised, self.observer);
        let teachers = teachers::<B>(&run, &device)?;
        let kept = cache::open(&[&run], self.policy.is_resuming(), self.observer)?.swap_remove(0);
        let parameters = Module::<B>::num_params(&student);
        let config = serde_json::to_value(run.config()).expect("a configuration is JSON");
        let folder = RunFolder::open(run.output(), self.policy, &config)?;
        let curves = Curves::new(&folder, &run.config.training);
        let journal = Journal::new(self.observer, folder.log()?, curves);
        let of_teachers: Vec<usize> = teachers.iter().map(Module::<B::InnerBackend>::num_params).collect();
        journal.open(json!({
            "command": run.kind().name(), "backend": self.backend.name(), "parameters": parameters,
            "teacher_parameters": of_teachers, "examples": run.train.features.len(),
        }))?;

        let batches = run.batches::<B>(&device)?;
        let watch =
            Watch { run: &run, folder: &folder, journal, device: device.clone(), last: RefCell::default() };
        let hooks = Hooks::new()
            .with_callback(&watch)
            .with_checkpoints(folder.checkpoints())
            .resuming(self.policy.is_resuming())
            .accepting_changes(self.policy == OutputPolicy::ResumeChanged)
            .with_identity(identity::of_run(&run, self.backend)?)
            .with_stop(self.stop);
        let trained = match run.kind() {
            RunKind::Train => {
                let trainer = BasicTrainer::new(run.config.training.clone(), TaskModelAdaptor);
                trainer.train(student, &batches, hooks)?
            }
            RunKind::Distill => distil(&run, student, teachers, kept, batches, hooks)?,
        };

        let mut summary = Summary {
            command: run.kind().name(),
            backend: self.backend.name().to_owned(),
            task: run.task(),
            model_type: run.model.architecture.model_type(),
            parameters,
            steps: trained.steps,
            seconds: 0.0,
            interrupted: trained.interrupted,
            dev: None,
            test: None,
            model: None,
        };
        if !trained.interrupted {
            let model = chosen_model(&run, &folder, trained, &device)?;
            summary.dev = match watch.known(summary.steps) {
                Some(report) => Some(report),
                None => watch.evaluate("dev", run.dev.as_ref(), &model, summary.steps)?,
            };
            summary.test = watch.evaluate("test", run.test.as_ref(), &model, summary.steps)?;
            model.save(&run.model, Some(&run.tokenizer_folder), &folder.model())?;
            summary.model = Some(folder.model());
        }
        summary.seconds = started.elapsed().as_secs_f64();
        let result = serde_json::to_value(&summary).expect("a summary is JSON");
        watch.journal.end(&result)?;
        if !summary.interrupted {
            folder.write_result(&result)?;
        }
        Ok(summary)
    }
}

/// The student as it starts, and the names of the parameters that its checkpoint did not have.
pub(crate) fn initial_model<B: AutodiffBackend>(
    run: &Run,
    key: Key,
    device: &B::Device,
) -> Result<(TaskModel<B>, Vec<String>), RunError> {
    let Some(folder) = &run.config.model.from else {
        return Ok((TaskModel::try_new(run.task(), &run.model, key, device)?, Vec::new()));
    };
    let options = LoadOptions {
        num_labels: Some(run.labels.len()),
        key,
        reinitialise_head: run.config.model.reinitialise_head,
    };
    let loaded = TaskModel::load(run.task(), folder, &options, device)?;
    let model = match &run.config.model.layers {
        None => loaded.model,
        Some(layers) => loaded.model.with_layers(&loaded.config, layers, device)?,
    };
    Ok((model, loaded.initialised))
}

/// Tells the user which parameters the checkpoint did not have.
pub(crate) fn note_initialised(run: &Run, names: &[String], observer: &mut dyn Observer) {
    if let (Some(folder), false) = (&run.config.model.from, names.is_empty()) {
        observer.note(&format!("{} has no {}: drawn anew", folder.display(), names.join(", ")));
    }
}

/// The teachers of a distillation, none of a training on labels.
pub(crate) fn teachers<B: AutodiffBackend>(
    run: &Run,
    device: &B::Device,
) -> Result<Vec<TaskModel<B::InnerBackend>>, RunError> {
    let folders = match (run.kind, &run.config.teacher) {
        (RunKind::Distill, Some(teacher)) => teacher.from.as_slice(),
        _ => &[],
    };
    folders.iter().map(|folder| teacher(run.task(), folder, run.labels.len(), device)).collect()
}

/// The teacher of a folder.
pub(crate) fn teacher<B: Backend>(
    task: TaskKind,
    folder: &Path,
    num_labels: usize,
    device: &B::Device,
) -> Result<TaskModel<B>, RunError> {
    let options = LoadOptions { num_labels: Some(num_labels), ..LoadOptions::default() };
    let loaded = TaskModel::load(task, folder, &options, device)?;
    match loaded.initialised.is_empty() {
        true => Ok(loaded.model),
        false => Err(RunError::NoClassifier { path: folder.to_owned() }),
    }
}

/// The model of the last or the best checkpoint, without autodiff.
fn chosen_model<B: AutodiffBackend>(
    run: &Run,
    folder: &RunFolder,
    trained: Trained<B, TaskModel<B>>,
    device: &B::Device,
) -> Result<TaskModel<B::InnerBackend>, RunError> {
    let best = match run.config.evaluation.keep {
        Keep::Last => None,
        Keep::Best => folder.checkpoints().best()?,
    };
    match best {
        None => Ok(trained.trainable.student.valid()),
        Some(checkpoint) => {
            Ok(TaskModel::load(run.task(), &model_in(&checkpoint), &LoadOptions::default(), device)?.model)
        }
    }
}

/// Tells observer and log what happens, evaluates and exports at checkpoints.
struct Watch<'a, B: AutodiffBackend> {
    run: &'a Run,
    folder: &'a RunFolder,
    journal: Journal<'a>,
    device: B::Device,
    /// The step of the last checkpoint of this process, and its report on the development file.
    last: RefCell<Option<(usize, TaskReport)>>,
}

impl<B: AutodiffBackend> Watch<'_, B> {
    /// The report of the model that is exported after `step` steps, if a checkpoint had it already.
    fn known(&self, step: usize) -> Option<TaskReport> {
        let (at, report) = self.last.borrow_mut().take()?;
        (at == step && self.run.config.evaluation.keep == Keep::Last).then_some(report)
    }

    fn evaluate(
        &self,
        name: &str,
        split: Option<&Split>,
        model: &TaskModel<B::InnerBackend>,
        step: usize,
    ) -> Result<Option<TaskReport>, RunError> {
        let Some(split) = split else { return Ok(None) };
        let started = Instant::now();
        let report = evaluate(self.run, split, model, &self.device)?;
        self.journal.evaluation(None, name, step, &report, started.elapsed().as_secs_f64())?;
        Ok(Some(report))
    }
}

impl<B: AutodiffBackend> Callback<TaskModel<B>> for &Watch<'_, B> {
    fn on_start(&mut self, step: usize, total_steps: usize) -> Result<(), CallbackError> {
        Ok(self.journal.begin(self.run.kind().name(), step, total_steps)?)
    }

    fn on_step(&mut self, step: usize, _total_steps: usize) -> Result<(), CallbackError> {
        self.journal.step(step);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize) -> Result<(), CallbackError> {
        self.journal.epoch_over(epoch);
        Ok(())
    }

    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.journal.report(report)
    }

    fn on_not_finite(&mut self, event: &NotFiniteEvent) -> Result<(), CallbackError> {
        self.journal.not_finite(self.folder, event)
    }

    fn on_checkpoint(
        &mut self,
        student: &TaskModel<B>,
        event: CheckpointEvent<'_>,
    ) -> Result<Option<f64>, CallbackError> {
        let model = student.valid();
        if let Some(folder) = event.folder {
            model.write(&self.run.model, Some(&self.run.tokenizer_folder), &model_in(folder))?;
        }
        let report = self.evaluate("dev", self.run.dev.as_ref(), &model, event.step)?;
        let score = report.as_ref().map(|report| self.run.score(report));
        *self.last.borrow_mut() = report.map(|report| (event.step, report));
        Ok(score)
    }
}

/// Scores of a model on the examples of one file.
pub(crate) fn evaluate<B: Backend>(
    run: &Run,
    split: &Split,
    model: &TaskModel<B>,
    device: &B::Device,
) -> Result<TaskReport, RunError> {
    let outputs = model.outputs(&split.features, run.config.data.eval_batch_size, run.collator, device)?;
    split.report(&outputs)
}
