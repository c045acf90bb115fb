use std::marker::PhantomData;

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
pub struct ProcessedBatches<S, F, T> {
    source: S,
    process: F,
    batch: PhantomData<fn(T)>,
}

impl<S, F, T> ProcessedBatches<S, F, T> {
    /// The batches of `source`, each passed through `process`, which must be a function of the batch alone.
    pub fn new<U>(source: S, process: F) -> Self
    where
        S: BatchSource<T>,
        F: Fn(T) -> Result<U, DistillError>,
    {
        Self { source, process, batch: PhantomData }
    }
}

impl<S, F, T, U> BatchSource<U> for ProcessedBatches<S, F, T>
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
