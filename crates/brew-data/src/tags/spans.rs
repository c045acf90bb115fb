//! From the tags of words to the spans they mean.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::scheme::{Place, Tag, TagScheme};
use crate::DataError;

/// A named thing: some words in a row and their type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntitySpan {
    /// The type, such as `PER`.
    pub kind: String,
    /// The first word, from 0.
    pub start: usize,
    /// The word behind the last one.
    pub end: usize,
}

impl EntitySpan {
    /// A span of a type over some words.
    pub fn new(kind: impl Into<String>, words: Range<usize>) -> Self {
        Self { kind: kind.into(), start: words.start, end: words.end }
    }
}

/// What counts as a span where tags break their scheme.
///
/// | value | meaning |
/// |---|---|
/// | `lenient` | anything that hangs together: an `I-PER` after `O` begins a span. What CoNLL's `conlleval` and seqeval by default do, whichever the scheme |
/// | `strict` | only what the scheme writes: seqeval's `mode="strict"` |
///
/// Strict `iob1` is seqeval's, which takes no `B` that the scheme would not write for a beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanMode {
    /// Anything that hangs together.
    #[default]
    Lenient,
    /// Only what the scheme writes.
    Strict,
}

impl SpanMode {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lenient => "lenient",
            Self::Strict => "strict",
        }
    }
}

impl TagScheme {
    /// The spans that the tags of one text mean, in order.
    ///
    /// ```
    /// use brew_data::{EntitySpan, SpanMode, TagScheme};
    /// let tags = ["I-PER", "I-PER", "O", "B-LOC"];
    /// let loc = EntitySpan::new("LOC", 3..4);
    /// assert_eq!(TagScheme::Iob2.spans(&tags, SpanMode::Strict)?, [loc.clone()]);
    /// assert_eq!(TagScheme::Iob2.spans(&tags, SpanMode::Lenient)?, [EntitySpan::new("PER", 0..2), loc]);
    /// # Ok::<(), brew_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// A tag that is not of this scheme, in either mode.
    pub fn spans(self, tags: &[impl AsRef<str>], mode: SpanMode) -> Result<Vec<EntitySpan>, DataError> {
        let tags = tags.iter().map(|tag| self.parse(tag.as_ref())).collect::<Result<Vec<_>, _>>()?;
        Ok(match mode {
            SpanMode::Lenient => lenient(&tags),
            SpanMode::Strict => self.strict(&tags),
        })
    }

