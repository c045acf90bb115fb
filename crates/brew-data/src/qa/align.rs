//! Where an answer stands in its text.

use std::ops::Range;

/// How an answer was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alignment {
    /// Where the file says.
    AsGiven(Range<usize>),
    /// Elsewhere, or the file says nothing of use.
    Found(Range<usize>),
    /// Not at all.
    Nowhere,
}

impl Alignment {
    /// Looks for an answer where the file says, else where it stands closest to that.
    pub(super) fn of(context: &str, text: &str, start: Option<i64>) -> Self {
        let start = start.and_then(|start| usize::try_from(start).ok());
        if let Some(start) = start
            && let Some(span) = at(context, text, start)
        {
            return Self::AsGiven(span);
        }
        nearest(context, text, start).map_or(Self::Nowhere, Self::Found)
    }

    pub(super) fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::AsGiven(span) | Self::Found(span) => Some(span.clone()),
            Self::Nowhere => None,
        }
    }
}

/// The answer's characters if they stand at `start`.
fn at(context: &str, text: &str, start: usize) -> Option<Range<usize>> {
    let byte = context.char_indices().map(|(byte, _)| byte).nth(start)?;
    let is_there = !text.is_empty() && context[byte..].starts_with(text);
    is_there.then(|| start..start + text.chars().count())
}

/// The occurrence that starts closest to `start`, or the first one where nothing is known of it: of the
/// answer as it is, else without the white space around it.
pub(super) fn nearest(context: &str, text: &str, start: Option<usize>) -> Option<Range<usize>> {
    [text, text.trim()].into_iter().find_map(|text| {
        let first = text.chars().next()?;
        let length = text.chars().count();
        // Occurrences may overlap, so each character is tried.
        let places = context.char_indices().enumerate().filter_map(|(at, (byte, character))| {
            (character == first && context[byte..].starts_with(text)).then_some(at)
        });
        let place = places.min_by_key(|&at| start.map_or(at, |start| at.abs_diff(start)))?;
        Some(place..place + length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        let context = "Zürich – 北京 is far.";
        assert_eq!(Alignment::of(context, "北京", Some(9)), Alignment::AsGiven(9..11));
        assert_eq!(Alignment::of(context, "is", Some(12)), Alignment::AsGiven(12..14));
    }

    #[test]
    fn misplaced_answers_are_found_closest_to_their_place() {
        let context = "the cat and the cat and the cat";
        assert_eq!(Alignment::of(context, "cat", Some(15)), Alignment::Found(16..19));
        assert_eq!(Alignment::of(context, "cat", Some(10)), Alignment::Found(4..7));
        assert_eq!(Alignment::of(context, "cat", Some(-1)), Alignment::Found(4..7));
        assert_eq!(Alignment::of(context, "cat", Some(i64::MAX)), Alignment::Found(28..31));
        assert_eq!(Alignment::of(context, " cat \n", None), Alignment::Found(4..7));
        assert_eq!(nearest("aaaa", "aa", Some(2)), Some(2..4));
    }

    #[test]
    fn what_is_not_there_is_nowhere() {
        assert_eq!(Alignment::of("a cat", "dog", Some(2)), Alignment::Nowhere);
        assert_eq!(Alignment::of("a cat", "", Some(0)), Alignment::Nowhere);
        assert_eq!(Alignment::of("a cat", " ", Some(9)).span(), Some(1..2));
        assert_eq!(Alignment::of("", "cat", None).span(), None);
    }
}
