//! The sentences of NLTK's English model, which come before words in its `word_tokenize`.
//!
//! The method is Punkt (Kiss and Strunk, *Unsupervised Multilingual Sentence Boundary Detection*,
//! Computational Linguistics 32(4), 2006) as NLTK 3.9.1 has it
//! ([source](https://www.nltk.org/_modules/nltk/tokenize/punkt.html)). Texts come in lower case here, so most
//! of what the model knows cannot matter: its 39 words that start sentences and the part of its 20,366
//! spellings that speaks of capitals ask for a capital letter. What is left are 156 abbreviations, 37 pairs of
//! words and 4 spellings of the `punkt_tab` English model, learned from the Wall Street Journal.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use fancy_regex::Regex;

use super::is_space;

/// Words that keep the period behind them; `. . ` is one of the model's.
static ABBREVIATIONS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = "a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v \
        calif chg cie co col colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri \
        ft g g.d g.f g.k ga gen h h.c h.f h.m i.m.s ill inc j.b j.c j.j j.k j.p j.r jan jr k kan ky l l.a l.f \
        l.p lt ltd m m.b.a m.d.c m.j maj messrs mg mich minn mr mrs ms n n.c n.d n.h n.j n.m n.v n.y nev nov \
        oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a \
        s.s sen sep sept sr st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r v va vs vt w w.c w.r w.va w.w wash \
        wed wis yr";
    words.split_whitespace().chain([". . "]).collect()
});

/// Words with a period between them that are one name; `#` is any number.
static PAIRS: LazyLock<HashSet<(&str, &str)>> = LazyLock::new(|| {
    let after_numbers = "abreast aes business cbot colgate commodities cooper corrections credit dividend \
        financing genentech henley insider international leisure letters notable pay-fone pegasus pepper review \
        rj wedgestone who zimmer";
    let names = [
        ("b", "edelman"),
        ("b", "levine"),
        ("b", "smith"),
        ("b", "stewart"),
        ("b", "wigton"),
        ("i", "magnin"),
        ("i", "toussie"),
        ("j", "aron"),
        ("j", "fialka"),
        ("j", "walter"),
        ("o", "ludcke"),
    ];
    after_numbers.split_whitespace().map(|word| (NUMBER, word)).chain(names).collect()
});

/// The words that the model has seen to start a sentence in lower case and never with a capital.
const STARTERS: [&str; 4] = ["administrators", "b-week", "r-revised", "z-holiday"];

/// What all numbers are to the model.
const NUMBER: &str = "#number#";

/// What ends a word, as a class.
const ENDS_WORD: &str = r#"[)";}\]*:@'({\[?!]"#;
/// What closes a quotation or bracket behind the end of a sentence.
const CLOSING: &str = "\"')]}";

/// The model's words: runs of dashes or periods; else characters up to white space, to such a run, or to a
/// mark that ends a word; else single characters.
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    let (space, other) = (r"[\s\x1c-\x1f]", r"[^\s\x1c-\x1f]");
    let run = format!(r"(?:-{{2,}}|\.{{2,}}|(?:\.{space}){{2,}}\.)");
    let end = format!(r"{space}|\z|{ENDS_WORD}|{run}");
    let pattern = format!(r#"{run}|(?=[^("`{{\[:;&#*@)}}\]\-,]){other}+?(?={end}|,(?={end}))|{other}"#);
    Regex::new(&pattern).expect("a valid expression")
});

static IS_NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A-?[.,]?\p{Nd}[\p{Nd},.\-]*\.?\z").expect("a valid expression"));

/// The sentences of a text in lower case, without the white space between them.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut ranges = Vec::new();
    let mut start = 0;
    for end in possible_ends(&characters) {
        if is_end(&end.context) {
            ranges.push(start..end.at + 1);
            start = end.next;
        }
    }
    let length = characters.iter().rposition(|&character| !is_space(character)).map_or(0, |last| last + 1);
    ranges.push(start..length.max(start));
    with_closing_marks(&characters, &ranges)
        .into_iter()
        .filter(|range| !range.is_empty())
        .map(|range| characters[range].iter().collect())
        .collect()
}

/// A mark that may end a sentence.
struct PossibleEnd {
    /// Where it stands.
    at: usize,
    /// Where the next sentence starts if it does.
    next: usize,
    /// What stands around it: the word before, the mark, and the mark or the word behind it.
    context: String,
}

/// The marks that may end a sentence; of several with one word before them, the last.
fn possible_ends(text: &[char]) -> Vec<PossibleEnd> {
    let mut found: Vec<PossibleEnd> = Vec::new();
    let mut word = 0..0;
    let mut waiting: Option<PossibleEnd> = None;
    for at in 0..text.len() {
        let Some((behind, next)) = behind(text, at) else { continue };
        let space = text[word.end..at].iter().rposition(|character| " \t\n\r\u{b}\u{c}".contains(*character));
        let start = match space.unwrap_or(0) {
            0 => word.start,
            space => word.end + space + 1,
        };
        if word.end <= start {
            found.extend(waiting.take());
        }
        word = start..at;
        waiting = Some(PossibleEnd { at, next, context: text[start..behind].iter().collect() });
    }
    found.extend(waiting);
    found
}

