//! Comma-separated rows, quoted as in RFC 4180.

use std::borrow::Cow;
use std::path::Path;

use super::table::Row;
use crate::DataError;

/// The rows of `text`; blank lines are skipped by the parser.
pub(super) fn rows(text: &str, path: &Path) -> Result<Vec<Row<'static>>, DataError> {
    let mut reader =
        ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut rows: Vec<Row<'static>> = Vec::new();
    let mut lines = LineCounter::new(text);
    for record in reader.records() {
        let record = record.map_err(|error| DataError::BadCsv {
            path: path.to_path_buf(),
            line: error.position().map_or(0, |position| position.line() as usize),
            message: error.to_string(),
        })?;
        let start = record.position().map_or(0, |position| position.byte() as usize);
        let line = lines.line_of_row(start);
        let cells: Vec<Cow<'static, str>> = record.iter().map(|cell| Cow::Owned(cell.to_owned())).collect();
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        rows.push(Row { line, cells });
    }
    // The parser takes a quoted cell that never closes for one that runs to the end of the file.
    let quotes = text.bytes().filter(|&byte| byte == b'"').count();
    if let Some(last) = rows.last()
        && quotes % 2 == 1
        && last.cells.iter().any(|cell| cell.contains('\n'))
    {
        return Err(DataError::BadCsv {
            path: path.to_path_buf(),
            line: last.line,
            message: "a quoted cell that begins in this row is not closed".to_owned(),
        });
    }
    Ok(rows)
}

/// Line numbers of growing byte offsets.
struct LineCounter<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> LineCounter<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line on which the row begins that the parser found from `offset` on: it counts the blank lines
    /// before a row to the row.
    fn line_of_row(&mut self, offset: usize) -> usize {
        while self.at < self.text.len() && (self.at < offset || matches!(self.text[self.at], b'\r' | b'\n')) {
            if self.text[self.at] == b'\n' {
                self.line += 1;
            }
            self.at += 1;
        }
        self.line
    }
}
