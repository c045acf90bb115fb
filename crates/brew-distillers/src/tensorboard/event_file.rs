//! A file of events as TensorBoard reads it.
//!
//! A file is a sequence of records: the length of the data (8 bytes, little-endian), the masked CRC-32C of
//! these 8 bytes, the data, the masked CRC-32C of the data
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>). The data is a protocol
//! buffer `Event` with the fields below (`event.proto` and `summary.proto` in
//! <https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto>), on the wire as
//! <https://protobuf.dev/programming-guides/encoding/> says.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::DistillError;

/// `Event.wall_time`, seconds since 1970: double.
const WALL_TIME: u64 = 1;
/// `Event.step`: int64.
const STEP: u64 = 2;
/// `Event.file_version`: string.
const FILE_VERSION: u64 = 3;
/// `Event.summary`: message of values.
const SUMMARY: u64 = 5;
/// `Event.session_log`: message of a status.
const SESSION_LOG: u64 = 7;
/// `SessionLog.status`: enum.
const STATUS: u64 = 1;
/// `SessionLog.START`: a reader drops what it has of this event's step and of later ones.
const START: u64 = 1;
/// `Summary.value`: messages.
const VALUE: u64 = 1;
/// `Summary.Value.tag`: string.
const TAG: u64 = 1;
/// `Summary.Value.simple_value`: float.
const SIMPLE_VALUE: u64 = 2;

/// From this version on readers follow `SessionLog.START`.
const VERSION: &str = "brain.Event:2";

/// Part of each file's name; readers take files whose name has it, in the order of their names.
const PREFIX: &str = "events.out.tfevents.";

/// A file of events, written to its end record by record.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file behind those in a folder, from whose events of `first_step` and later steps it takes over.
    pub(super) fn create(folder: &Path, first_step: i64) -> Result<Self, DistillError> {
        fs::create_dir_all(folder).map_err(DistillError::io("create", folder))?;
        let mut second = seconds() as u64;
        for entry in fs::read_dir(folder).map_err(DistillError::io("read", folder))? {
            let entry = entry.map_err(DistillError::io("read", folder))?;
            // A clock that was set back, or two files in one second: the new one comes last.
            if let Some(earlier) = second_of(&entry.file_name().to_string_lossy()) {
                second = second.max(earlier + 1);
            }
        }
        let path = folder.join(format!("{PREFIX}{second:010}.brew.{}", std::process::id()));
        let file = File::create_new(&path).map_err(DistillError::io("create", &path))?;
        let mut events = Self { path, file };
        events.write(first_step, |event| bytes(event, FILE_VERSION, VERSION.as_bytes()))?;
        events.write(first_step, |event| {
            message(event, SESSION_LOG, |log| {
                varint(log, STATUS << 3);
                varint(log, START);
            });
        })?;
        Ok(events)
    }

    /// Writes points at a step, as one event.
    pub(super) fn scalars(&mut self, step: i64, points: &[(String, f64)]) -> Result<(), DistillError> {
        self.write(step, |event| {
            message(event, SUMMARY, |summary| {
                for (tag, value) in points {
                    message(summary, VALUE, |one| {
                        bytes(one, TAG, tag.as_bytes());
                        varint(one, (SIMPLE_VALUE << 3) | 5);
                        one.extend((*value as f32).to_le_bytes());
                    });
                }
            });
        })
    }

    /// Writes an event, whole, so that a reader of the growing file gets it at once.
    fn write(&mut self, step: i64, what: impl FnOnce(&mut Vec<u8>)) -> Result<(), DistillError> {
        let mut event = Vec::new();
        varint(&mut event, (WALL_TIME << 3) | 1);
        event.extend(seconds().to_le_bytes());
        varint(&mut event, STEP << 3);
        varint(&mut event, step as u64);
        what(&mut event);
        self.file.write_all(&record(&event)).map_err(DistillError::io("write", &self.path))
    }
}

/// The second in the name of a file of events.
fn second_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Data as a record.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

/// A CRC that is itself safe to be covered by another.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes or text.
fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(out, (field << 3) | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// A field that is a message.
fn message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    write(&mut content);
    bytes(out, field, &content);
}
