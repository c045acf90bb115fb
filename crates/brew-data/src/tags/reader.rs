//! Words and tags out of files.

mod columns;
mod lines;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{TagScheme, TaggedExample};
use crate::reader::{after_blank_line, read_text, without_mark};
use crate::{DataError, Extent, Origin};

/// How the sentences of a file are written.
///
/// | value | sentences |
/// |---|---|
/// | `conll` | a word a line with its tag in another column, columns between tabs or else spaces, a blank line behind each sentence; `-DOCSTART-` lines are dropped (CoNLL-2003, WNUT-17, MSRA, OntoNotes) |
/// | `lines` | a sentence a line: its words between spaces, a tab, their tags between spaces (Resume NER as often mirrored) |
///
/// Everywhere: UTF-8 with or without a byte order mark, lines ending in LF or CRLF, spaces and tabs at the end
/// of a line without meaning, a line of nothing else blank, the last line with or without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TagFormat {
    /// A word a line.
    #[serde(alias = "columns")]
    Conll,
    /// A sentence a line.
    Lines,
}

/// How words and tags stand in a file. With nothing set, the files of CoNLL-2003, WNUT-17, Resume NER and others
/// like them work as they are.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `format` | detect | see [`TagFormat`]; `lines` if some line holds a tab and as many words, two at least, on either side |
/// | `scheme` | detect | the scheme of the file: see [`TagScheme::detect`] |
/// | `word` | `0` | the column of the word, in `conll` |
/// | `tag` | the last | the column of the tag, in `conll` |
///
/// ```
/// let spec: brew_data::TagFileSpec = serde_json::from_str(r#"{"format": "conll", "scheme": "iob1", "tag": 3}"#).unwrap();
/// assert_eq!(spec.tag, Some(3));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TagFileSpec {
    /// The format; by default detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<TagFormat>,
    /// The scheme of the file's tags; by default detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<TagScheme>,
    /// The column of the word.
    pub word: usize,
    /// The column of the tag; by default the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<usize>,
    /// How much of the file is read; no matter of the file, and so in no configuration.
    #[serde(skip)]
    pub extent: Extent,
}

/// The sentences of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedFile {
    /// The sentences in order.
    pub examples: Vec<TaggedExample>,
    /// The scheme of their tags: the file's, but `iob2` where that is `iob1`.
    pub scheme: TagScheme,
}

/// A sentence, its tags as they stand in the file.
struct Sentence {
    line: usize,
    words: Vec<String>,
    tags: Option<Vec<String>>,
}

/// Reads every sentence of a file. Tags of the scheme `iob1` become `iob2`.
///
/// A sentence may be without tags: in `conll` its lines are then the word alone, in `lines` there is no tab.
///
/// # Errors
/// What cannot be read, with path and line: a row with other columns than the first, a sentence that is tagged in
/// parts, a tag that is not of the scheme. A file without a sentence is an error.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("eng.train");
/// use brew_data::{TagScheme, read_tagged_examples};
///
/// std::fs::write(&path, "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n").unwrap();
/// let file = read_tagged_examples(&path, &Default::default())?;
/// assert_eq!(file.examples[0].words, ["EU", "rejects"]);
/// assert_eq!(file.examples[0].tags.as_deref().unwrap(), ["B-ORG", "O"]);
/// assert_eq!(file.scheme, TagScheme::Iob2);
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn read_tagged_examples(path: &Path, spec: &TagFileSpec) -> Result<TaggedFile, DataError> {
    let content = read_text(path, spec.extent, after_blank_line)?;
    let text = without_mark(&content);
    let format = spec.format.unwrap_or_else(|| lines::detect(text));
    let sentences = match format {
        TagFormat::Conll => columns::sentences(text, spec, path)?,
        TagFormat::Lines => lines::sentences(text, path)?,
    };
    if sentences.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf() });
    }
    let found = spec.scheme.unwrap_or_else(|| {
        TagScheme::detect(sentences.iter().filter_map(|sentence| sentence.tags.as_deref()))
    });
    let scheme = if found == TagScheme::Iob1 { TagScheme::Iob2 } else { found };

    let path: Arc<Path> = path.into();
    let mut examples = Vec::with_capacity(sentences.len());
    for (id, sentence) in sentences.into_iter().enumerate() {
        let origin = Origin { path: Arc::clone(&path), line: sentence.line };
        let tags = match sentence.tags {
            Some(tags) => {
                // In `conll` each word has a line of its own.
                let step = usize::from(format == TagFormat::Conll);
                if let Some(at) = tags.iter().position(|tag| !found.is_tag(tag)) {
                    return Err(DataError::BadTag {
                        path: origin.path_buf(),
                        line: origin.line + at * step,
                        tag: tags[at].clone(),
                        scheme: found.name(),
                        letters: found.letters(),
                    });
                }
                Some(if found == scheme { tags } else { found.convert(&tags, scheme)? })
            }
            None => None,
        };
        examples.push(TaggedExample { id: id as u64, words: sentence.words, tags, origin });
    }
    Ok(TaggedFile { examples, scheme })
}

/// Whether a character separates cells; other white space may be a word.
fn is_separator(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// The lines of a text with their numbers from 1, without their ends.
fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(at, line)| (at + 1, line.strip_suffix('\r').unwrap_or(line)))
}
