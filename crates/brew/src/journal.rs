//! What a run tells: a person through the observer, and its `log.jsonl`.

use std::cell::RefCell;

use brew_distillers::{CallbackError, StepReport};
use serde_json::{Value, json};

use crate::output::EventLog;
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
