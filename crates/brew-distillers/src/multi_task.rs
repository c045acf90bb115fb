//! One student of several tasks: what it minimises, and the order in which the tasks come.

use brew_config::{ConfigError, DistillationConfig, Problem};
use brew_losses::LossRegistry;
use brew_random::Key;
use burn::tensor::backend::AutodiffBackend;
use serde_json::{Value, json};

use crate::comparison::Comparison;
use crate::distillation::Outputs;
use crate::{
    Adaptor, BatchSource, Counted, DistillError, Ensemble, EpochBatches, LossTerms, Objective, StepContext,
    Student, Teacher, Trainable,
};

/// A batch of one of several tasks.
#[derive(Debug, Clone)]
pub struct TaskBatch<T> {
    /// The task's number, from 0.
    pub task: usize,
    /// Its batch.
    pub batch: T,
}

/// One task of a [`MultiTask`] student: its teacher or teachers, and the adaptor that runs the student
/// with the task's head.
pub struct Task<B: AutodiffBackend, M, T> {
    name: String,
    teachers: Ensemble<B::InnerBackend, T>,
    adaptor: Box<dyn Adaptor<B, M, T>>,
}

impl<B: AutodiffBackend, M, T> Task<B, M, T> {
    /// A task with one teacher; its loss terms are logged as `name/term`.
    pub fn new(
        name: impl Into<String>,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Self {
        Self::with_teachers(name, Ensemble::single(teacher), adaptor)
    }

    /// A task with several teachers.
    pub fn with_teachers(
        name: impl Into<String>,
        teachers: Ensemble<B::InnerBackend, T>,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Self {
        Self { name: name.into(), teachers, adaptor: Box::new(adaptor) }
    }
}

/// Distillation of several tasks into one student, each batch by its task's teacher.
///
/// The loss of a batch is that of [`Distillation`](crate::Distillation) with the task's own adaptors. One
/// configuration holds for all tasks, and matches share their projections, as in TextBrewer's
/// `MultiTaskDistiller`.
pub struct MultiTask<B: AutodiffBackend, M, T> {
    comparison: Comparison<B>,
    tasks: Vec<Task<B, M, T>>,
}

impl<B: AutodiffBackend, M, T> MultiTask<B, M, T> {
    /// Checks the configuration and looks its losses up in `losses`.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configuration, and without any task.
    pub fn new(
        config: DistillationConfig,
        losses: &LossRegistry<B>,
        tasks: Vec<Task<B, M, T>>,
    ) -> Result<Self, DistillError> {
        let teachers = Self::common_teachers(&tasks)?;
        Ok(Self::from_comparison(Comparison::new(config, losses, teachers)?, tasks))
    }

    pub(crate) fn from_comparison(comparison: Comparison<B>, tasks: Vec<Task<B, M, T>>) -> Self {
        Self { comparison, tasks }
    }

    /// How many teachers every task has at least.
    pub(crate) fn common_teachers(tasks: &[Task<B, M, T>]) -> Result<usize, DistillError> {
        tasks.iter().map(|task| task.teachers.len()).min().ok_or_else(|| no_tasks().into())
    }
}

fn no_tasks() -> ConfigError {
    ConfigError::Invalid { problems: vec![Problem::new("tasks", "none", "give at least one")] }
}

impl<B, M, T> Objective<B, M, TaskBatch<T>> for MultiTask<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    fn keeps_outputs(&self) -> bool {
        self.tasks.iter().any(|task| task.teachers.keeps_outputs())
    }

    fn recall(&mut self, batch: &TaskBatch<T>) -> Result<(), DistillError> {
        match self.tasks.get(batch.task) {
            Some(task) => task.teachers.recall(&batch.batch, self.comparison.wants()),
            None => Ok(()),
        }
    }

    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &TaskBatch<T>,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let task = self.tasks.get(batch.task).ok_or_else(|| {
            DistillError::batch(format!("a batch of task {}, but there are {}", batch.task, self.tasks.len()))
        })?;
        let (student, wants) = (&trainable.student, self.comparison.wants());
        let outputs =
            Outputs::of(student, task.adaptor.as_ref(), &task.teachers, &batch.batch, wants, context)?;
        let terms = self.comparison.terms(&trainable.projections, &outputs, context)?;
        Ok(terms.within(&task.name))
    }
}

