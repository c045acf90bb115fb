//! Archives, unpacked without trust: no path out of the folder, no link, no more than a limit.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::error::{DownloadError, Result};

/// What an archive may hold at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Entries, folders and files that are not wanted included.
    pub(crate) entries: usize,
    /// Bytes unpacked, of all entries together.
    pub(crate) bytes: u64,
}

impl Default for Limits {
    /// The largest of the data sets unpacks to less than half of it.
    fn default() -> Self {
        Self { entries: 10_000, bytes: 4 << 30 }
    }
}

/// Kinds of files by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Zip,
    TarGz,
    Gz,
    Plain,
}

impl Kind {
    /// Looks into the file; a gzip file is a tar archive if what it holds looks like one.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let wrong = |source| DownloadError::io(path, source);
        let mut start = [0; 4];
        let read = read_up_to(&mut File::open(path).map_err(wrong)?, &mut start).map_err(wrong)?;
        if start == *b"PK\x03\x04" || start == *b"PK\x05\x06" {
            return Ok(Self::Zip);
        }
        if read < 2 || start[..2] != [0x1f, 0x8b] {
            return Ok(Self::Plain);
        }
        // `ustar` stands at byte 257 of a tar header, in the POSIX and in the GNU form.
        let mut header = [0; 262];
        let mut content = MultiGzDecoder::new(BufReader::new(File::open(path).map_err(wrong)?));
        let read = read_up_to(&mut content, &mut header).map_err(|error| bad(path, error.to_string()))?;
        Ok(if read == header.len() && header[257..] == *b"ustar" { Self::TarGz } else { Self::Gz })
    }
}

/// Writes the wanted entries of a zip or tar.gz archive, or the content of a gzip file, into `folder`.
///
/// `wanted` maps a path in the archive, with `/` between its parts, to the name that the file gets, or to none.
/// A gzip file counts as an entry with the file's own name without `.gz`. Entries are written under the given
/// names only; an archive with a path that leads out of the folder is refused all the same, as no honest one has
/// it.
///
/// # Errors
/// A damaged archive; paths that are absolute or climb; links and special files among the wanted; two entries for
/// one name; more than `limits`, by what the headers declare and by what comes.
pub(crate) fn unpack(
    path: &Path,
    kind: Kind,
    folder: &Path,
    wanted: &dyn Fn(&str) -> Option<String>,
    limits: Limits,
) -> Result<Vec<String>> {
    let mut output = Output { archive: path, folder, limits, entries: 0, declared: 0, written: Vec::new() };
    match kind {
        Kind::Zip => output.zip(wanted)?,
        Kind::TarGz => output.tar_gz(wanted)?,
        Kind::Gz => output.gz(wanted)?,
        Kind::Plain => return Err(bad(path, "neither a zip archive nor a gzip file")),
    }
    Ok(output.written)
}

struct Output<'a> {
    archive: &'a Path,
    folder: &'a Path,
    limits: Limits,
    entries: usize,
    declared: u64,
    written: Vec<String>,
}

