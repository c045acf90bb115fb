//! Records of Burn's optimizers as MessagePack files, with the system's own errors: Burn's recorders turn a full disk
//! into a text.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::record::{FullPrecisionSettings, Record};
use burn::tensor::backend::Backend;
use rmp_serde::decode::Error as DecodeError;
use rmp_serde::encode::Error as EncodeError;
use serde::Deserialize;

use crate::DistillError;

/// So many values within each other a record may have; those of Burn's optimizers have about ten. Reading one more deeply
/// nested would overflow the stack.
const DEEPEST: usize = 64;

/// Writes a record in full precision.
pub(crate) fn save_record<B: Backend, R: Record<B>>(record: R, path: &Path) -> Result<(), DistillError> {
    let write = || {
        let mut writer = BufWriter::new(File::create(path)?);
        let item = record.into_item::<FullPrecisionSettings>();
        rmp_serde::encode::write_named(&mut writer, &item).map_err(io_error)?;
        writer.flush()
    };
    write().map_err(DistillError::io("write", path))
}

/// Reads what [`save_record`] wrote.
///
/// # Errors
/// In words, what is wrong with the file.
pub(crate) fn load_record<B: Backend, R: Record<B>>(path: &Path, device: &B::Device) -> Result<R, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut reader = rmp_serde::Deserializer::new(BufReader::new(file));
    reader.set_max_depth(DEEPEST);
    let item = Deserialize::deserialize(&mut reader).map_err(|error: DecodeError| error.to_string())?;
    // Burn makes tensors of a record without looking whether numbers and shape agree.
    catch_unwind(AssertUnwindSafe(|| R::from_item::<FullPrecisionSettings>(item, device)))
        .map_err(|_| "its tensors do not fit together".to_owned())
}

/// What the system said, where it is the system that failed.
fn io_error(error: EncodeError) -> io::Error {
    match error {
        EncodeError::InvalidValueWrite(error) => error.into(),
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::TestBackend as B;
    use burn::tensor::Tensor;

    use super::*;

    #[test]
    fn a_deeply_nested_record_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.mpk");
        let device = Default::default();
        save_record::<B, _>(Tensor::<B, 1>::ones([3], &device), &path).unwrap();
        let read: Tensor<B, 1> = load_record::<B, _>(&path, &device).unwrap();
        assert_eq!(read.to_data().to_vec::<f32>().unwrap(), [1.0; 3]);
        // Arrays of one array each.
        std::fs::write(&path, vec![0x91; 1_000_000]).unwrap();
        assert!(load_record::<B, Tensor<B, 1>>(&path, &device).is_err());
    }
}
