//! Running text cut into words as in CoNLL-2003.

/// The words of a text: cut at white space, punctuation at either end of a word by itself. What stands within a word
/// stays (`35-year-old`, `1,000`), as does the full stop of an abbreviation with another in it (`U.S.`); the
/// possessive `'s` is a word.
pub(super) fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for chunk in text.split_whitespace() {
        let start = chunk.find(char::is_alphanumeric).unwrap_or(chunk.len());
        let (before, rest) = chunk.split_at(start);
        let end = rest
            .rfind(char::is_alphanumeric)
            .map_or(0, |last| last + rest[last..].chars().next().map_or(0, char::len_utf8));
        let (mut word, mut after) = rest.split_at(end);
        if after.starts_with('.') && word.contains('.') {
            (word, after) = rest.split_at(end + 1);
        }
        words.extend(characters(before));
        let possessive =
            ["'s", "’s"].into_iter().find_map(|s| word.strip_suffix(s).map(|stem| (stem, s.len())));
        match possessive {
            Some((stem, length)) if !stem.is_empty() => {
                words.push(stem);
                words.push(&word[word.len() - length..]);
            }
            _ if word.is_empty() => {}
            _ => words.push(word),
        }
        words.extend(characters(after));
    }
    words
}

fn characters(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_cut_off_at_the_ends_of_words() {
        let cases = [
            ("Peter Blackburn, (aged 35-year-old).", "Peter|Blackburn|,|(|aged|35-year-old|)|."),
            ("The U.S. has 1,000 of them.", "The|U.S.|has|1,000|of|them|."),
            ("\"Zoë's\" café – no!?", "\"|Zoë|'s|\"|café|–|no|!|?"),
            ("'s ... é", "'|s|.|.|.|é"),
            ("  ", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).join("|"), expected, "{text}");
        }
    }
}
