use brew_random::{Key, Stream};
use serde_json::json;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::*;
use crate::{Example, TextTokenizer, WordPieceOptions};

fn word_pieces(pieces: &[&str], options: WordPieceOptions) -> TextTokenizer {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].iter().chain(pieces);
    TextTokenizer::from_vocabulary(words.map(|&word| word.to_owned()).collect(), options).unwrap()
}

fn uncased(pieces: &[&str]) -> TextTokenizer {
    word_pieces(pieces, WordPieceOptions::default())
}

/// Upper case and accents kept; ideographs are words, or not.
fn cased(pieces: &[&str], tokenize_chinese_chars: bool) -> TextTokenizer {
    word_pieces(
        pieces,
        WordPieceOptions { do_lower_case: false, tokenize_chinese_chars, strip_accents: Some(false) },
    )
}

/// RoBERTa's: bytes, two of them merged, four special tokens around a pair.
fn byte_level(merges: &[[&str; 2]], trim_offsets: bool) -> TextTokenizer {
    let mut alphabet: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    alphabet.sort_unstable();
    let specials = ["<s>", "<pad>", "</s>", "<unk>"].map(String::from);
    let merged = merges.iter().map(|pair| pair.concat());
    let vocabulary: serde_json::Map<_, _> = specials
        .into_iter()
        .chain(alphabet)
        .chain(merged)
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                           "trim_offsets": trim_offsets, "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "vocab": vocabulary, "merges": merges}
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    TextTokenizer::from_folder(folder.path()).unwrap()
}

/// Each token, with its characters as `start-end`, or `*` where it is special.
fn spans(tokenizer: &TextTokenizer, example: &Example, max_length: usize) -> Vec<String> {
    let (feature, spans) = tokenizer.encode_with_spans(example, max_length).unwrap();
    assert_eq!(feature, tokenizer.encode(example, max_length).unwrap());
    let tokens = tokenizer.tokens(&feature.input_ids);
    assert_eq!(tokens.len(), spans.len());
    let write = |(token, span): (String, &TokenSpan)| match span {
        TokenSpan::Special { .. } => format!("{token} *"),
        TokenSpan::Text { start, end, .. } => format!("{token} {start}-{end}"),
    };
    tokens.into_iter().zip(spans.as_slice()).map(write).collect()
}

/// The matches of each student token; the two lengths are limits.
fn matched(
    (student, student_length): (&TextTokenizer, usize),
    (teacher, teacher_length): (&TextTokenizer, usize),
    example: &Example,
) -> Vec<Vec<u32>> {
    let (_, student) = student.encode_with_spans(example, student_length).unwrap();
    let (_, teacher) = teacher.encode_with_spans(example, teacher_length).unwrap();
    let alignment = Alignment::new(&student, &teacher);
    assert_eq!((alignment.student_length(), alignment.teacher_length()), (student.len(), teacher.len()));
    (0..student.len()).map(|token| alignment.matches(token).to_vec()).collect()
}

fn of(text: &str) -> Example {
    Example::new(0, text)
}

#[test]
fn word_pieces_of_two_vocabularies() {
    let student = uncased(&["un", "##afford", "##able", "film", "!"]);
    let teacher = uncased(&["una", "##ffordable", "film", "!"]);
    let example = of("Unaffordable  film!");
    assert_eq!(
        spans(&student, &example, 16),
        ["[CLS] *", "un 0-2", "##afford 2-8", "##able 8-12", "film 14-18", "! 18-19", "[SEP] *"]
    );
    assert_eq!(
        matched((&student, 16), (&teacher, 16), &example),
        [vec![0], vec![1], vec![1, 2], vec![2], vec![3], vec![4], vec![5]]
    );
    let (_, own) = student.encode_with_spans(&example, 16).unwrap();
    let (_, other) = teacher.encode_with_spans(&example, 16).unwrap();
    let weights = Alignment::new(&own, &other).weights();
    assert_eq!(weights[2 * 6..3 * 6], [0.0, 0.5, 0.5, 0.0, 0.0, 0.0]);
    // The other way round the longer pieces are means.
    assert_eq!(
        matched((&teacher, 16), (&student, 16), &example),
        [vec![0], vec![1, 2], vec![2, 3], vec![4], vec![5], vec![6]]
    );
}

#[test]
fn an_unknown_word_is_matched_by_its_characters() {
    let student = uncased(&["a"]);
    let teacher = uncased(&["a", "ze", "##bra"]);
    assert_eq!(
        matched((&student, 16), (&teacher, 16), &of("a zebra")),
        [vec![0], vec![1], vec![2, 3], vec![4]]
    );
}

#[test]
fn ideographs_are_one_character_each() {
    let student = uncased(&["我", "爱", "北", "京", "a"]);
    let teacher = cased(&["我爱", "##北", "##京", "a"], false);
    let example = of("我爱北京 a");
    assert_eq!(
        spans(&student, &example, 16),
        ["[CLS] *", "我 0-1", "爱 1-2", "北 2-3", "京 3-4", "a 5-6", "[SEP] *"]
    );
    assert_eq!(
        matched((&student, 16), (&teacher, 16), &example),
        [vec![0], vec![1], vec![1], vec![2], vec![3], vec![4], vec![5]]
    );
}

