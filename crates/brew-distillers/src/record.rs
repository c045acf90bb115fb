//! Records of Burn's optimizers as MessagePack files, with the system's own errors: Burn's recorders turn a full disk
//! into a text.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::record::{FullPrecisionSettings, Record};
use burn::tensor::backend::Backend;
use rmp_serde::encode::Error as EncodeError;

use crate::DistillError;

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
    let item = rmp_serde::from_read(BufReader::new(file)).map_err(|error| error.to_string())?;
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
