//! `textbrew check`: a run file, everything wrong with it, and what the run will take.

use std::path::{Path, PathBuf};

use brew_config::Problem;
use burn::tensor::backend::{AutodiffBackend, Backend};
use serde::Serialize;

use super::estimate::{CacheSize, DataSize, MemoryEstimate, ModelSize, StepCount, cache_size};
use super::examine::{Examination, examine};
use super::trial::{Trial, trial};
use super::{all_problems, output};
use crate::multi_task::alone;
use crate::settings::{load_run, read_run};
use crate::{BackendJob, BackendKind, OutputPolicy, RunConfig, RunError, RunKind, dispatch};

/// What [`check_run`] is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// What the run file is for; a distillation where it names a teacher or tasks, if this is left out.
    pub kind: Option<RunKind>,
    /// What is to become of a run that is in the output folder.
    pub policy: OutputPolicy,
    /// Whether to load the models and make a few steps, where nothing is wrong.
    pub trial: bool,
}

/// What is known of a run before it begins.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// The run file.
    pub run: PathBuf,
    /// `train` or `distill`.
    pub command: &'static str,
    /// Everything that is wrong; the file of each is the run file where it is in no other.
    pub problems: Vec<Problem>,
    /// The models of the run.
    pub models: Vec<ModelSize>,
    /// The data files of the run.
    pub data: Vec<DataSize>,
    /// How many steps it has.
    pub steps: Option<StepCount>,
    /// An estimate of the memory that it takes.
    pub memory: Option<MemoryEstimate>,
    /// An estimate of the size of what it needs of its teachers, all of them together.
    pub cache: Option<CacheSize>,
    /// What a few steps took.
    pub trial: Option<Trial>,
}

/// Looks at a run file with settings, and everything that it names: the run file to its end, the headers of the
/// checkpoints, the tokenizers, the first rows of the data and the output folder.
///
/// Problems are in the report. A run without problems may still be stopped by a row further down in a file.
///
/// # Errors
/// A trial that fails.
pub fn check_run(
    backend: BackendKind,
    path: &Path,
    settings: &[String],
    options: CheckOptions,
) -> Result<CheckReport, RunError> {
    let (reading, mut problems) = read_run(path, settings);
    problems.extend(reading.problems.iter().cloned());
    let kind = options.kind.unwrap_or_else(|| match &reading.config {
        Some(config) if config.teacher.is_none() && config.tasks.is_empty() => RunKind::Train,
        _ => RunKind::Distill,
    });
    let mut report = CheckReport {
        run: path.to_path_buf(),
        command: kind.name(),
        problems: Vec::new(),
        models: Vec::new(),
        data: Vec::new(),
        steps: None,
        memory: None,
        cache: None,
        trial: None,
    };
    if let Some(config) = &reading.config {
        let further =
            dispatch(backend, ExamineJob { config, kind, policy: options.policy, report: &mut report });
        problems.extend(reading.further(further));
    }
    for problem in &mut problems {
        problem.file.get_or_insert_with(|| path.to_path_buf());
    }
    report.problems = problems;
    if options.trial
        && report.problems.is_empty()
        && let (Some(config), Some(steps)) = (reading.config, report.steps)
    {
        report.trial = Some(trial(backend, config, kind, steps.per_epoch)?);
    }
    Ok(report)
}

/// Reads a run file with settings for a run; where there is a mistake in it, everything else that is wrong is told
/// with it, as [`check_run`] does.
///
/// # Errors
/// [`RunError::Wrong`] with all problems; those of [`load_run`].
pub fn load_run_for(
    backend: BackendKind,
    path: &Path,
    settings: &[String],
    kind: RunKind,
    policy: OutputPolicy,
) -> Result<RunConfig, RunError> {
    load_run(path, settings).or_else(|error| {
        let options = CheckOptions { kind: Some(kind), policy, trial: false };
        let problems = check_run(backend, path, settings, options)?.problems;
        Err(match problems.is_empty() {
            true => error,
            false => RunError::Wrong { run: path.to_path_buf(), problems },
        })
    })
}

