//! The header of a safetensors file, compared with the file's size.
//!
//! The format is that of <https://huggingface.co/docs/safetensors>: eight bytes with the length of a JSON object, the
//! object with each tensor's type, shape and place, then the numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::ModelError;
use crate::header::TensorHeader;

/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor and where its numbers are.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) header: TensorHeader,
    /// The first of its bytes in the file.
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

/// The tensors of a file. Nothing but the header is read.
///
/// # Errors
/// Those of [`places`].
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, TensorHeader>, ModelError> {
    Ok(places(path)?.into_iter().map(|(name, placed)| (name, placed.header)).collect())
}

/// The tensors of a file and where they are. Nothing but the header is read.
///
/// # Errors
/// A file that is cut off, has a header that is none, or tensors that do not fill it.
pub(crate) fn places(path: &Path) -> Result<BTreeMap<String, Placed>, ModelError> {
    let mut file = File::open(path).map_err(|source| ModelError::io(path, source))?;
    let length = file.metadata().map_err(|source| ModelError::io(path, source))?.len();
    let corrupt = |message: String| {
        ModelError::corrupt(
            path,
            format!("not a whole safetensors file ({message}); fetch or export it again"),
        )
    };
    let mut word = [0; 8];
    if length < 8 {
        return Err(corrupt(format!("it has {length} bytes")));
    }
    file.read_exact(&mut word).map_err(|source| ModelError::io(path, source))?;
    let header = u64::from_le_bytes(word);
    // Before any memory is taken for it.
    if header > LONGEST_HEADER || header > length - 8 {
        return Err(corrupt(format!("its header is to have {header} bytes and the file has {length}")));
    }
    let mut bytes = Vec::with_capacity(header as usize);
    file.take(header).read_to_end(&mut bytes).map_err(|source| ModelError::io(path, source))?;
    let Header(entries) =
        serde_json::from_slice(&bytes).map_err(|error| corrupt(format!("its header is damaged: {error}")))?;
    compare(entries, 8 + header, length).map_err(corrupt)
}

/// The tensors, one behind the other from the header's end to the file's.
fn compare(
    entries: BTreeMap<String, Entry>,
    first: u64,
    length: u64,
) -> Result<BTreeMap<String, Placed>, String> {
    let bytes = length - first;
    let mut places: Vec<(u64, u64, &str)> = Vec::with_capacity(entries.len());
    for (name, entry) in &entries {
        let [start, end] = entry.data_offsets;
        let bits =
            bits(&entry.dtype).ok_or_else(|| format!("{name} is of the unknown type {}", entry.dtype))?;
        let size = entry
            .shape
            .iter()
            .try_fold(bits, |size, &axis| size.checked_mul(u64::try_from(axis).ok()?))
            .filter(|bits| bits.is_multiple_of(8))
            .map(|bits| bits / 8);
        if end.checked_sub(start).is_none_or(|place| Some(place) != size) {
            return Err(format!("{name} is at bytes {start} to {end} and has the shape {:?}", entry.shape));
        }
        places.push((start, end, name));
    }
    places.sort_unstable();
    let mut at = 0;
    for (start, end, name) in places {
        if start != at {
            return Err(format!("{name} begins at byte {start} and the one before it ends at {at}"));
        }
        at = end;
    }
    if at != bytes {
        return Err(format!("its tensors have {at} bytes and the file {bytes} behind the header"));
    }
    let placed = |(name, entry): (String, Entry)| {
        let [start, end] = entry.data_offsets;
        let header = TensorHeader { shape: entry.shape, dtype: entry.dtype };
        (name, Placed { header, start: first + start, bytes: end - start })
    };
    Ok(entries.into_iter().map(placed).collect())
}

/// Bits of a number.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The entries of a header, its `__metadata__` left out.
struct Header(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry = map.next_value()?;
                    if let Some(twice) = entries.insert(name.clone(), entry) {
                        return Err(A::Error::custom(format!(
                            "{name} is there twice, first as {}",
                            twice.dtype
                        )));
                    }
                }
                Ok(Header(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use safetensors::Dtype;

    use super::*;
    use crate::tiny;

    fn read_bytes(bytes: &[u8]) -> Result<BTreeMap<String, TensorHeader>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, bytes).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    fn with_header(header: &str, numbers: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; numbers]].concat()
    }

    #[test]
    fn the_tensors_of_a_file_are_told() {
        let weights = tiny::weights();
        for (dtype, name) in [(Dtype::F32, "F32"), (Dtype::BF16, "BF16"), (Dtype::I32, "I32")] {
            let read = read_bytes(&tiny::safetensors_bytes(&weights, dtype)).unwrap();
            assert!(read.keys().eq(weights.keys()));
            for (key, tensor) in read {
                assert_eq!(
                    (tensor.shape, tensor.dtype.as_str()),
                    (weights[&key].shape.to_vec(), name),
                    "{key}"
                );
            }
        }
        let with_metadata = with_header(r#"{"__metadata__":{"shape":"x"}}"#, 0);
        assert!(read_bytes(&with_metadata).unwrap().is_empty());
    }

    #[test]
    fn a_file_cut_at_any_byte_is_an_error() {
        let whole = tiny::safetensors_bytes(&tiny::weights(), Dtype::F16);
        for length in (0..whole.len()).step_by(7).chain(whole.len() - 9..whole.len()) {
            let error = read_bytes(&whole[..length]).unwrap_err();
            assert!(error.contains("not a whole safetensors file"), "{length}: {error}");
        }
    }

    #[test]
    fn a_header_that_declares_more_than_the_file_has_takes_no_memory() {
        for declared in [u64::MAX, u64::MAX / 2, 1 << 40, LONGEST_HEADER + 1, 3] {
            let bytes = [&declared.to_le_bytes()[..], b"{}"].concat();
            let error = read_bytes(&bytes).unwrap_err();
            assert!(error.contains(&format!("is to have {declared} bytes")), "{error}");
        }
    }

    #[test]
    fn tensors_that_do_not_fill_the_file_are_refused() {
        let one = |shape: &str, offsets: &str| {
            format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(read_bytes(&with_header(&one("[2,3]", "[0,24]"), 24)).is_ok());
        for (header, part) in [
            (one("[2,3]", "[0,20]"), "w is at bytes 0 to 20"),
            (one("[2,3]", "[24,0]"), "w is at bytes 24 to 0"),
            (one("[4294967296,4294967296,4]", "[0,24]"), "has the shape"),
            (one("[2,3]", "[4,28]"), "begins at byte 4"),
            (one("[2,2]", "[0,16]"), "its tensors have 16 bytes and the file 24"),
            (one("[2,3]", "[0,24]").replace("F32", "F33"), "unknown type F33"),
            (one("[2,-3]", "[0,24]"), "damaged"),
            ("[]".to_owned(), "an object of tensors"),
            ("{\"w\":".to_owned(), "damaged"),
        ] {
            let error = read_bytes(&with_header(&header, 24)).unwrap_err();
            assert!(error.contains(part), "{header}: {error}");
        }
        let twice = one("[2,3]", "[0,24]");
        let twice = format!("{},{}", &twice[..twice.len() - 1], &twice[1..]);
        assert!(read_bytes(&with_header(&twice, 24)).unwrap_err().contains("twice"));
    }
}
