//! Several tasks in one student: a shared encoder, a classifier and a teacher for each task.

mod check;
mod student;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use brew_distillers::{
    BatchSource, Callback, CallbackError, CheckpointEvent, Hooks, MultiTaskDistiller, NotFiniteEvent,
    StepReport, StudentSide, Task, TaskBatches, Trained,
};
use brew_models::LoadOptions;
use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::{AutodiffBackend, Backend};
use serde::Serialize;
use serde_json::json;

use crate::cache::{self, Keeping};
use crate::check::before_tasks;
use crate::corpus::Split;
use crate::journal::{Curves, Journal};
use crate::output::{RunFolder, model_in};
use crate::teaching::{RunBatch, ensemble, read_batches};
use crate::train::{evaluate, initial_model, note_initialised, teachers};
use crate::{
    BackendJob, BackendKind, Keep, Observer, OutputPolicy, Run, RunConfig, RunError, RunKind, TaskKind,
    TaskModel, TaskReport, dispatch, identity,
};

pub(crate) use check::{TaskRuns, alone, problems_of_tasks};
pub use student::{MultiTaskClassifier, TaskAdaptor};

/// How a run of several tasks ended, as `result.json` holds it.
#[derive(Debug, Clone, Serialize)]
pub struct TasksSummary {
    /// `distill`.
    pub command: &'static str,
    /// The backend's name.
    pub backend: String,
    /// Parameters of the student: encoder, pooler and all classifiers.
    pub parameters: usize,
    /// Optimizer steps finished, of all tasks.
    pub steps: usize,
    /// Seconds of training and evaluation, of this process.
    pub seconds: f64,
    /// Whether the run was stopped early; it can be continued.
    pub interrupted: bool,
    /// What became of each task, in the order of the run file.
    pub tasks: Vec<TaskSummary>,
}

/// What became of one task; nothing yet after an interruption.
#[derive(Debug, Clone, Serialize)]
pub struct TaskSummary {
    /// The task.
    pub name: String,
    /// Scores on its development file.
    pub dev: Option<TaskReport>,
    /// Scores on its test file.
    pub test: Option<TaskReport>,
    /// The folder of the model that is exported for it: encoder, pooler and its classifier.
    pub model: Option<PathBuf>,
}

/// Distils the teachers of several tasks into one student, as the `[[tasks]]` of a configuration say.
///
/// `stop` ends the run after the step during which it becomes true, with a checkpoint. The run's folder is
/// that of [`train`](crate::train) with a folder for each task below `model/`.
///
/// # Errors
/// Before training: [`RunError::Config`] with every problem of the configuration and of its tasks at once, or
/// the first file that cannot be used; later what keeps training from going on.
pub fn distill_tasks(
    backend: BackendKind,
    config: RunConfig,
    policy: OutputPolicy,
    stop: Arc<AtomicBool>,
    observer: &mut dyn Observer,
) -> Result<TasksSummary, RunError> {
    dispatch(backend, TasksJob { backend, config, policy, stop, observer })
}

struct TasksJob<'a> {
    backend: BackendKind,
    config: RunConfig,
    policy: OutputPolicy,
    stop: Arc<AtomicBool>,
    observer: &'a mut dyn Observer,
}

pub(crate) type Models<B> = Vec<TaskModel<<B as AutodiffBackend>::InnerBackend>>;

