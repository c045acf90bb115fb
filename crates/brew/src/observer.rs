use brew_distillers::StepReport;

use crate::TaskReport;

/// Is told what a run does, to show it to a person. Everything is also in the run's `log.jsonl`.
pub trait Observer {
    /// A part of the work begins (`train`, `teacher, seed 1`, …) with this many optimizer steps,
    /// `done` of them already made.
    fn begin(&mut self, what: &str, done: usize, total_steps: usize) {
        let _ = (what, done, total_steps);
    }

    /// An optimizer step is done.
    fn step(&mut self, step: usize) {
        let _ = step;
    }

    /// Every batch of an epoch, counted from 0, was computed. What the first one needed alone is free again, such as
    /// the weights of teachers whose outputs are kept.
    fn epoch_over(&mut self, epoch: usize) {
        let _ = epoch;
    }

    /// Losses since the last report.
    fn report(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// A file was evaluated after `step` steps.
    fn evaluation(&mut self, split: &str, step: usize, report: &TaskReport) {
        let _ = (split, step, report);
    }

    /// The part of the work that began last is over.
    fn end(&mut self) {}

    /// Something the user should know.
    fn note(&mut self, message: &str) {
        let _ = message;
    }
}

/// Shows nothing.
impl Observer for () {}
