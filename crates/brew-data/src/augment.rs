//! New training texts from old ones: masked, thinned out, cut or out of order.
//!
//! Functions of any tokens, words or ids. [`Augmentation`](crate::Augmentation) is their configuration, and
//! [`Augmenter`](crate::Augmenter) applies them to features and leaves `[CLS]`, `[SEP]` and the like in
//! place. Everything is drawn from the stream given, so that a text is augmented alike in every run of a
//! seed. Each function takes a text of any length, none at all included.
//!
//! ```
//! use brew_data::augment::{masking, short_disorder};
//! use brew_random::Key;
//!
//! let words = ["a", "fine", "film", "of", "its", "kind"];
//! let mut stream = Key::new(42).purpose("augment").stream();
//! assert_eq!(masking(&words, 0.5, &"[MASK]", &mut stream).len(), 6);
//! let swapped = short_disorder(&words, &[0.0, 1.0, 0.0, 0.0, 0.0], &mut stream);
//! assert_eq!(swapped, ["fine", "a", "of", "film", "kind", "its"]);
//! ```

use brew_random::Stream;

/// The tokens, each replaced by `mask` with probability `p`.
///
/// Source: TextBrewer's `masking`, where `p` is 0.1 by default.
pub fn masking<T: Clone>(tokens: &[T], p: f64, mask: &T, stream: &mut Stream) -> Vec<T> {
    tokens.iter().map(|token| if stream.chance(p) { mask.clone() } else { token.clone() }).collect()
}

/// The tokens, each left out with probability `p`; it may leave none.
///
/// Source: TextBrewer's `deleting`, where `p` is 0.1 by default.
pub fn deleting<T: Clone>(tokens: &[T], p: f64, stream: &mut Stream) -> Vec<T> {
    tokens.iter().filter(|_| !stream.chance(p)).cloned().collect()
}

/// One span of the tokens: its length is `lengths[i]` with probability `p[i]`, its place is uniform. A text
/// shorter than that comes back whole.
///
/// Source: TextBrewer's `n_gram_sampling`, by default lengths from 1 to 5 with 0.2 each.
///
/// # Panics
/// If `p` and `lengths` are not of one length, or empty.
pub fn n_gram_sampling<T: Clone>(tokens: &[T], p: &[f64], lengths: &[usize], stream: &mut Stream) -> Vec<T> {
    assert_eq!(p.len(), lengths.len(), "each length of a span needs its probability");
    let length = lengths[draw(p, stream)].min(tokens.len());
    let start = stream.below(tokens.len() - length + 1);
    tokens[start..start + length].to_vec()
}

/// The tokens with neighbours out of order.
///
/// From left to right, what stands at a place, `a b c`, becomes
///
/// | probability | order | goes on after |
/// |---|---|---|
/// | `p[0]` | `a b c` | `a` |
/// | `p[1]` | `b a c` | `a` |
/// | `p[2]` | `c b a` | `a` |
/// | `p[3]` | `c a b` | `b` |
/// | `p[4]` | `b c a` | `a` |
///
/// Of the last two tokens, every case but the first swaps them.
///
/// Source: TextBrewer's `short_disorder`, where `p` is 0.9, 0.1, 0, 0, 0 by default.
pub fn short_disorder<T: Clone>(tokens: &[T], p: &[f64; 5], stream: &mut Stream) -> Vec<T> {
    let mut tokens = tokens.to_vec();
    let mut at = 0;
    while at + 1 < tokens.len() {
        let here = &mut tokens[at..];
        at += match draw(p, stream) {
            0 => 1,
            case if case == 1 || here.len() == 2 => {
                here.swap(0, 1);
                2
            }
            2 => {
                here.swap(0, 2);
                3
            }
            3 => {
                here[..3].rotate_right(1);
                3
            }
            _ => {
                here[..3].rotate_left(1);
                3
            }
        };
    }
    tokens
}

