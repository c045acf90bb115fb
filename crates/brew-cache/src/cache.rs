//! A cache that is open: what it holds, and a segment of this process's own to add to it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::format::{BLOCK_HEAD, Description, MOST_RECORD, MOST_RECORDS, TABLE_ROW, TableRow, block};
use crate::lock::{self, Lock};
use crate::segment::{Damage, Place, read_description, read_record, scan};
use crate::{CacheError, ExampleKey, Fingerprint};

/// How a segment's name ends.
pub(crate) const EXTENSION: &str = "seg";
/// Bytes that are written before the system is asked to bring them to the disk.
const SYNC_EVERY: u64 = 64 << 20;
/// Files that are open at once, beside the own one: a process may have a thousand or so.
const MOST_OPEN: usize = 128;

/// The records of one [`Fingerprint`], below a folder of caches.
///
/// Nothing is written before the first [`append`](Self::append), so a full cache may be on a read-only disk.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    description: Description,
    limit: u64,
    segments: Vec<Segment>,
    /// The first record of each key.
    index: HashMap<ExampleKey, At>,
    /// Further records of a key, of processes that added it at the same time.
    more: HashMap<ExampleKey, Vec<At>>,
    /// Records that were not what their table says.
    broken: Vec<Damage>,
    /// The segment of this process.
    own: Option<usize>,
    /// The others that are open, in the order in which they were opened.
    open: VecDeque<usize>,
    unsynced: u64,
    lock: Option<Lock>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// Opened when it is read.
    file: Option<File>,
    /// Where its complete blocks end; 0 before its header was read.
    end: u64,
    /// Its length when it was looked at last.
    length: u64,
    /// What is wrong with the header, and then with all of it.
    wrong: Option<String>,
    damages: Vec<Damage>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
struct At {
    segment: u32,
    bytes: u32,
    sum: u32,
    offset: u64,
}

impl At {
    fn new(segment: usize, place: &Place) -> Self {
        Self { segment: segment as u32, bytes: place.row.bytes, sum: place.row.sum, offset: place.offset }
    }

    fn place(self, key: ExampleKey) -> Place {
        Place { row: TableRow { key, bytes: self.bytes, sum: self.sum }, offset: self.offset }
    }
}

/// Bytes that the header of a segment takes.
pub fn segment_bytes(fingerprint: &Fingerprint) -> u64 {
    Description::of(fingerprint).head().len() as u64
}

/// Bytes that a block of records takes, beside the records.
pub const fn block_bytes(records: u64) -> u64 {
    BLOCK_HEAD as u64 + records * TABLE_ROW as u64
}

impl Cache {
    /// Opens the cache of a fingerprint below `root`, which need not be there yet. It may take `limit` bytes.
    ///
    /// The headers of all its blocks are read, not the records.
    ///
    /// # Errors
    /// A folder that cannot be read. Damage is no error: see [`damages`](Self::damages).
    pub fn open(root: &Path, fingerprint: &Fingerprint, limit: u64) -> Result<Self, CacheError> {
        let mut cache = Self {
            folder: root.join(fingerprint.name()),
            description: Description::of(fingerprint),
            limit,
            segments: Vec::new(),
            index: HashMap::new(),
            more: HashMap::new(),
            broken: Vec::new(),
            own: None,
            open: VecDeque::new(),
            unsynced: 0,
            lock: None,
        };
        if cache.folder.is_dir() {
            cache.share()?;
            cache.refresh()?;
        }
        Ok(cache)
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many examples are known, each text of one counted.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes of all its segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Whether there is a record, as far as the headers say.
    pub fn contains(&self, key: ExampleKey) -> bool {
        self.index.contains_key(&key)
    }

    /// The examples of which there is a record, by number and text.
    pub fn keys(&self) -> impl Iterator<Item = ExampleKey> + '_ {
        self.index.keys().copied()
    }

    /// Everything that was left out because it is damaged or cut off, with its place.
    pub fn damages(&self) -> Vec<Damage> {
        let of_segment = |segment: &Segment| {
            let whole = segment.wrong.as_ref().map(|what| (0, what.clone()));
            let tail = (segment.end < segment.length && segment.wrong.is_none())
                .then(|| (segment.end, "no complete block".to_owned()));
            let rest = whole.or(tail).map(|(from, what)| Damage {
                path: segment.path.clone(),
                from,
                bytes: segment.length - from,
                what,
            });
            segment.damages.iter().cloned().chain(rest).collect::<Vec<_>>()
        };
        self.segments.iter().flat_map(of_segment).chain(self.broken.iter().cloned()).collect()
    }

