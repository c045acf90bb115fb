//! The first rows of a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::read_utf8;
use crate::DataError;

/// How much of a file is read.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train.tsv");
/// use brew_data::{Extent, TextFileSpec, read_examples};
///
/// std::fs::write(&path, "a fine film\tgood\n".repeat(1000)).unwrap();
/// let spec = TextFileSpec { extent: Extent::Head(100), ..TextFileSpec::default() };
/// assert_eq!(read_examples(&path, &spec)?.len(), 5);
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// The rows that end within the first so many bytes; more where not even one does.
    Head(u64),
}

impl Extent {
    /// Whether a file holds more than this.
    pub(crate) fn is_part_of(self, path: &Path) -> bool {
        match self {
            Self::Whole => false,
            Self::Head(bytes) => std::fs::metadata(path).is_ok_and(|file| file.len() > bytes),
        }
    }
}

/// A file's text, or its beginning up to where `cut` says that a text can be cut: the number of bytes to keep, 0 where
/// there is no such place.
pub(crate) fn read_text(path: &Path, extent: Extent, cut: fn(&str) -> usize) -> Result<String, DataError> {
    let mut most = match extent {
        Extent::Head(bytes) if extent.is_part_of(path) && !path.is_dir() => bytes.max(1),
        _ => return read_utf8(path),
    };
    loop {
        let file = File::open(path).map_err(|source| DataError::io(path, source))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(|source| DataError::io(path, source))?;
        if (bytes.len() as u64) < most {
            return read_utf8(path);
        }
        let valid = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            // A character that is cut off at the end.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return read_utf8(path),
        };
        bytes.truncate(valid);
        let mut text = String::from_utf8(bytes).expect("valid up to here");
        match cut(&text) {
            0 => most = most.saturating_mul(2),
            end => {
                text.truncate(end);
                return Ok(text);
            }
        }
    }
}

/// The end of the last whole line.
pub(crate) fn after_line(text: &str) -> usize {
    text.rfind('\n').map_or(0, |at| at + 1)
}

/// The end of the last blank line, else of the last whole one: a sentence of a word a line ends there.
pub(crate) fn after_blank_line(text: &str) -> usize {
    let blank = ["\n\n", "\n\r\n"].iter().filter_map(|end| text.rfind(end).map(|at| at + end.len())).max();
    blank.unwrap_or_else(|| after_line(text))
}

/// The end of the last line that is not within a quoted cell.
pub(super) fn after_row_of_csv(text: &str) -> usize {
    let (mut end, mut is_quoted) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => end = at + 1,
            _ => {}
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_rows() {
        assert_eq!(after_line("a\nb\nc"), 4);
        assert_eq!(after_line("abc"), 0);
        assert_eq!(after_row_of_csv("a,b\n\"x\ny\",c\n\"z\n"), 12);
        assert_eq!(after_blank_line("a O\n\nb O\nc"), 5);
        assert_eq!(after_blank_line("a O\r\n\r\nb O\r\nc"), 7);
        assert_eq!(after_blank_line("a O\nb"), 4);
    }

    #[test]
    fn the_head_of_a_file_ends_with_a_row_and_a_character() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        std::fs::write(&path, "京京\n".repeat(50)).unwrap();
        for bytes in 1..60 {
            let text = read_text(&path, Extent::Head(bytes), after_line).unwrap();
            let rows = text.matches('\n').count();
            assert_eq!(text, "京京\n".repeat(rows), "{bytes}");
            // A first row that is longer is read whole.
            assert!(rows >= 1 && rows <= 1.max(bytes as usize), "{bytes}: {rows}");
        }
        assert_eq!(read_text(&path, Extent::Head(350), after_line).unwrap().len(), 350);
        assert_eq!(read_text(&path, Extent::Head(1 << 30), after_line).unwrap().len(), 350);
    }

    #[test]
    fn what_is_no_text_is_told_as_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        std::fs::write(&path, [b"good\n".repeat(3), b"caf\xe9\n".repeat(9)].concat()).unwrap();
        let error = read_text(&path, Extent::Head(20), after_line).unwrap_err().to_string();
        assert!(error.contains("line 4"), "{error}");
        assert!(read_text(&folder.path().join("b.tsv"), Extent::Head(20), after_line).is_err());
        assert!(read_text(folder.path(), Extent::Head(20), after_line).is_err());
    }
}
