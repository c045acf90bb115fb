//! Tables of float32 by name, as safetensors files (<https://github.com/huggingface/safetensors>).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};

/// A tensor whose numbers are asked for when it is written, so that those of a whole model are never in memory twice.
pub(crate) struct Deferred<'a> {
    shape: Vec<usize>,
    numbers: Box<dyn Fn() -> Cow<'a, TensorData> + Send + 'a>,
}

impl<'a> Deferred<'a> {
    /// A tensor of a backend.
    pub(crate) fn tensor<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Self {
        Self { shape: tensor.dims().to_vec(), numbers: Box::new(move || Cow::Owned(tensor.to_data())) }
    }

    /// Numbers that are in memory as they are.
    pub(crate) fn data(data: Cow<'a, TensorData>) -> Self {
        Self { shape: data.shape.to_vec(), numbers: Box::new(move || data.clone()) }
    }
}

/// Writes tensors as float32.
pub(crate) fn save_tensors(tensors: &BTreeMap<String, Deferred<'_>>, path: &Path) -> io::Result<()> {
    safetensors::serialize_to_file(tensors, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

impl View for &Deferred<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let numbers = (self.numbers)();
        let is_as_written = numbers.dtype == DType::F32 && cfg!(target_endian = "little");
        match numbers {
            Cow::Borrowed(data) if is_as_written => Cow::Borrowed(data.as_bytes()),
            Cow::Owned(data) if is_as_written => {
                Cow::Owned(data.bytes.try_into_vec().unwrap_or_else(|bytes| bytes.to_vec()))
            }
            data => Cow::Owned(data.iter::<f32>().flat_map(f32::to_le_bytes).collect()),
        }
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
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
    use brew_testkit::TestBackend;

    use super::*;

    fn save(tensors: &BTreeMap<String, TensorData>, path: &Path) {
        let deferred = |(name, data): (&String, _)| (name.clone(), Deferred::data(Cow::Borrowed(data)));
        save_tensors(&tensors.iter().map(deferred).collect(), path).unwrap();
    }

    #[test]
    fn a_backends_tensor_is_written_as_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let tensor =
            Tensor::<TestBackend, 2>::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &Default::default());
        // What is no row-major copy in memory is written as one.
        let tensors = [("a", tensor.clone()), ("b", tensor.clone().transpose())];
        let deferred = tensors.map(|(name, tensor)| (name.to_owned(), Deferred::tensor(tensor)));
        save_tensors(&deferred.into(), &path).unwrap();
        let read = load_tensors(&path).unwrap();
        assert_eq!(read["a"], tensor.to_data());
        assert_eq!(read["b"], TensorData::new(vec![1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0], [3, 2]));
    }

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
        save(&tensors, &path);
        assert_eq!(load_tensors(&path).unwrap(), tensors);
        let doubles = [("a".to_owned(), TensorData::new(vec![0.5f64, 2.0], [2]))].into();
        save(&doubles, &path);
        assert_eq!(load_tensors(&path).unwrap()["a"], TensorData::new(vec![0.5f32, 2.0], [2]));
        fs::write(&path, b"no tensors").unwrap();
        load_tensors(&path).unwrap_err();
    }
}
