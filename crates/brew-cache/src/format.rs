//! The bytes of a segment: a header that says what it is, then blocks of records.
//!
//! ```text
//! segment: "BREWCACH" · version u32 · length of description u32 · crc32 of these and the description u32
//!          · description, JSON · block · block · …
//! block:   "BREWBLCK" · records u32 · bytes of all records u64 · crc32 of table u32 · crc32 of these u32
//!          · table · records one after the other
//! table:   for each record its example u64 · digest of the text, 16 bytes · bytes u32 · crc32 u32
//! ```
//!
//! Numbers are little-endian. Nothing here takes more memory than a file is long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ExampleKey, Fingerprint, TextDigest};

/// The version of this format.
pub(crate) const VERSION: u32 = 1;
pub(crate) const BLOCK_MAGIC: [u8; 8] = *b"BREWBLCK";
const SEGMENT_MAGIC: [u8; 8] = *b"BREWCACH";

pub(crate) const SEGMENT_HEAD: usize = 20;
pub(crate) const BLOCK_HEAD: usize = 28;
pub(crate) const TABLE_ROW: usize = 32;
/// Bytes of a description at most.
const MOST_DESCRIPTION: usize = 1 << 16;
/// Records of a block at most.
pub(crate) const MOST_RECORDS: usize = 1 << 16;
/// Bytes of a record at most.
pub(crate) const MOST_RECORD: usize = 1 << 30;

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The digest of `made_of`.
    pub(crate) fingerprint: String,
    pub(crate) made_of: BTreeMap<String, Value>,
    pub(crate) about: BTreeMap<String, Value>,
}

impl Description {
    pub(crate) fn of(fingerprint: &Fingerprint) -> Self {
        Self {
            fingerprint: fingerprint.digest().to_owned(),
            made_of: fingerprint.made_of().clone(),
            about: fingerprint.about().clone(),
        }
    }

    /// The bytes a segment begins with.
    pub(crate) fn head(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).expect("a description is JSON");
        let mut bytes = SEGMENT_MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((text.len() as u32).to_le_bytes());
        let sum = crc_of(&[&bytes, &text]);
        bytes.extend(sum.to_le_bytes());
        bytes.extend(text);
        bytes
    }
}

/// How long the description of a segment is, from its first [`SEGMENT_HEAD`] bytes; else what is wrong.
pub(crate) fn description_length(head: &[u8; SEGMENT_HEAD]) -> Result<usize, String> {
    if head[..8] != SEGMENT_MAGIC {
        return Err("it does not begin as a cache does".to_owned());
    }
    let version = u32_at(head, 8);
    if version != VERSION {
        return Err(format!("it is of version {version} of the format, and this is version {VERSION}"));
    }
    let length = u32_at(head, 12) as usize;
    if length > MOST_DESCRIPTION {
        return Err(format!("its description would be {length} bytes long"));
    }
    Ok(length)
}

/// The description, compared with the checksum of the head.
pub(crate) fn description(head: &[u8; SEGMENT_HEAD], text: &[u8]) -> Result<Description, String> {
    if crc_of(&[&head[..16], text]) != u32_at(head, 16) {
        return Err("its header is damaged".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| format!("its description cannot be read: {error}"))
}

/// The first bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub(crate) records: usize,
    pub(crate) payload: u64,
    table_sum: u32,
}

/// A record as its block's table knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableRow {
    pub(crate) key: ExampleKey,
    pub(crate) bytes: u32,
    pub(crate) sum: u32,
}

impl BlockHead {
    /// `None` where these bytes are no block's.
    pub(crate) fn parse(bytes: &[u8; BLOCK_HEAD]) -> Option<Self> {
        let is_block = bytes[..8] == BLOCK_MAGIC && crc_of(&[&bytes[..24]]) == u32_at(bytes, 24);
        let records = u32_at(bytes, 8) as usize;
        if !is_block || records == 0 || records > MOST_RECORDS {
            return None;
        }
        Some(Self { records, payload: u64_at(bytes, 12), table_sum: u32_at(bytes, 20) })
    }

    pub(crate) const fn table_bytes(&self) -> usize {
        self.records * TABLE_ROW
    }

    /// The whole block; `None` where that is beyond any file.
    pub(crate) fn block_bytes(&self) -> Option<u64> {
        self.payload.checked_add((BLOCK_HEAD + self.table_bytes()) as u64)
    }

    /// The rows of the table; `None` where it is damaged.
    pub(crate) fn rows(&self, table: &[u8]) -> Option<Vec<TableRow>> {
        if crc_of(&[table]) != self.table_sum || table.len() != self.table_bytes() {
            return None;
        }
        let rows: Vec<TableRow> = table.chunks_exact(TABLE_ROW).map(TableRow::parse).collect();
        let total: u64 = rows.iter().map(|row| u64::from(row.bytes)).sum();
        (total == self.payload && rows.iter().all(|row| row.bytes as usize <= MOST_RECORD)).then_some(rows)
    }
}

impl TableRow {
    fn parse(bytes: &[u8]) -> Self {
        let mut text = [0; 16];
        text.copy_from_slice(&bytes[8..24]);
        let key = ExampleKey { id: u64_at(bytes, 0), text: TextDigest(text) };
        Self { key, bytes: u32_at(bytes, 24), sum: u32_at(bytes, 28) }
    }
}

/// A block of records, at most [`MOST_RECORDS`] of at most [`MOST_RECORD`] bytes each.
pub(crate) fn block(records: &[(ExampleKey, Vec<u8>)]) -> Vec<u8> {
    let payload: usize = records.iter().map(|(_, record)| record.len()).sum();
    let mut table = Vec::with_capacity(records.len() * TABLE_ROW);
    for (key, record) in records {
        table.extend(key.id.to_le_bytes());
        table.extend(key.text.0);
        table.extend((record.len() as u32).to_le_bytes());
        table.extend(crc_of(&[record]).to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(BLOCK_HEAD + table.len() + payload);
    bytes.extend(BLOCK_MAGIC);
    bytes.extend((records.len() as u32).to_le_bytes());
    bytes.extend((payload as u64).to_le_bytes());
    bytes.extend(crc_of(&[&table]).to_le_bytes());
    let sum = crc_of(&[&bytes]);
    bytes.extend(sum.to_le_bytes());
    bytes.extend(table);
    for (_, record) in records {
        bytes.extend(record);
    }
    bytes
}

pub(crate) fn crc_of(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
