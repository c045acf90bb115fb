use brew_data::{LongSentences, SpanMode, TagEncoding, TagFileSpec, TagFormat, TagScheme};
use serde::{Deserialize, Serialize};

/// How files of tagged words are read and judged: `data.tags` of a run of `token_classification`.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `format` | detect | [`TagFormat`]: `conll`, a word a line, or `lines`, a sentence a line |
/// | `scheme` | detect | [`TagScheme`] of the files: `iob1` (read as `iob2`), `iob2`, `bmes`, `bioes` |
/// | `word` | 0 | the column of the word, in `conll` |
/// | `tag` | the last | the column of the tag, in `conll` |
/// | `long_sentences` | `split` | what happens to words beyond `max_length`: `split` into further windows, or `truncate` |
/// | `overlap` | 16 | tokens that a further window repeats |
/// | `mode` | `lenient` | which predicted tags make a span, as seqeval's default (`lenient`) or its `strict` mode |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TagsConfig {
    /// The format of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<TagFormat>,
    /// The scheme of the files' tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<TagScheme>,
    /// The column of the word.
    pub word: usize,
    /// The column of the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<usize>,
    /// What happens to words that do not fit.
    pub long_sentences: LongSentences,
    /// Tokens that a further window repeats.
    pub overlap: usize,
    /// Which tags make a span.
    pub mode: SpanMode,
}

impl Default for TagsConfig {
    fn default() -> Self {
        let TagEncoding { long_sentences, overlap, .. } = TagEncoding::default();
        let TagFileSpec { format, scheme, word, tag, .. } = TagFileSpec::default();
        Self { format, scheme, word, tag, long_sentences, overlap, mode: SpanMode::Lenient }
    }
}

impl TagsConfig {
    pub(crate) fn file_spec(&self) -> TagFileSpec {
        TagFileSpec {
            format: self.format,
            scheme: self.scheme,
            word: self.word,
            tag: self.tag,
            ..TagFileSpec::default()
        }
    }

    pub(crate) fn encoding(&self, max_length: usize) -> TagEncoding {
        TagEncoding { max_length, long_sentences: self.long_sentences, overlap: self.overlap }
    }
}
