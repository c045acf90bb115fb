//! The same work on many items, on every core.

use crate::DataError;

/// `work` done on each item, in their order; the first error in that order where one fails.
pub(crate) fn on_every_core<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, DataError> + Sync,
) -> Result<Vec<R>, DataError> {
    const WORTH_A_THREAD: usize = 256;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(WORTH_A_THREAD);
    let work = &work;
    let shares: Vec<Result<Vec<R>, DataError>> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            items.chunks(share).map(|share| scope.spawn(move || share.iter().map(work).collect())).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut done = Vec::with_capacity(items.len());
    for share in shares {
        done.extend(share?);
    }
    Ok(done)
}
