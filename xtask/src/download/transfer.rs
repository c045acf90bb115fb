//! One file from one address: resumed, retried, measured, checked, and only then under its name.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, StatusCode};

use super::cache::{check_space, create_folder};
use super::checksum::{Sum, Sums};
use super::client::{Client, Failure, check_status, header};
use super::error::{DownloadError, Result};
use super::progress::{Progress, Reporter};

/// A sum that a file has to have.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) sum: Sum,
    /// Where the sum is from, as part of a sentence.
    pub(crate) reason: String,
    /// What to do where it does not match.
    pub(crate) remedy: String,
}

/// What to fetch and where to put it.
#[derive(Debug, Clone)]
pub(crate) struct Download<'a> {
    pub(crate) url: &'a str,
    /// Appears by one rename, whole and checked.
    pub(crate) target: &'a Path,
    /// Sent to the first host only.
    pub(crate) token: Option<&'a str>,
    /// The published length.
    pub(crate) bytes: Option<u64>,
    pub(crate) expected: Option<Expected>,
}

/// What is known of the file that a `.part` is the beginning of; beside it as `.part.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    url: String,
    /// A strong `ETag`, else `Last-Modified`: what `If-Range` takes (RFC 9110, section 13.1.5).
    validator: Option<String>,
    total: Option<u64>,
}

/// The unfinished file.
struct Part {
    path: PathBuf,
    note: PathBuf,
    file: File,
    origin: Option<Origin>,
    length: u64,
    /// Whether bytes of an earlier request are in it.
    joined: bool,
}

impl Part {
    /// Opens what an earlier run left, if it is of the same address and can be told from a newer version.
    fn open(target: &Path, url: &str) -> Result<Self> {
        let beside = |ending: &str| {
            let mut name = target.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            target.with_file_name(name)
        };
        let (path, note) = (beside(".part"), beside(".part.json"));
        let origin: Option<Origin> =
            fs::read(&note).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let origin = origin.filter(|origin| origin.url == url && origin.validator.is_some());
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|source| DownloadError::io(&path, source))?;
        let length = file.metadata().map_err(|source| DownloadError::io(&path, source))?.len();
        let mut part = Self { path, note, file, origin, length, joined: false };
        let too_long =
            part.origin.as_ref().and_then(|origin| origin.total).is_some_and(|total| length > total);
        if part.origin.is_none() || too_long {
            part.discard()?;
        }
        part.joined = part.length > 0;
        Ok(part)
    }

    /// Forgets what is there.
    fn discard(&mut self) -> Result<()> {
        self.origin = None;
        self.joined = false;
        self.length = 0;
        self.file.set_len(0).map_err(|source| DownloadError::io(&self.path, source))
    }

    /// Begins anew, with what an answer tells about the whole file.
    fn restart(&mut self, origin: Origin) -> Result<()> {
        self.discard()?;
        let text =
            serde_json::to_vec(&origin).map_err(|error| DownloadError::io(&self.note, error.into()))?;
        fs::write(&self.note, text).map_err(|source| DownloadError::io(&self.note, source))?;
        self.origin = Some(origin);
        Ok(())
    }

    fn total(&self) -> Option<u64> {
        self.origin.as_ref().and_then(|origin| origin.total)
    }

    fn is_whole(&self) -> bool {
        self.total() == Some(self.length)
    }

    /// Removes the files.
    fn remove(self) {
        drop(self.file);
        let _ = fs::remove_file(&self.note);
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    /// Fetches a file. What an earlier run has left of it, of the same version, is not fetched again.
    ///
    /// # Errors
    /// What does not pass by itself, or does not within the tries. What was fetched is kept then, unless it has
    /// the wrong sum.
    pub(crate) fn fetch(&self, download: &Download<'_>, reporter: &Reporter) -> Result<Sums> {
        let Download { url, target, .. } = *download;
        let folder = target.parent().unwrap_or(Path::new("."));
        create_folder(folder)?;
        let mut part = Part::open(target, url)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let mut progress = reporter.start(&name);
        let mut tries = 1;
        let mut fetched_whole = false;
        loop {
            match self.attempt(download, &mut part, &mut progress) {
                Ok(()) => {}
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { message, .. }) if tries >= self.patience.tries => {
                    let url = url.to_owned();
                    return Err(DownloadError::GaveUp {
                        url,
                        tries,
                        last: message,
                        kept: part.length,
                        part: part.path,
                    });
                }
                Err(Failure::Passing { message, asked }) => {
                    let wait = asked.unwrap_or_else(|| self.patience.wait(tries));
                    tries += 1;
                    progress.say(&format!(
                        "{name}: {message}; try {tries} of {} in {:.0} s",
                        self.patience.tries,
                        wait.as_secs_f64()
                    ));
                    std::thread::sleep(wait);
                    continue;
                }
            }
            part.file.sync_all().map_err(|source| DownloadError::io(&part.path, source))?;
            let sums = Sums::of_file(&part.path)?;
            match check_sum(url, &sums, download.expected.as_ref()) {
                Ok(()) => {
                    fs::rename(&part.path, target).map_err(|source| DownloadError::io(target, source))?;
                    let _ = fs::remove_file(&part.note);
                    sync_folder(folder);
                    return Ok(sums);
                }
                Err(_) if part.joined && !fetched_whole => {
                    fetched_whole = true;
                    progress.say(&format!("{name}: the pieces do not fit together; fetching it whole"));
                    part.discard()?;
                }
                Err(error) => {
                    part.remove();
                    return Err(error);
                }
            }
        }
    }

    /// One request and as much of the answer as comes.
    fn attempt(
        &self,
        download: &Download<'_>,
        part: &mut Part,
        progress: &mut Progress<'_>,
    ) -> std::result::Result<(), Failure> {
        if part.is_whole() && part.length > 0 {
            return Ok(());
        }
        let Download { url, token, .. } = *download;
        let range = format!("bytes={}-", part.length);
        let validator = part.origin.as_ref().and_then(|origin| origin.validator.clone());
        let mut response = match &validator {
            Some(validator) if part.length > 0 => {
                self.get(url, &[("Range", &range), ("If-Range", validator)], token)?
            }
            _ => self.get(url, &[], token)?,
        };
        let (status, headers) = (response.status(), response.headers().clone());
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            part.discard()?;
            return Err(Failure::passing(
                "the server has a shorter file now, which is fetched from its beginning",
            ));
        }
        check_status(url, status, &headers, &self.patience)?;
        if let Some(encoding) =
            header(&headers, "content-encoding").filter(|encoding| *encoding != "identity")
        {
            let message =
                format!("the server compresses the file on the way ({encoding}), which was not asked for");
            return Err(DownloadError::BadAnswer { url: url.to_owned(), message }.into());
        }
        if status == StatusCode::PARTIAL_CONTENT {
            if let Err(message) = continues(part, &headers) {
                part.discard()?;
                return Err(Failure::passing(message));
            }
            part.joined = true;
        } else if status == StatusCode::OK {
            part.restart(origin(url, &headers))?;
        } else {
            let message = format!("an answer with status {status} where a file was expected");
            return Err(DownloadError::BadAnswer { url: url.to_owned(), message }.into());
        }
        if let (Some(expected), Some(found)) = (download.bytes, part.total())
            && expected != found
        {
            part.discard()?;
            return Err(DownloadError::OtherLength { url: url.to_owned(), expected, found }.into());
        }
        if let Some(left) = part.total().or(download.bytes) {
            check_space(part.path.parent().unwrap_or(Path::new(".")), left.saturating_sub(part.length))?;
        }
        progress.begin(part.length, part.total());
        receive(&mut response.body_mut().as_reader(), part, progress)
    }
}

