//! One file from one address: resumed, retried, measured, checked, and only then under its name.

mod part;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ureq::http::StatusCode;

use super::cache::{check_space, create_folder};
use super::checksum::{Sum, Sums};
use super::client::{Client, Failure, check_status, header};
use super::error::{DownloadError, Mismatch, Result};
use super::progress::{Progress, Reporter};
use part::{Origin, Part};

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
                Err(Failure::Final(error)) => {
                    part.leave();
                    return Err(error);
                }
                Err(Failure::Passing { message, .. }) if tries >= self.patience.tries => {
                    let (url, kept, last) = (url.to_owned(), part.length, message);
                    let path = part.path.clone();
                    part.leave();
                    return Err(DownloadError::GaveUp { url, tries, last, kept, part: path });
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
            if let Err(message) = part.goes_on_with(&headers) {
                part.discard()?;
                return Err(Failure::passing(message));
            }
            part.joined = true;
        } else if status == StatusCode::OK {
            part.restart(Origin::of_answer(url, &headers))?;
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
    Err(DownloadError::OtherSum(Box::new(Mismatch {
        what: what.to_owned(),
        expected: expected.sum.clone(),
        found: found.to_owned(),
        reason: expected.reason.clone(),
        remedy: expected.remedy.clone(),
    })))
}

/// Makes a rename in `folder` last through a power cut, where the system can.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests;
