//! The rules of CMRC 2018's evaluation script.

use super::lower;
use super::words::words;

/// What is no part of an answer: the marks that the script lists. Its `……` is of two characters and so never
/// matches one, and `‘` is not among them.
const PUNCTUATION: &str = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』";

fn is_punctuation(character: char) -> bool {
    PUNCTUATION.contains(character)
}

/// What the script takes as a Chinese character.
fn is_chinese(character: char) -> bool {
    ('\u{4e00}'..='\u{9fa5}').contains(&character)
}

/// The answer in lower case without the marks. White space inside it stays.
pub(super) fn without_punctuation(answer: &str) -> String {
    lower(answer).chars().filter(|&character| !is_punctuation(character)).collect()
}

/// The units that F1 counts: each Chinese character, and the words of what stands between them once the
/// marks are gone; so a mark does not end a word.
pub(super) fn units(answer: &str) -> Vec<String> {
    let (mut units, mut between) = (Vec::new(), String::new());
    for character in lower(answer).chars().filter(|&character| !is_punctuation(character)) {
        if is_chinese(character) {
            units.extend(words(&between));
            between.clear();
            units.push(character.to_string());
        } else {
            between.push(character);
        }
    }
    units.extend(words(&between));
    units
}

/// F1 of the longest run of units that both have.
pub(super) fn f1(prediction: &[String], answer: &[String]) -> f64 {
    let common = longest_common_run(prediction, answer);
    if common == 0 {
        return 0.0;
    }
    let (precision, recall) = (common as f64 / prediction.len() as f64, common as f64 / answer.len() as f64);
    2.0 * precision * recall / (precision + recall)
}

/// The length of the longest run of neighbours that occurs in both.
fn longest_common_run(a: &[String], b: &[String]) -> usize {
    // runs[j + 1]: the length of the common run that ends at the unit of `a` at hand and at `b[j]`.
    let mut runs = vec![0usize; b.len() + 1];
    let mut longest = 0;
    for unit in a {
        for j in (0..b.len()).rev() {
            runs[j + 1] = if *unit == b[j] { runs[j] + 1 } else { 0 };
            longest = longest.max(runs[j + 1]);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn longest_runs_by_hand() {
        assert_eq!(longest_common_run(&list("abcbcde"), &list("xbcdy")), 3);
        assert_eq!(longest_common_run(&list("aaa"), &list("aa")), 2);
        assert_eq!(longest_common_run(&list("abc"), &list("cab")), 2);
        assert_eq!(longest_common_run(&list(""), &list("a")), 0);
        assert_eq!(f1(&list("abcd"), &list("bc")), 2.0 * 0.5 / 1.5);
    }

    #[test]
    fn marks_join_words_and_chinese_characters_end_them() {
        assert_eq!(units("ω-Force公司don't well，then"), ["ωforce", "公", "司", "do", "n't", "wellthen"]);
        assert_eq!(without_punctuation(" 《A B》…… "), "a b……");
    }
}
