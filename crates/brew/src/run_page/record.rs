//! A run as its folder tells it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use serde_json::Value;

use crate::RunError;
use crate::output::RunFolder;

/// What is known of a run, finished or not.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) folder: PathBuf,
    /// `run.json`.
    pub(super) config: Value,
    /// What the last process said when it began.
    pub(super) begin: Value,
    /// When the first process began, in seconds since 1970.
    pub(super) began: Option<u64>,
    /// How many processes worked on it.
    pub(super) processes: usize,
    pub(super) total_steps: Option<usize>,
    pub(super) reports: Vec<Report>,
    pub(super) evaluations: Vec<Evaluation>,
    /// How it ended, if it did.
    pub(super) result: Option<Value>,
    /// Bytes of the exported model's weights.
    pub(super) model_bytes: Option<u64>,
}

/// A `report` of the log.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Report {
    pub(super) step: usize,
    pub(super) total_steps: usize,
    pub(super) epoch: usize,
    pub(super) loss: f64,
    pub(super) terms: Vec<Term>,
    pub(super) temperature: Option<f64>,
    pub(super) lr: f64,
    pub(super) grad_norm: f64,
    pub(super) examples: usize,
    pub(super) tokens: usize,
    pub(super) seconds: f64,
}

/// A loss term of a report.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "AnyTerm")]
pub(super) struct Term {
    pub(super) name: String,
    pub(super) value: f64,
    /// Weight and weighted value; the first versions did not log them.
    pub(super) weighted: Option<(f64, f64)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyTerm {
    Full { name: String, value: f64, weight: f64, weighted: f64 },
    Pair(String, f64),
}

impl From<AnyTerm> for Term {
    fn from(term: AnyTerm) -> Self {
        match term {
            AnyTerm::Full { name, value, weight, weighted } => {
                Self { name, value, weighted: Some((weight, weighted)) }
            }
            AnyTerm::Pair(name, value) => Self { name, value, weighted: None },
        }
    }
}

/// An `evaluation` of the log, or scores of a result.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Evaluation {
    #[serde(default)]
    pub(super) task: Option<String>,
    pub(super) split: String,
    #[serde(default)]
    pub(super) step: usize,
    #[serde(default)]
    pub(super) seconds: Option<f64>,
    pub(super) report: Value,
}

