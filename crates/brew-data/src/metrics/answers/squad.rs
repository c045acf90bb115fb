//! The rules of SQuAD's evaluation scripts.

use std::collections::HashMap;
use std::sync::LazyLock;

use fancy_regex::Regex;

use super::is_space;

/// The articles as words of their own, a word being letters, digits and numbers of any script, as in Python;
/// combining marks end it.
static ARTICLES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])").expect("a valid expression")
});

/// An answer in lower case, without ASCII punctuation and articles, its words one space apart.
pub(super) fn normalized(answer: &str) -> String {
    let bare: String = answer.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let words = ARTICLES.replace_all(&bare, " ");
    words.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// F1 of the words of two normalised answers as bags; `empty` is what two answers without words have.
pub(super) fn f1(prediction: &str, answer: &str, empty: f64) -> f64 {
    if prediction.is_empty() && answer.is_empty() {
        return empty;
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    let mut predicted = 0;
    for word in prediction.split(' ').filter(|word| !word.is_empty()) {
        *left.entry(word).or_default() += 1;
        predicted += 1;
    }
    let (mut right, mut same) = (0, 0);
    for word in answer.split(' ').filter(|word| !word.is_empty()) {
        right += 1;
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    if same == 0 {
        return 0.0;
    }
    let (precision, recall) = (same as f64 / predicted as f64, same as f64 / right as f64);
    2.0 * precision * recall / (precision + recall)
}
