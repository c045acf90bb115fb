//! burn-train's dashboard on the terminal, without its learner: an observer that draws what the run tells it.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use brew::distillers::StepReport;
use brew::{Observer, TaskReport};
use burn_train::Interrupter;
use burn_train::metric::{
    MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
    ProgressType, TrainingProgress,
};

use crate::commands::INTERRUPTED;

/// Curves, scores and progress on the whole terminal; what else is to be said follows when it is left.
pub(crate) struct Dashboard {
    renderer: Option<TuiMetricsRendererWrapper>,
    /// Set by the dashboard when the user stops the run.
    interrupter: Interrupter,
    /// Stops the run with a checkpoint.
    stop: Arc<AtomicBool>,
    known: HashMap<String, MetricId>,
    total: usize,
    epoch: usize,
    held: Vec<String>,
}

/// Which curve of a plot a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    Training,
    Development,
    Test,
}

impl Dashboard {
    /// A dashboard whose user stops the run by `stop`.
    pub(crate) fn new(stop: Arc<AtomicBool>) -> Result<Self> {
        ensure!(
            std::io::stdout().is_terminal(),
            "--ui draws on a terminal, and the standard output is none; leave it out"
        );
        Ok(Self {
            renderer: None,
            interrupter: Interrupter::new(),
            stop,
            known: HashMap::new(),
            total: 0,
            epoch: 0,
            held: Vec::new(),
        })
    }

    /// Passes something to the renderer, which panics when its user ends the program at once.
    fn draw(&mut self, draw: impl FnOnce(&mut TuiMetricsRendererWrapper)) {
        if let Some(renderer) = &mut self.renderer
            && catch_unwind(AssertUnwindSafe(|| draw(renderer))).is_err()
        {
            std::process::exit(INTERRUPTED.into());
        }
    }

    fn value(&mut self, curve: Curve, name: &str, value: f64, shown: String, higher_is_better: bool) {
        let id = match self.known.get(name) {
            Some(id) => id.clone(),
            None => {
                let id = MetricId::new(Arc::new(name.to_owned()));
                let attributes = NumericAttributes { unit: None, higher_is_better };
                let definition = MetricDefinition {
                    metric_id: id.clone(),
                    name: name.to_owned(),
                    description: None,
                    attributes: MetricAttributes::Numeric(attributes),
                };
                self.draw(|renderer| renderer.register_metric(definition));
                self.known.insert(name.to_owned(), id.clone());
                id
            }
        };
        let entry = MetricEntry::new(id, SerializedEntry { formatted: shown, serialized: value.to_string() });
        let state = MetricState::Numeric(entry, NumericEntry::Value(value));
        self.draw(|renderer| match curve {
            Curve::Training => renderer.update_train(state),
            Curve::Development => renderer.update_valid(state),
            Curve::Test => renderer.update_test(EvaluationName::new("test"), state),
        });
    }

    fn progress(&mut self, step: usize) {
        let mut progress = TrainingProgress::none();
        progress.global_progress.items_processed = step;
        progress.global_progress.items_total = self.total;
        progress.iteration = Some(step);
        let epoch = ProgressType::Value { tag: "Epoch".to_owned(), value: self.epoch + 1 };
        let steps =
            ProgressType::Detailed { tag: "Step".to_owned(), progress: progress.global_progress.clone() };
        self.draw(|renderer| renderer.render_train(progress, vec![epoch, steps]));
    }

    fn say(&mut self, line: String) {
        match &self.renderer {
            Some(_) => self.held.push(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Observer for Dashboard {
    fn begin(&mut self, _what: &str, done: usize, total_steps: usize) {
        self.total = total_steps;
        self.known.clear();
        self.renderer = Some(TuiMetricsRendererWrapper::new(self.interrupter.clone(), None));
        self.progress(done);
    }

    fn step(&mut self, step: usize) {
        if self.interrupter.should_stop() {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.progress(step);
    }

    fn report(&mut self, report: &StepReport) {
        self.epoch = report.epoch;
        for (name, value) in training_values(report) {
            self.value(Curve::Training, &name, value, format!("{value:.4e}"), false);
        }
    }

    fn evaluation(&mut self, split: &str, step: usize, report: &TaskReport) {
        // Of several tasks the split stands behind the task's name.
        let curve = if split.ends_with("test") { Curve::Test } else { Curve::Development };
        let task = split.rsplit_once(' ').map_or(String::new(), |(task, _)| format!("{task} "));
        let mut figures = Vec::new();
        for figure in report.figures() {
            self.value(curve, &format!("{task}{}", figure.name), figure.value, figure.to_string(), true);
            figures.push(format!("{} {figure}", figure.name));
        }
        self.say(format!("{split} after step {step}: {}", figures.join(", ")));
    }

    fn end(&mut self) {
        // Gives the terminal back.
        drop(self.renderer.take());
        for line in self.held.drain(..) {
            eprintln!("{line}");
        }
    }

    fn note(&mut self, message: &str) {
        self.say(format!("note: {message}"));
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a report has to be plotted, the loss first.
fn training_values(report: &StepReport) -> Vec<(String, f64)> {
    let mut values = vec![("Loss".to_owned(), report.loss)];
    if report.terms.len() > 1 {
        values.extend(report.terms.iter().map(|term| (term.name.clone(), term.value)));
    }
    values.push(("Learning rate".to_owned(), report.lr));
    values.push(("Gradient norm".to_owned(), report.grad_norm));
    values.push(("Examples/s".to_owned(), report.examples_per_second()));
    values.extend(report.tokens_per_second().map(|speed| ("Tokens/s".to_owned(), speed)));
    values
}
