//! A sentence a line: words, a tab, tags.

use std::path::Path;

use super::{Sentence, TagFormat, is_separator, numbered_lines};
use crate::DataError;

/// The format that a text seems to be of.
pub(super) fn detect(text: &str) -> TagFormat {
    let is_sentence = |line: &str| {
        line.trim_end_matches(is_separator).rsplit_once('\t').is_some_and(|(words, tags)| {
            let (words, tags) = (parts(words).count(), parts(tags).count());
            words > 1 && words == tags
        })
    };
    match numbered_lines(text).any(|(_, line)| is_sentence(line)) {
        true => TagFormat::Lines,
        false => TagFormat::Conll,
    }
}

/// The sentences of `text`.
pub(super) fn sentences(text: &str, path: &Path) -> Result<Vec<Sentence>, DataError> {
    let mut sentences = Vec::new();
    for (line, content) in numbered_lines(text) {
        let content = content.trim_matches(is_separator);
        if content.is_empty() {
            continue;
        }
        let (words, tags) = match content.rsplit_once('\t') {
            Some((words, tags)) => (words, Some(owned(tags))),
            None => (content, None),
        };
        let words = owned(words);
        if let Some(tags) = tags.as_ref().filter(|tags| tags.len() != words.len()) {
            let (path, words, tags) = (path.to_path_buf(), words.len(), tags.len());
            return Err(DataError::WordsAndTags { path, line, words, tags });
        }
        sentences.push(Sentence { line, words, tags });
    }
    Ok(sentences)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_separator).filter(|part| !part.is_empty())
}

fn owned(text: &str) -> Vec<String> {
    parts(text).map(str::to_owned).collect()
}
