//! The words of NLTK's `word_tokenize`, which the script of CMRC 2018 calls.
//!
//! Its rules are those of the Penn Treebank with additions for quotation marks
//! ([source](https://www.nltk.org/_modules/nltk/tokenize/destructive.html), version 3.9.1): a list of
//! substitutions that put spaces where words end, which comes first to last.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::is_space;
use super::sentences::sentences;

/// The substitutions in their order. In the patterns, as Python means them: `␣` is white space, `¶` the end
/// of the text or of its last line, `⟦` and `⟧` the beginning and the end of a word, `ω` a character of words.
const SUBSTITUTIONS: [(&str, &str); 30] = [
    // Quotation marks that open.
    ("([«“‘„]|`+)", " $1 "),
    (r#"\A""#, "``"),
    ("(``)", " $1 "),
    (r#"([ (\[{<])("|'{2})"#, "$1 `` "),
    ("(?i)(')(?!re|ve|ll|m|t|s|d|n)(ω)⟧", "$1 $2"),
    // Punctuation.
    (r#"([^.])(\.)([\])}>"'»”’ ]*)␣*¶"#, "$1 $2 $3 "),
    (r"([:,])(\P{Nd})", " $1 $2"),
    ("([:,])¶", " $1 "),
    (r"\.{2,}", " $0 "),
    ("[;@#$%&]", " $0 "),
    (r#"([^.])(\.)([\])}>"']*)␣*¶"#, "$1 $2$3 "),
    ("[?!]", " $0 "),
    ("([^'])' ", "$1 ' "),
    ("[*]", " $0 "),
    // Brackets and dashes.
    (r"[\]\[(){}<>]", " $0 "),
    ("--", " -- "),
    // Spaces around all of it.
    (r"(?s)\A(.*)\z", " $1 "),
    // Quotation marks that close, and what is joined by an apostrophe.
    ("([»”’])", " $1 "),
    ("''", " '' "),
    ("\"", " '' "),
    ("␣+", " "),
    ("([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "),
    ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
    // Contractions.
    ("(?i)⟦(can)(not)⟧", " $1 $2 "),
    ("(?i)⟦(d)('ye)⟧", " $1 $2 "),
    ("(?i)⟦(gim)(me)⟧|⟦(gon)(na)⟧|⟦(got)(ta)⟧|⟦(lem)(me)⟧", " $1$3$5$7 $2$4$6$8 "),
    ("(?i)⟦(more)('n)⟧", " $1 $2 "),
    ("(?i)⟦(wan)(na)(?=␣)", " $1 $2 "),
    ("(?i) ('t)(is)⟧", " $1 $2 "),
    ("(?i) ('t)(was)⟧", " $1 $2 "),
];

static RULES: LazyLock<Vec<(Regex, String)>> = LazyLock::new(|| {
    let rule = |(pattern, replacement): (&str, &str)| {
        let pattern = pattern
            .replace('␣', r"[\s\x1c-\x1f]")
            .replace('¶', r"(?=\n?\z)")
            .replace('⟦', r"(?<![\p{L}\p{N}_])")
            .replace('⟧', r"(?![\p{L}\p{N}_])")
            .replace('ω', r"[\p{L}\p{N}_]");
        (Regex::new(&pattern).expect("a valid expression"), replacement.to_owned())
    };
    SUBSTITUTIONS.into_iter().map(rule).collect()
});

/// The words of a text in lower case.
pub(super) fn words(text: &str) -> Vec<String> {
    if text.chars().all(|character| character.is_ascii_alphanumeric()) && !has_contraction(text) {
        return if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    }
    sentences(text).iter().flat_map(|sentence| words_of_sentence(sentence)).collect()
}

/// Whether a text without punctuation may be one of those that are two words.
fn has_contraction(text: &str) -> bool {
    ["cannot", "gimme", "gonna", "gotta", "lemme", "wanna"]
        .iter()
        .any(|&word| text.eq_ignore_ascii_case(word))
}

fn words_of_sentence(sentence: &str) -> Vec<String> {
    let mut text = sentence.to_owned();
    for (pattern, replacement) in RULES.iter() {
        // A match that fails for its length leaves the text as it is.
        if let Ok(replaced) = pattern.try_replacen(&text, 0, replacement.as_str()) {
            text = replaced.into_owned();
        }
    }
    text.split(is_space).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_as_nltk_gives_them() {
        for (text, expected) in [
            ("good muffins cost $3.88", "good muffins cost $ 3.88"),
            ("they'll save and invest more.", "they 'll save and invest more ."),
            ("hi, my name can't hello,", "hi , my name ca n't hello ,"),
            ("\"we beat some pretty good teams,\" he said", "`` we beat some pretty good teams , '' he said"),
            ("cannot 'tis gonna", "can not 't is gon na"),
            ("well 'tis'twas", "well 't is 't was"),
            (
                "mr. smith went. he came at 3,000 p.m. today.",
                "mr. smith went . he came at 3,000 p.m. today .",
            ),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text}");
        }
        assert!(words("  ").is_empty());
    }
}