impl Output<'_> {
    fn zip(&mut self, wanted: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let path = self.archive;
        let file = File::open(path).map_err(|source| DownloadError::io(path, source))?;
        let mut archive =
            zip::ZipArchive::new(BufReader::new(file)).map_err(|error| zip_failure(path, error))?;
        // All headers before the first byte is written.
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(|error| zip_failure(path, error))?;
            self.declare(entry.name(), entry.size())?;
        }
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| zip_failure(path, error))?;
            let Some(name) = wanted(entry.name()) else { continue };
            if !entry.is_file() {
                return Err(bad(
                    path,
                    format!("`{}` is a link or a folder where a file is wanted", entry.name()),
                ));
            }
            let size = entry.size();
            self.write(&name, &mut entry, size)?;
        }
        Ok(())
    }

    fn tar_gz(&mut self, wanted: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let path = self.archive;
        let damaged = |error: io::Error| bad(path, error.to_string());
        let file = File::open(path).map_err(|source| DownloadError::io(path, source))?;
        // Headers and padding take 1.5 KiB an entry at most, long names some more.
        let most = self.limits.bytes.saturating_add(self.limits.entries as u64 * 8192);
        let content = Limited { inner: MultiGzDecoder::new(BufReader::new(file)), left: most };
        let mut archive = tar::Archive::new(content);
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let size = entry.size();
            self.declare(&name, size)?;
            let Some(target) = wanted(&name) else { continue };
            if !entry.header().entry_type().is_file() {
                return Err(bad(path, format!("`{name}` is a link or a folder where a file is wanted")));
            }
            self.write(&target, &mut entry, size)?;
        }
        Ok(())
    }

    fn gz(&mut self, wanted: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let path = self.archive;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let Some(target) = wanted(name) else { return Ok(()) };
        let file = File::open(path).map_err(|source| DownloadError::io(path, source))?;
        let mut content = MultiGzDecoder::new(BufReader::new(file));
        let limit = self.limits.bytes;
        let mut limited = Limited { inner: &mut content, left: limit };
        self.copy(&target, &mut limited).map(|_| ())
    }

    /// Counts an entry, and looks at its path.
    fn declare(&mut self, name: &str, size: u64) -> Result<()> {
        self.entries += 1;
        self.declared = self.declared.saturating_add(size);
        if self.entries > self.limits.entries {
            return Err(bad(self.archive, format!("holds more than {} entries", self.limits.entries)));
        }
        if self.declared > self.limits.bytes {
            let limit = self.limits.bytes;
            return Err(bad(self.archive, format!("unpacks to more than {limit} bytes by its own headers")));
        }
        if let Some(reason) = unsafe_path(name) {
            return Err(bad(
                self.archive,
                format!("holds `{}`, {reason}: nothing of it is used", name.escape_debug()),
            ));
        }
        Ok(())
    }

    /// Writes an entry whose header declares `size`.
    fn write(&mut self, name: &str, content: &mut dyn Read, size: u64) -> Result<()> {
        let mut limited = Limited { inner: content, left: size };
        let written = self.copy(name, &mut limited)?;
        if written != size {
            return Err(bad(
                self.archive,
                format!("`{name}` has {written} bytes where its header declares {size}"),
            ));
        }
        Ok(())
    }

    fn copy(&mut self, name: &str, content: &mut dyn Read) -> Result<u64> {
        if self.written.iter().any(|written| written == name) {
            return Err(bad(self.archive, format!("holds more than one file for `{name}`")));
        }
        let target = self.folder.join(name);
        let wrong = |source| DownloadError::io(&target, source);
        let mut file = File::options().write(true).create_new(true).open(&target).map_err(wrong)?;
        let mut buffer = vec![0; 1 << 16];
        let mut written = 0;
        loop {
            let read =
                content.read(&mut buffer).map_err(|error| bad(self.archive, format!("`{name}`: {error}")))?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).map_err(wrong)?;
            written += read as u64;
        }
        file.sync_all().map_err(wrong)?;
        self.written.push(name.to_owned());
        Ok(written)
    }
}

/// A reader that fails rather than give more than so many bytes.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("unpacks to more bytes than declared or allowed"))?;
        Ok(read)
    }
}

/// Why a path in an archive is not harmless, if it is not.
fn unsafe_path(name: &str) -> Option<&'static str> {
    // On Windows `\` separates too, and `C:` is a drive.
    let mut parts = name.split(['/', '\\']);
    if name.starts_with(['/', '\\']) || name.as_bytes().get(1) == Some(&b':') {
        Some("an absolute path")
    } else if parts.any(|part| part == "..") {
        Some("a path that leads out of the folder")
    } else if name.contains('\0') {
        Some("a name with a zero byte")
    } else {
        None
    }
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn bad(path: &Path, message: impl Into<String>) -> DownloadError {
    DownloadError::BadArchive { path: path.to_path_buf(), message: message.into() }
}

fn zip_failure(path: &Path, error: zip::result::ZipError) -> DownloadError {
    match error {
        zip::result::ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            DownloadError::io(path, source)
        }
        error => bad(path, format!("a damaged or encrypted zip archive: {error}")),
    }
}

#[cfg(test)]
mod tests;
