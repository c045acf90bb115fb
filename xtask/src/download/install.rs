//! A data set into its folder of the cache: fetched or brought, checked, unpacked, and there as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{Kind, unpack};
use super::cache::{Cache, create_folder};
use super::checksum::Sums;
use super::client::Client;
use super::error::{DownloadError, Result};
use super::licence::{Consent, agree};
use super::progress::{Reporter, size};
use super::record::Record;
use super::sets::{DataSet, Remote, Source};
use super::shape;
use super::transfer::{Download, Expected, check_sum, sync_folder};

/// What all downloads of one command share.
pub(crate) struct Job<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cache: &'a Cache,
    pub(crate) reporter: &'a Reporter,
    pub(crate) consent: Consent<'a>,
    /// Scheme and host instead of the publisher's.
    pub(crate) mirror: Option<&'a str>,
    /// Files and folders of the user's own.
    pub(crate) from: &'a [PathBuf],
    /// Fetch and unpack again what is there.
    pub(crate) force: bool,
}

/// Sums to record once all is in place.
type Found = Vec<(String, Sums)>;

impl Job<'_> {
    /// Gives the folder of `set` with its files in it, as [`DataSet::files`] names them.
    ///
    /// What is there already is checked against the record and not fetched again.
    ///
    /// # Errors
    /// No consent, a set that the user has to bring, trouble with fetching or unpacking, files that are not what
    /// was published or recorded. The folder is then as it was.
    pub(crate) fn install(&mut self, set: &DataSet) -> Result<PathBuf> {
        let mut record = Record::open(self.cache.folder())?;
        let folder = self.cache.data(set.name);
        let complete = set.files().iter().all(|file| folder.join(file).is_file());
        if complete && !self.force {
            self.check_present(set, &folder, &mut record)?;
            return Ok(folder);
        }
        let licence = &set.licence;
        let terms = format!("Licence: {}. {}\nStated at {}", licence.name, licence.terms, licence.stated);
        let what = format!("{}: {} ({})", set.name, set.title, set.home);
        if let Source::ByHand { steps } = set.source
            && self.from.is_empty()
        {
            return Err(DownloadError::Usage(format!(
                "{what}\n{terms}\nIt cannot be fetched for you. What to do:\n{steps}"
            )));
        }
        agree(&what, &terms, &mut self.consent, self.reporter)?;

        create_folder(&self.cache.folder().join("data"))?;
        let staging = tempfile::Builder::new()
            .prefix(&format!(".{}-", set.name))
            .tempdir_in(self.cache.folder().join("data"))
            .map_err(|source| DownloadError::io(&folder, source))?;
        let files = staging.path().join("files");
        create_folder(&files)?;
        let mut found = match set.source {
            Source::Open(remotes) => self.gather(set, remotes, &files, &record)?,
            Source::ByHand { .. } => self.bring(set, &files)?,
        };
        self.check_layout(set, &files)?;
        if let Some(conversion) = &set.convert {
            let converted = staging.path().join("converted");
            create_folder(&converted)?;
            let said = (conversion.run)(&files, &converted)?;
            self.reporter.say(&format!("{}: {said}", set.name));
            replace(&converted, &folder)?;
        } else {
            replace(&files, &folder)?;
        }
        for file in set.files() {
            found.push((key(set, file), Sums::of_file(&folder.join(file))?));
        }
        record.insert(found)?;
        let _ = fs::remove_dir_all(self.cache.downloads(set.name));
        Ok(folder)
    }

    /// Fetches the files of an open set, or takes the user's copies of them, and unpacks them into `staging`.
    fn gather(&mut self, set: &DataSet, files: &[Remote], staging: &Path, record: &Record) -> Result<Found> {
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
    fn bring(&mut self, set: &DataSet, staging: &Path) -> Result<Found> {
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
            if !path.is_file() || placed.known.is_empty() {
                continue;
            }
            let sums = Sums::of_file(&path)?;
            let mut same = None;
            for known in placed.known {
                if known.parse()?.contradicted_by(&sums).is_none() {
                    same = Some(known.at);
                }
            }
            self.reporter.say(&match same {
                Some(at) => format!("{}: the version whose sum is published at {at}", placed.file),
                None => format!("{}: not one of the versions whose sums are published", placed.file),
            });
        }
        Ok(Vec::new())
    }

    /// Every file is there, and looks like one of its set.
    fn check_layout(&self, set: &DataSet, staging: &Path) -> Result<()> {
        for placed in set.layout {
            let path = staging.join(placed.file);
            if !path.is_file() {
                return Err(DownloadError::BadData {
                    path: self.cache.data(set.name).join(placed.file),
                    message: format!(
                        "missing: nothing that was fetched or given is called {}. The set has {}",
                        placed.from.join(" or "),
                        set.layout.iter().map(|placed| placed.file).collect::<Vec<_>>().join(", ")
                    ),
                });
            }
            shape::check(&path, placed.shape)?;
        }
        Ok(())
    }

    /// Compares what is there with the record; what the record lacks, it gets.
    fn check_present(&self, set: &DataSet, folder: &Path, record: &mut Record) -> Result<()> {
        let mut new = Vec::new();
        for file in set.files() {
            let path = folder.join(file);
            let sums = Sums::of_file(&path)?;
            match record.sum(&key(set, file))? {
                Some(sum) => {
                    let expected = Expected {
                        sum,
                        reason: format!("recorded in {} when it was put there", record.path().display()),
                        remedy:
                            "The file was changed since: keep a changed copy elsewhere, and add --force to \
                                 have the original again"
                                .to_owned(),
                    };
                    check_sum(&path.display().to_string(), &sums, Some(&expected))?;
                }
                None => new.push((key(set, file), sums)),
            }
        }
        let said = if new.is_empty() {
            "there already, unchanged"
        } else {
            "there already; its sums are recorded now"
        };
        self.reporter.say(&format!("{}: {said}", set.name));
        if new.is_empty() { Ok(()) } else { record.insert(new) }
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

/// The entry of an unpacked file in the record.
fn key(set: &DataSet, file: &str) -> String {
    format!("data/{}/{file}", set.name)
}

fn named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file == name)
}

/// `url` with the mirror instead of its scheme and host.
fn mirrored(url: &str, mirror: Option<&str>) -> String {
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
    fs::copy(path, &target).map_err(|source| DownloadError::io(path, source))?;
    fs::File::open(&target)
        .and_then(|file| file.sync_all())
        .map_err(|source| DownloadError::io(&target, source))
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
fn list_files(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
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

/// Puts `new` where `folder` is or was.
fn replace(new: &Path, folder: &Path) -> Result<()> {
    let wrong = |source| DownloadError::io(folder, source);
    sync_folder(new);
    let mut old = folder.as_os_str().to_owned();
    old.push(".old");
    let old = PathBuf::from(old);
    if old.exists() {
        fs::remove_dir_all(&old).map_err(wrong)?;
    }
    if folder.exists() {
        fs::rename(folder, &old).map_err(wrong)?;
    }
    fs::rename(new, folder).map_err(wrong)?;
    if let Some(parent) = folder.parent() {
        sync_folder(parent);
    }
    if old.exists() {
        fs::remove_dir_all(&old).map_err(wrong)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
