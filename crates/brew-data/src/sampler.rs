//! Which examples meet in which batch.

use brew_random::Key;

use crate::DataError;

/// Default of [`BatchSampler::with_bucket_batches`].
const BUCKET_BATCHES: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Shuffled { key: Key, bucket_batches: Option<usize> },
    File,
    Length,
}

/// Cuts a data set into batches, each example once an epoch.
///
/// The batches are a function of the key, the epoch and the lengths alone, so a resumed run needs no saved
/// state. The last batch made of a data set may be smaller; it is kept.
///
/// | constructor | order |
/// |---|---|
/// | [`training`](Self::training) | shuffled, examples of like length together |
/// | [`evaluation`](Self::evaluation) | shortest first: least padding; the ids restore the file's order |
/// | [`sequential`](Self::sequential) | the file's |
///
/// ```
/// use brew_data::BatchSampler;
/// use brew_random::Key;
///
/// let sampler = BatchSampler::training(vec![5, 3, 8, 4, 9], 2, Key::new(42))?;
/// let batches = sampler.epoch(0);
/// assert_eq!(batches.len(), sampler.batches_per_epoch());
/// let mut seen = batches.concat();
/// seen.sort_unstable();
/// assert_eq!(seen, [0, 1, 2, 3, 4]);
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchSampler {
    lengths: Vec<usize>,
    batch_size: usize,
    order: Order,
}

impl BatchSampler {
    fn new(lengths: Vec<usize>, batch_size: usize, order: Order) -> Result<Self, DataError> {
        if batch_size == 0 {
            return Err(DataError::ZeroBatchSize);
        }
        Ok(Self { lengths, batch_size, order })
    }

    /// A new order each epoch, drawn from `key.purpose("shuffle").index(epoch)`, with length buckets of 50
    /// batches. `lengths` are the token counts of the examples.
    ///
    /// # Errors
    /// A `batch_size` of 0.
    pub fn training(lengths: Vec<usize>, batch_size: usize, key: Key) -> Result<Self, DataError> {
        Self::new(lengths, batch_size, Order::Shuffled { key, bucket_batches: Some(BUCKET_BATCHES) })
    }

    /// From the shortest example to the longest, the same each epoch; equal lengths in the file's order.
    ///
    /// # Errors
    /// A `batch_size` of 0.
    pub fn evaluation(lengths: Vec<usize>, batch_size: usize) -> Result<Self, DataError> {
        Self::new(lengths, batch_size, Order::Length)
    }

    /// The file's order, the same each epoch.
    ///
    /// # Errors
    /// A `batch_size` of 0.
    pub fn sequential(examples: usize, batch_size: usize) -> Result<Self, DataError> {
        Self::new(vec![0; examples], batch_size, Order::File)
    }

    /// How many batches' worth of shuffled examples are sorted by length together; `None` (or at most 1)
    /// shuffles without regard to length. Has no effect on the orders that are not shuffled.
    ///
    /// A larger pool saves more padding and mixes less: the default, 50, leaves about 1/50 of a pool's length
    /// range in a batch.
    pub fn with_bucket_batches(mut self, batches: Option<usize>) -> Self {
        if let Order::Shuffled { bucket_batches, .. } = &mut self.order {
            *bucket_batches = batches.filter(|&batches| batches > 1);
        }
        self
    }

    /// How many examples.
    pub fn examples(&self) -> usize {
        self.lengths.len()
    }

    /// The size of every batch except perhaps one.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// How many batches each epoch has.
    pub fn batches_per_epoch(&self) -> usize {
        self.lengths.len().div_ceil(self.batch_size)
    }

