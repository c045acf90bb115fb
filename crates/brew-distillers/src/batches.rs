use crate::DistillError;

/// A batch and how many examples it holds.
#[derive(Debug, Clone)]
pub struct Counted<T> {
    /// The batch.
    pub batch: T,
    /// Its number of examples, for the examples per second.
    pub examples: usize,
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

/// Batches that are all in memory, fed in their order every epoch.
impl<T: Clone> BatchSource<T> for Vec<Counted<T>> {
    fn batches_per_epoch(&self) -> usize {
        self.len()
    }

    fn epoch(&self, _epoch: usize, skip: usize) -> EpochBatches<'_, T> {
        Box::new(self.iter().skip(skip).cloned().map(Ok))
    }
}