#[test]
fn spans_count_the_characters_given_not_those_of_the_normaliser() {
    // With accents that are characters of their own, the normalised text is two characters shorter.
    let example = of("e\u{301}te\u{301} fin");
    let student = uncased(&["e", "##te", "fin"]);
    let teacher = cased(&["e\u{301}t", "##e\u{301}", "fin"], true);
    assert_eq!(spans(&teacher, &example, 16)[1..4], ["e\u{301}t 0-3", "##e\u{301} 3-5", "fin 6-9"]);
    assert_eq!(spans(&student, &example, 16)[3], "fin 6-9");
    assert_eq!(
        matched((&student, 16), (&teacher, 16), &example),
        [vec![0], vec![1], vec![1, 2], vec![3], vec![4]]
    );
    // One character with its accent, which takes two bytes.
    assert_eq!(spans(&student, &of("ét fin"), 16)[2], "fin 3-6");
}

#[test]
fn what_the_normaliser_drops_is_no_token_and_moves_nothing() {
    let student = uncased(&["a", "b"]);
    let example = of("\u{0}a\u{fffd} b\u{0}");
    assert_eq!(spans(&student, &example, 16), ["[CLS] *", "a 1-2", "b 4-5", "[SEP] *"]);
    // A teacher of bytes keeps them: they match nothing, while the rest does.
    let teacher = byte_level(&[], true);
    let found = matched((&student, 16), (&teacher, 32), &example);
    assert_eq!((found[1].len(), found[2].len()), (1, 1));
    let back = matched((&teacher, 32), (&student, 16), &example);
    assert!(back[1].is_empty(), "{back:?}");
}

#[test]
fn texts_of_a_pair_are_not_mixed_up() {
    let student = uncased(&["a", "b"]);
    let teacher = uncased(&["b", "a"]);
    let example = of("a b").with_pair("b a");
    assert_eq!(
        matched((&student, 16), (&teacher, 16), &example),
        [vec![0], vec![1], vec![2], vec![3], vec![4], vec![5], vec![6]]
    );
    // An empty second text is none.
    assert_eq!(matched((&student, 16), (&teacher, 16), &of("a").with_pair("")), [vec![0], vec![1], vec![2]]);
}

#[test]
fn what_either_side_truncates_matches_nothing() {
    let (student, teacher) = (uncased(&["a", "b", "c", "d"]), uncased(&["d", "c", "b", "a"]));
    let example = of("a b c d");
    assert_eq!(
        matched((&student, 4), (&teacher, 16), &example),
        [vec![0], vec![1], vec![2], vec![5]],
        "the student reads a b, the teacher all"
    );
    assert_eq!(
        matched((&student, 16), (&teacher, 4), &example),
        [vec![0], vec![1], vec![2], vec![], vec![], vec![3]]
    );
    let pair = of("a b c").with_pair("d c");
    // The teacher keeps a b and d.
    assert_eq!(
        matched((&student, 16), (&teacher, 6), &pair),
        [vec![0], vec![1], vec![2], vec![], vec![3], vec![4], vec![], vec![5]]
    );
}

#[test]
fn bytes_of_one_character_all_match_it() {
    let teacher = byte_level(&[["\u{120}", "f"]], true);
    let example = of("a film, 中");
    // The space before a word is no part of its span, and trimmed once only.
    assert_eq!(
        spans(&teacher, &example, 32)[..8],
        ["<s> *", "a 0-1", "Ġf 2-3", "i 3-4", "l 4-5", "m 5-6", ", 6-7", "Ġ 8-8"]
    );
    let student = uncased(&["a", "film", ",", "中"]);
    let found = matched((&student, 16), (&teacher, 32), &example);
    assert_eq!(found, [vec![0], vec![1], vec![2, 3, 4, 5], vec![6], vec![8, 9, 10], vec![11]]);
    let back = matched((&teacher, 32), (&student, 16), &example);
    assert_eq!(back[8..], [vec![4], vec![4], vec![4], vec![5]]);
}

#[test]
fn white_space_around_a_token_is_no_part_of_it() {
    let untrimmed = byte_level(&[["\u{120}", "f"]], false);
    assert_eq!(
        spans(&untrimmed, &of("a f  f"), 16),
        ["<s> *", "a 0-1", "Ġf 2-3", "Ġ 3-4", "Ġf 5-6", "</s> *"],
        "unless there is nothing else"
    );
}

