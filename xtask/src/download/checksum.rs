//! Checksums of files, in the forms in which they are published.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::error::{DownloadError, Result};

/// A checksum, written `sha256:…`, `git:…` or `md5:…` with lower-case hexadecimal digits.
///
/// `git` is the name that git gives to a file's content: SHA-1 of `blob LENGTH\0` and the content
/// (<https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>). Files of repositories, and the small files of
/// Hugging Face's hub, have it as their published sum. MD5 shows damage, not forgery; it is for files of which
/// nothing better was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sum {
    Sha256(String),
    Git(String),
    Md5(String),
}

impl Sum {
    /// What the checksum is called in a sentence.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "its SHA-256",
            Self::Git(_) => "its git blob name",
            Self::Md5(_) => "its MD5",
        }
    }

    fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) | Self::Md5(digits) => digits,
        }
    }

    /// The digits that `sums` has instead, if it has others.
    pub(crate) fn contradicted_by<'a>(&self, sums: &'a Sums) -> Option<&'a str> {
        let found = match self {
            Self::Sha256(_) => &sums.sha256,
            Self::Git(_) => &sums.git,
            Self::Md5(_) => &sums.md5,
        };
        (found != self.digits()).then_some(found)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits())
    }
}

impl FromStr for Sum {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, digits) = text.split_once(':').ok_or_else(|| format!("`{text}` names no algorithm"))?;
        let (sum, length): (fn(String) -> Self, usize) = match name {
            "sha256" => (Self::Sha256, 64),
            "git" => (Self::Git, 40),
            "md5" => (Self::Md5, 32),
            _ => return Err(format!("`{name}` is not among sha256, git and md5")),
        };
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != length || !digits.bytes().all(lower) {
            return Err(format!("`{digits}` is not {length} lower-case hexadecimal digits"));
        }
        Ok(sum(digits.to_owned()))
    }
}

/// Every checksum of one file, and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) sha256: String,
    pub(crate) git: String,
    pub(crate) md5: String,
    pub(crate) bytes: u64,
}

impl Sums {
    /// Reads the file once.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let wrong = |source| DownloadError::io(path, source);
        let mut file = File::open(path).map_err(wrong)?;
        let bytes = file.metadata().map_err(wrong)?.len();
        let mut sha256 = Sha256::new();
        let mut git = Sha1::new();
        git.update(format!("blob {bytes}\0"));
        let mut md5 = Md5::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer).map_err(wrong)?;
            if read == 0 {
                break;
            }
            sha256.update(&buffer[..read]);
            git.update(&buffer[..read]);
            md5.update(&buffer[..read]);
        }
        Ok(Self {
            sha256: hex(&sha256.finalize()),
            git: hex(&git.finalize()),
            md5: hex(&md5.finalize()),
            bytes,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-2 appendix B.1, RFC 1321 appendix A.5; `printf abc | git hash-object --stdin`.
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
    const GIT: &str = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";

    #[test]
    fn sums_are_the_published_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let sums = Sums::of_file(&path).unwrap();
        assert_eq!((sums.sha256.as_str(), sums.git.as_str(), sums.md5.as_str()), (SHA256, GIT, MD5));
        assert_eq!(sums.bytes, 3);
        for text in [format!("sha256:{SHA256}"), format!("git:{GIT}"), format!("md5:{MD5}")] {
            assert_eq!(text.parse::<Sum>().unwrap().contradicted_by(&sums), None);
        }
        let other: Sum = format!("md5:{}", MD5.replace('9', "8")).parse().unwrap();
        assert_eq!(other.contradicted_by(&sums), Some(MD5));
    }

    #[test]
    fn malformed_sums_are_refused() {
        for text in [SHA256, "sha512:00", "md5:12", &format!("sha256:{}", SHA256.to_uppercase())] {
            assert!(text.parse::<Sum>().is_err(), "{text}");
        }
    }
}