/// For a mark with something behind it that lets it end a sentence: where that ends, and where the next
/// sentence would start.
fn behind(text: &[char], at: usize) -> Option<(usize, usize)> {
    if !".?!".contains(text[at]) {
        return None;
    }
    let first = *text.get(at + 1)?;
    if ")\";}]*:@'({[?!".contains(first) {
        return Some((at + 2, at + 1));
    }
    let blank = text[at + 1..].iter().take_while(|&&character| is_space(character)).count();
    let start = at + 1 + blank;
    let length = text[start..].iter().take_while(|&&character| !is_space(character)).count();
    (blank > 0 && length > 0).then_some((start + length, start))
}

/// A word of the model.
struct Token<'a> {
    text: &'a str,
    /// The text, or [`NUMBER`].
    kind: &'a str,
    is_end: bool,
    is_abbreviation: bool,
}

impl<'a> Token<'a> {
    fn new(text: &'a str) -> Self {
        let kind = if IS_NUMBER.is_match(text).unwrap_or(false) { NUMBER } else { text };
        let mut token = Self { text, kind, is_end: false, is_abbreviation: false };
        let is_dots = text.len() > 1 && text.bytes().all(|byte| byte == b'.');
        if [".", "?", "!"].contains(&text) {
            token.is_end = true;
        } else if !is_dots && text.ends_with('.') && !text.ends_with("..") {
            let word = &text[..text.len() - 1];
            let last = word.rsplit('-').next().unwrap_or(word);
            token.is_abbreviation = ABBREVIATIONS.contains(word) || ABBREVIATIONS.contains(last);
            token.is_end = !token.is_abbreviation;
        }
        token
    }

    /// The kind without a final period.
    fn bare(&self) -> &'a str {
        match self.kind.strip_suffix('.') {
            Some(bare) if !bare.is_empty() => bare,
            _ => self.kind,
        }
    }

    /// Whether it is a letter and a period.
    fn is_initial(&self) -> bool {
        let mut characters = self.text.chars();
        let letter = characters.next().is_some_and(is_letter);
        letter && characters.next() == Some('.') && characters.next().is_none()
    }

    /// Whether it cannot start a sentence.
    fn starts_none(&self) -> bool {
        if [";", ":", ",", ".", "!", "?"].contains(&self.text) {
            return true;
        }
        let kind = if self.is_end { self.bare() } else { self.kind };
        self.text.starts_with(char::is_lowercase) && !STARTERS.contains(&kind)
    }
}

/// A character of words that is no decimal digit.
fn is_letter(character: char) -> bool {
    static LETTER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[\p{L}\p{Nl}\p{No}_]").expect("a valid expression"));
    LETTER.is_match(character.encode_utf8(&mut [0; 4])).unwrap_or(false)
}

/// Whether a sentence ends within a context, before its last word.
fn is_end(context: &str) -> bool {
    let words = context.split('\n').flat_map(|line| WORD.find_iter(line).map_while(Result::ok));
    let tokens: Vec<Token> = words.map(|word| Token::new(word.as_str())).collect();
    tokens.windows(2).any(|pair| {
        let [token, next] = pair else { return false };
        if !token.text.ends_with('.') {
            return token.is_end;
        }
        let next_kind = if next.is_end { next.bare() } else { next.kind };
        let is_pair = PAIRS.contains(&(token.bare(), next_kind));
        let may_continue = token.is_initial() || token.bare() == NUMBER;
        token.is_end && !is_pair && !(may_continue && next.starts_none())
    })
}

/// Moves quotation marks and brackets that close something to the sentence before them.
fn with_closing_marks(text: &[char], sentences: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut moved = 0;
    let mut result = Vec::with_capacity(sentences.len());
    for (at, sentence) in sentences.iter().enumerate() {
        let start = (sentence.start + moved).min(sentence.end);
        moved = 0;
        let Some(next) = sentences.get(at + 1) else {
            result.push(start..sentence.end);
            break;
        };
        let behind = &text[next.clone()];
        let marks = behind.iter().take_while(|&&character| CLOSING.contains(character)).count();
        let blank = behind[marks..].iter().take_while(|&&character| is_space(character)).count();
        let rest = &behind[marks + blank..];
        if marks > 0 && (blank > 0 || rest.is_empty() || rest.starts_with(&['-', '-'])) {
            result.push(start..next.start + marks);
            moved = marks + blank;
        } else {
            result.push(start..sentence.end);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::sentences;

    #[test]
    fn sentences_as_nltk_gives_them() {
        for (text, expected) in [
            ("one. two. three", vec!["one.", "two.", "three"]),
            ("mr. j. smith of the u.s. army", vec!["mr. j. smith of the u.s. army"]),
            ("he won 3. then he lost", vec!["he won 3. then he lost"]),
            ("(is it so?) \"it is.\" done", vec!["(is it so?)", "\"it is.\"", "done"]),
            ("very bad acting!!! i promise.", vec!["very bad acting!!!", "i promise."]),
            ("well... so be it", vec!["well... so be it"]),
            ("  ", vec![]),
        ] {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }
}