impl BackendJob for TasksJob<'_> {
    type Output = Result<TasksSummary, RunError>;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
        let started = Instant::now();
        before_tasks::<B::InnerBackend>(&self.config, self.policy)?;
        let runs = TaskRuns::read(self.config)?;
        for ignored in runs.config.training.ignored_fields() {
            self.observer.note(&format!("training.{ignored}"));
        }
        // Weights are read before the output folder is touched: a broken checkpoint leaves no trace.
        let student = initial_student::<B>(&runs, self.observer, &device)?;
        let teachers =
            runs.runs.iter().map(|run| teachers::<B>(run, &device)).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<&Run> = runs.runs.iter().collect();
        let kept = cache::open(&all, self.policy.is_resuming(), self.observer)?;
        let parameters = Module::<B>::num_params(&student);
        let config = serde_json::to_value(&runs.config).expect("a configuration is JSON");
        let folder = RunFolder::open(&runs.config.training.output_dir, self.policy, &config)?;
        let curves = Curves::new(&folder, &runs.config.training);
        let journal = Journal::new(self.observer, folder.log()?, curves);
        let of_teachers: Vec<usize> =
            teachers.iter().flatten().map(Module::<B::InnerBackend>::num_params).collect();
        let tasks: Vec<_> = runs
            .named()
            .map(|(name, run)| {
                json!({"name": name, "examples": run.train.features.len(), "labels": run.labels.names()})
            })
            .collect();
        journal.open(json!({
            "command": RunKind::Distill.name(), "backend": self.backend.name(), "parameters": parameters,
            "teacher_parameters": of_teachers, "tasks": tasks,
        }))?;

        let watch = Watch { runs: &runs, folder: &folder, journal, device: device.clone() };
        let hooks = Hooks::new()
            .with_callback(&watch)
            .with_checkpoints(folder.checkpoints())
            .resuming(self.policy.is_resuming())
            .accepting_changes(self.policy == OutputPolicy::ResumeChanged)
            .with_identity(identity::of_tasks(&runs.config, runs.named(), self.backend)?)
            .with_stop(self.stop);
        let trained = distil(&runs, student, teachers, kept, &device, hooks)?;

        let mut summary = TasksSummary {
            command: RunKind::Distill.name(),
            backend: self.backend.name().to_owned(),
            parameters,
            steps: trained.steps,
            seconds: 0.0,
            interrupted: trained.interrupted,
            tasks: Vec::new(),
        };
        let is_finished = !trained.interrupted;
        let models = if is_finished { chosen_models(&runs, &folder, &trained, &device)? } else { Vec::new() };
        for (index, (name, run)) in runs.named().enumerate() {
            let mut task = TaskSummary { name: name.to_owned(), dev: None, test: None, model: None };
            if let Some(model) = models.get(index) {
                task.dev = watch.evaluate(index, "dev", run.dev.as_ref(), model, summary.steps)?;
                task.test = watch.evaluate(index, "test", run.test.as_ref(), model, summary.steps)?;
                let place = folder.model().join(name);
                model.save(&run.model, Some(&run.tokenizer_folder), &place)?;
                task.model = Some(place);
            }
            summary.tasks.push(task);
        }
        summary.seconds = started.elapsed().as_secs_f64();
        let result = serde_json::to_value(&summary).expect("a summary is JSON");
        watch.journal.end(&result)?;
        if is_finished {
            folder.write_result(&result)?;
        }
        Ok(summary)
    }
}

/// The student as it starts: encoder, pooler and first classifier as the first task's own run would have
/// them, the other classifiers each from a key of its own.
pub(crate) fn initial_student<B: AutodiffBackend>(
    runs: &TaskRuns,
    observer: &mut dyn Observer,
    device: &B::Device,
) -> Result<MultiTaskClassifier<B>, RunError> {
    let mut models = Vec::new();
    let mut noted = Vec::new();
    for (index, run) in runs.runs.iter().enumerate() {
        let key = run.key().purpose("initial weights");
        let key = if index == 0 { key } else { key.index(index as u64) };
        let (model, mut initialised) = initial_model::<B>(run, key, device)?;
        if index > 0 {
            // The rest of it is the first task's.
            initialised.retain(|name| name.starts_with("classifier"));
        }
        if !noted.contains(&initialised) {
            note_initialised(run, &initialised, observer);
            noted.push(initialised);
        }
        let TaskModel::Texts(model) = model else { unreachable!("tasks are classifications of texts") };
        models.push(model);
    }
    Ok(MultiTaskClassifier::new(models))
}

