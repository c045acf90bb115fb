use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The folder of the goldens: `$BREW_GOLDEN`, else `../shared/golden` beside the workspace.
///
/// `None` where there is none, with a line on standard error that the test is skipped; a test that gets
/// `None` returns.
///
/// # Panics
/// If the folder is missing although `BREW_GOLDEN` names it, or although `CI` is set: there, nothing may
/// be skipped in silence.
pub fn golden_dir() -> Option<PathBuf> {
    let named = env::var_os("BREW_GOLDEN");
    let folder = named
        .as_ref()
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden"), PathBuf::from);
    locate(folder, named.is_some() || env::var_os("CI").is_some())
}

/// Every golden folder there is: the project's own small ones, and [`golden_dir`] where it exists.
///
/// # Panics
/// As [`golden_dir`].
pub fn golden_dirs() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    std::iter::once(own).chain(golden_dir()).collect()
}

fn locate(folder: PathBuf, is_required: bool) -> Option<PathBuf> {
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(!is_required, "no goldens at {}; set BREW_GOLDEN to their folder", folder.display());
    eprintln!("skipping: no goldens at {}; set BREW_GOLDEN to their folder", folder.display());
    None
}

/// A tensor as the goldens write it in JSON: `{"shape": [2, 3], "data": [..]}`, row by row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenTensor {
    /// The shape.
    pub shape: Vec<usize>,
    /// The values, row by row.
    pub data: Vec<f32>,
}

impl GoldenTensor {
    /// As Burn's data.
    ///
    /// ```
    /// let golden = brew_testkit::GoldenTensor { shape: vec![1, 2], data: vec![3.0, 4.0] };
    /// assert_eq!(golden.to_data().shape.to_vec(), [1, 2]);
    /// ```
    ///
    /// # Panics
    /// If there are not as many values as the shape says.
    pub fn to_data(&self) -> TensorData {
        TensorData::new(self.data.clone(), self.shape.clone())
    }
}

/// Reads a JSON golden.
///
/// # Panics
/// If the file is missing or holds something else.
pub fn read_json<T: DeserializeOwned>(path: impl AsRef<Path>) -> T {
    let path = path.as_ref();
    serde_json::from_slice(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads all tensors of a safetensors file: float32 stay float32, integers become int64.
///
/// # Panics
/// If the file is missing, malformed, or holds a tensor that is neither.
pub fn read_safetensors(path: impl AsRef<Path>) -> BTreeMap<String, TensorData> {
    let path = path.as_ref();
    let bytes = read(path);
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.iter()
        .map(|(name, view)| {
            let shape = view.shape().to_vec();
            let data = match view.dtype() {
                Dtype::F32 => TensorData::new(numbers(view.data(), f32::from_le_bytes), shape),
                Dtype::I64 => TensorData::new(numbers(view.data(), i64::from_le_bytes), shape),
                Dtype::I32 => {
                    TensorData::new(numbers(view.data(), |bytes| i64::from(i32::from_le_bytes(bytes))), shape)
                }
                other => {
                    panic!("{}: tensor `{name}` is {other:?}; goldens are F32, I64 or I32", path.display())
                }
            };
            (name.to_string(), data)
        })
        .collect()
}

fn numbers<T, const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty(), "safetensors checks that a tensor's bytes are whole numbers");
    chunks.iter().map(|chunk| number(*chunk)).collect()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "no goldens at /nowhere")]
    fn required_goldens_are_not_skipped() {
        locate(PathBuf::from("/nowhere"), true);
    }

    #[test]
    fn absent_goldens_are_skipped() {
        assert_eq!(locate(PathBuf::from("/nowhere"), false), None);
    }

    #[test]
    fn present_goldens_are_found() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert_eq!(locate(folder.clone(), true), Some(folder));
    }

    #[test]
    fn safetensors_are_read_by_type() {
        let floats: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let ints: Vec<u8> = [7i64, -1].iter().flat_map(|value| value.to_le_bytes()).collect();
        let views = [
            ("floats", safetensors::tensor::TensorView::new(Dtype::F32, vec![2, 1], &floats).unwrap()),
            ("ints", safetensors::tensor::TensorView::new(Dtype::I64, vec![2], &ints).unwrap()),
        ];
        let path = env::temp_dir().join(format!("brew-testkit-{}.safetensors", std::process::id()));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        let tensors = read_safetensors(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(tensors["floats"], TensorData::new(vec![1.5f32, -2.0], [2, 1]));
        assert_eq!(tensors["ints"], TensorData::new(vec![7i64, -1], [2]));
    }
}