struct ExamineJob<'a> {
    config: &'a RunConfig,
    kind: RunKind,
    policy: OutputPolicy,
    report: &'a mut CheckReport,
}

impl BackendJob for ExamineJob<'_> {
    type Output = Vec<Problem>;

    fn run<B: AutodiffBackend>(self, _device: B::Device) -> Vec<Problem> {
        let Self { config, kind, policy, report } = self;
        if kind == RunKind::Distill && !config.tasks.is_empty() {
            return report.fill_tasks::<B::InnerBackend>(config, policy);
        }
        let mut examination = examine::<B::InnerBackend>(config, kind);
        let mut problems = std::mem::take(&mut examination.problems);
        problems.extend(output::problems(&config.training.output_dir, policy));
        report.fill(config, kind, &[(None, config.clone(), examination)]);
        problems
    }
}

impl CheckReport {
    fn fill_tasks<B: Backend>(&mut self, config: &RunConfig, policy: OutputPolicy) -> Vec<Problem> {
        let tasks: Vec<(Option<String>, RunConfig, Examination)> = config
            .tasks
            .iter()
            .map(|task| {
                let config = alone(config, task);
                let examination = examine::<B>(&config, RunKind::Distill);
                (Some(task.name.clone()), config, examination)
            })
            .collect();
        self.fill(config, RunKind::Distill, &tasks);
        all_problems::<B>(config, RunKind::Distill, policy)
    }

    /// Sizes and estimates, as far as what was found tells them.
    fn fill(
        &mut self,
        config: &RunConfig,
        kind: RunKind,
        tasks: &[(Option<String>, RunConfig, Examination)],
    ) {
        let role = if kind == RunKind::Train { "model" } else { "student" };
        let mut teachers = Vec::new();
        let (mut batches, mut longest, mut batch_size) = (Some(0), 0, 0);
        let mut cache = CacheSize::default();
        for (name, config, examination) in tasks {
            if let (Some(student), true) = (&examination.student, self.models.is_empty()) {
                let source = examination.student_source.clone();
                self.models.push(ModelSize::new(role, source, student, config.task));
            }
            let named =
                |part: &str| name.as_ref().map_or_else(|| part.to_owned(), |name| format!("{part} {name}"));
            let limit = config.data.length_limit(config.task);
            let mut rows = None;
            for (part, sample) in &examination.samples {
                let size = DataSize::new(named(part), sample, limit);
                let (is_trained_on, most) = match *part {
                    "train" => (true, config.data.train_examples),
                    "transfer" => (true, config.data.transfer_examples),
                    _ => (false, None),
                };
                if is_trained_on {
                    rows = Some(rows.unwrap_or(0) + sample.count.min(most.unwrap_or(usize::MAX)));
                    longest = longest.max(size.longest);
                }
                self.data.push(size);
            }
            batch_size = batch_size.max(config.data.batch_size);
            let batches_of =
                rows.filter(|_| config.data.batch_size > 0).map(|rows| rows.div_ceil(config.data.batch_size));
            batches = batches.zip(batches_of).map(|(sum, more)| sum + more);
            let features =
                examination.samples.first().map_or(&[][..], |(_, sample)| sample.features.as_slice());
            for (number, (folder, teacher)) in examination.teachers.iter().enumerate() {
                let source = folder.display().to_string();
                self.models.push(ModelSize::new("teacher", source, teacher, config.task));
                teachers.push(teacher.clone());
                let one = cache_size(config, number, teacher).of_rows(features, rows.unwrap_or(0));
                cache = CacheSize {
                    per_example: cache.per_example + one.per_example,
                    per_token: cache.per_token + one.per_token,
                    per_token_pair: cache.per_token_pair + one.per_token_pair,
                    total: cache.total + one.total,
                };
            }
        }
        self.steps = batches.filter(|&count| count > 0).map(|count| StepCount::new(config, count));
        if let Some((_, config, Examination { student: Some(student), .. })) = tasks.first()
            && longest > 0
        {
            self.memory = Some(MemoryEstimate::new((student, config.task), &teachers, batch_size, longest));
        }
        self.cache = (!teachers.is_empty() && longest > 0).then_some(cache);
    }
}