    /// The record of an example; `None` where there is none, or none that is whole.
    ///
    /// Its checksum is compared at each call. Where several processes added the example, the record is the one in
    /// the oldest segment that is whole.
    pub fn get(&mut self, key: ExampleKey) -> Option<Vec<u8>> {
        while let Some(&at) = self.index.get(&key) {
            let found = self.file(at.segment as usize).and_then(|file| read_record(file, &at.place(key)));
            let what = match found {
                Ok(Some(record)) => return Some(record),
                Ok(None) => format!("the record of example {} is damaged", key.id),
                Err(error) => format!("the record of example {} cannot be read: {error}", key.id),
            };
            let path = self.segments[at.segment as usize].path.clone();
            let damage = Damage { path, from: at.offset, bytes: at.bytes.into(), what };
            log::warn!("{damage}");
            self.broken.push(damage);
            self.forget(key);
        }
        None
    }

    /// Forgets the record that [`get`](Self::get) gives, for this process: the next one is of another segment, or
    /// of an [`append`](Self::append) to come.
    pub fn forget(&mut self, key: ExampleKey) {
        let next = self.more.get_mut(&key).filter(|more| !more.is_empty()).map(|more| more.remove(0));
        match next {
            Some(next) => self.index.insert(key, next),
            None => self.index.remove(&key),
        };
    }

    /// Takes in what other processes have completed since.
    ///
    /// # Errors
    /// A folder or file that cannot be read.
    pub fn refresh(&mut self) -> Result<(), CacheError> {
        for path in segments_in(&self.folder)? {
            if !self.segments.iter().any(|known| known.path == path) {
                self.segments.push(Segment::new(path, None));
            }
        }
        for index in 0..self.segments.len() {
            if Some(index) != self.own {
                self.look_at(index)?;
            }
        }
        Ok(())
    }

    /// Indexes what is new in a segment.
    fn look_at(&mut self, index: usize) -> Result<(), CacheError> {
        let path = self.segments[index].path.clone();
        let failed = |error| CacheError::io("read", &path)(error);
        let length = match fs::metadata(&path) {
            Ok(found) => found.len(),
            // Removed by someone else; what is still open can still be read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if length == self.segments[index].length {
            return Ok(());
        }
        if self.segments[index].end == 0 {
            let read = self.file(index).and_then(read_description).map_err(failed)?;
            let segment = &mut self.segments[index];
            segment.length = length;
            match read {
                Ok((found, end)) if found.fingerprint == self.description.fingerprint => {
                    (segment.end, segment.wrong) = (end, None);
                }
                Ok((found, _)) => {
                    let what = format!("it is of another cache, {}", found.fingerprint);
                    segment.wrong = Some(what);
                }
                Err(wrong) => segment.wrong = Some(wrong),
            }
            if segment.wrong.is_some() {
                return Ok(());
            }
        }
        let from = self.segments[index].end;
        let found = self.file(index).and_then(|file| scan(file, from)).map_err(failed)?;
        let segment = &mut self.segments[index];
        segment.length = length;
        let damage = |(from, bytes, what)| Damage { path: path.clone(), from, bytes, what };
        segment.damages.extend(found.damages.into_iter().map(damage));
        segment.end = found.end;
        for place in &found.places {
            self.add(place.row.key, At::new(index, place));
        }
        Ok(())
    }

    /// A segment's file, open; of many, those that were opened first are closed.
    fn file(&mut self, index: usize) -> io::Result<&mut File> {
        if self.segments[index].file.is_none() {
            let file = File::open(&self.segments[index].path)?;
            self.open.push_back(index);
            if self.open.len() > MOST_OPEN
                && let Some(oldest) = self.open.pop_front()
            {
                self.segments[oldest].file = None;
            }
            self.segments[index].file = Some(file);
        }
        Ok(self.segments[index].file.as_mut().expect("opened above"))
    }

