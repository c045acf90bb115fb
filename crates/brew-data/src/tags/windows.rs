//! Which words of a long sentence a model reads together, and which of them it decides.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What happens to the words that do not fit `max_length`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LongSentences {
    /// They are read in further windows: no word is lost.
    #[default]
    Split,
    /// They are lost, counted in [`TagCounts::lost_words`](super::TagCounts::lost_words); decoding calls them `O`.
    Truncate,
}

/// How sentences are made to fit a model.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `max_length` | 128 | tokens of a window at most, special tokens included |
/// | `long_sentences` | `split` | `split` or `truncate` |
/// | `overlap` | 16 | tokens that a window repeats of the one before, at most; half a window is the limit |
///
/// A repeated word is decided, and trained on, in one window: the first half of the repeated words in the
/// earlier one, the second half in the later one. So each is decided where more of what surrounds it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TagEncoding {
    /// Tokens of a window at most, special tokens included.
    pub max_length: usize,
    /// What happens to the words beyond.
    pub long_sentences: LongSentences,
    /// Tokens that a window repeats of the one before, at most.
    pub overlap: usize,
}

impl Default for TagEncoding {
    fn default() -> Self {
        Self { max_length: 128, long_sentences: LongSentences::Split, overlap: 16 }
    }
}

impl TagEncoding {
    /// The usual encoding at another length.
    pub fn with_max_length(max_length: usize) -> Self {
        Self { max_length, ..Self::default() }
    }
}

/// A window: the words it holds, and those among them that it decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) words: Range<usize>,
    pub(super) decides: Range<usize>,
}

/// The windows over words of these many tokens each, none of more than `capacity`.
pub(super) fn windows(lengths: &[usize], capacity: usize, encoding: &TagEncoding) -> Vec<Window> {
    let overlap = encoding.overlap.min(capacity / 2);
    let mut windows: Vec<Window> = Vec::new();
    let mut begin = 0;
    loop {
        let mut end = begin;
        let mut room = capacity;
        while end < lengths.len() && lengths[end] <= room {
            room -= lengths[end];
            end += 1;
        }
        let first = match windows.last_mut() {
            None => begin,
            Some(before) => {
                // Repeated are the words from `begin` to the earlier window's end.
                let middle = begin + (before.words.end - begin).div_ceil(2);
                before.decides.end = middle.max(before.decides.start);
                before.decides.end
            }
        };
        windows.push(Window { words: begin..end, decides: first..end });
        if end == lengths.len() || encoding.long_sentences == LongSentences::Truncate {
            return windows;
        }
        // Go back as far as the overlap allows, as long as the next word still fits behind.
        let mut repeated = 0;
        let mut next = end;
        while next > begin + 1
            && repeated + lengths[next - 1] <= overlap
            && repeated + lengths[next - 1] + lengths[end] <= capacity
        {
            next -= 1;
            repeated += lengths[next];
        }
        begin = next;
    }
}

#[cfg(test)]
mod tests {
    use brew_random::Key;

    use super::*;

    fn split(lengths: &[usize], capacity: usize, overlap: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let encoding = TagEncoding { overlap, ..TagEncoding::default() };
        windows(lengths, capacity, &encoding).into_iter().map(|w| (w.words, w.decides)).collect()
    }

    #[test]
    fn repeated_words_are_shared_between_neighbours() {
        assert_eq!(split(&[1; 5], 8, 4), [(0..5, 0..5)]);
        assert_eq!(split(&[1; 14], 8, 4), [(0..8, 0..6), (4..12, 6..10), (8..14, 10..14)]);
        assert_eq!(split(&[1; 10], 4, 0), [(0..4, 0..4), (4..8, 4..8), (8..10, 8..10)]);
        assert_eq!(split(&[], 8, 4), [(0..0, 0..0)]);
        // The long third word leaves no room for what came before.
        assert_eq!(split(&[2, 2, 4, 1], 4, 2), [(0..2, 0..2), (2..3, 2..3), (3..4, 3..4)]);
    }

    #[test]
    fn truncation_keeps_one_window() {
        let encoding = TagEncoding { long_sentences: LongSentences::Truncate, ..TagEncoding::default() };
        assert_eq!(windows(&[2, 2, 2], 5, &encoding), [Window { words: 0..2, decides: 0..2 }]);
    }

    #[test]
    fn every_word_is_decided_once_where_it_is_read() {
        let mut stream = Key::new(5).purpose("windows").stream();
        for _ in 0..2000 {
            let capacity = 1 + stream.below(12);
            let lengths: Vec<usize> = (0..stream.below(40)).map(|_| 1 + stream.below(capacity)).collect();
            let found = split(&lengths, capacity, stream.below(14));
            let mut decided = 0;
            let mut reached = 0;
            for (words, decides) in &found {
                assert!(lengths[words.clone()].iter().sum::<usize>() <= capacity, "{lengths:?} {found:?}");
                assert!(words.start <= decides.start && decides.end <= words.end, "{lengths:?} {found:?}");
                assert_eq!(decides.start, decided, "{lengths:?} {found:?}");
                assert!(words.end > reached || lengths.is_empty(), "{lengths:?} {found:?}");
                (decided, reached) = (decides.end, words.end);
            }
            assert_eq!(decided, lengths.len(), "{lengths:?} {found:?}");
        }
    }
}
