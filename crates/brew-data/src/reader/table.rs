//! Rows of cells to examples: the header, and which column is which.

use std::borrow::Cow;
use std::path::Path;

use super::{Column, Rows, TextFileSpec};
use crate::error::nearest;
use crate::{DataError, RawExample};

/// Cells of one row.
pub(super) struct Row<'a> {
    /// The line it begins on, from 1.
    pub(super) line: usize,
    pub(super) cells: Vec<Cow<'a, str>>,
}

/// Names that data sets give to the columns that are read here.
const COMMON_NAMES: [&str; 22] = [
    "text",
    "text1",
    "text2",
    "text_a",
    "text_b",
    "text_pair",
    "sentence",
    "sentence1",
    "sentence2",
    "sentence_a",
    "sentence_b",
    "question",
    "question1",
    "question2",
    "query",
    "review",
    "premise",
    "hypothesis",
    "label",
    "labels",
    "class",
    "gold_label",
];

/// Indexes of the columns.
struct Layout {
    text: usize,
    text_pair: Option<usize>,
    label: Option<usize>,
}

/// The examples in `rows`.
pub(super) fn examples(
    rows: Vec<Row<'_>>,
    spec: &TextFileSpec,
    path: &Path,
) -> Result<Vec<RawExample>, DataError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let header = has_header(first, spec, path)?;
    let layout = layout(first, header, spec, path)?;
    let last = [Some(layout.text), layout.text_pair, layout.label].into_iter().flatten().max().unwrap_or(0);
    // No row has as many columns as a number can say.
    let expected = last.saturating_add(1);

    let mut examples = Rows::new(path);
    for mut row in rows.into_iter().skip(usize::from(header)) {
        let found = row.cells.len();
        if found < expected {
            return Err(DataError::TooFewColumns {
                path: path.to_path_buf(),
                line: row.line,
                found,
                expected,
            });
        }
        let label = layout.label.map(|column| row.cells[column].clone());
        let text_pair = layout.text_pair.map(|column| row.cells[column].to_string());
        let text = std::mem::take(&mut row.cells[layout.text]).into_owned();
        examples.push(row.line, text, text_pair, label.as_deref());
    }
    Ok(examples.examples)
}

fn has_header(first: &Row<'_>, spec: &TextFileSpec, path: &Path) -> Result<bool, DataError> {
    let named = spec.columns().find_map(|column| match column {
        Column::Name(name) => Some(name),
        Column::Index(_) => None,
    });
    match (spec.header, named) {
        (Some(false), Some(name)) => {
            Err(DataError::NameWithoutHeader { path: path.to_path_buf(), name: name.clone() })
        }
        (Some(header), _) => Ok(header),
        (None, Some(_)) => Ok(true),
        (None, None) => {
            let used = positions(first, spec);
            Ok([Some(used.text), used.text_pair, used.label].into_iter().flatten().all(|column| {
                first
                    .cells
                    .get(column)
                    .is_some_and(|cell| COMMON_NAMES.contains(&cell.trim().to_ascii_lowercase().as_str()))
            }))
        }
    }
}

/// The layout where every column is given by index.
fn positions(first: &Row<'_>, spec: &TextFileSpec) -> Layout {
    let index = |column: &Column| match column {
        Column::Index(index) => *index,
        Column::Name(_) => unreachable!("asked for only where no column is named"),
    };
    let text = index(&spec.text);
    let text_pair = spec.text_pair.as_ref().map(index);
    let after = text.max(text_pair.unwrap_or(0)).saturating_add(1);
    let label = spec.label.as_ref().map(index).or((after < first.cells.len()).then_some(after));
    Layout { text, text_pair, label }
}

fn layout(first: &Row<'_>, header: bool, spec: &TextFileSpec, path: &Path) -> Result<Layout, DataError> {
    if !header {
        return Ok(positions(first, spec));
    }
    let names: Vec<&str> = first.cells.iter().map(|cell| cell.trim()).collect();
    let resolve = |column: &Column| match column {
        Column::Index(index) => Ok(*index),
        Column::Name(name) => {
            names.iter().position(|known| known == name).ok_or_else(|| DataError::UnknownColumn {
                path: path.to_path_buf(),
                line: first.line,
                name: name.clone(),
                nearest: nearest(name, names.iter().copied()),
                known: names.iter().map(|&known| known.to_owned()).collect(),
            })
        }
    };
    Ok(Layout {
        text: resolve(&spec.text)?,
        text_pair: spec.text_pair.as_ref().map(resolve).transpose()?,
        label: match &spec.label {
            Some(column) => Some(resolve(column)?),
            None => names.iter().position(|name| name.eq_ignore_ascii_case("label")),
        },
    })
}
