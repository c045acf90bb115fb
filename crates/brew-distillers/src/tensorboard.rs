//! Curves for TensorBoard.

mod event_file;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use self::event_file::EventFile;
use crate::{Callback, CallbackError, DistillError, StepReport};

/// Writes a run's curves into a folder that TensorBoard reads.
///
/// | tag | what |
/// |---|---|
/// | `scalar/total_loss` | the loss, as TextBrewer calls it |
/// | `scalar/unweighted_NAME` | each loss term, as TextBrewer calls it; of several tasks `scalar/TASK/unweighted_NAME` |
/// | `weighted/NAME`, `weight/NAME` | what the term adds to the loss, and its weight |
/// | `training/learning_rate`, `training/gradient_norm` | of the last step; the norm before clipping |
/// | `training/temperature`, `training/epoch` | the temperature of the soft labels; epochs begun |
/// | `speed/examples_per_second`, `speed/tokens_per_second` | since the last report |
///
/// The horizontal axis is optimizer steps; TextBrewer's is batches. Each process of a run writes a file of its
/// own, and one that continues a run says from which step on the earlier files no longer hold, so that no
/// point is shown twice.
///
/// ```
/// use brew_distillers::{Hooks, TensorBoard};
///
/// # let folder = tempfile::tempdir()?;
/// let hooks = Hooks::<()>::new().with_callback(TensorBoard::new(folder.path()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    file: Option<EventFile>,
}

impl TensorBoard {
    /// Curves in a folder, which is made when the run starts. As a callback it writes every report.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), file: None }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins a new file for a run that has made `step` steps; what earlier files say of later steps no longer
    /// holds.
    ///
    /// # Errors
    /// [`DistillError::Io`].
    pub fn start(&mut self, step: usize) -> Result<(), DistillError> {
        self.file = Some(EventFile::create(&self.folder, step as i64 + 1)?);
        Ok(())
    }

    /// Writes points at a step.
    ///
    /// # Errors
    /// [`DistillError::Io`].
    pub fn scalars(&mut self, step: usize, points: &[(String, f64)]) -> Result<(), DistillError> {
        if self.file.is_none() {
            // Of whoever did not start: everything holds that earlier files say.
            self.start(step)?;
        }
        match &mut self.file {
            Some(file) if !points.is_empty() => file.scalars(step as i64, points),
            _ => Ok(()),
        }
    }

    /// Writes the points of a report.
    ///
    /// # Errors
    /// [`DistillError::Io`].
    pub fn report(&mut self, report: &StepReport) -> Result<(), DistillError> {
        self.scalars(report.step, &points(report))
    }
}

impl<M> Callback<M> for TensorBoard {
    fn on_start(&mut self, step: usize, _total_steps: usize) -> Result<(), CallbackError> {
        Ok(self.start(step)?)
    }

    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        Ok(TensorBoard::report(self, report)?)
    }
}

/// What a report says, by tag.
fn points(report: &StepReport) -> Vec<(String, f64)> {
    let mut points = vec![("scalar/total_loss".to_owned(), report.loss)];
    for term in &report.terms {
        let unweighted = match term.name.rsplit_once('/') {
            Some((task, name)) => format!("scalar/{task}/unweighted_{name}"),
            None => format!("scalar/unweighted_{}", term.name),
        };
        points.push((unweighted, term.value));
        points.push((format!("weighted/{}", term.name), term.weighted));
        points.push((format!("weight/{}", term.name), term.weight));
    }
    points.push(("training/learning_rate".to_owned(), report.lr));
    points.push(("training/gradient_norm".to_owned(), report.grad_norm));
    points.push(("training/epoch".to_owned(), (report.epoch + 1) as f64));
    points.extend(report.temperature.map(|one| ("training/temperature".to_owned(), one)));
    points.push(("speed/examples_per_second".to_owned(), report.examples_per_second()));
    points.extend(report.tokens_per_second().map(|one| ("speed/tokens_per_second".to_owned(), one)));
    points
}
