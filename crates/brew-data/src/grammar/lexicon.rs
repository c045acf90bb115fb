//! The words of the grammar.
//!
//! Every list is used uniformly, and the lists of the two polarities have equal lengths, so that no
//! word is frequent enough to stand out and no polarity has a richer language than the other.

/// Things that are judged.
pub(super) const ASPECTS: &[&str] = &[
    "soup", "wine", "coffee", "dessert", "service", "staff", "room", "view", "music", "garden", "pool", "bar",
];

/// Adjectives of praise.
pub(super) const PRAISE: &[&str] = &[
    "good",
    "great",
    "lovely",
    "wonderful",
    "excellent",
    "superb",
    "pleasant",
    "charming",
    "splendid",
    "brilliant",
];

/// Adjectives of blame.
pub(super) const BLAME: &[&str] =
    &["bad", "poor", "awful", "terrible", "dreadful", "dull", "unpleasant", "horrible", "dismal", "shoddy"];

/// What somebody other than the author did to an aspect, well meant.
pub(super) const PRAISED: &[&str] = &["praised", "recommended", "loved", "admired"];

/// What somebody other than the author did to an aspect, ill meant.
pub(super) const SCORNED: &[&str] = &["criticised", "mocked", "hated", "despised"];

/// Degrees, which leave the polarity as it is.
pub(super) const DEGREES: &[&str] = &["very", "really", "quite", "truly"];

/// Negations between verb and adjective; each reverses the polarity.
pub(super) const NEGATORS: &[&[&str]] = &[&["not"], &["never"], &["hardly"], &["far", "from"]];

/// Openings of a clause that reverse what follows.
pub(super) const DENIALS: &[&[&str]] =
    &[&["it", "is", "not", "true", "that"], &["it", "is", "false", "that"], &["i", "doubt", "that"]];

/// Openings of a clause that keep what follows, in the same words as [`DENIALS`] where possible.
pub(super) const AFFIRMATIONS: &[&[&str]] = &[
    &["it", "is", "true", "that"],
    &["it", "is", "not", "false", "that"],
    &["i", "do", "not", "doubt", "that"],
];

/// Somebody other than the author, after "my".
pub(super) const PEOPLE: &[&str] =
    &["sister", "brother", "mother", "father", "aunt", "friend", "neighbour", "boss"];

/// The author takes the side of whoever was quoted.
pub(super) const AGREEMENT: &[&[&str]] = &[&["i", "agree"], &["that", "is", "right"]];

/// The author takes the other side.
pub(super) const DISAGREEMENT: &[&[&str]] = &[&["i", "disagree"], &["that", "is", "wrong"]];

/// When it happened; opens a sentence and means nothing for its polarity.
pub(super) const OCCASIONS: &[&[&str]] = &[
    &["on", "monday"],
    &["on", "tuesday"],
    &["on", "friday"],
    &["on", "sunday"],
    &["last", "night"],
    &["last", "week"],
    &["this", "time"],
    &["this", "year"],
    &["in", "spring"],
    &["in", "summer"],
    &["in", "winter"],
    &["at", "lunch"],
];

/// The words that the rules themselves write.
pub(super) const FUNCTION_WORDS: &[&str] = &[
    ".", ",", ":", ";", "the", "was", "which", "my", "but", "although", "despite", "about", "and", "former",
    "latter", "we", "came", "for", "only", "matters", "it", "said", "that",
];

/// Every word of every list, some of them more than once.
pub(super) fn all_words() -> impl Iterator<Item = &'static str> {
    let words = [ASPECTS, PRAISE, BLAME, PRAISED, SCORNED, DEGREES, PEOPLE, FUNCTION_WORDS];
    let phrases = [NEGATORS, DENIALS, AFFIRMATIONS, AGREEMENT, DISAGREEMENT, OCCASIONS];
    let phrases = phrases.into_iter().flatten().copied();
    words.into_iter().chain(phrases).flatten().copied()
}
