//! What an objective keeps between batches, and how a checkpoint holds it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use burn::tensor::TensorData;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde_json::Value;

/// What an objective keeps between batches besides what is trained, for a checkpoint.
///
/// ```
/// use brew_distillers::ObjectiveState;
///
/// let state = ObjectiveState::from(serde_json::json!({ "batches": 3 }));
/// assert!(state.tensors.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectiveState {
    /// What JSON can say in few words; numbers that must come back to the last bit as their bits.
    pub values: Value,
    /// Tables of numbers by name. They are kept as float32, which comes back to the last bit.
    pub tensors: BTreeMap<String, TensorData>,
}

impl From<Value> for ObjectiveState {
    fn from(values: Value) -> Self {
        Self { values, tensors: BTreeMap::new() }
    }
}

/// Writes tensors as a safetensors file of float32.
pub(crate) fn save_tensors(tensors: &BTreeMap<String, TensorData>, path: &Path) -> io::Result<()> {
    let bytes: Vec<(&String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, data)| {
            (name, data.shape.to_vec(), data.iter::<f32>().flat_map(f32::to_le_bytes).collect())
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(io::Error::other)?;
            Ok((name.as_str(), view))
        })
        .collect::<io::Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// Reads what [`save_tensors`] wrote; nothing where there is no file.
pub(crate) fn load_tensors(path: &Path) -> Result<BTreeMap<String, TensorData>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
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
        fs::write(&path, b"no tensors").unwrap();
        load_tensors(&path).unwrap_err();
    }
}