/// The batches of several tasks, one at a time, drawn with probabilities `sizeᵗᵃᵘ / Σ sizeᵗᵃᵘ`, a task's
/// size being its number of batches.
///
/// A task's batches come in its own order, over and over, however often the task is drawn. An epoch is as
/// many batches as the tasks have together, in which a small task may come round several times.
///
/// Source: TextBrewer's `MultiTaskDistiller`, which draws from numpy's global generator; here the draws of
/// an epoch are a function of its number, so that a run can be continued.
pub struct TaskBatches<'a, T> {
    sources: Vec<Box<dyn BatchSource<T> + 'a>>,
    weights: Vec<f64>,
    key: Key,
}

impl<'a, T> TaskBatches<'a, T> {
    /// The batches of `sources`, in the order of their tasks, drawn by `key`. At a `tau` of 1 every batch
    /// is as likely, at 0 every task.
    ///
    /// # Errors
    /// [`DistillError::Config`] without any task, with a task without batches, and for a `tau` that is not
    /// finite.
    pub fn new(sources: Vec<Box<dyn BatchSource<T> + 'a>>, tau: f64, key: Key) -> Result<Self, DistillError> {
        let mut problems = Vec::new();
        if !tau.is_finite() {
            problems.push(Problem::new("tau", tau, "must be a finite number; 0 to 1 is usual"));
        }
        for (task, _) in sources.iter().enumerate().filter(|(_, source)| source.batches_per_epoch() == 0) {
            problems.push(Problem::new(
                format!("tasks[{task}]"),
                "no batches",
                "give it at least one example",
            ));
        }
        ConfigError::from_problems(problems)?;
        if sources.is_empty() {
            return Err(no_tasks().into());
        }
        let largest = sources.iter().map(|source| source.batches_per_epoch()).max().unwrap_or(1) as f64;
        // Relative to the largest, so that no power overflows.
        let weights =
            sources.iter().map(|source| (source.batches_per_epoch() as f64 / largest).powf(tau)).collect();
        Ok(Self { sources, weights, key: key.purpose("tasks") })
    }

    /// The tasks of an epoch, in order.
    fn draws(&self, epoch: usize) -> impl Iterator<Item = usize> + '_ {
        let mut stream = self.key.index(epoch as u64).stream();
        let sum: f64 = self.weights.iter().sum();
        let last = self.weights.len() - 1;
        (0..self.batches_per_epoch()).map(move |_| {
            let mut left = stream.uniform() * sum;
            self.weights
                .iter()
                .position(|weight| {
                    left -= weight;
                    left < 0.0
                })
                .unwrap_or(last)
        })
    }
}

impl<T> BatchSource<TaskBatch<T>> for TaskBatches<'_, T> {
    fn batches_per_epoch(&self) -> usize {
        self.sources.iter().map(|source| source.batches_per_epoch()).sum()
    }

    fn epoch(&self, epoch: usize, skip: usize) -> EpochBatches<'_, TaskBatch<T>> {
        // How many batches of each task came before: the draws are cheap, the batches are not.
        let mut cursors: Vec<Cursor<'_, T>> = self
            .sources
            .iter()
            .map(|source| Cursor { source: source.as_ref(), done: 0, batches: None })
            .collect();
        for earlier in 0..epoch {
            self.draws(earlier).for_each(|task| cursors[task].done += 1);
        }
        let mut draws = self.draws(epoch);
        draws.by_ref().take(skip).for_each(|task| cursors[task].done += 1);
        Box::new(draws.map(move |task| {
            let counted = cursors[task].next()?;
            let Counted { batch, examples, tokens } = counted;
            Ok(Counted { batch: TaskBatch { task, batch }, examples, tokens })
        }))
    }

    fn describe(&self, batch: &TaskBatch<T>) -> Value {
        json!({ "task": batch.task, "batch": self.sources[batch.task].describe(&batch.batch) })
    }
}

