//! What a run tells: a person through the observer, and its `log.jsonl`.

use std::cell::RefCell;

use brew_config::NotFiniteAction;
use brew_distillers::{CallbackError, NotFiniteEvent, StepReport};
use serde_json::{Map, Value, json};

use crate::output::{EventLog, RunFolder};
use crate::{Observer, RunError, TaskReport};

/// Observer and log of one run.
pub(crate) struct Journal<'a> {
    observer: RefCell<&'a mut dyn Observer>,
    log: RefCell<EventLog>,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer, log: EventLog) -> Self {
        Self { observer: RefCell::new(observer), log: RefCell::new(log) }
    }

    /// An event that only the log holds.
    pub(crate) fn write(&self, event: &Value) -> Result<(), RunError> {
        self.log.borrow_mut().write(event)
    }

    pub(crate) fn begin(&self, what: &str, step: usize, total_steps: usize) {
        self.observer.borrow_mut().begin(what, step, total_steps);
    }

    pub(crate) fn step(&self, step: usize) {
        self.observer.borrow_mut().step(step);
    }

    pub(crate) fn report(&self, report: &StepReport) -> Result<(), CallbackError> {
        self.observer.borrow_mut().report(report);
        let mut event = serde_json::to_value(report)?;
        event["event"] = "report".into();
        Ok(self.write(&event)?)
    }

    /// A step that was not taken: told, logged, and written with its batches to a file of its own.
    pub(crate) fn not_finite(&self, folder: &RunFolder, event: &NotFiniteEvent) -> Result<(), CallbackError> {
        let terms: Map<String, Value> =
            event.terms.iter().map(|(name, value)| (name.clone(), number(*value))).collect();
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

    /// The scores of a file, of one task where there are several.
    pub(crate) fn evaluation(
        &self,
        task: Option<&str>,
        split: &str,
        step: usize,
        report: &TaskReport,
    ) -> Result<(), RunError> {
        let (shown, mut event) = match task {
            None => (split.to_owned(), json!({"event": "evaluation"})),
            Some(task) => (format!("{task} {split}"), json!({"event": "evaluation", "task": task})),
        };
        self.observer.borrow_mut().evaluation(&shown, step, report);
        event["split"] = split.into();
        event["step"] = step.into();
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
