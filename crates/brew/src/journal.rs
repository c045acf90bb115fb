//! What a run tells: a person through the observer, its `log.jsonl`, and TensorBoard.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use brew_config::{NotFiniteAction, TrainingConfig};
use brew_distillers::{CallbackError, DistillError, NotFiniteEvent, StepReport, TensorBoard};
use serde_json::{Map, Value, json};

use crate::output::{EventLog, RunFolder};
use crate::{Observer, RunError, TaskReport};

/// Observer, log and curves of one run.
pub(crate) struct Journal<'a> {
    observer: RefCell<&'a mut dyn Observer>,
    log: RefCell<EventLog>,
    curves: RefCell<Option<Curves>>,
}

/// The curves for TensorBoard.
pub(crate) struct Curves {
    board: TensorBoard,
    /// The step up to which the scores of a file are there, by the beginning of their tags.
    scored: HashMap<String, usize>,
    /// The steps that were made before this process.
    resumed: usize,
    /// Whether an earlier process came to the end.
    was_finished: bool,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer, log: EventLog, curves: Option<Curves>) -> Self {
        Self { observer: RefCell::new(observer), log: RefCell::new(log), curves: RefCell::new(curves) }
    }

    /// An event that only the log holds.
    pub(crate) fn write(&self, event: &Value) -> Result<(), RunError> {
        self.log.borrow_mut().write(event)
    }

    /// The first event of this process: what runs where, with what only the caller knows.
    pub(crate) fn open(&self, mut event: Value) -> Result<(), RunError> {
        event["event"] = "begin".into();
        event["version"] = env!("CARGO_PKG_VERSION").into();
        event["time"] =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).into();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        event["machine"] =
            json!({"os": std::env::consts::OS, "arch": std::env::consts::ARCH, "cores": cores});
        self.write(&event)
    }

    pub(crate) fn begin(&self, what: &str, step: usize, total_steps: usize) -> Result<(), RunError> {
        self.observer.borrow_mut().begin(what, step, total_steps);
        let mut curves = self.curves.borrow_mut();
        if step == total_steps && curves.as_ref().is_some_and(|curves| curves.was_finished) {
            // All is said; the last scores are only found once more.
            *curves = None;
        }
        if let Some(curves) = curves.as_mut() {
            curves.resumed = step;
            curves.board.start(step)?;
        }
        self.write(&json!({"event": "start", "step": step, "total_steps": total_steps}))
    }

    pub(crate) fn step(&self, step: usize) {
        self.observer.borrow_mut().step(step);
    }

    pub(crate) fn epoch_over(&self, epoch: usize) {
        self.observer.borrow_mut().epoch_over(epoch);
    }

    pub(crate) fn report(&self, report: &StepReport) -> Result<(), CallbackError> {
        self.observer.borrow_mut().report(report);
        if let Some(curves) = self.curves.borrow_mut().as_mut() {
            curves.board.report(report)?;
        }
        let mut event = serde_json::to_value(report)?;
        event["event"] = "report".into();
        Ok(self.write(&event)?)
    }

    /// A step that was not taken: told, logged, and written with its batches to a file of its own.
    pub(crate) fn not_finite(&self, folder: &RunFolder, event: &NotFiniteEvent) -> Result<(), CallbackError> {
        let terms: Map<String, Value> =
            event.terms.iter().map(|term| (term.name.clone(), number(term.value))).collect();
        let mut value = json!({
            "event": "not_finite", "step": event.step, "epoch": event.epoch, "action": event.action,
            "loss": number(event.loss), "terms": terms, "norm": number(event.norm), "batches": event.batches,
        });
        let path = folder.write_not_finite(event.step, &value)?;
        let what = match event.action {
            NotFiniteAction::Stop => "the run ends",
            NotFiniteAction::Skip => "the step is left out",
            NotFiniteAction::Lower => "the step is left out and the learning rate halved",
        };
        self.observer.borrow_mut().note(&format!(
            "step {}: the gradient has a norm of {} (loss {}); {what}; its batches are in {}",
            event.step,
            event.norm,
            event.loss,
            path.display()
        ));
        value["batches"] = path.display().to_string().into();
        Ok(self.write(&value)?)
    }

    /// The scores of a file, of one task where there are several, found in so many seconds.
    pub(crate) fn evaluation(
        &self,
        task: Option<&str>,
        split: &str,
        step: usize,
        report: &TaskReport,
        seconds: f64,
    ) -> Result<(), RunError> {
        let (shown, mut event) = match task {
            None => (split.to_owned(), json!({"event": "evaluation"})),
            Some(task) => (format!("{task} {split}"), json!({"event": "evaluation", "task": task})),
        };
        self.observer.borrow_mut().evaluation(&shown, step, report);
        if let Some(curves) = self.curves.borrow_mut().as_mut() {
            curves.evaluation(task, split, step, report)?;
        }
        event["split"] = split.into();
        event["step"] = step.into();
        event["seconds"] = seconds.into();
        event["report"] = serde_json::to_value(report).expect("a report is JSON");
        self.write(&event)
    }

    pub(crate) fn end(&self, result: &Value) -> Result<(), RunError> {
        self.observer.borrow_mut().end();
        self.write(&json!({"event": "end", "result": result}))
    }
}

/// A number, or its name where JSON has none for it.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}

impl Curves {
    /// Curves of the run in a folder, where its configuration wants some.
    pub(crate) fn new(folder: &RunFolder, training: &TrainingConfig) -> Option<Self> {
        let board = folder.tensorboard(training)?;
        Some(Self { board, scored: HashMap::new(), resumed: 0, was_finished: folder.is_finished() })
    }

    /// Scores as points, unless the same file has scores of this step: the exported model is measured once more.
    fn evaluation(
        &mut self,
        task: Option<&str>,
        split: &str,
        step: usize,
        report: &TaskReport,
    ) -> Result<(), DistillError> {
        let prefix = task.map_or(split.to_owned(), |task| format!("{split}/{task}"));
        // Only checkpoints, which a continued run has behind it, measure on this file.
        let before = if split == "dev" { self.resumed } else { 0 };
        let scored = self.scored.entry(prefix.clone()).or_insert(before);
        if step <= *scored {
            return Ok(());
        }
        *scored = step;
        let points = report.figures().into_iter().map(|figure| {
            (format!("{prefix}/{}", figure.name.to_lowercase().replace(' ', "_")), figure.value)
        });
        self.board.scalars(step, &points.collect::<Vec<_>>())
    }
}