/// Where one task's batches stand.
struct Cursor<'a, T> {
    source: &'a (dyn BatchSource<T> + 'a),
    /// Batches taken since the run began.
    done: usize,
    batches: Option<EpochBatches<'a, T>>,
}

impl<T> Cursor<'_, T> {
    fn next(&mut self) -> Result<Counted<T>, DistillError> {
        let size = self.source.batches_per_epoch();
        let (epoch, at) = (self.done / size, self.done % size);
        if at == 0 || self.batches.is_none() {
            self.batches = Some(self.source.epoch(epoch, at));
        }
        self.done += 1;
        let batches = self.batches.as_mut().expect("set above");
        batches.next().unwrap_or_else(|| {
            Err(DistillError::batch(format!("a batch source said {size} batches an epoch and gave {at}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(task: usize, size: usize) -> Box<dyn BatchSource<(usize, usize)>> {
        let batches: Vec<_> = (0..size).map(|at| Counted::new((task, at), 1)).collect();
        Box::new(batches)
    }

    fn tasks(sizes: &[usize], tau: f64) -> TaskBatches<'static, (usize, usize)> {
        let sources = sizes.iter().enumerate().map(|(task, &size)| source(task, size)).collect();
        TaskBatches::new(sources, tau, Key::new(7)).unwrap()
    }

    fn epoch(batches: &TaskBatches<'_, (usize, usize)>, epoch: usize, skip: usize) -> Vec<(usize, usize)> {
        batches
            .epoch(epoch, skip)
            .map(|one| one.unwrap().batch)
            .map(|one| {
                assert_eq!(one.task, one.batch.0);
                one.batch
            })
            .collect()
    }

    #[test]
    fn each_tasks_batches_come_in_order_and_over_again() {
        let batches = tasks(&[2, 5], 1.0);
        let all: Vec<_> = (0..20).flat_map(|number| epoch(&batches, number, 0)).collect();
        assert_eq!(all.len(), 20 * 7);
        for (task, size) in [(0, 2), (1, 5)] {
            let of_task: Vec<usize> = all.iter().filter(|one| one.0 == task).map(|one| one.1).collect();
            assert!(of_task.iter().enumerate().all(|(count, &at)| at == count % size), "{of_task:?}");
        }
    }

    #[test]
    fn a_run_continues_in_the_middle_of_an_epoch() {
        let batches = tasks(&[3, 4], 0.5);
        for number in [0, 1, 5] {
            let whole = epoch(&batches, number, 0);
            for skip in [1, 4, 6] {
                assert_eq!(epoch(&batches, number, skip), whole[skip..], "epoch {number}, {skip} done");
            }
        }
    }

    #[test]
    fn tasks_are_drawn_by_the_power_of_their_sizes() {
        // 900 and 100 batches: 9 : 1 at tau 1, 3 : 1 at tau 1/2, 1 : 1 at tau 0.
        for (tau, share) in [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)] {
            let batches = tasks(&[900, 100], tau);
            let first = (0..20).flat_map(|number| batches.draws(number)).filter(|&task| task == 0).count();
            let found = first as f64 / 20_000.0;
            // Four standard errors of 20,000 draws.
            assert!((found - share).abs() < 0.015, "tau {tau}: {found}, expected {share}");
        }
    }

    #[test]
    fn tasks_that_cannot_be_drawn_are_refused() {
        let error = TaskBatches::<()>::new(Vec::new(), 1.0, Key::new(0)).err().unwrap().to_string();
        assert!(error.contains("tasks = none"), "{error}");
        let error = TaskBatches::new(vec![source(0, 2), source(1, 0)], f64::NAN, Key::new(0)).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("tau") && error.contains("tasks[1]"), "{error}");
    }
}
