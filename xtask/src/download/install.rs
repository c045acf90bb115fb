//! A data set into its folder of the cache: fetched or brought, checked, unpacked, and there as a whole.

mod gather;

use std::fs;
use std::path::{Path, PathBuf};

use super::cache::{Cache, create_folder};
use super::checksum::Sums;
use super::client::Client;
use super::error::{DownloadError, Result};
use super::licence::{Consent, agree};
use super::progress::Reporter;
use super::record::Record;
use super::sets::{DataSet, Source};
use super::shape;
use super::transfer::{Expected, check_sum, sync_folder};

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

        self.clear_staging(set)?;
        let staging = tempfile::Builder::new()
            .prefix(&staging_prefix(set))
            .tempdir_in(self.cache.data_folder())
            .map_err(|source| DownloadError::io(&folder, source))?;
        let files = staging.path().join("files");
        create_folder(&files)?;
        let mut found = match set.source {
            Source::Open(remotes) => self.gather(set, remotes, &files, &record).inspect_err(|_| {
                // If nothing of it has come.
                let _ = fs::remove_dir(self.cache.downloads(set.name));
            })?,
            Source::ByHand { .. } => {
                self.bring(set, &files)?;
                Found::new()
            }
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

    /// Removes what commands that were killed have left half unpacked: the cache is ours alone now.
    fn clear_staging(&self, set: &DataSet) -> Result<()> {
        let data = self.cache.data_folder();
        create_folder(&data)?;
        let wrong = |source| DownloadError::io(&data, source);
        for entry in fs::read_dir(&data).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            if entry.file_name().to_string_lossy().starts_with(&staging_prefix(set)) {
                fs::remove_dir_all(entry.path()).map_err(wrong)?;
            }
        }
        Ok(())
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
}

/// The entry of an unpacked file in the record.
fn key(set: &DataSet, file: &str) -> String {
    format!("data/{}/{file}", set.name)
}

fn staging_prefix(set: &DataSet) -> String {
    format!(".{}-", set.name)
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