    /// The indices of the examples of each batch of an epoch, counted from 0.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut indices: Vec<usize> = (0..self.lengths.len()).collect();
        match self.order {
            Order::File => self.cut(&indices),
            Order::Length => {
                indices.sort_by_key(|&index| self.lengths[index]);
                self.cut(&indices)
            }
            Order::Shuffled { key, bucket_batches } => {
                let mut stream = key.purpose("shuffle").index(epoch).stream();
                stream.shuffle(&mut indices);
                let Some(bucket_batches) = bucket_batches else {
                    return self.cut(&indices);
                };
                // A pool is a whole number of batches, so that only the last one ends in a smaller batch.
                for pool in indices.chunks_mut(bucket_batches.saturating_mul(self.batch_size)) {
                    pool.sort_by_key(|&index| self.lengths[index]);
                }
                let mut batches = self.cut(&indices);
                stream.shuffle(&mut batches);
                batches
            }
        }
    }

    fn cut(&self, indices: &[usize]) -> Vec<Vec<usize>> {
        indices.chunks(self.batch_size).map(<[usize]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(count: usize) -> Vec<usize> {
        let mut stream = Key::new(11).purpose("lengths").stream();
        (0..count).map(|_| 3 + stream.below(126)).collect()
    }

    fn padding(batches: &[Vec<usize>], lengths: &[usize]) -> usize {
        batches
            .iter()
            .map(|batch| {
                let longest = batch.iter().map(|&index| lengths[index]).max().unwrap();
                batch.iter().map(|&index| longest - lengths[index]).sum::<usize>()
            })
            .sum()
    }

    #[test]
    fn every_index_comes_once_whatever_the_sizes() {
        let mut stream = Key::new(3).stream();
        for case in 0..200 {
            let (count, size) = (stream.below(300), 1 + stream.below(40));
            let lengths = lengths(count);
            let samplers = [
                BatchSampler::training(lengths.clone(), size, Key::new(case)).unwrap(),
                BatchSampler::training(lengths.clone(), size, Key::new(case))
                    .unwrap()
                    .with_bucket_batches(Some(1 + stream.below(5))),
                BatchSampler::training(lengths.clone(), size, Key::new(case))
                    .unwrap()
                    .with_bucket_batches(None),
                BatchSampler::evaluation(lengths, size).unwrap(),
                BatchSampler::sequential(count, size).unwrap(),
            ];
            for sampler in samplers {
                let batches = sampler.epoch(case);
                assert_eq!(batches.len(), sampler.batches_per_epoch());
                assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= size));
                assert!(batches.iter().filter(|batch| batch.len() < size).count() <= 1);
                let mut seen = batches.concat();
                seen.sort_unstable();
                assert_eq!(seen, (0..count).collect::<Vec<_>>(), "{sampler:?}");
            }
        }
    }

    #[test]
    fn epochs_repeat_with_seed_and_number_alone() {
        let sampler = |seed| BatchSampler::training(lengths(500), 16, Key::new(seed)).unwrap();
        assert_eq!(sampler(1).epoch(3), sampler(1).epoch(3));
        assert_ne!(sampler(1).epoch(3), sampler(1).epoch(4));
        assert_ne!(sampler(1).epoch(3), sampler(2).epoch(3));
    }

    #[test]
    fn buckets_save_most_of_the_padding_without_sorting_the_epoch() {
        let lengths = lengths(4000);
        let bucketed = BatchSampler::training(lengths.clone(), 16, Key::new(5)).unwrap();
        let plain = bucketed.clone().with_bucket_batches(None);
        let (with, without) = (padding(&bucketed.epoch(0), &lengths), padding(&plain.epoch(0), &lengths));
        assert!(with * 10 < without, "{with} padded positions with buckets, {without} without");
        let longest: Vec<usize> =
            bucketed.epoch(0).iter().map(|batch| batch.iter().map(|&i| lengths[i]).max().unwrap()).collect();
        assert!(!longest.is_sorted(), "the batches come in the order of their length");
    }

    #[test]
    fn evaluation_goes_from_short_to_long_and_sequential_keeps_the_file() {
        let sampler = BatchSampler::evaluation(vec![5, 3, 5, 1], 3).unwrap();
        assert_eq!(sampler.epoch(0), [vec![3, 1, 0], vec![2]]);
        assert_eq!(sampler.epoch(9), sampler.epoch(0));
        assert_eq!(BatchSampler::sequential(5, 2).unwrap().epoch(1), [vec![0, 1], vec![2, 3], vec![4]]);
    }

    #[test]
    fn nothing_gives_no_batch_and_a_batch_of_nothing_is_an_error() {
        assert!(BatchSampler::training(vec![], 4, Key::new(0)).unwrap().epoch(0).is_empty());
        assert!(matches!(BatchSampler::sequential(3, 0), Err(DataError::ZeroBatchSize)));
    }
}