    fn strict(self, tags: &[Tag<'_>]) -> Vec<EntitySpan> {
        let at = |index: usize| tags.get(index).copied().unwrap_or(Tag::OUTSIDE);
        let mut spans = Vec::new();
        let mut index = 0;
        while index < tags.len() {
            let before = if index == 0 { Tag::OUTSIDE } else { tags[index - 1] };
            let start = index;
            index += 1;
            if !self.starts(before, tags[start]) {
                continue;
            }
            while self.continues(tags[index - 1], at(index)) {
                index += 1;
            }
            if self.ends(tags[index - 1], at(index)) {
                spans.push(EntitySpan::new(tags[start].kind, start..index));
            }
        }
        spans
    }

    /// Whether a span starts with `tag` in strict mode.
    fn starts(self, before: Tag<'_>, tag: Tag<'_>) -> bool {
        let same = before.kind == tag.kind;
        match self {
            Self::Iob1 => match (before.place, tag.place) {
                (Place::Outside | Place::Begin, Place::Inside) => true,
                (Place::Inside, Place::Inside) => !same,
                (Place::Inside | Place::Begin, Place::Begin) => same,
                _ => false,
            },
            Self::Iob2 => tag.place == Place::Begin,
            Self::Bioes | Self::Bmes => matches!(tag.place, Place::Begin | Place::Single),
        }
    }

    /// Whether the span that `before` is in goes on with `tag` in strict mode.
    fn continues(self, before: Tag<'_>, tag: Tag<'_>) -> bool {
        let inner = match self {
            Self::Iob1 | Self::Iob2 => tag.place == Place::Inside,
            Self::Bioes | Self::Bmes => matches!(tag.place, Place::Inside | Place::End),
        };
        inner && matches!(before.place, Place::Begin | Place::Inside) && before.kind == tag.kind
    }

    /// Whether a span may end between `last`, its last word, and `next` in strict mode.
    fn ends(self, last: Tag<'_>, next: Tag<'_>) -> bool {
        match self {
            Self::Iob1 => match (last.place, next.place) {
                (Place::Begin, Place::Begin) => last.kind == next.kind,
                _ => true,
            },
            Self::Iob2 => true,
            Self::Bioes | Self::Bmes => matches!(last.place, Place::End | Place::Single),
        }
    }
}

fn lenient(tags: &[Tag<'_>]) -> Vec<EntitySpan> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut before = Tag::OUTSIDE;
    for (index, tag) in tags.iter().copied().chain([Tag::OUTSIDE]).enumerate() {
        let other = before.kind != tag.kind;
        let closes = match before.place {
            Place::Outside => false,
            Place::End | Place::Single => true,
            Place::Begin | Place::Inside => {
                other || matches!(tag.place, Place::Begin | Place::Single | Place::Outside)
            }
        };
        let opens = match tag.place {
            Place::Outside => false,
            Place::Begin | Place::Single => true,
            Place::Inside | Place::End => {
                other || matches!(before.place, Place::End | Place::Single | Place::Outside)
            }
        };
        if closes {
            spans.push(EntitySpan::new(before.kind, start..index));
        }
        if opens {
            start = index;
        }
        before = tag;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(scheme: TagScheme, mode: SpanMode, tags: &str) -> Vec<(String, usize, usize)> {
        let tags: Vec<&str> = tags.split(' ').collect();
        scheme.spans(&tags, mode).unwrap().into_iter().map(|span| (span.kind, span.start, span.end)).collect()
    }

    fn expected(spans: &[(&str, usize, usize)]) -> Vec<(String, usize, usize)> {
        spans.iter().map(|&(kind, start, end)| (kind.to_owned(), start, end)).collect()
    }

    #[test]
    fn lenient_mode_takes_what_hangs_together() {
        use SpanMode::Lenient;
        let tags = "I-A I-A I-B O B-B B-B I-A";
        assert_eq!(
            spans(TagScheme::Iob2, Lenient, tags),
            expected(&[("A", 0, 2), ("B", 2, 3), ("B", 4, 5), ("B", 5, 6), ("A", 6, 7)])
        );
        assert_eq!(spans(TagScheme::Bioes, Lenient, "E-A E-A I-A S-A I-A"), {
            expected(&[("A", 0, 1), ("A", 1, 2), ("A", 2, 3), ("A", 3, 4), ("A", 4, 5)])
        });
        assert_eq!(spans(TagScheme::Iob2, Lenient, "B I O I"), expected(&[("_", 0, 2), ("_", 3, 4)]));
    }

    #[test]
    fn strict_mode_takes_what_the_scheme_writes() {
        use SpanMode::Strict;
        assert_eq!(
            spans(TagScheme::Iob2, Strict, "I-A B-A I-B I-A B-A"),
            expected(&[("A", 1, 2), ("A", 4, 5)])
        );
        assert_eq!(
            spans(TagScheme::Bmes, Strict, "B-A M-A O B-A M-A E-A S-A E-A B-A E-B"),
            expected(&[("A", 3, 6), ("A", 6, 7)])
        );
        // In IOB1 a B after O begins nothing, and the I after it does.
        assert_eq!(spans(TagScheme::Iob1, Strict, "B-A O B-A I-A"), expected(&[("A", 3, 4)]));
        assert_eq!(spans(TagScheme::Iob1, Strict, "I-A B-A I-A"), expected(&[("A", 0, 1), ("A", 1, 3)]));
    }

    #[test]
    fn no_words_hold_no_span() {
        for mode in [SpanMode::Lenient, SpanMode::Strict] {
            assert!(TagScheme::Iob2.spans(&[] as &[&str], mode).unwrap().is_empty());
        }
    }
}