pub(crate) fn distil<B: AutodiffBackend>(
    runs: &TaskRuns,
    student: MultiTaskClassifier<B>,
    teachers: Vec<Models<B>>,
    kept: Vec<Vec<Keeping>>,
    device: &B::Device,
    hooks: Hooks<'_, MultiTaskClassifier<B>>,
) -> Result<Trained<B, MultiTaskClassifier<B>>, RunError> {
    let mut tasks = Vec::new();
    let mut sources: Vec<Box<dyn BatchSource<RunBatch<B>> + '_>> = Vec::new();
    for ((index, (name, run)), (teachers, kept)) in
        runs.named().enumerate().zip(teachers.into_iter().zip(kept))
    {
        let adaptor = StudentSide::new(TaskAdaptor::new(index));
        tasks.push(Task::with_teachers(name, ensemble::<B>(run, teachers, kept)?, adaptor));
        sources.push(Box::new(read_batches(run, run.batches::<B>(device)?)));
    }
    let batches = TaskBatches::new(sources, runs.tau(), runs.runs[0].key())?;
    let (training, distillation) = (runs.config.training.clone(), runs.config.distillation.clone());
    let distiller = MultiTaskDistiller::new(training, distillation, tasks)?;
    Ok(distiller.train(student, &batches, hooks)?)
}

/// The tasks' models of the last or the best checkpoint, without autodiff.
fn chosen_models<B: AutodiffBackend>(
    runs: &TaskRuns,
    folder: &RunFolder,
    trained: &Trained<B, MultiTaskClassifier<B>>,
    device: &B::Device,
) -> Result<Models<B>, RunError> {
    let best = match runs.config.evaluation.keep {
        Keep::Last => None,
        Keep::Best => folder.checkpoints().best()?,
    };
    let Some(checkpoint) = best else {
        return Ok(task_models(trained.trainable.student.valid()).collect());
    };
    runs.named()
        .map(|(name, _)| {
            let place = model_in(&checkpoint).join(name);
            Ok(TaskModel::load(TaskKind::Classification, &place, &LoadOptions::default(), device)?.model)
        })
        .collect()
}

/// The student as a model of each of its tasks.
fn task_models<B: Backend>(student: MultiTaskClassifier<B>) -> impl Iterator<Item = TaskModel<B>> {
    student.into_tasks().into_iter().map(TaskModel::Texts)
}

/// Tells observer and log what happens, evaluates and exports every task at checkpoints.
struct Watch<'a, B: AutodiffBackend> {
    runs: &'a TaskRuns,
    folder: &'a RunFolder,
    journal: Journal<'a>,
    device: B::Device,
}

impl<B: AutodiffBackend> Watch<'_, B> {
    fn evaluate(
        &self,
        task: usize,
        name: &str,
        split: Option<&Split>,
        model: &TaskModel<B::InnerBackend>,
        step: usize,
    ) -> Result<Option<TaskReport>, RunError> {
        let Some(split) = split else { return Ok(None) };
        let started = Instant::now();
        let report = evaluate(&self.runs.runs[task], split, model, &self.device)?;
        let seconds = started.elapsed().as_secs_f64();
        self.journal.evaluation(Some(self.runs.name(task)), name, step, &report, seconds)?;
        Ok(Some(report))
    }
}

impl<B: AutodiffBackend> Callback<MultiTaskClassifier<B>> for &Watch<'_, B> {
    fn on_start(&mut self, step: usize, total_steps: usize) -> Result<(), CallbackError> {
        Ok(self.journal.begin(RunKind::Distill.name(), step, total_steps)?)
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

    /// The mean of the scores of the tasks that have a development file.
    fn on_checkpoint(
        &mut self,
        student: &MultiTaskClassifier<B>,
        event: CheckpointEvent<'_>,
    ) -> Result<Option<f64>, CallbackError> {
        let mut scores = Vec::new();
        for (index, model) in task_models(student.valid()).enumerate() {
            let run: &Run = &self.runs.runs[index];
            if let Some(folder) = event.folder {
                let place = model_in(folder).join(self.runs.name(index));
                model.write(&run.model, Some(&run.tokenizer_folder), &place)?;
            }
            let report = self.evaluate(index, "dev", run.dev.as_ref(), &model, event.step)?;
            scores.extend(report.map(|report| run.score(&report)));
        }
        let count = scores.len();
        Ok((count > 0).then(|| scores.into_iter().sum::<f64>() / count as f64))
    }
}
