use std::marker::PhantomData;

use serde_json::Value;

use crate::DistillError;

/// A batch and how many examples it holds.
#[derive(Debug, Clone)]
pub struct Counted<T> {
    /// The batch.
    pub batch: T,
    /// Its number of examples, for the examples per second.
    pub examples: usize,
    /// The real tokens that the student reads of it, for the tokens per second; 0 where nobody counts them.
    pub tokens: usize,
}

impl<T> Counted<T> {
    /// A batch of so many examples whose tokens nobody counts.
    pub fn new(batch: T, examples: usize) -> Self {
        Self { batch, examples, tokens: 0 }
    }
}

/// The batches of one epoch, made as they are asked for.
pub type EpochBatches<'a, T> = Box<dyn Iterator<Item = Result<Counted<T>, DistillError>> + 'a>;

/// Where training batches come from.
///
/// The batches of an epoch are a function of the source and the epoch's number alone, so that a run
/// can be taken up in the middle of an epoch.
pub trait BatchSource<T> {
    /// How many batches an epoch has.
    fn batches_per_epoch(&self) -> usize;

    /// The batches of epoch `epoch` (from 0) without its first `skip`.
    fn epoch(&self, epoch: usize, skip: usize) -> EpochBatches<'_, T>;

    /// What a person needs to look into a batch that went wrong: which examples, which tokens. Nothing unless it
    /// is given.
    fn describe(&self, batch: &T) -> Value {
        let _ = batch;
        Value::Null
    }
}

/// Batches of another source, each changed by a function: a batch post-processor, or a conversion of the
/// batch's type.
///
/// ```
/// use brew_distillers::{BatchSource, Counted, ProcessedBatches};
///
/// let numbers = vec![Counted::new(1, 1), Counted::new(2, 1)];
/// let doubled = ProcessedBatches::new(numbers, |number: i32| Ok(f64::from(number) * 2.0));
/// let batches: Vec<f64> = doubled.epoch(0, 0).map(|one| one.unwrap().batch).collect();
/// assert_eq!(batches, [2.0, 4.0]);
/// ```
pub struct ProcessedBatches<S, F, T, U> {
    source: S,
    process: F,
    describe: Option<DescribeFn<U>>,
    batch: PhantomData<fn(T)>,
}

/// Says what a batch holds.
type DescribeFn<U> = Box<dyn Fn(&U) -> Value>;

impl<S, F, T, U> ProcessedBatches<S, F, T, U>
where
    S: BatchSource<T>,
    F: Fn(T) -> Result<U, DistillError>,
{
    /// The batches of `source`, each passed through `process`, which must be a function of the batch alone.
    pub fn new(source: S, process: F) -> Self {
        Self { source, process, describe: None, batch: PhantomData }
    }

    /// The same, with what [`describe`](BatchSource::describe) says of a batch.
    #[must_use]
    pub fn with_description(mut self, describe: impl Fn(&U) -> Value + 'static) -> Self {
        self.describe = Some(Box::new(describe));
        self
    }
}

impl<S, F, T, U> BatchSource<U> for ProcessedBatches<S, F, T, U>
where
    S: BatchSource<T>,
    F: Fn(T) -> Result<U, DistillError>,
{
    fn batches_per_epoch(&self) -> usize {
        self.source.batches_per_epoch()
    }

    fn epoch(&self, epoch: usize, skip: usize) -> EpochBatches<'_, U> {
        Box::new(self.source.epoch(epoch, skip).map(|item| {
            let Counted { batch, examples, tokens } = item?;
            Ok(Counted { batch: (self.process)(batch)?, examples, tokens })
        }))
    }

    fn describe(&self, batch: &U) -> Value {
        self.describe.as_ref().map_or(Value::Null, |describe| describe(batch))
    }
}

/// Batches that are all in memory, fed in their order every epoch.
impl<T: Clone> BatchSource<T> for Vec<Counted<T>> {
    fn batches_per_epoch(&self) -> usize {
        self.len()
    }

    fn epoch(&self, _epoch: usize, skip: usize) -> EpochBatches<'_, T> {
        Box::new(self.iter().skip(skip).cloned().map(Ok))
    }
}
