//! The rows of a layout's file.

use std::collections::HashSet;
use std::path::Path;

use super::super::{Rows, TextFormat, after_line, json, read_text, table::Row, tsv, without_mark};
use super::columns::Columns;
use super::{Layout, LayoutOptions, LayoutRows, LayoutTask, Split};
use crate::error::nearest;
use crate::{
    Column, DataError, LabelSet, MultiLabelExample, MultiLabelSpec, RawExample, TagFileSpec, TagScheme,
    TaggedFile, TextFileSpec, read_multi_label_examples, read_tagged_examples,
};

impl Layout {
    /// Reads a part of a data set of classes or numbers: `path` is the folder of the data set, or the part's file.
    ///
    /// The labels are the names in the file, but for XNLI's `contradictory`, which is `contradiction` elsewhere.
    /// A file without a label column, as GLUE's test sets, gives examples without labels.
    ///
    /// # Errors
    /// No file, see [`find`](Self::find); what cannot be read, with path and line; a layout of another task.
    pub fn read(self, path: &Path, split: Split, options: &LayoutOptions) -> Result<LayoutRows, DataError> {
        self.expect(&[LayoutTask::Classification, LayoutTask::Regression])?;
        let file = self.file(path, split, options)?;
        let mut rows = self.read_file(&file, options)?;
        if options.drop_seen && split != Split::Train {
            let folder = if path.is_dir() { path } else { file.parent().unwrap_or(Path::new(".")) };
            let train = self.read_file(&self.find(folder, Split::Train, options)?, options)?;
            (rows.examples, rows.seen) = drop_seen(rows.examples, &train.examples);
        }
        renumber(&mut rows.examples);
        match rows.examples.is_empty() {
            true => Err(DataError::NothingLeft { path: file, left_out: rows.to_string() }),
            false => Ok(rows),
        }
    }

    /// Reads a part of a data set of several labels a text, and the names of its labels, from `labels.txt` (or
    /// `emotions.txt`) beside the file, if there is one.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_multi_label(
        self,
        path: &Path,
        split: Split,
        options: &LayoutOptions,
    ) -> Result<(Vec<MultiLabelExample>, Option<LabelSet>), DataError> {
        self.expect(&[LayoutTask::MultiLabel])?;
        let file = self.file(path, split, options)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let names = ["labels.txt", "emotions.txt"].map(|name| folder.join(name));
        let names = names.iter().find(|path| path.is_file());
        let labels = names.map(|path| LabelSet::from_file(path)).transpose()?;
        let spec = TextFileSpec { extent: options.extent, ..TextFileSpec::default() };
        let examples = read_multi_label_examples(&file, &spec, &MultiLabelSpec::default())?;
        Ok((examples, labels))
    }

    /// Reads a part of a data set of tagged words. CoNLL-2003's tags become `iob2`, whichever they are in the file;
    /// of the others, the scheme is detected.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_tagged(
        self,
        path: &Path,
        split: Split,
        options: &LayoutOptions,
    ) -> Result<TaggedFile, DataError> {
        self.expect(&[LayoutTask::Tagging])?;
        let scheme = match self {
            Self::Wnut17 => Some(TagScheme::Iob2),
            Self::ResumeNer => Some(TagScheme::Bmes),
            _ => None,
        };
        let file = self.file(path, split, options)?;
        read_tagged_examples(&file, &TagFileSpec { scheme, extent: options.extent, ..TagFileSpec::default() })
    }

    fn expect(self, tasks: &[LayoutTask]) -> Result<(), DataError> {
        match tasks.contains(&self.task()) {
            true => Ok(()),
            false => Err(DataError::LayoutOfOtherTask { layout: self.name(), task: self.task() }),
        }
    }

    fn read_file(self, path: &Path, options: &LayoutOptions) -> Result<LayoutRows, DataError> {
        let content = read_text(path, options.extent, after_line)?;
        let text = without_mark(&content);
        let mut found =
            LayoutRows { examples: Vec::new(), without_agreement: 0, other_languages: 0, broken: 0, seen: 0 };
        found.examples = match TextFormat::from_extension(path) {
            Some(TextFormat::JsonLines) => self.json(text, path, options, &mut found)?,
            _ => self.table(tsv::rows(text), path, options, &mut found)?,
        };
        if found.examples.is_empty() && found.other_languages == 0 {
            return Err(DataError::Empty { path: path.to_path_buf() });
        }
        for example in &mut found.examples {
            if self == Self::Xnli && example.label.as_deref() == Some("contradictory") {
                example.label = Some("contradiction".to_owned());
            }
        }
        let before = found.examples.len();
        found.examples.retain(|example| example.label.as_deref() != Some("-"));
        found.without_agreement = before - found.examples.len();
        Ok(found)
    }

    fn json(
        self,
        text: &str,
        path: &Path,
        options: &LayoutOptions,
        found: &mut LayoutRows,
    ) -> Result<Vec<RawExample>, DataError> {
        let columns = self.columns();
        // Rows of other languages become blank lines, so that the others keep their numbers.
        let of_language;
        let text = match columns.language {
            None => text,
            Some(_) => {
                let is_other = |line: &str| {
                    let row: Result<serde_json::Value, _> = serde_json::from_str(line);
                    let language = row.ok().and_then(|row| Some(row.get("language")?.as_str()?.to_owned()));
                    language.is_some_and(|language| language.trim() != options.language)
                };
                let lines = text.lines().map(|line| {
                    let other = is_other(line);
                    found.other_languages += usize::from(other);
                    if other { "" } else { line }
                });
                of_language = lines.collect::<Vec<_>>().join("\n");
                of_language.as_str()
            }
        };
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        // What is no object is json's to refuse.
        let keys = serde_json::from_str::<serde_json::Map<_, _>>(first).unwrap_or_default();
        let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
        let named = |names: &[&str]| {
            let key = keys.iter().find(|key| names.contains(&key.to_lowercase().as_str()));
            key.map(|key| Column::Name((*key).to_owned()))
        };
        let required = |names: &[&str]| named(names).unwrap_or(Column::Name(names[0].to_owned()));
        let spec = TextFileSpec {
            text: required(columns.text),
            text_pair: columns.text_pair.map(required),
            label: named(columns.label),
            ..TextFileSpec::default()
        };
        json::examples(text, &spec, path)
    }

    fn table(
        self,
        rows: Vec<Row<'_>>,
        path: &Path,
        options: &LayoutOptions,
        found: &mut LayoutRows,
    ) -> Result<Vec<RawExample>, DataError> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let (places, has_header) = Places::new(&self.columns(), first, path)?;
        let mut examples = Rows::new(path);
        for mut row in rows.into_iter().skip(usize::from(has_header)) {
            let expected = 1 + places.last();
            if row.cells.len() < expected {
                if self == Self::Qqp {
                    found.broken += 1;
                    continue;
                }
                let (path, line, found) = (path.to_path_buf(), row.line, row.cells.len());
                return Err(DataError::TooFewColumns { path, line, found, expected });
            }
            if places.language.is_some_and(|column| row.cells[column].trim() != options.language) {
                found.other_languages += 1;
                continue;
            }
            let label = places.label.map(|column| row.cells[column].to_string());
            let text_pair = places.text_pair.map(|column| row.cells[column].to_string());
            let text = std::mem::take(&mut row.cells[places.text]).into_owned();
            examples.push(row.line, text, text_pair, label.as_deref());
        }
        Ok(examples.examples)
    }
}

