//! Where the files of a data set come from: an address, or the user.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Found, Job};
use crate::download::archive::{Kind, unpack};
use crate::download::checksum::Sums;
use crate::download::error::{DownloadError, Result};
use crate::download::progress::size;
use crate::download::record::{self, Record};
use crate::download::sets::{DataSet, Placed, Remote};
use crate::download::transfer::{Download, Expected, check_sum};

impl Job<'_> {
    /// Fetches the files of an open set, or takes the user's copies of them, and unpacks them into `staging`.
    pub(super) fn gather(
        &self,
        set: &DataSet,
        files: &[Remote],
        staging: &Path,
        record: &Record,
    ) -> Result<Found> {
        let brought = self.brought(files)?;
        let mut found = Vec::new();
        for remote in files {
            let expected = expected(remote, record)?;
            let downloaded = self.cache.downloads(set.name).join(remote.file_name());
            let (path, sums, fetched) = match brought.iter().find(|path| named(path, remote.file_name())) {
                Some(path) => {
                    let sums = Sums::of_file(path)?;
                    check_sum(&path.display().to_string(), &sums, expected.as_ref())?;
                    (path.clone(), sums, false)
                }
                None => {
                    let url = mirrored(remote.url, self.mirror);
                    self.reporter.say(&format!("{url}, as in {}", remote.used_by));
                    let download = Download {
                        url: &url,
                        target: &downloaded,
                        token: None,
                        bytes: remote.bytes,
                        expected: expected.clone(),
                    };
                    (downloaded.clone(), self.client.fetch(&download, self.reporter)?, true)
                }
            };
            self.report_sum(remote, &sums, expected.as_ref(), record);
            found.push((remote.url.to_owned(), sums));
            match Kind::of(&path)? {
                Kind::Plain => place(set, &path, remote.file_name(), staging, fetched)?,
                kind => take_out(set, &path, kind, staging)?,
            }
        }
        Ok(found)
    }

    /// The user's own files for an open set, each of which has to be one of those to fetch.
    fn brought(&self, files: &[Remote]) -> Result<Vec<PathBuf>> {
        let mut brought = Vec::new();
        for path in self.from {
            let before = brought.len();
            if path.is_dir() {
                brought.extend(
                    files.iter().map(|file| path.join(file.file_name())).filter(|path| path.is_file()),
                );
            } else if files.iter().any(|file| named(path, file.file_name())) {
                brought.push(path.clone());
            }
            if brought.len() == before {
                let names: Vec<&str> = files.iter().map(Remote::file_name).collect();
                return Err(DownloadError::Usage(format!(
                    "--from {}: none of the files of this set, which are called {}",
                    path.display(),
                    names.join(", ")
                )));
            }
        }
        Ok(brought)
    }

    /// Takes the files of a set that the user brings.
    pub(super) fn bring(&self, set: &DataSet, staging: &Path) -> Result<()> {
        for path in self.from {
            if path.is_dir() {
                let mut files = Vec::new();
                list_files(path, "", 3, &mut files)?;
                for (name, file) in files {
                    if set.place(&name).is_some() {
                        place(set, &file, &name, staging, false)?;
                    }
                }
                continue;
            }
            match Kind::of(path)? {
                Kind::Plain => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    place(set, path, &name, staging, false)?;
                }
                kind => take_out(set, path, kind, staging)?,
            }
        }
        for placed in set.layout {
            let path = staging.join(placed.file);
            if path.is_file() {
                let said = Self::compare_with_known(placed, &Sums::of_file(&path)?)?;
                self.reporter.say(&format!("{}: {said}", placed.file));
            }
        }
        Ok(())
    }

    /// Whether what the user brought is a version that goes around.
    fn compare_with_known(placed: &Placed, sums: &Sums) -> Result<String> {
        for known in placed.known {
            if known.parse()?.contradicted_by(sums).is_none() {
                return Ok(format!("the version whose sum is published at {}", known.at));
            }
        }
        let why = if placed.known.is_empty() {
            "no sum of it is published"
        } else {
            "not a version with a published sum"
        };
        let sum = &sums.sha256;
        Ok(format!(
            "{why}; its SHA-256, {sum}, is recorded in {}, to be compared the next time",
            record::FILE_NAME
        ))
    }

    fn report_sum(&self, remote: &Remote, sums: &Sums, expected: Option<&Expected>, record: &Record) {
        let name = remote.file_name();
        let bytes = size(sums.bytes);
        self.reporter.say(&match expected {
            Some(expected) => format!("{name}: {bytes}, its sum is the one {}", expected.reason),
            None => format!(
                "{name}: {bytes}; no sum of it is published. Its SHA-256, {}, is recorded in {}, to be compared \
                 the next time",
                sums.sha256,
                record.path().display()
            ),
        });
    }
}