#[test]
fn special_tokens_match_by_place_and_order() {
    let bert = uncased(&["a", "b"]);
    let roberta = byte_level(&[], true);
    let pair = of("a").with_pair("b");
    // [CLS] a [SEP] b [SEP], and <s> a </s> </s> b </s>.
    assert_eq!(matched((&bert, 16), (&roberta, 16), &pair), [vec![0], vec![1], vec![2], vec![4], vec![5]]);
    assert_eq!(
        matched((&roberta, 16), (&bert, 16), &pair),
        [vec![0], vec![1], vec![2], vec![], vec![3], vec![4]]
    );
    // A text without a token is still a place.
    assert_eq!(
        matched((&bert, 16), (&roberta, 16), &of("\u{0}").with_pair("b")),
        [vec![0], vec![2], vec![4], vec![5]]
    );
    assert_eq!(matched((&bert, 16), (&roberta, 16), &of("")), [vec![0], vec![1]]);
}

#[test]
fn spans_without_characters_match_nothing() {
    let empty = TokenSpan::Text { text: 0, start: 1, end: 1 };
    let whole = TokenSpan::Text { text: 0, start: 0, end: 3 };
    for other in [empty, whole, TokenSpan::Special { place: 0, order: 0 }] {
        assert!(!empty.overlaps(other) && !other.overlaps(empty));
    }
    let none = TokenSpans::default();
    let alignment = Alignment::new(&TokenSpans::new(vec![empty, whole]), &none);
    assert_eq!((alignment.student_length(), alignment.teacher_length()), (2, 0));
    assert!(alignment.matches(1).is_empty() && alignment.weights().is_empty());
    assert_eq!(Alignment::new(&none, &none).student_length(), 0);
}

/// A text of anything that a normaliser or a pre-tokenizer may trip over.
fn random_text(stream: &mut Stream) -> String {
    const PIECES: [&str; 26] = [
        "a", "b", "film", "films", "un", "able", " ", "  ", "\t", "é", "e\u{301}", "É", "ß", "ﬁ", "İ", "中",
        "北京", "。", ",", "!", "👍🏽", "\u{0}", "\u{200b}", "\u{3000}", "[SEP]", "[CLS]",
    ];
    (0..stream.below(14)).map(|_| *stream.pick(&PIECES)).collect()
}

#[test]
fn rows_sum_to_one_or_nothing_and_overlapping_is_symmetric() {
    let pieces =
        ["a", "b", "film", "##s", "un", "##able", "##a", "e", "##e", "中", "北", "##京", ",", "!", "é"];
    let tokenizers = [
        uncased(&pieces),
        cased(&pieces, true),
        cased(&["un", "##a", "##b", "films", "北京", "##中", "e\u{301}"], false),
        byte_level(&[["a", "b"], ["\u{120}", "f"], ["i", "l"]], true),
        byte_level(&[], false),
    ];
    let mut stream = Key::new(5).purpose("texts").stream();
    let (mut matches, mut empty_rows) = (0, 0);
    for id in 0..3_000 {
        let mut example = Example::new(id, random_text(&mut stream));
        if stream.chance(0.5) {
            example.text_pair = Some(random_text(&mut stream));
        }
        let mut encode = || {
            let tokenizer = stream.pick(&tokenizers);
            let length = 6 + stream.below(30);
            let (feature, spans) = tokenizer.encode_with_spans(&example, length).unwrap();
            assert_eq!(feature, tokenizer.encode(&example, length).unwrap(), "{example:?}");
            assert_eq!(feature.len(), spans.len());
            for span in spans.as_slice() {
                if let TokenSpan::Text { text, start, end } = *span {
                    let text = [Some(example.text.as_str()), example.text_pair.as_deref()][text].unwrap();
                    assert!(start <= end && end <= text.chars().count(), "{start}-{end} of {text:?}");
                }
            }
            spans
        };
        let (student, teacher) = (encode(), encode());
        let there = Alignment::new(&student, &teacher);
        let back = Alignment::new(&teacher, &student);
        for token in 0..student.len() {
            let row = &there.weights()[token * teacher.len()..][..teacher.len()];
            let sum: f32 = row.iter().sum();
            if there.matches(token).is_empty() {
                assert_eq!(sum, 0.0);
                empty_rows += 1;
            } else {
                assert!((sum - 1.0).abs() < 1e-6, "{sum} in {example:?}");
            }
            for (other, weight) in row.iter().enumerate() {
                let matched = there.matches(token).contains(&(other as u32));
                assert_eq!(matched, back.matches(other).contains(&(token as u32)), "{example:?}");
                assert_eq!(matched, *weight > 0.0);
                matches += usize::from(matched);
            }
        }
        // With itself, a token matches itself, unless it is of no character.
        let same = Alignment::new(&student, &student);
        for (token, span) in student.as_slice().iter().enumerate() {
            let is_empty = matches!(span, TokenSpan::Text { start, end, .. } if start == end);
            assert_eq!(same.matches(token).contains(&(token as u32)), !is_empty, "{example:?}");
        }
    }
    assert!(matches > 10_000 && empty_rows > 1_000, "{matches} matches, {empty_rows} rows without");
}