/// Indexes of the columns in one file.
struct Places {
    text: usize,
    text_pair: Option<usize>,
    label: Option<usize>,
    language: Option<usize>,
}

impl Places {
    /// Going by the first row, and whether that is a header.
    fn new(columns: &Columns, first: &Row<'_>, path: &Path) -> Result<(Self, bool), DataError> {
        let cells: Vec<String> = first.cells.iter().map(|cell| cell.trim().to_lowercase()).collect();
        let place = |names: &[&str]| {
            names.iter().find_map(|&name| cells.iter().position(|cell| cell.as_str() == name))
        };
        let missing = |names: &[&str]| DataError::UnknownColumn {
            path: path.to_path_buf(),
            line: first.line,
            name: names[0].to_owned(),
            nearest: nearest(names[0], cells.iter().map(String::as_str)),
            known: first.cells.iter().map(|cell| cell.trim().to_owned()).collect(),
        };
        let text = place(columns.text);
        let text_pair = columns.text_pair.map(place);
        let language = columns.language.and_then(|name| place(&[name]));
        match (text, text_pair, columns.places) {
            (Some(text), None | Some(Some(_)), _) => {
                let (text_pair, label) = (text_pair.flatten(), place(columns.label));
                Ok((Self { text, text_pair, label, language }, true))
            }
            (.., Some((text, text_pair, label))) => {
                // A file without labels has fewer columns.
                let label = (label < first.cells.len()).then_some(label);
                Ok((Self { text, text_pair, label, language: None }, false))
            }
            (None, ..) => Err(missing(columns.text)),
            (Some(_), ..) => Err(missing(columns.text_pair.unwrap_or(columns.text))),
        }
    }

    fn last(&self) -> usize {
        let others = [self.text_pair, self.label, self.language];
        others.into_iter().flatten().fold(self.text, usize::max)
    }
}

/// The examples whose texts are not among those of `train`, whatever the labels, and how many were left out. White
/// space around a text plays no part.
///
/// ```
/// use brew_data::{RawExample, drop_seen};
/// let train = [RawExample::new(0, "a fine film").with_label("1")];
/// let dev = vec![RawExample::new(0, "a fine film ").with_label("0"), RawExample::new(1, "a dull film")];
/// let (left, dropped) = drop_seen(dev, &train);
/// assert_eq!((left[0].text.as_str(), dropped), ("a dull film", 1));
/// ```
pub fn drop_seen(examples: Vec<RawExample>, train: &[RawExample]) -> (Vec<RawExample>, usize) {
    fn texts(example: &RawExample) -> (&str, Option<&str>) {
        (example.text.trim(), example.text_pair.as_deref().map(str::trim))
    }
    let seen: HashSet<_> = train.iter().map(texts).collect();
    let before = examples.len();
    let left: Vec<RawExample> =
        examples.into_iter().filter(|example| !seen.contains(&texts(example))).collect();
    let dropped = before - left.len();
    (left, dropped)
}

/// Numbers the examples from 0 again.
fn renumber(examples: &mut [RawExample]) {
    for (id, example) in examples.iter_mut().enumerate() {
        example.id = id as u64;
    }
}