/// Whether a 206 answer goes on where the part ends, in the same version of the file.
fn continues(part: &Part, headers: &HeaderMap) -> std::result::Result<(), String> {
    let (start, total) = header(headers, "content-range")
        .and_then(content_range)
        .ok_or("the server sent a piece without saying which")?;
    let known = part.origin.as_ref();
    let other_version = known.zip(origin("", headers).validator).is_some_and(|(known, validator)| {
        known.validator.as_ref().is_some_and(|before| *before != validator)
    });
    let other_length = part.total().zip(total).is_some_and(|(before, now)| before != now);
    if other_version || other_length {
        return Err("the file has changed on the server and is fetched from its beginning".to_owned());
    }
    if start != part.length {
        return Err(format!("the server sent the piece from byte {start}, not from {}", part.length));
    }
    Ok(())
}

/// First byte and whole length of `bytes 5-9/10`; the length may be `*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.parse().ok()?, total))
}

/// What the headers of a whole answer tell about the file.
fn origin(url: &str, headers: &HeaderMap) -> Origin {
    // A weak ETag names files that are equivalent, not equal: pieces of them do not fit together.
    let etag = header(headers, "etag").filter(|etag| etag.starts_with('"'));
    let validator = etag.or_else(|| header(headers, "last-modified")).map(str::to_owned);
    let total = header(headers, "content-length").and_then(|length| length.trim().parse().ok());
    Origin { url: url.to_owned(), validator, total }
}

/// Appends what comes to the part. A connection that ends too early is a failure that passes.
fn receive(
    body: &mut impl Read,
    part: &mut Part,
    progress: &mut Progress<'_>,
) -> std::result::Result<(), Failure> {
    let path = part.path.clone();
    let wrong = |source| Failure::Final(DownloadError::io(&path, source));
    part.file.seek(SeekFrom::Start(part.length)).map_err(wrong)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match body.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Failure::passing(format!(
                    "the connection broke after {} bytes ({error})",
                    part.length
                )));
            }
        };
        if read == 0 {
            break;
        }
        part.file.write_all(&buffer[..read]).map_err(wrong)?;
        part.length += read as u64;
        progress.reach(part.length);
    }
    match part.total() {
        Some(total) if part.length < total => {
            Err(Failure::passing(format!("the connection ended after {} of {total} bytes", part.length)))
        }
        Some(total) if part.length > total => {
            let length = part.length;
            part.discard()?;
            Err(Failure::passing(format!("{length} bytes came where {total} were announced")))
        }
        _ => Ok(()),
    }
}

/// Compares a file with the sum that it should have.
pub(crate) fn check_sum(what: &str, sums: &Sums, expected: Option<&Expected>) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let Some(found) = expected.sum.contradicted_by(sums) else { return Ok(()) };
    Err(DownloadError::OtherSum {
        what: what.to_owned(),
        expected: expected.sum.clone(),
        found: found.to_owned(),
        reason: expected.reason.clone(),
        remedy: expected.remedy.clone(),
    })
}

/// Makes a rename in `folder` last through a power cut, where the system can.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests;
