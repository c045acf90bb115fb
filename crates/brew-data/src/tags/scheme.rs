//! How tags of words say where the named things are.

use serde::{Deserialize, Serialize};

use super::spans::{EntitySpan, SpanMode};
use crate::DataError;

/// A way to write spans as tags of words: `O` for a word outside of any, else a letter, `-` and the span's type.
///
/// | value | letters | meaning |
/// |---|---|---|
/// | `iob1` | I B | inside; `B` only where a span follows another of its type at once (CoNLL-2003's files) |
/// | `iob2` | B I | the first word of a span and the others (also called BIO) |
/// | `bioes` | B I E S | the first, inner and last word of a span, and the only one (also called IOBES) |
/// | `bmes` | B M E S | the same with `M` for the inner words, as in Chinese data sets |
///
/// A tag may be a letter alone; the span's type is then `_`. A type may hold more `-` (`creative-work`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TagScheme {
    /// Inside, and `B` only between neighbours of one type.
    Iob1,
    /// Begin and inside.
    #[serde(alias = "bio")]
    Iob2,
    /// Begin, inside, end, single.
    #[serde(alias = "iobes")]
    Bioes,
    /// Begin, middle, end, single.
    Bmes,
}

/// The tag of a word outside of any span.
pub const OUTSIDE_TAG: &str = "O";

/// The type of a tag that is a letter alone.
pub(super) const UNTYPED: &str = "_";

/// Where in its span a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Outside,
    Begin,
    Inside,
    End,
    Single,
}

/// A tag taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub(super) place: Place,
    pub(super) kind: &'a str,
}

impl Tag<'_> {
    pub(super) const OUTSIDE: Tag<'static> = Tag { place: Place::Outside, kind: UNTYPED };
}