/// The tokens with the halves of some spans swapped: from left to right, the span that begins at a place is
/// swapped with probability `p`, and the next one begins behind it, or else one token on.
///
/// A `length` of at least 2 is the tokens of a span, a smaller one its share of the text; either is
/// rounded down, then up to an even number. Where no token is left of it, or the text is shorter, the text
/// stays as it is.
///
/// Source: TextBrewer's `long_disorder`, where `p` is 0.1 and `length` 20 by default.
///
/// ```
/// use brew_data::augment::long_disorder;
/// use brew_random::Key;
///
/// let numbers: Vec<u32> = (0..11).collect();
/// let swapped = long_disorder(&numbers, 1.0, 0.4, &mut Key::new(1).stream());
/// assert_eq!(swapped, [2, 3, 0, 1, 6, 7, 4, 5, 8, 9, 10]);
/// ```
pub fn long_disorder<T: Clone>(tokens: &[T], p: f64, length: f64, stream: &mut Stream) -> Vec<T> {
    let mut tokens = tokens.to_vec();
    let length = if length < 2.0 { length * tokens.len() as f64 } else { length };
    // A negative number and NaN become 0.
    let half = (length as usize).div_ceil(2);
    let span = half.saturating_mul(2);
    if span == 0 {
        return tokens;
    }
    let mut at = 0;
    while tokens.len() - at >= span {
        if stream.chance(p) {
            tokens[at..at + span].rotate_left(half);
            at += span;
        } else {
            at += 1;
        }
    }
    tokens
}

