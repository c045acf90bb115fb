//! Whether a file looks like one of its data set: an error page, or another set, does not.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{DownloadError, Result};
use super::sets::Shape;

/// Rows that are looked at.
const ROWS: usize = 1_000;

/// # Errors
/// A file that is not of this shape, with the line. In tables one row in a hundred may be short: real sets have
/// some.
pub(crate) fn check(path: &Path, shape: Shape) -> Result<()> {
    let wrong = |source| DownloadError::io(path, source);
    let bad = |message: String| DownloadError::BadData { path: path.to_path_buf(), message };
    let file = BufReader::with_capacity(1 << 17, File::open(path).map_err(wrong)?);
    let (cells, separators): (usize, &[char]) = match shape {
        Shape::Json => {
            let mut deserializer = serde_json::Deserializer::from_reader(file);
            let parsed = IgnoredAny::deserialize(&mut deserializer).and_then(|_| deserializer.end());
            return parsed.map_err(|error| bad(format!("is not JSON: {error}")));
        }
        Shape::Tabs(cells) => (cells, &['\t']),
        Shape::Words(cells) => (cells, &[' ', '\t']),
    };
    let (mut rows, mut short, mut first_short) = (0, 0, None);
    for (index, line) in file.split(b'\n').enumerate() {
        let line = line.map_err(wrong)?;
        let line = String::from_utf8(line).map_err(|_| bad(format!("line {} is not UTF-8", index + 1)))?;
        let line = line.trim_end_matches('\r');
        if line.trim_matches([' ', '\t', '\u{feff}']).is_empty() {
            continue;
        }
        rows += 1;
        let found = match shape {
            Shape::Words(_) => line.split(separators).filter(|cell| !cell.is_empty()).count(),
            _ => line.split(separators).count(),
        };
        if found < cells {
            short += 1;
            first_short.get_or_insert((index + 1, found));
        }
        if rows == ROWS {
            break;
        }
    }
    match first_short {
        _ if rows == 0 => Err(bad("holds nothing".to_owned())),
        Some((line, found)) if short * 100 > rows => Err(bad(format!(
            "is not in the layout of its data set: line {line} has {found} columns where at least {cells} are expected"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(content: impl AsRef<[u8]>, shape: Shape) -> std::result::Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        check(&path, shape).map_err(|error| error.to_string())
    }

    #[test]
    fn shapes_are_told_from_others() {
        checked("{\"data\": []}\n", Shape::Json).unwrap();
        checked("a\tb\r\n\r\nc\td\r\n", Shape::Tabs(2)).unwrap();
        checked("EU NNP I-NP I-ORG\n\n-DOCSTART- -X- O O\n", Shape::Words(4)).unwrap();
        let page = "<!DOCTYPE html>\n<html>moved</html>";
        assert!(checked(page, Shape::Json).unwrap_err().contains("not JSON"));
        assert!(checked(page, Shape::Tabs(2)).unwrap_err().contains("line 1 has 1 columns"));
        assert!(checked("{\"data\": [", Shape::Json).unwrap_err().contains("not JSON"));
        assert!(checked("{} {}", Shape::Json).is_err());
        assert!(checked("a\tb\nc\n", Shape::Tabs(2)).unwrap_err().contains("line 2"));
        assert!(checked(b"a\tb\n\xff\tc\n", Shape::Tabs(2)).unwrap_err().contains("line 2 is not UTF-8"));
        assert!(checked("\n", Shape::Words(1)).unwrap_err().contains("nothing"));
    }

    #[test]
    fn a_short_row_among_many_passes() {
        checked("a\tb\n".repeat(150) + "c\n", Shape::Tabs(2)).unwrap();
        // A token of an ideographic space is a word.
        checked("\u{3000}\tO\n", Shape::Words(2)).unwrap();
    }
}