impl TagScheme {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iob1 => "iob1",
            Self::Iob2 => "iob2",
            Self::Bioes => "bioes",
            Self::Bmes => "bmes",
        }
    }

    /// The letters of its tags beside `O`.
    pub fn letters(self) -> &'static [char] {
        match self {
            Self::Iob1 | Self::Iob2 => &['B', 'I'],
            Self::Bioes => &['B', 'I', 'E', 'S'],
            Self::Bmes => &['B', 'M', 'E', 'S'],
        }
    }

    /// Whether a string is a tag of this scheme.
    ///
    /// ```
    /// use brew_data::TagScheme;
    /// assert!(TagScheme::Iob2.is_tag("B-creative-work") && TagScheme::Iob2.is_tag("O"));
    /// assert!(!TagScheme::Iob2.is_tag("S-ORG") && !TagScheme::Iob2.is_tag("ORG"));
    /// ```
    pub fn is_tag(self, tag: &str) -> bool {
        self.take_apart(tag).is_some()
    }

    /// Refuses what is no tag of this scheme.
    pub(crate) fn check(self, tag: &str) -> Result<(), DataError> {
        self.parse(tag).map(|_| ())
    }

    pub(super) fn take_apart(self, tag: &str) -> Option<Tag<'_>> {
        if tag == OUTSIDE_TAG {
            return Some(Tag::OUTSIDE);
        }
        let letter = tag.chars().next().filter(|letter| self.letters().contains(letter))?;
        let place = match letter {
            'B' => Place::Begin,
            'E' => Place::End,
            'S' => Place::Single,
            _ => Place::Inside,
        };
        let kind = match &tag[letter.len_utf8()..] {
            "" => UNTYPED,
            rest => rest.strip_prefix('-')?,
        };
        Some(Tag { place, kind: if kind.is_empty() { UNTYPED } else { kind } })
    }

    pub(super) fn parse(self, tag: &str) -> Result<Tag<'_>, DataError> {
        self.take_apart(tag).ok_or_else(|| DataError::TagOutsideScheme {
            tag: tag.to_owned(),
            scheme: self.name(),
            letters: self.letters(),
        })
    }

    /// The tag of a letter of this scheme and a type of span.
    pub(super) fn tag(letter: char, kind: &str) -> String {
        match kind {
            UNTYPED => letter.to_string(),
            _ => format!("{letter}-{kind}"),
        }
    }

    /// The tags of a text of `words` words with these spans, which must not overlap.
    ///
    /// ```
    /// use brew_data::{EntitySpan, TagScheme};
    /// let spans = [EntitySpan::new("PER", 0..2), EntitySpan::new("LOC", 3..4)];
    /// assert_eq!(TagScheme::Iob2.tags(&spans, 4), ["B-PER", "I-PER", "O", "B-LOC"]);
    /// assert_eq!(TagScheme::Bmes.tags(&spans, 4), ["B-PER", "E-PER", "O", "S-LOC"]);
    /// ```
    ///
    /// # Panics
    /// If a span ends behind the words.
    pub fn tags(self, spans: &[EntitySpan], words: usize) -> Vec<String> {
        let mut tags = vec![OUTSIDE_TAG.to_owned(); words];
        for span in spans {
            let length = span.end.saturating_sub(span.start);
            let follows = spans.iter().any(|other| other.end == span.start && other.kind == span.kind);
            for (at, tag) in tags[span.start..span.end].iter_mut().enumerate() {
                let (first, last) = (at == 0, at + 1 == length);
                let letter = match (self, first, last) {
                    (Self::Iob1, true, _) if follows => 'B',
                    (Self::Iob1, ..) | (Self::Iob2, false, _) => 'I',
                    (Self::Bioes | Self::Bmes, true, true) => 'S',
                    (Self::Bioes | Self::Bmes, false, true) => 'E',
                    (_, true, _) => 'B',
                    (Self::Bmes, false, false) => 'M',
                    (Self::Bioes, false, false) => 'I',
                };
                *tag = Self::tag(letter, &span.kind);
            }
        }
        tags
    }

    /// The same spans in another scheme, read leniently: [`SpanMode::Lenient`].
    ///
    /// ```
    /// use brew_data::TagScheme;
    /// let tags = ["I-ORG", "O", "I-MISC", "I-MISC", "B-MISC"];
    /// assert_eq!(
    ///     TagScheme::Iob1.convert(&tags, TagScheme::Iob2)?,
    ///     ["B-ORG", "O", "B-MISC", "I-MISC", "B-MISC"],
    /// );
    /// # Ok::<(), brew_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// A tag that is not of this scheme.
    pub fn convert(self, tags: &[impl AsRef<str>], to: TagScheme) -> Result<Vec<String>, DataError> {
        Ok(to.tags(&self.spans(tags, SpanMode::Lenient)?, tags.len()))
    }

    /// The scheme that some sentences' tags seem to be of: `bmes` if there is an `M`, `bioes` if there is an
    /// `E` or an `S`; of the others `iob1` if more spans begin with an `I` than with a `B` that `iob1` would not
    /// write, else `iob2`. (Few, as either kind of file has mistakes: CoNLL-2003's train file has two such `B`.)
    pub fn detect<'a>(sentences: impl IntoIterator<Item = &'a [String]>) -> Self {
        let (mut inner_starts, mut plain_begins, mut has_end) = (0, 0, false);
        for tags in sentences {
            let mut before = (OUTSIDE_TAG, "");
            for tag in tags {
                let (letter, kind) = tag.split_once('-').unwrap_or((tag, ""));
                let continues = before.0 != OUTSIDE_TAG && before.1 == kind;
                match letter {
                    "M" => return Self::Bmes,
                    "E" | "S" => has_end = true,
                    "I" if !continues => inner_starts += 1,
                    "B" if !continues => plain_begins += 1,
                    _ => {}
                }
                before = (letter, kind);
            }
        }
        match has_end {
            true => Self::Bioes,
            false if inner_starts > plain_begins => Self::Iob1,
            false => Self::Iob2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|&tag| tag.to_owned()).collect()
    }

    #[test]
    fn schemes_are_told_by_their_letters() {
        let detect = |tags: &[&str]| TagScheme::detect([owned(tags).as_slice()]);
        assert_eq!(detect(&["I-ORG", "O", "I-MISC", "B-MISC"]), TagScheme::Iob1);
        assert_eq!(detect(&["B-ORG", "I-ORG", "O"]), TagScheme::Iob2);
        // A stray I among proper beginnings is a mistake of IOB2, not IOB1.
        assert_eq!(detect(&["B-ORG", "O", "I-ORG"]), TagScheme::Iob2);
        assert_eq!(detect(&["I-ORG", "O", "B-ORG", "O", "I-ORG"]), TagScheme::Iob1);
        assert_eq!(detect(&["O", "S-ORG"]), TagScheme::Bioes);
        assert_eq!(detect(&["S-ORG", "B-LOC", "M-LOC", "E-LOC"]), TagScheme::Bmes);
        assert_eq!(detect(&["O", "O"]), TagScheme::Iob2);
        assert_eq!(TagScheme::detect([]), TagScheme::Iob2);
    }

    #[test]
    fn every_scheme_writes_what_it_reads() {
        let spans = [
            EntitySpan::new("PER", 0..1),
            EntitySpan::new("PER", 1..4),
            EntitySpan::new("creative-work", 4..6),
            EntitySpan::new("_", 7..8),
        ];
        for scheme in [TagScheme::Iob1, TagScheme::Iob2, TagScheme::Bioes, TagScheme::Bmes] {
            let tags = scheme.tags(&spans, 9);
            assert_eq!(scheme.spans(&tags, SpanMode::Lenient).unwrap(), spans, "{scheme:?} {tags:?}");
            assert_eq!(scheme.convert(&tags, TagScheme::Bmes).unwrap(), TagScheme::Bmes.tags(&spans, 9));
        }
        assert_eq!(
            TagScheme::Iob1.tags(&spans, 9),
            ["I-PER", "B-PER", "I-PER", "I-PER", "I-creative-work", "I-creative-work", "O", "I", "O"]
        );
    }

    #[test]
    fn names_in_files() {
        for (text, scheme) in [
            ("iob1", TagScheme::Iob1),
            ("bio", TagScheme::Iob2),
            ("iobes", TagScheme::Bioes),
            ("bmes", TagScheme::Bmes),
        ] {
            assert_eq!(serde_json::from_str::<TagScheme>(&format!("\"{text}\"")).unwrap(), scheme);
        }
        assert_eq!(serde_json::to_string(&TagScheme::Iob2).unwrap(), "\"iob2\"");
    }

    #[test]
    fn what_is_no_tag_is_named_with_the_letters_there_are() {
        let error = TagScheme::Iob2.convert(&["O", "LOC"], TagScheme::Bmes).unwrap_err().to_string();
        assert_eq!(error, "`LOC` is no tag of the scheme iob2, whose tags are O, B-TYPE, I-TYPE");
    }
}
