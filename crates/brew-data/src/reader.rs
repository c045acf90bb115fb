//! Texts and labels out of TSV, CSV and JSON-lines files.

mod csv;
mod extent;
mod json;
mod layout;
pub(crate) mod lists;
mod table;
mod tsv;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{DataError, Origin, RawExample};

pub use extent::Extent;
pub(crate) use extent::{after_blank_line, after_line, read_text};
pub use layout::{Layout, LayoutOptions, LayoutRows, LayoutTask, Split, drop_seen};

/// How the rows of a file are written.
///
/// | value | extensions | rows |
/// |---|---|---|
/// | `tsv` | `tsv`, `txt` | cells between tabs, as they are: no quoting, a `"` is a character (as in GLUE) |
/// | `csv` | `csv` | cells between commas, quoted as in RFC 4180; a quoted cell may hold line ends |
/// | `jsonl` | `jsonl`, `ndjson`, `json` | one JSON object a line |
///
/// Everywhere: UTF-8 with or without a byte order mark, lines ending in LF or CRLF, blank lines skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TextFormat {
    /// Cells between tabs, without quoting.
    Tsv,
    /// Comma-separated values, RFC 4180.
    Csv,
    /// One JSON object a line.
    #[serde(rename = "jsonl", alias = "ndjson", alias = "json")]
    JsonLines,
}

impl TextFormat {
    /// The format that the file's extension tells, if it tells one.
    ///
    /// ```
    /// use brew_data::TextFormat;
    /// assert_eq!(TextFormat::from_extension("dev.JSONL".as_ref()), Some(TextFormat::JsonLines));
    /// assert_eq!(TextFormat::from_extension("TREC.train".as_ref()), None);
    /// ```
    pub fn from_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "tsv" | "txt" => Some(Self::Tsv),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// A column: its index from 0, or its name in the header (the key, in JSON).
///
/// In files a number is an index and a string a name. In JSON lines, an index counts the keys of the first
/// object in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Position from 0.
    Index(usize),
    /// Name in the header, or key.
    Name(String),
}

impl Default for Column {
    fn default() -> Self {
        Self::Index(0)
    }
}

impl From<usize> for Column {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

/// Where the texts and the labels stand in a file. With nothing set, `text<TAB>label` without a header, and
/// JSON lines with a `label` key, work as they are.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `format` | by extension | see [`TextFormat`] |
/// | `header` | detect | whether the first row names the columns; no effect on JSON lines |
/// | `text` | `0` | the text, or the first of a pair |
/// | `text_pair` | none | the second text of a pair |
/// | `label` | detect | the label |
///
/// Header, when not said: there is one if any column is given by name; or if the first row's cells in the
/// columns used are all among the names that data sets commonly give (`text`, `sentence`, `sentence1`,
/// `question`, `premise`, `hypothesis`, `label`, ... in any case).
///
/// Label, when not said: where columns have names, the one called `label`, if any; where they have none, the
/// column right after the texts, if the first row has one. A file without such a column is unlabelled, which
/// is what predicting needs and what [`label_examples`](crate::label_examples) refuses. A label column that
/// is given must exist.
///
/// ```
/// let spec: brew_data::TextFileSpec = serde_json::from_str(
///     r##"{"format": "tsv", "text": "#1 String", "text_pair": "#2 String", "label": "Quality"}"##,
/// ).unwrap();
/// assert_eq!(spec.label, Some("Quality".into()));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextFileSpec {
    /// The format; by default the extension tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<TextFormat>,
    /// Whether the first row names the columns; by default detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// The column of the text, or of the first of a pair; by default column 0.
    pub text: Column,
    /// The column of the second text; by default there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<Column>,
    /// The column of the label; by default detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// How much of the file is read; no matter of the file, and so in no configuration.
    #[serde(skip)]
    pub extent: Extent,
}

impl TextFileSpec {
    /// The first two columns as a pair.
    pub fn pair() -> Self {
        Self { text_pair: Some(Column::Index(1)), ..Self::default() }
    }

    /// This specification for files of the same layout that may have no label column, to predict on.
    pub fn without_label(mut self) -> Self {
        self.label = None;
        self
    }

    fn format_of(&self, path: &Path) -> Result<TextFormat, DataError> {
        self.format
            .or_else(|| TextFormat::from_extension(path))
            .ok_or_else(|| DataError::UnknownFormat { path: path.to_path_buf() })
    }

    /// The text of a file and its format.
    fn read(&self, path: &Path) -> Result<(String, TextFormat), DataError> {
        let format = self.format_of(path);
        let cut = match format {
            Ok(TextFormat::Csv) => extent::after_row_of_csv,
            _ => after_line,
        };
        // A file that is not there is told before a name that says no format.
        let content = read_text(path, self.extent, cut)?;
        Ok((content, format?))
    }

    fn columns(&self) -> impl Iterator<Item = &Column> {
        [Some(&self.text), self.text_pair.as_ref(), self.label.as_ref()].into_iter().flatten()
    }
}

/// Reads every row of a file. Texts are kept as they are; labels lose the white space around them, and an
/// empty one counts as missing. [`RawExample::id`] counts the rows from 0.
///
/// # Errors
/// What cannot be read, with the path and the line: see [`DataError`]. A file without rows is an error.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("pairs.tsv");
/// use brew_data::{TextFileSpec, read_examples};
///
/// std::fs::write(&path, "a \"quoted\" film\tanother film\t0\n").unwrap();
/// let examples = read_examples(&path, &TextFileSpec::pair())?;
/// assert_eq!(examples[0].text, "a \"quoted\" film");
/// assert_eq!(examples[0].text_pair.as_deref(), Some("another film"));
/// assert_eq!(examples[0].label.as_deref(), Some("0"));
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn read_examples(path: &Path, spec: &TextFileSpec) -> Result<Vec<RawExample>, DataError> {
    let (content, format) = spec.read(path)?;
    let text = without_mark(&content);
    let examples = match format {
        TextFormat::Tsv => table::examples(tsv::rows(text), spec, path),
        TextFormat::Csv => table::examples(csv::rows(text, path)?, spec, path),
        TextFormat::JsonLines => json::examples(text, spec, path),
    }?;
    if examples.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf() });
    }
    Ok(examples)
}

pub(crate) fn read_utf8(path: &Path) -> Result<String, DataError> {
    if path.is_dir() {
        return Err(DataError::IsFolder { path: path.to_path_buf() });
    }
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count();
        DataError::InvalidUtf8 { path: path.to_path_buf(), line, offset }
    })
}

/// The text without a byte order mark.
pub(crate) fn without_mark(content: &str) -> &str {
    content.strip_prefix('\u{feff}').unwrap_or(content)
}

/// Numbers the rows and remembers where they stand.
struct Rows {
    path: Arc<Path>,
    examples: Vec<RawExample>,
}

impl Rows {
    fn new(path: &Path) -> Self {
        Self { path: path.into(), examples: Vec::new() }
    }

    fn push(&mut self, line: usize, text: String, text_pair: Option<String>, label: Option<&str>) {
        let label = label.map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned);
        let origin = Origin { path: Arc::clone(&self.path), line };
        let id = self.examples.len() as u64;
        self.examples.push(RawExample { id, text, text_pair, label, origin });
    }
}

#[cfg(test)]
mod tests;
