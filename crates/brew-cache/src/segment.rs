//! One file of a cache: where its complete blocks are.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::format::{
    BLOCK_HEAD, BLOCK_MAGIC, BlockHead, Description, SEGMENT_HEAD, TableRow, crc_of, description,
    description_length,
};

/// A part of a segment that cannot be used, and is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// The first byte.
    pub from: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, from, bytes, what } = self;
        write!(f, "{}: {bytes} bytes from {from} on are left out: {what}", path.display())
    }
}

/// A record of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) row: TableRow,
    pub(crate) offset: u64,
}

/// What a segment was found to hold.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) places: Vec<Place>,
    pub(crate) blocks: usize,
    /// Stretches that are no block: first byte, bytes, what is wrong.
    pub(crate) damages: Vec<(u64, u64, String)>,
    /// Where the complete blocks end; what follows may be a block that is being written.
    pub(crate) end: u64,
}

/// Reads what a segment says of itself, and where its blocks begin; the inner error is what is wrong with it.
pub(crate) fn read_description<R: Read + Seek>(
    file: &mut R,
) -> io::Result<Result<(Description, u64), String>> {
    let mut head = [0; SEGMENT_HEAD];
    if !read_at(file, 0, &mut head)? {
        return Ok(Err("its header is cut off".to_owned()));
    }
    let length = match description_length(&head) {
        Ok(length) => length,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let mut text = vec![0; length];
    if !read_at(file, SEGMENT_HEAD as u64, &mut text)? {
        return Ok(Err("its header is cut off".to_owned()));
    }
    Ok(description(&head, &text).map(|found| (found, (SEGMENT_HEAD + length) as u64)))
}

/// Finds the blocks from byte `from` on, which is the end of the header or of a block.
///
/// Between what is damaged, later blocks are looked for: one bad byte costs the block it is in.
pub(crate) fn scan<R: Read + Seek>(file: &mut R, from: u64) -> io::Result<Scan> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut scan = Scan { end: from, ..Scan::default() };
    let mut at = from;
    while at < length {
        match block_at(file, at, length)? {
            Found::Block(rows, end) => {
                if at > scan.end {
                    scan.damages.push((scan.end, at - scan.end, "a damaged block".to_owned()));
                }
                let mut offset = end - rows.iter().map(|row| u64::from(row.bytes)).sum::<u64>();
                for row in rows {
                    scan.places.push(Place { row, offset });
                    offset += u64::from(row.bytes);
                }
                scan.blocks += 1;
                scan.end = end;
                at = end;
            }
            Found::CutOff => break,
            Found::Nothing => match next_magic(file, at + 1, length)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    Ok(scan)
}

/// Reads a record; `None` where it is not what its table says.
pub(crate) fn read_record<R: Read + Seek>(file: &mut R, place: &Place) -> io::Result<Option<Vec<u8>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let bytes = u64::from(place.row.bytes);
    if place.offset.checked_add(bytes).is_none_or(|end| end > length) {
        return Ok(None);
    }
    let mut record = vec![0; place.row.bytes as usize];
    let is_whole = read_at(file, place.offset, &mut record)?;
    Ok((is_whole && crc_of(&[&record]) == place.row.sum).then_some(record))
}

enum Found {
    /// A block that ends there.
    Block(Vec<TableRow>, u64),
    /// A block that the file ends in.
    CutOff,
    Nothing,
}

fn block_at<R: Read + Seek>(file: &mut R, at: u64, length: u64) -> io::Result<Found> {
    let mut head = [0; BLOCK_HEAD];
    if length - at < BLOCK_HEAD as u64 || !read_at(file, at, &mut head)? {
        return Ok(Found::CutOff);
    }
    let Some(head) = BlockHead::parse(&head) else { return Ok(Found::Nothing) };
    let Some(end) = head.block_bytes().and_then(|bytes| at.checked_add(bytes)) else {
        return Ok(Found::Nothing);
    };
    if end > length {
        return Ok(Found::CutOff);
    }
    let mut table = vec![0; head.table_bytes()];
    if !read_at(file, at + BLOCK_HEAD as u64, &mut table)? {
        return Ok(Found::CutOff);
    }
    Ok(head.rows(&table).map_or(Found::Nothing, |rows| Found::Block(rows, end)))
}

/// Where the next block may begin.
fn next_magic<R: Read + Seek>(file: &mut R, from: u64, length: u64) -> io::Result<Option<u64>> {
    const WINDOW: usize = 1 << 16;
    let mut at = from;
    let mut window = vec![0; WINDOW];
    while at < length {
        let count = (length - at).min(WINDOW as u64) as usize;
        if !read_at(file, at, &mut window[..count])? {
            return Ok(None);
        }
        let found = window[..count].windows(BLOCK_MAGIC.len()).position(|bytes| bytes == BLOCK_MAGIC);
        if let Some(found) = found {
            return Ok(Some(at + found as u64));
        }
        if count < WINDOW {
            return Ok(None);
        }
        // It may lie across two windows.
        at += (count - (BLOCK_MAGIC.len() - 1)) as u64;
    }
    Ok(None)
}

/// Fills `bytes` from a place of the file; `false` where the file ends before.
fn read_at<R: Read + Seek>(file: &mut R, at: u64, bytes: &mut [u8]) -> io::Result<bool> {
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests;
