//! Whether a PyTorch checkpoint (`pytorch_model.bin`) is whole.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use burn::tensor::DType;
use burn_store::TensorSnapshot;
use zip::{CompressionMethod, ZipArchive};

use crate::ModelError;
use crate::pickle::{StoredTensor, read_state_dict};

const REMEDY: &str = "fetch it again, or export the model as model.safetensors";

/// The names of a state dict are a few kilobytes; a pickle beyond this is something else.
const LARGEST_PICKLE: u64 = 1 << 26;

/// Reads every byte of the archive against its checksum, and every tensor's description against
/// the storage it claims.
///
/// # Errors
/// A file that is truncated, damaged, of the format from before PyTorch 1.6, or that holds anything
/// but a state dict.
pub(crate) fn verify(path: &Path) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    read(path, true)
}

/// The descriptions of the tensors, compared with the sizes of their storages; the numbers are not read.
///
/// # Errors
/// Those of [`verify`] that show without reading every byte.
pub(crate) fn describe(path: &Path) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    read(path, false)
}

fn read(path: &Path, whole: bool) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    let corrupt = |message: String| ModelError::corrupt(path, format!("{message}; {REMEDY}"));
    let file = File::open(path).map_err(|source| ModelError::io(path, source))?;
    let file_len = file.metadata().map_err(|source| ModelError::io(path, source))?.len();
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
        corrupt(format!("not a whole zip archive, which torch.save has written since PyTorch 1.6 ({error})"))
    })?;

    let mut sizes: HashMap<String, u64> = HashMap::new();
    let mut small: HashMap<String, Vec<u8>> = HashMap::new();
    for index in 0..archive.len() {
        let mut entry = archive
            .by_index(index)
            .map_err(|error| corrupt(format!("entry {index} of the archive cannot be read ({error})")))?;
        let name = entry.name().to_owned();
        let size = entry.size();
        if entry.compression() != CompressionMethod::Stored || size > file_len {
            return Err(corrupt(format!(
                "{name} is compressed or of an impossible size, unlike torch.save's"
            )));
        }
        let keep = name.ends_with("data.pkl") || name.ends_with("byteorder");
        if keep && size > LARGEST_PICKLE {
            return Err(corrupt(format!("{name} has {size} bytes, more than the names of any model")));
        }
        let read = if !keep && !whole {
            Ok(size)
        } else if keep {
            let mut bytes = Vec::new();
            let read = entry.read_to_end(&mut bytes).map(|len| len as u64);
            small.insert(name.clone(), bytes);
            read
        } else {
            std::io::copy(&mut entry, &mut std::io::sink())
        };
        // The reader compares the checksum at the end.
        match read {
            Ok(read) if read == size => {}
            Ok(read) => return Err(corrupt(format!("{name} has {read} of its {size} bytes"))),
            Err(error) => return Err(corrupt(format!("{name} is damaged ({error})"))),
        }
        if sizes.insert(name.clone(), size).is_some() {
            return Err(corrupt(format!("{name} is in the archive twice")));
        }
    }

    let pickles: Vec<&String> = small.keys().filter(|name| name.ends_with("data.pkl")).collect();
    let [pickle] = pickles[..] else {
        return Err(corrupt(format!("{} entries data.pkl in the archive, not one", pickles.len())));
    };
    let root = pickle.strip_suffix("data.pkl").unwrap_or_default();
    if small.get(&format!("{root}byteorder")).is_some_and(|order| order.trim_ascii() != b"little") {
        return Err(corrupt("its numbers are not little-endian".to_owned()));
    }
    let tensors =
        read_state_dict(&small[pickle]).map_err(|message| corrupt(format!("data.pkl: {message}")))?;
    for (name, tensor) in &tensors {
        check_storage(tensor, root, &sizes)
            .map_err(|message| corrupt(format!("tensor {name}: {message}")))?;
    }
    Ok(tensors)
}

fn check_storage(tensor: &StoredTensor, root: &str, sizes: &HashMap<String, u64>) -> Result<(), String> {
    let storage = &tensor.storage;
    let entry = format!("{root}data/{}", storage.key);
    let expected = storage.elements.checked_mul(storage.element_size);
    match sizes.get(&entry) {
        None => return Err(format!("its storage {entry} is not in the archive")),
        Some(&size) if Some(size) != expected => {
            return Err(format!(
                "its storage {entry} has {size} bytes, not {} numbers of {}",
                storage.elements, storage.element_size
            ));
        }
        Some(_) => {}
    }
    // burn-store looks storages up by the end of their names.
    let alike = sizes.keys().filter(|name| {
        let in_data = name.starts_with("data/") || name.contains("/data/");
        in_data && name.rsplit('/').next() == Some(&storage.key)
    });
    if alike.count() == 1 { Ok(()) } else { Err(format!("the archive has several storages {}", storage.key)) }
}

/// Whether burn-store has read the same tensors.
///
/// # Errors
/// If not: tensors that are nested deeper than in a state dict, say.
pub(crate) fn compare(
    path: &Path,
    verified: &BTreeMap<String, StoredTensor>,
    read: &BTreeMap<String, TensorSnapshot>,
) -> Result<(), ModelError> {
    let same = |name: &String| match (verified.get(name), read.get(name)) {
        (Some(a), Some(b)) => a.shape == b.shape.to_vec() && Some(b.dtype) == dtype_of(&a.storage.kind),
        _ => false,
    };
    let differing: Vec<&str> =
        verified.keys().chain(read.keys()).filter(|name| !same(name)).map(String::as_str).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let message = format!("not a flat state dict (at {}); {REMEDY}", differing.join(", "));
    Err(ModelError::corrupt(path, message))
}

pub(crate) fn dtype_of(storage_kind: &str) -> Option<DType> {
    Some(match storage_kind {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool(burn::tensor::BoolStore::Native),
        _ => return None,
    })
}
