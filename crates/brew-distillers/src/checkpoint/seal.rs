//! The seal of a checkpoint: the size and the BLAKE3 digest of each of its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use brew_cache::digest_file;
use serde::{Deserialize, Serialize};

use super::{sync_folder, write_atomically};
use crate::DistillError;

/// The file that holds the seal.
pub(super) const SEAL: &str = "seal.json";

/// What a file was when the checkpoint was completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sealed {
    bytes: u64,
    blake3: String,
}

/// The files of a checkpoint by their paths below its folder, parts joined by `/`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    files: BTreeMap<String, Sealed>,
}

/// Flushes every file below a folder to the disk and writes the seal.
///
/// The disk is waited for on a thread of its own, while this one computes the sums.
pub(super) fn seal(folder: &Path) -> Result<(), DistillError> {
    let mut found = Found::default();
    found.look_in(folder, "")?;
    let (synced, sealed) = std::thread::scope(|scope| {
        let synced = scope.spawn(|| found.sync());
        let sealed = found.sums();
        (synced.join(), sealed)
    });
    synced.unwrap_or_else(|panic| resume_unwind(panic))?;
    let json = serde_json::to_vec_pretty(&sealed?).expect("names and numbers are JSON");
    write_atomically(&folder.join(SEAL), &json)
}

/// What differs from the seal, if anything.
pub(super) fn broken(folder: &Path) -> Option<String> {
    let seal: Seal = match fs::read(folder.join(SEAL)) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(seal) => seal,
            Err(error) => return Some(format!("{SEAL} is damaged ({error})")),
        },
        Err(error) => return Some(format!("{SEAL} cannot be read ({error})")),
    };
    seal.files.iter().find_map(|(name, expected)| {
        let path = folder.join(name);
        match fs::metadata(&path) {
            Err(error) => return Some(format!("{name} cannot be read ({error})")),
            Ok(now) if now.len() != expected.bytes => {
                let (now, expected) = (now.len(), expected.bytes);
                return Some(format!("{name} has {now} bytes where {expected} were written"));
            }
            Ok(_) => {}
        }
        match digest_file(&path) {
            Err(error) => Some(error.to_string()),
            Ok(now) if now != expected.blake3 => Some(format!("{name} is not what was written (BLAKE3)")),
            Ok(_) => None,
        }
    })
}

/// What there is below a folder.
#[derive(Default)]
struct Found {
    /// Name below the folder, and path.
    files: Vec<(String, PathBuf)>,
    /// Inner ones first.
    folders: Vec<PathBuf>,
}

impl Found {
    fn look_in(&mut self, folder: &Path, within: &str) -> Result<(), DistillError> {
        for entry in fs::read_dir(folder).map_err(DistillError::io("read", folder))? {
            let entry = entry.map_err(DistillError::io("read", folder))?;
            let path = entry.path();
            let name = format!("{within}{}", entry.file_name().to_string_lossy());
            if path.is_dir() {
                self.look_in(&path, &format!("{name}/"))?;
            } else {
                self.files.push((name, path));
            }
        }
        self.folders.push(folder.to_owned());
        Ok(())
    }

    fn sync(&self) -> Result<(), DistillError> {
        for (_, path) in &self.files {
            let file = File::open(path).map_err(DistillError::io("read", path))?;
            file.sync_all().map_err(DistillError::io("sync", path))?;
        }
        self.folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    fn sums(&self) -> Result<Seal, DistillError> {
        let sealed = |(name, path): &(String, PathBuf)| {
            let bytes = fs::metadata(path).map_err(DistillError::io("read", path))?.len();
            Ok((name.clone(), Sealed { bytes, blake3: digest_file(path)? }))
        };
        Ok(Seal { files: self.files.iter().map(sealed).collect::<Result<_, DistillError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("model")).unwrap();
        fs::write(folder.path().join("model/weights"), b"0123456789").unwrap();
        fs::write(folder.path().join("state.json"), b"{}").unwrap();
        seal(folder.path()).unwrap();
        folder
    }

    #[test]
    fn what_was_written_is_whole() {
        assert_eq!(broken(sealed().path()), None);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_found() {
        for name in ["model/weights", "state.json", SEAL] {
            let folder = sealed();
            let path = folder.path().join(name);
            let bytes = fs::read(&path).unwrap();
            for length in 0..bytes.len() {
                fs::write(&path, &bytes[..length]).unwrap();
                assert!(broken(folder.path()).is_some(), "{name} cut to {length}");
            }
            for at in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[at / 8] ^= 1 << (at % 8);
                fs::write(&path, &flipped).unwrap();
                // A letter of a seal's spaces may become another space.
                let same = serde_json::from_slice::<Seal>(&flipped).ok()
                    == serde_json::from_slice::<Seal>(&bytes).ok();
                assert!(broken(folder.path()).is_some() || (name == SEAL && same), "{name}, bit {at}");
            }
            fs::remove_file(&path).unwrap();
            assert!(broken(folder.path()).is_some(), "{name} removed");
        }
    }
}
