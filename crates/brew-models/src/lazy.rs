//! Tensors of a weight file, whose numbers are read one tensor at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use burn::tensor::{DType, TensorData};
use burn_store::TensorSnapshot;

use crate::ModelError;
use crate::header::{Described, TensorHeader};
use crate::safetensors_header::{self, Placed};

/// The types that a parameter may have in a file, as safetensors writes them.
pub(crate) const FLOAT_TYPES: [(&str, DType); 4] =
    [("F64", DType::F64), ("F32", DType::F32), ("F16", DType::F16), ("BF16", DType::BF16)];

/// A tensor whose numbers are read when they are asked for.
pub(crate) enum LazyTensor {
    /// One of `burn-store`'s, of a PyTorch archive or of memory.
    Snapshot(TensorSnapshot),
    /// One of a safetensors file. It is read and not mapped: mapped pages count as the process's memory until the
    /// whole file is closed, beside the tensors that were made of them.
    Safetensors {
        /// The file, open since its header was compared with its size.
        file: Rc<File>,
        /// Where in it.
        placed: Placed,
    },
}

impl LazyTensor {
    /// The tensors of a safetensors file.
    ///
    /// # Errors
    /// A file that cannot be opened, is cut off or whose header is damaged.
    pub(crate) fn of_safetensors(path: &Path) -> Result<BTreeMap<String, Self>, ModelError> {
        let places = safetensors_header::places(path)?;
        let file = Rc::new(File::open(path).map_err(|source| ModelError::io(path, source))?);
        let stored = |(name, placed)| (name, Self::Safetensors { file: Rc::clone(&file), placed });
        Ok(places.into_iter().map(stored).collect())
    }

    /// The numbers, of the type they have in the file.
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
            Self::Safetensors { file, placed } => read(file, placed),
        }
    }
}

/// The numbers of a tensor of a safetensors file, whose order of bytes is little-endian.
fn read(mut file: &File, Placed { header, start, bytes }: &Placed) -> Result<TensorData, String> {
    let known = FLOAT_TYPES.into_iter().find(|&(name, _)| name == header.dtype);
    let (_, dtype) = known.ok_or_else(|| format!("{} is no type of a parameter", header.dtype))?;
    // The header was compared with the file's size: no more is taken than the file has.
    let count = usize::try_from(*bytes).map_err(|error| error.to_string())?;
    let mut values = Vec::with_capacity(count);
    file.seek(SeekFrom::Start(*start))
        .and_then(|_| file.take(*bytes).read_to_end(&mut values))
        .map_err(|error| error.to_string())?;
    if values.len() != count {
        return Err(format!("{} of {count} bytes; was the file changed meanwhile?", values.len()));
    }
    if cfg!(target_endian = "big") {
        values.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    Ok(TensorData::from_bytes_vec(values, header.shape.clone(), dtype))
}

impl Described for LazyTensor {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Snapshot(snapshot) => snapshot.shape.to_vec(),
            Self::Safetensors { placed: Placed { header: TensorHeader { shape, .. }, .. }, .. } => {
                shape.clone()
            }
        }
    }

    fn dtype(&self) -> String {
        match self {
            Self::Snapshot(snapshot) => format!("{:?}", snapshot.dtype),
            Self::Safetensors { placed, .. } => placed.header.dtype.clone(),
        }
    }
}