/// The sum that a file should have: the published one, else that of the first download.
fn expected(remote: &Remote, record: &Record) -> Result<Option<Expected>> {
    if let Some(published) = &remote.published {
        return Ok(Some(Expected {
            sum: published.parse()?,
            reason: format!("published at {}", published.at),
            remedy: "Either the transfer was tampered with or damaged, or the publisher has changed the file: try \
                     another network or mirror, and if it stays so, report it to the project"
                .to_owned(),
        }));
    }
    Ok(record.sum(remote.url)?.map(|sum| Expected {
        sum,
        reason: format!("recorded in {} at the first download", record.path().display()),
        remedy: format!(
            "If the publisher has changed the file and you trust the new one, remove the entry `{}` from there",
            remote.url
        ),
    }))
}

fn named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file == name)
}

/// `url` with the mirror instead of its scheme and host.
pub(super) fn mirrored(url: &str, mirror: Option<&str>) -> String {
    let Some(mirror) = mirror else { return url.to_owned() };
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    format!("{}/{path}", mirror.trim_end_matches('/'))
}

/// Puts a file of the set that is not packed into `staging`: moved if it is ours, else copied.
fn place(set: &DataSet, path: &Path, name: &str, staging: &Path, ours: bool) -> Result<()> {
    let placed = set.place(name).ok_or_else(|| DownloadError::BadData {
        path: path.to_path_buf(),
        message: format!(
            "not a file of {}, which are called {}, and no zip or tar.gz archive",
            set.name,
            set.layout.iter().map(|placed| placed.from.join(" or ")).collect::<Vec<_>>().join(", ")
        ),
    })?;
    let target = staging.join(placed.file);
    if target.exists() {
        let message = format!("a second file for {} of {}", placed.file, set.name);
        return Err(DownloadError::BadData { path: path.to_path_buf(), message });
    }
    if ours {
        return fs::rename(path, &target).map_err(|source| DownloadError::io(&target, source));
    }
    // Not `fs::copy`, which would take over that nobody may write to it.
    let mut source = File::open(path).map_err(|error| DownloadError::io(path, error))?;
    let wrong = |error| DownloadError::io(&target, error);
    let mut copy = File::create(&target).map_err(wrong)?;
    io::copy(&mut source, &mut copy).map_err(wrong)?;
    copy.sync_all().map_err(wrong)
}

fn take_out(set: &DataSet, path: &Path, kind: Kind, staging: &Path) -> Result<()> {
    let wanted = |name: &str| set.place(name).map(|placed| placed.file.to_owned());
    let written = unpack(path, kind, staging, &wanted, set.limits())?;
    if written.is_empty() {
        return Err(DownloadError::BadArchive {
            path: path.to_path_buf(),
            message: format!("holds none of the files of {}", set.name),
        });
    }
    Ok(())
}

/// The files below `folder` down to some depth, with their paths from there; links to folders are not followed.
pub(super) fn list_files(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, PathBuf)>,
) -> Result<()> {
    let wrong = |source| DownloadError::io(folder, source);
    let mut entries = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        entries.insert(entry.map_err(wrong)?.path());
    }
    for path in entries {
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if is_folder && depth > 1 {
            list_files(&path, &format!("{name}/"), depth - 1, files)?;
        } else if path.is_file() {
            files.push((name, path));
        }
    }
    Ok(())
}
