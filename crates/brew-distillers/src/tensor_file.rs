//! Tables of float32 by name, as safetensors files (<https://github.com/huggingface/safetensors>).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};

/// Writes tensors as float32.
pub(crate) fn save_tensors(tensors: &BTreeMap<String, TensorData>, path: &Path) -> io::Result<()> {
    let views = tensors.iter().map(|(name, data)| (name.as_str(), Floats(data)));
    safetensors::serialize_to_file(views, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

struct Floats<'a>(&'a TensorData);

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape.as_slice()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.0.dtype == DType::F32 && cfg!(target_endian = "little") {
            Cow::Borrowed(self.0.as_bytes())
        } else {
            Cow::Owned(self.0.iter::<f32>().flat_map(f32::to_le_bytes).collect())
        }
    }

    fn data_len(&self) -> usize {
        4 * self.0.num_elements()
    }
}

/// Reads what [`save_tensors`] wrote; nothing where there is no file.
///
/// # Errors
/// In words, what is wrong with the file.
pub(crate) fn load_tensors(path: &Path) -> Result<BTreeMap<String, TensorData>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
    file.iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(format!("tensor `{name}` is {:?}, not F32", view.dtype()));
            }
            let (chunks, _) = view.data().as_chunks::<4>();
            let values: Vec<f32> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
            Ok((name.to_owned(), TensorData::new(values, view.shape().to_vec())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objective.safetensors");
        assert_eq!(load_tensors(&path).unwrap(), BTreeMap::new());
        let tensors: BTreeMap<String, TensorData> = [
            ("a".to_owned(), TensorData::new(vec![0.1f32, -1e-30, f32::MAX, 3.0, 4.0, 5.0], [2, 3])),
            ("empty".to_owned(), TensorData::new(Vec::<f32>::new(), [0])),
        ]
        .into();
        save_tensors(&tensors, &path).unwrap();
        assert_eq!(load_tensors(&path).unwrap(), tensors);
        let doubles = [("a".to_owned(), TensorData::new(vec![0.5f64, 2.0], [2]))].into();
        save_tensors(&doubles, &path).unwrap();
        assert_eq!(load_tensors(&path).unwrap()["a"], TensorData::new(vec![0.5f32, 2.0], [2]));
        fs::write(&path, b"no tensors").unwrap();
        load_tensors(&path).unwrap_err();
    }
}
