//! Just enough of Rust's lexical grammar to tell code from comments and strings, and tests from the rest.

use std::ops::Range;

/// A Rust file split into what the checks look at.
pub(super) struct RustSource {
    /// The text with comments and the inside of literals blanked: same bytes, same lines.
    code: String,
    /// Byte ranges of items under `#[cfg(test)]`, `#[test]` and the like.
    tests: Vec<Range<usize>>,
}

impl RustSource {
    pub(super) fn parse(text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let tests = test_ranges(&code);
        Self { code, tests }
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The code with its tests blanked too.
    pub(super) fn code_without_tests(&self) -> String {
        let mut bytes = self.code.clone().into_bytes();
        for range in &self.tests {
            blank(&mut bytes[range.clone()]);
        }
        String::from_utf8(bytes).expect("blanking keeps UTF-8: ranges begin and end at ASCII")
    }

    pub(super) fn lines_without_tests(&self) -> usize {
        let in_tests: usize =
            self.tests.iter().map(|range| self.code[range.clone()].matches('\n').count() + 1).sum();
        self.code.lines().count().saturating_sub(in_tests)
    }
}

/// The line, from 1, of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The words (identifiers and keywords) of a blanked text with their offsets.
pub(super) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut offset = 0;
    std::iter::from_fn(move || {
        let start = offset + code[offset..].find(is_word)?;
        let end =
            code[start..].find(|character| !is_word(character)).map_or(code.len(), |length| start + length);
        offset = end;
        Some((start, &code[start..end]))
    })
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => match char_end(text, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue; // a lifetime
                }
            },
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                let word = word_end(bytes, at);
                match raw_string_end(bytes, at, word) {
                    Some(end) => end,
                    None => {
                        at = word;
                        continue;
                    }
                }
            }
            _ => {
                at += 1;
                continue;
            }
        };
        blank(&mut out[at..end]);
        at = end;
    }
    String::from_utf8(out).expect("blanking keeps UTF-8: comments and literals are blanked whole")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = at;
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// The end of the character literal that starts at the quote `at`, or `None` for a lifetime.
fn char_end(text: &str, at: usize) -> Option<usize> {
    let inside = &text[at + 1..];
    let first = inside.chars().next()?;
    if first == '\\' {
        let escaped = inside[1..].chars().next()?;
        let after = 1 + escaped.len_utf8();
        return inside[after..].find('\'').map(|close| at + 1 + after + close + 1);
    }
    inside[first.len_utf8()..].starts_with('\'').then(|| at + 1 + first.len_utf8() + 1)
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    bytes[at..].iter().position(|byte| !is_word(byte)).map_or(bytes.len(), |length| at + length)
}

/// The end of a raw string whose prefix (`r`, `br`, `cr`) is the word at `at..word`.
fn raw_string_end(bytes: &[u8], at: usize, word: usize) -> Option<usize> {
    if !matches!(&bytes[at..word], b"r" | b"br" | b"cr") {
        return None;
    }
    let hashes = bytes[word..].iter().take_while(|byte| **byte == b'#').count();
    let open = word + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None; // `r#type`, a raw identifier
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let inside = &bytes[open + 1..];
    let length = inside.windows(close.len()).position(|window| window == close.as_slice());
    Some(length.map_or(bytes.len(), |length| open + 1 + length + close.len()))
}

fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let bytes = code.as_bytes();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(found) = code[at..].find("#[") {
        let start = at + found;
        let attribute_end = bracket_end(bytes, start + 1, b'[', b']');
        if is_test_attribute(&code[start + 2..attribute_end.saturating_sub(1)]) {
            let end = item_end(bytes, attribute_end);
            ranges.push(start..end);
            at = end;
        } else {
            at = attribute_end;
        }
    }
    ranges
}

/// `test`, `cfg(test)`, `cfg(all(test, …))`; not `cfg(not(test))` nor `cfg_attr`.
fn is_test_attribute(inside: &str) -> bool {
    let mut words = words(inside).map(|(_, word)| word);
    match words.next() {
        Some("test") => true,
        Some("cfg") => {
            let rest: Vec<&str> = words.collect();
            rest.contains(&"test") && !rest.contains(&"not") && !rest.contains(&"any")
        }
        _ => false,
    }
}

/// Where the item after an attribute ends: behind its block, or at the semicolon of an item without one.
fn item_end(bytes: &[u8], from: usize) -> usize {
    let mut i = from;
    while i < bytes.len() {
        match bytes[i] {
            b'#' if bytes.get(i + 1) == Some(&b'[') => i = bracket_end(bytes, i + 1, b'[', b']'),
            b'(' => i = bracket_end(bytes, i, b'(', b')'),
            b'[' => i = bracket_end(bytes, i, b'[', b']'),
            b'{' => return bracket_end(bytes, i, b'{', b'}'),
            b';' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// Behind the bracket that closes the one at `at`.
fn bracket_end(bytes: &[u8], at: usize, open: u8, close: u8) -> usize {
    let mut depth = 0_usize;
    for (i, byte) in bytes.iter().enumerate().skip(at) {
        if *byte == open {
            depth += 1;
        } else if *byte == close {
            depth -= 1;
            if depth == 0 {
                return i + 1;
            }
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        RustSource::parse(text).code().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(code("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(code(r#"let a = "x \" y"; b"#), "let a = ; b");
        assert_eq!(code("let a = r#\"x \" y\"#; b"), "let a = ; b");
        assert_eq!(code("f('\"', 'a', '\\'', '\\u{e9}', '→') + b"), "f( , , , , ) + b");
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        assert_eq!(code("fn f<'a>(x: &'a str) -> r#type {}"), "fn f<'a>(x: &'a str) -> r#type {}");
    }

    #[test]
    fn lines_and_bytes_stay_in_place() {
        let text = "a\n\"→\nb\" c /* é\n */ d\n";
        let source = RustSource::parse(text);
        assert_eq!(source.code().len(), text.len());
        assert_eq!(line_at(source.code(), source.code().find('d').unwrap()), 4);
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let text = "fn a() {}\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n\
                    #[cfg(test)]\nuse d::{e};\n#[test]\nfn f(x: [u8; 3]) { g() }\n#[cfg(not(test))]\nfn h() {}\n";
        let source = RustSource::parse(text);
        let rest: Vec<String> =
            words(&source.code_without_tests()).map(|(_, word)| word.to_owned()).collect();
        assert_eq!(rest, ["fn", "a", "fn", "c", "cfg", "not", "test", "fn", "h"]);
        assert_eq!(source.lines_without_tests(), 4);
    }

    #[test]
    fn an_unfinished_file_is_read_to_its_end() {
        for text in ["/* a", "\"a", "r#\"a", "#[cfg(test)", "#[cfg(test)] mod t {", "'", "'\\", "b\"a\\"] {
            assert_eq!(RustSource::parse(text).code().len(), text.len());
        }
    }
}