    fn add(&mut self, key: ExampleKey, at: At) {
        match self.index.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(at);
            }
            Entry::Occupied(_) => self.more.entry(key).or_default().push(at),
        }
    }

    /// Adds records, which are there from now on for this process and all others, even if this one is killed.
    ///
    /// # Errors
    /// [`CacheError::Limit`] before anything is written; a disk that is full or cannot be written to: what was
    /// complete before stays.
    pub fn append(&mut self, records: &[(ExampleKey, Vec<u8>)]) -> Result<(), CacheError> {
        if let Some((key, record)) = records.iter().find(|(_, record)| record.len() > MOST_RECORD) {
            return Err(CacheError::LongRecord { id: key.id, bytes: record.len(), most: MOST_RECORD });
        }
        for part in records.chunks(MOST_RECORDS) {
            self.append_block(part)?;
        }
        Ok(())
    }

    fn append_block(&mut self, records: &[(ExampleKey, Vec<u8>)]) -> Result<(), CacheError> {
        let head = if self.own.is_none() { self.description.head() } else { Vec::new() };
        let bytes = [head.as_slice(), &block(records)].concat();
        let needed = self.bytes() + bytes.len() as u64;
        if needed > self.limit {
            return Err(CacheError::Limit { path: self.folder.clone(), needed, limit: self.limit });
        }
        let own = match self.own {
            Some(own) => own,
            None => self.start_segment()?,
        };
        let segment = &mut self.segments[own];
        let file = segment.file.as_mut().expect("the own segment stays open");
        if let Err(error) = file.write_all(&bytes) {
            // Half a block is as good as none; its bytes are given back where that is possible.
            let _ = file.set_len(segment.end);
            segment.length = segment.end;
            self.own = None;
            return Err(match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    CacheError::DiskFull { path: segment.path.clone() }
                }
                _ => CacheError::io("append to", &segment.path)(error),
            });
        }
        let mut offset = segment.end + bytes.len() as u64
            - records.iter().map(|(_, record)| record.len() as u64).sum::<u64>();
        segment.end += bytes.len() as u64;
        segment.length = segment.end;
        for (key, record) in records {
            let row =
                TableRow { key: *key, bytes: record.len() as u32, sum: crate::format::crc_of(&[record]) };
            self.add(*key, At::new(own, &Place { row, offset }));
            offset += record.len() as u64;
        }
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Brings what was added to the disk, where a power cut does not reach it.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> Result<(), CacheError> {
        if let Some(segment) = self.own.map(|own| &self.segments[own]) {
            let file = segment.file.as_ref().expect("the own segment stays open");
            file.sync_data().map_err(CacheError::io("write", &segment.path))?;
        }
        self.unsynced = 0;
        Ok(())
    }

    fn share(&mut self) -> Result<(), CacheError> {
        self.lock =
            lock::share(&self.folder).map_err(CacheError::io("lock", self.folder.join(lock::LOCK)))?;
        Ok(())
    }

    /// A file that only this process writes to; its header is written with the first block.
    fn start_segment(&mut self) -> Result<usize, CacheError> {
        let mut tries = 0;
        while self.lock.is_none() || !self.folder.is_dir() {
            fs::create_dir_all(&self.folder).map_err(CacheError::io("create", &self.folder))?;
            match self.share() {
                // Removed by another process between the two steps.
                Err(CacheError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && tries < 10 => {}
                Err(error) => return Err(error),
                // Not lockable: go on without.
                Ok(()) if self.lock.is_none() => break,
                Ok(()) => {}
            }
            tries += 1;
        }
        // In the order of their names, segments are in the order of time.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let process = std::process::id();
        for number in 0.. {
            let path = self.folder.join(format!("{time:020}-{process:08}-{number}.{EXTENSION}"));
            match OpenOptions::new().read(true).append(true).create_new(true).open(&path) {
                Ok(file) => {
                    self.segments.push(Segment::new(path, Some(file)));
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {}
                Err(error) => return Err(CacheError::io("create", path)(error)),
            }
        }
        let own = self.segments.len() - 1;
        self.own = Some(own);
        Ok(own)
    }
}

impl Drop for Cache {
    /// Brings what was added to the disk; what cannot be brought there is found out when it is read.
    fn drop(&mut self) {
        let _ = self.sync();
    }
}

impl Segment {
    fn new(path: PathBuf, file: Option<File>) -> Self {
        Self { path, file, end: 0, length: 0, wrong: None, damages: Vec::new() }
    }
}

/// The segments of a cache's folder, the oldest first; none where there is no folder.
pub(crate) fn segments_in(folder: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let failed = |error| CacheError::io("read", folder)(error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