impl Record {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// [`RunError::NotARun`] for any other folder; files that cannot be read. Lines of the log that were cut
    /// off are left out.
    pub(super) fn read(folder: &Path) -> Result<Self, RunError> {
        let path = RunFolder::config_in(folder);
        let config = match read_json(&path)? {
            Some(config) => config,
            None => return Err(RunError::NotARun { path: folder.to_path_buf() }),
        };
        let mut record = Self {
            folder: folder.to_path_buf(),
            config,
            begin: Value::Null,
            began: modified(&path),
            processes: 0,
            total_steps: None,
            reports: Vec::new(),
            evaluations: Vec::new(),
            result: read_json(&RunFolder::result_in(folder))?,
            model_bytes: weights(&folder.join("model")),
        };
        let log = RunFolder::log_in(folder);
        match File::open(&log) {
            Ok(file) => {
                for line in BufReader::new(file).split(b'\n') {
                    let line = line.map_err(RunError::io("read", &log))?;
                    if let Ok(event) = serde_json::from_slice(&line) {
                        record.take(event);
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(RunError::io("read", &log)(error)),
        }
        Ok(record)
    }

    /// Takes an event in. What a continued run did anew replaces what an earlier process said.
    fn take(&mut self, event: Value) {
        let kind = event["event"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "begin" => {
                if let Some(time) = event["time"].as_u64().filter(|_| self.processes == 0) {
                    self.began = Some(time);
                }
                self.processes += 1;
                self.begin = event;
            }
            "start" => {
                let step = event["step"].as_u64().unwrap_or(0) as usize;
                self.forget_after(step);
                self.total_steps = event["total_steps"].as_u64().map(|steps| steps as usize);
            }
            "report" => {
                if let Ok(report) = serde_json::from_value::<Report>(event) {
                    if self.reports.last().is_some_and(|last| last.step >= report.step) {
                        self.forget_after(report.step.saturating_sub(1));
                    }
                    self.total_steps = Some(report.total_steps);
                    self.reports.push(report);
                }
            }
            "evaluation" => {
                if let Ok(evaluation) = serde_json::from_value(event) {
                    self.evaluations.push(evaluation);
                }
            }
            "end" if self.result.is_none() && event["result"].is_object() => {
                self.result = Some(event["result"].clone());
            }
            _ => {}
        }
    }

    fn forget_after(&mut self, step: usize) {
        self.reports.retain(|report| report.step <= step);
        self.evaluations.retain(|evaluation| evaluation.step <= step);
        if self.result.as_ref().is_some_and(|result| result["interrupted"] == true) {
            // Another process goes on.
            self.result = None;
        }
    }

    /// The folder's name, by which a person knows the run.
    pub(super) fn name(&self) -> String {
        let whole = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
    }

    /// `train` or `distill`.
    pub(super) fn command(&self) -> &str {
        self.begin["command"].as_str().unwrap_or("run")
    }

    pub(super) fn is_finished(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result["interrupted"] != true)
    }

    /// The last step that is known of.
    pub(super) fn last_step(&self) -> usize {
        let of_result = self.result.as_ref().and_then(|result| result["steps"].as_u64()).unwrap_or(0);
        let reported = self.reports.last().map_or(0, |report| report.step);
        reported.max(of_result as usize)
    }

    /// `evaluation.metric`.
    pub(super) fn metric(&self) -> Option<&str> {
        self.config["evaluation"]["metric"].as_str()
    }

    pub(super) fn parameters(&self) -> Option<usize> {
        self.begin["parameters"].as_u64().map(|count| count as usize)
    }

    /// Seconds of training and evaluation; of a run in several parts or that goes on, of its reports.
    pub(super) fn seconds(&self) -> f64 {
        let reported = self.reports.iter().map(|report| report.seconds).sum();
        match self.result.as_ref().and_then(|result| result["seconds"].as_f64()) {
            Some(seconds) if self.processes <= 1 => seconds,
            _ => reported,
        }
    }

    /// The scores by which the run is known: those of its model where it is finished, else the last on the
    /// development file. One entry a task and file, development files first.
    pub(super) fn scores(&self) -> Vec<Evaluation> {
        let result = self.result.as_ref().filter(|_| self.is_finished());
        let step = self.last_step();
        let mut scores = Vec::new();
        if let Some(result) = result {
            let tasks = match result["tasks"].as_array() {
                Some(tasks) => {
                    tasks.iter().map(|task| (task["name"].as_str().map(str::to_owned), task)).collect()
                }
                None => vec![(None, result)],
            };
            for split in ["dev", "test"] {
                for (task, scored) in &tasks {
                    if scored[split].is_object() {
                        let report = scored[split].clone();
                        let (task, split) = (task.clone(), split.to_owned());
                        scores.push(Evaluation { task, split, step, seconds: None, report });
                    }
                }
            }
            return scores;
        }
        for evaluation in &self.evaluations {
            let is_same = |one: &Evaluation| one.task == evaluation.task && one.split == evaluation.split;
            match scores.iter_mut().find(|one| is_same(one)) {
                Some(earlier) => *earlier = evaluation.clone(),
                None => scores.push(evaluation.clone()),
            }
        }
        scores
    }

    /// The folders of the teachers, as the configuration names them.
    pub(super) fn teachers(&self) -> Vec<PathBuf> {
        let of_tasks = self.config["tasks"].as_array().into_iter().flatten();
        std::iter::once(&self.config)
            .chain(of_tasks)
            .flat_map(|config| match &config["teacher"]["from"] {
                Value::Array(folders) => folders.iter().filter_map(Value::as_str).collect(),
                Value::String(folder) => vec![folder.as_str()],
                _ => Vec::new(),
            })
            .map(PathBuf::from)
            .collect()
    }

    /// Whether this run's model is the one in a folder.
    pub(super) fn is_of_model(&self, model: &Path) -> bool {
        let own = self.folder.canonicalize();
        matches!((own, model.canonicalize()), (Ok(own), Ok(model)) if model.starts_with(&own))
    }

    /// Training examples and, where they are known, tokens a second, over the whole run.
    pub(super) fn speed(&self) -> Option<(f64, Option<f64>)> {
        let seconds: f64 = self.reports.iter().map(|report| report.seconds).sum();
        let examples: usize = self.reports.iter().map(|report| report.examples).sum();
        let tokens: usize = self.reports.iter().map(|report| report.tokens).sum();
        (seconds > 0.0).then(|| (examples as f64 / seconds, (tokens > 0).then(|| tokens as f64 / seconds)))
    }

    /// Texts judged a second, over the evaluations that say how long they took.
    pub(super) fn evaluation_speed(&self) -> Option<f64> {
        let timed: Vec<(usize, f64)> = self
            .evaluations
            .iter()
            .filter_map(|one| Some((super::figures::examples(&one.report)?, one.seconds?)))
            .collect();
        let seconds: f64 = timed.iter().map(|one| one.1).sum();
        (seconds > 0.0).then(|| timed.iter().map(|one| one.0).sum::<usize>() as f64 / seconds)
    }
}

/// Bytes of the weights in a model's folder or, of a run of several tasks, in its subfolders.
pub(super) fn weights(folder: &Path) -> Option<u64> {
    let of = |folder: &Path| {
        ["model.safetensors", "pytorch_model.bin"]
            .iter()
            .find_map(|file| fs::metadata(folder.join(file)).ok())
            .map(|metadata| metadata.len())
    };
    of(folder).or_else(|| {
        let within = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| of(&entry.path()));
        Some(within.sum()).filter(|&bytes| bytes > 0)
    })
}

fn modified(path: &Path) -> Option<u64> {
    let time = fs::metadata(path).ok()?.modified().ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// A JSON file of a run, `None` where there is none.
fn read_json(path: &Path) -> Result<Option<Value>, RunError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| RunError::BrokenRunFile { path: path.to_path_buf(), reason: error.to_string() }),
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(RunError::io("read", path)(error)),
    }
}
