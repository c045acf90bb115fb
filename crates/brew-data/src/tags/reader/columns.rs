//! A word a line, with its tag in another column.

use std::path::Path;

use super::{Sentence, TagFileSpec, is_separator, numbered_lines};
use crate::DataError;

const DOCUMENT_START: &str = "-DOCSTART-";

struct Row<'a> {
    line: usize,
    cells: Vec<&'a str>,
}

/// The sentences of `text`.
pub(super) fn sentences(text: &str, spec: &TagFileSpec, path: &Path) -> Result<Vec<Sentence>, DataError> {
    let columns = columns(text);
    let mut sentences = Vec::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (line, content) in numbered_lines(text) {
        let row = Row { line, cells: cells(content, columns) };
        if row.cells.is_empty() || row.cells[0] == DOCUMENT_START {
            finish(&mut rows, spec, columns, path, &mut sentences)?;
        } else {
            rows.push(row);
        }
    }
    finish(&mut rows, spec, columns, path, &mut sentences)?;
    Ok(sentences)
}

/// How many columns there are: those of the first row of a word with several.
fn columns(text: &str) -> usize {
    let rows = numbered_lines(text).map(|(_, line)| cells(line, 0));
    let mut words = rows.filter(|cells| cells.first().is_some_and(|&word| word != DOCUMENT_START));
    words.find_map(|cells| Some(cells.len()).filter(|&count| count > 1)).unwrap_or(1)
}

/// The cells of a line that should hold `columns` of them; none if it is blank.
fn cells(line: &str, columns: usize) -> Vec<&str> {
    let content = line.trim_end_matches(is_separator);
    if content.is_empty() {
        return Vec::new();
    }
    if content.contains('\t') {
        return content
            .split('\t')
            .map(|cell| if cell == " " { cell } else { cell.trim_matches(' ') })
            .collect();
    }
    let mut cells: Vec<&str> = content.split(' ').filter(|cell| !cell.is_empty()).collect();
    // The word is itself a space, as in texts cut into characters.
    if content.starts_with(' ') && cells.len() + 1 == columns {
        cells.insert(0, " ");
    }
    cells
}

/// Makes a sentence of the rows, if there are any.
fn finish(
    rows: &mut Vec<Row<'_>>,
    spec: &TagFileSpec,
    columns: usize,
    path: &Path,
    sentences: &mut Vec<Sentence>,
) -> Result<(), DataError> {
    let rows = std::mem::take(rows);
    let Some(first) = rows.first() else { return Ok(()) };
    let line = first.line;
    let is_tagged = rows.iter().any(|row| row.cells.len() > 1);
    let tag = spec.tag.unwrap_or(columns - 1);
    let mut words = Vec::with_capacity(rows.len());
    let mut tags = Vec::with_capacity(rows.len());
    for row in &rows {
        let found = row.cells.len();
        let place =
            |expected| DataError::ColumnCount { path: path.to_path_buf(), line: row.line, found, expected };
        if !is_tagged {
            words.push(row.cells[spec.word.min(found - 1)].to_owned());
            continue;
        }
        if found == 1 {
            let (path, word) = (path.to_path_buf(), row.cells[0].to_owned());
            return Err(DataError::PartlyTagged { path, line: row.line, word });
        }
        match spec.tag {
            None if found != columns => return Err(place(columns)),
            _ if found <= tag.max(spec.word) => return Err(place(tag.max(spec.word).saturating_add(1))),
            _ => {}
        }
        words.push(row.cells[spec.word].to_owned());
        tags.push(row.cells[tag].to_owned());
    }
    sentences.push(Sentence { line, words, tags: is_tagged.then_some(tags) });
    Ok(())
}
