//! Tensors of a weight file, whose numbers are read one tensor at a time.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use burn::tensor::{DType, TensorData};
use burn_store::TensorSnapshot;

use crate::ModelError;
use crate::header::Described;
use crate::safetensors_header::{self, Placed};

/// The types that a parameter may have in a file, as safetensors writes them.
pub(crate) const FLOAT_TYPES: [(&str, DType); 4] =
    [("F64", DType::F64), ("F32", DType::F32), ("F16", DType::F16), ("BF16", DType::BF16)];

/// A tensor whose numbers are read when they are asked for.
pub(crate) enum LazyTensor {
    /// One of `burn-store`'s, of a PyTorch archive or of memory.
    Snapshot(TensorSnapshot),
    /// One of a safetensors file.
    Safetensors(PlacedTensor),
}

/// A tensor of a safetensors file. It is read and not mapped: mapped pages count as the process's memory until the whole
/// file is closed, beside the tensors that were made of them.
#[derive(Clone)]
pub(crate) struct PlacedTensor {
    file: Arc<File>,
    placed: Arc<Placed>,
}

impl PlacedTensor {
    /// The numbers, of the type they have in the file.
    ///
    /// # Errors
    /// In words, why they cannot be read.
    pub(crate) fn values(&self) -> Result<TensorData, String> {
        read(&self.file, &self.placed)
    }
}

impl LazyTensor {
    /// The tensors of a safetensors file.
    ///
    /// # Errors
    /// A file that cannot be opened, is cut off or whose header is damaged.
    pub(crate) fn of_safetensors(path: &Path) -> Result<BTreeMap<String, Self>, ModelError> {
        let places = safetensors_header::places(path)?;
        let file = Arc::new(File::open(path).map_err(|source| ModelError::io(path, source))?);
        let in_file = |(name, placed)| {
            let tensor = PlacedTensor { file: Arc::clone(&file), placed: Arc::new(placed) };
            (name, Self::Safetensors(tensor))
        };
        Ok(places.into_iter().map(in_file).collect())
    }

    /// The numbers, of the type they have where they are kept.
    ///
    /// # Errors
    /// In words, why they cannot be read.
    pub(crate) fn values(&self) -> Result<TensorData, String> {
        match self {
            Self::Snapshot(snapshot) => {
                let data = snapshot.to_data().map_err(|error| error.to_string())?;
                if data.dtype == snapshot.dtype {
                    return Ok(data);
                }
                Err(format!("{:?} instead of {:?}", data.dtype, snapshot.dtype))
            }
            Self::Safetensors(tensor) => tensor.values(),
        }
    }

    /// The tensor if it is one of a safetensors file, which another thread may read.
    pub(crate) fn placed(&self) -> Option<PlacedTensor> {
        match self {
            Self::Snapshot(_) => None,
            Self::Safetensors(tensor) => Some(tensor.clone()),
        }
    }
}

/// At most so many threads read a file.
const MOST_READERS: usize = 4;

/// Does `work`, which asks for what `tasks` make by their names, while threads of their own make it: in the order of the
/// tasks, a few ahead, so that what is made is never all in memory beside what `work` makes of it. A name that no
/// task has gives `None`.
///
/// Making a tensor is mostly waiting for memory: the system clears pages when they are first written to.
pub(crate) fn made_ahead<T, R, F>(
    tasks: Vec<(String, F)>,
    work: impl FnOnce(&mut dyn FnMut(&str) -> Option<T>) -> R,
) -> R
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    let readers = thread::available_parallelism().map_or(1, usize::from).min(MOST_READERS);
    let mut reader_of: HashMap<String, usize> = HashMap::new();
    let mut shares: Vec<Vec<(String, F)>> = (0..readers).map(|_| Vec::new()).collect();
    for (number, (name, task)) in tasks.into_iter().enumerate() {
        reader_of.insert(name.clone(), number % readers);
        shares[number % readers].push((name, task));
    }
    thread::scope(|scope| {
        let start = |share: Vec<(String, F)>| -> Receiver<(String, T)> {
            let (sender, receiver) = sync_channel(1);
            scope.spawn(move || {
                for (name, task) in share {
                    // Nobody asks any more after an error.
                    if sender.send((name, task())).is_err() {
                        break;
                    }
                }
            });
            receiver
        };
        let receivers: Vec<_> = shares.into_iter().map(start).collect();
        let mut early: HashMap<String, T> = HashMap::new();
        work(&mut |name| {
            let reader = *reader_of.get(name)?;
            loop {
                if let Some(made) = early.remove(name) {
                    return Some(made);
                }
                let (made, value) = receivers[reader].recv().ok()?;
                early.insert(made, value);
            }
        })
    })
}

/// The numbers of a tensor of a safetensors file, whose order of bytes is little-endian.
fn read(file: &File, Placed { header, start, bytes }: &Placed) -> Result<TensorData, String> {
    let known = FLOAT_TYPES.into_iter().find(|&(name, _)| name == header.dtype);
    let (_, dtype) = known.ok_or_else(|| format!("{} is no type of a parameter", header.dtype))?;
    // The header was compared with the file's size: no more is taken than the file has.
    let count = usize::try_from(*bytes).map_err(|error| error.to_string())?;
    let mut values = vec![0; count];
    read_exact_at(file, &mut values, *start).map_err(|error| error.to_string())?;
    if cfg!(target_endian = "big") {
        values.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    Ok(TensorData::from_bytes_vec(values, header.shape.clone(), dtype))
}

/// Reads from a place in a file, which threads may do side by side.
#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

/// Reads from a place in a file, which threads may do side by side.
#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut start: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, start)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                start += read as u64;
            }
        }
    }
    Ok(())
}

impl Described for LazyTensor {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Snapshot(snapshot) => snapshot.shape.to_vec(),
            Self::Safetensors(tensor) => tensor.placed.header.shape.clone(),
        }
    }

    fn dtype(&self) -> String {
        match self {
            Self::Snapshot(snapshot) => format!("{:?}", snapshot.dtype),
            Self::Safetensors(tensor) => tensor.placed.header.dtype.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn tasks(made: &AtomicUsize) -> Vec<(String, impl FnOnce() -> usize + Send)> {
        let task = |number: usize| {
            (number.to_string(), move || {
                made.fetch_add(1, Ordering::Relaxed);
                number * 10
            })
        };
        (0..100).map(task).collect()
    }

    #[test]
    fn what_is_made_ahead_is_given_in_any_order() {
        let made = AtomicUsize::new(0);
        let orders: [Vec<usize>; 3] = [
            (0..100).collect(),
            (0..100).rev().collect(),
            (0..100).map(|number| number * 37 % 100).collect(),
        ];
        for order in orders {
            made_ahead(tasks(&made), |ask| {
                for number in &order {
                    assert_eq!(ask(&number.to_string()), Some(number * 10));
                }
                assert_eq!((ask("0"), ask("none")), (None, None), "given already, and of no task");
            });
        }
        assert_eq!(made.load(Ordering::Relaxed), 300);
    }

    #[test]
    fn only_a_few_are_made_ahead() {
        let made = AtomicUsize::new(0);
        let at_end = made_ahead(tasks(&made), |ask| {
            ask("0");
            // Whoever asks no more is not waited for.
            made.load(Ordering::Relaxed)
        });
        assert!(at_end <= 1 + 3 * MOST_READERS, "{at_end}");
        assert!(made.load(Ordering::Relaxed) <= 1 + 3 * MOST_READERS);
    }
}