/// An index, each with its probability (of their sum, should that not be 1).
fn draw(p: &[f64], stream: &mut Stream) -> usize {
    let mut left = stream.uniform() * p.iter().sum::<f64>();
    for (index, &probability) in p.iter().enumerate() {
        if left < probability {
            return index;
        }
        left -= probability;
    }
    // Rounding used the sum up.
    p.iter().rposition(|&probability| probability > 0.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use brew_random::Key;

    use super::*;

    fn stream(seed: u64) -> Stream {
        Key::new(seed).purpose("augment").stream()
    }

    fn numbers(count: usize) -> Vec<usize> {
        (0..count).collect()
    }

    /// Certainty of one case of `short_disorder`.
    fn only(case: usize) -> [f64; 5] {
        std::array::from_fn(|index| f64::from(u8::from(index == case)))
    }

    #[test]
    fn masking_replaces_its_share_and_nothing_else() {
        let masked = masking(&numbers(20_000), 0.1, &usize::MAX, &mut stream(1));
        let replaced = masked.iter().filter(|&&token| token == usize::MAX).count();
        assert!((1_850..2_150).contains(&replaced), "{replaced} of 20,000");
        assert!(masked.iter().enumerate().all(|(at, &token)| token == at || token == usize::MAX));
        assert_eq!(masking(&numbers(3), 0.0, &9, &mut stream(1)), [0, 1, 2]);
        assert_eq!(masking(&numbers(3), 1.0, &9, &mut stream(1)), [9, 9, 9]);
    }

    #[test]
    fn deleting_keeps_the_order_and_its_share() {
        let kept = deleting(&numbers(20_000), 0.1, &mut stream(2));
        assert!((17_850..18_150).contains(&kept.len()), "{} of 20,000", kept.len());
        assert!(kept.is_sorted());
        assert_eq!(deleting(&numbers(3), 0.0, &mut stream(2)), [0, 1, 2]);
        assert!(deleting(&numbers(3), 1.0, &mut stream(2)).is_empty());
    }

    #[test]
    fn spans_have_every_length_at_every_place() {
        let mut seen = std::collections::BTreeMap::new();
        let mut stream = stream(3);
        for _ in 0..6_000 {
            let span = n_gram_sampling(&numbers(4), &[0.5, 0.0, 0.5], &[1, 2, 3], &mut stream);
            assert!(span.windows(2).all(|two| two[1] == two[0] + 1), "{span:?}");
            *seen.entry((span.len(), span[0])).or_insert(0) += 1;
        }
        assert_eq!(
            seen.keys().copied().collect::<Vec<_>>(),
            [(1, 0), (1, 1), (1, 2), (1, 3), (3, 0), (3, 1)]
        );
        // 3,000 spans of each length, over 4 or 2 places.
        assert!((650..850).contains(&seen[&(1, 3)]) && (1_350..1_650).contains(&seen[&(3, 1)]), "{seen:?}");
    }

    #[test]
    fn certain_disorder_is_textbrewers() {
        // What TextBrewer 0.2.1.post1 gives for list(range(8)) and list(range(7)).
        let expected: [[&[usize]; 2]; 5] = [
            [&[0, 1, 2, 3, 4, 5, 6, 7], &[0, 1, 2, 3, 4, 5, 6]],
            [&[1, 0, 3, 2, 5, 4, 7, 6], &[1, 0, 3, 2, 5, 4, 6]],
            [&[2, 1, 0, 5, 4, 3, 7, 6], &[2, 1, 0, 5, 4, 3, 6]],
            [&[2, 0, 1, 5, 3, 4, 7, 6], &[2, 0, 1, 5, 3, 4, 6]],
            [&[1, 2, 0, 4, 5, 3, 7, 6], &[1, 2, 0, 4, 5, 3, 6]],
        ];
        for (case, [eight, seven]) in expected.into_iter().enumerate() {
            assert_eq!(short_disorder(&numbers(8), &only(case), &mut stream(4)), eight, "case {case}");
            assert_eq!(short_disorder(&numbers(7), &only(case), &mut stream(4)), seven, "case {case}");
        }
        let swapped = |count, length| long_disorder(&numbers(count), 1.0, length, &mut stream(4));
        assert_eq!(swapped(11, 3.0), [2, 3, 0, 1, 6, 7, 4, 5, 8, 9, 10]);
        assert_eq!(swapped(11, 0.4), [2, 3, 0, 1, 6, 7, 4, 5, 8, 9, 10]);
        assert_eq!(swapped(7, 1.0), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(swapped(6, 1.0), [3, 4, 5, 0, 1, 2]);
        assert_eq!(swapped(5, 20.0), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn disorder_moves_its_share_and_loses_nothing() {
        for seed in 0..50 {
            let mut stream = stream(seed);
            for count in 0..40 {
                let disordered = [
                    short_disorder(&numbers(count), &[0.5, 0.2, 0.1, 0.1, 0.1], &mut stream),
                    long_disorder(&numbers(count), 0.3, 6.0, &mut stream),
                    long_disorder(&numbers(count), 0.3, 0.5, &mut stream),
                ];
                for mut tokens in disordered {
                    tokens.sort_unstable();
                    assert_eq!(tokens, numbers(count));
                }
            }
        }
        let swapped = short_disorder(&numbers(20_000), &[0.9, 0.1, 0.0, 0.0, 0.0], &mut stream(5));
        let moved = swapped.iter().enumerate().filter(|(at, token)| at != *token).count();
        // Of ten draws, nine stay and one moves two tokens: two of eleven are moved.
        assert!((3_400..3_900).contains(&moved), "{moved} of 20,000");
    }

    #[test]
    fn long_disorder_looped_for_ever_where_a_span_had_no_token() {
        // TextBrewer: 40 % of two tokens is no token, and a span of none is found without end.
        assert_eq!(long_disorder(&[1, 2], 1.0, 0.4, &mut stream(6)), [1, 2]);
        for length in [0.0, -3.0, f64::NAN, f64::INFINITY, 1e300] {
            for count in 0..4 {
                assert_eq!(long_disorder(&numbers(count), 1.0, length, &mut stream(6)), numbers(count));
            }
        }
    }

    #[test]
    fn n_gram_sampling_failed_on_texts_shorter_than_the_span() {
        for count in 0..5 {
            assert_eq!(n_gram_sampling(&numbers(count), &[1.0], &[5], &mut stream(7)), numbers(count));
        }
    }

    #[test]
    fn short_texts_are_safe_everywhere() {
        for seed in 0..100 {
            for count in 0..3 {
                let (tokens, mut stream) = (numbers(count), stream(seed));
                assert_eq!(masking(&tokens, 0.5, &9, &mut stream).len(), count);
                assert!(deleting(&tokens, 0.5, &mut stream).len() <= count);
                let span = n_gram_sampling(&tokens, &[0.2; 5], &[1, 2, 3, 4, 5], &mut stream);
                assert_eq!(span.is_empty(), count == 0);
                for case in 0..5 {
                    let disordered = short_disorder(&tokens, &only(case), &mut stream);
                    let reversed = tokens.iter().rev().copied().collect::<Vec<_>>();
                    assert_eq!(disordered, if case == 0 { tokens.clone() } else { reversed });
                }
                assert_eq!(long_disorder(&tokens, 1.0, 20.0, &mut stream), tokens);
            }
        }
    }

    #[test]
    fn the_stream_decides() {
        let once = |seed| deleting(&numbers(100), 0.5, &mut stream(seed));
        assert_eq!(once(1), once(1));
        assert_ne!(once(1), once(2));
    }
}
