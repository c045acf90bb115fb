use std::collections::BTreeMap;

use brew_random::Key;
use serde::Deserialize;
use serde_json::Value;

use super::super::*;
use crate::{Collator, DataError, LabelSet, Target, TextTokenizer, WordPieceOptions};

#[derive(Deserialize)]
struct Golden {
    written: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    tokenizer: String,
    words: Vec<String>,
    input_ids: Vec<u32>,
    word_ids: Vec<Option<usize>>,
}

fn set() -> TagSet {
    TagSet::new(LabelSet::new(["O", "B-A", "I-A"]).unwrap(), TagScheme::Iob2).unwrap()
}

#[test]
fn golden_words_become_the_pieces_that_transformers_makes() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/words.json")).unwrap();
    let mut without_pieces = 0;
    for (name, written) in &golden.written {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), written.to_string()).unwrap();
        let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
        let unknown = ["[UNK]", "<unk>"].iter().find_map(|token| tokenizer.token_id(token)).unwrap();
        let cases: Vec<&Case> = golden.cases.iter().filter(|case| case.tokenizer == *name).collect();
        assert!(cases.len() > 40, "{name}: {} cases", cases.len());
        for case in cases {
            let example = TaggedExample::new(7, case.words.clone());
            let encoding = TagEncoding::with_max_length(512);
            let encoded = encode_tagged(&tokenizer, &[example], &set(), &encoding).unwrap();
            // A word that transformers has no token for is here the unknown word, in its place.
            let mut ids = Vec::new();
            let mut places = Vec::new();
            let mut next = 0;
            let fill = |to: usize, ids: &mut Vec<u32>, places: &mut Vec<Option<usize>>, next: &mut usize| {
                while *next < to {
                    ids.push(unknown);
                    places.push(Some(*next));
                    *next += 1;
                }
            };
            for (at, (&id, &word)) in case.input_ids.iter().zip(&case.word_ids).enumerate() {
                match word {
                    Some(word) => fill(word, &mut ids, &mut places, &mut next),
                    None if at > 0 => fill(case.words.len(), &mut ids, &mut places, &mut next),
                    None => {}
                }
                next = next.max(word.map_or(0, |word| word + 1));
                ids.push(id);
                places.push(word);
            }
            let missing = (0..case.words.len()).filter(|&word| !case.word_ids.contains(&Some(word))).count();
            without_pieces += missing;
            let what = format!("{name}: {:?}", case.words);
            assert_eq!(encoded.features.len(), 1);
            assert_eq!(encoded.features[0].input_ids, ids, "{what}");
            assert_eq!(encoded.counts.empty_words, missing, "{what}");
            let firsts: Vec<WordToken> = (0..case.words.len())
                .map(|word| WordToken {
                    word,
                    token: places.iter().position(|&place| place == Some(word)).unwrap(),
                })
                .collect();
            assert_eq!(encoded.windows[0].words, firsts, "{what}");
        }
    }
    assert!(without_pieces > 10, "the golden has words without pieces: {without_pieces}");
}

/// Words `w0` to `w9` of one piece each, `long` of four.
fn tokenizer() -> TextTokenizer {
    let mut pieces: Vec<String> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "l", "##o", "##n", "##g"].map(String::from).to_vec();
    pieces.extend((0..10).map(|digit| format!("w{digit}")));
    TextTokenizer::from_vocabulary(pieces, WordPieceOptions::default()).unwrap()
}

fn tags(feature: &crate::Feature) -> Vec<Option<usize>> {
    match &feature.target {
        Some(Target::Tags(tags)) => tags.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_piece_of_a_word_has_its_tag_and_no_other_token_has() {
    let examples = [
        TaggedExample::new(0, ["w1", "long", "\u{fe0f}"]).with_tags(["O", "B-A", "I-A"]),
        TaggedExample::new(1, ["w2"]),
    ];
    let encoded = encode_tagged(&tokenizer(), &examples, &set(), &TagEncoding::default()).unwrap();
    let first = &encoded.features[0];
    assert_eq!(
        tokenizer().tokens(&first.input_ids),
        ["[CLS]", "w1", "l", "##o", "##n", "##g", "[UNK]", "[SEP]"]
    );
    assert_eq!(tags(first), [None, Some(0), Some(1), None, None, None, Some(2), None]);
    assert_eq!(first.token_type_ids, [0; 8]);
    assert!(encoded.features[1].target.is_none());
    assert_eq!(encoded.word_counts(), [3, 1]);
    assert_eq!(
        encoded.counts,
        TagCounts { examples: 2, words: 4, windows: 2, empty_words: 1, ..TagCounts::default() }
    );
    assert_eq!(
        encoded.counts.to_string(),
        "2 sentences, 4 words, 2 windows; 1 words without a token of their own"
    );
    let batch = Collator::new(0).collate_indices::<brew_testkit::TestBackend>(
        &encoded.features,
        &[1, 0],
        &Default::default(),
    );
    assert_eq!(batch.ids, [1, 0]);
    let classes = batch.classes().unwrap().to_data().to_vec::<i64>().unwrap();
    assert_eq!(classes[8..], [-100, 0, 1, -100, -100, -100, 2, -100]);
}

#[test]
fn long_sentences_are_read_in_windows_and_lose_nothing() {
    let words: Vec<String> = (0..10).map(|digit| format!("w{digit}")).collect();
    let tags_of_words: Vec<&str> = (0..10).map(|at| ["O", "B-A", "I-A"][at % 3]).collect();
    let example = TaggedExample::new(0, words).with_tags(tags_of_words);
    let encoding = TagEncoding { max_length: 6, overlap: 2, ..TagEncoding::default() };
    let encoded = encode_tagged(&tokenizer(), std::slice::from_ref(&example), &set(), &encoding).unwrap();
    let read: Vec<String> = encoded
        .features
        .iter()
        .map(|feature| tokenizer().tokens(&feature.input_ids[1..feature.len() - 1]).join(" "))
        .collect();
    assert_eq!(read, ["w0 w1 w2 w3", "w2 w3 w4 w5", "w4 w5 w6 w7", "w6 w7 w8 w9"]);
    // The second window decides `w3` and `w4`.
    assert_eq!(tags(&encoded.features[1]), [None, None, Some(0), Some(1), None, None]);
    assert_eq!(encoded.features.iter().map(|feature| feature.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!((encoded.counts.long_examples, encoded.counts.lost_words), (1, 0));

    let cut = TagEncoding { long_sentences: LongSentences::Truncate, ..encoding };
    let encoded = encode_tagged(&tokenizer(), &[example], &set(), &cut).unwrap();
    assert_eq!((encoded.features.len(), encoded.counts.lost_words), (1, 6));
    assert_eq!(encoded.counts.long_examples, 1);
    let decoded = encoded.decode_classes(&[vec![0, 1, 2, 2, 2, 0]], &set()).unwrap();
    assert_eq!(decoded[0][..5], ["B-A", "I-A", "I-A", "I-A", "O"]);
    assert_eq!(decoded[0].len(), 10);
}

#[test]
fn a_word_of_more_pieces_than_fit_is_cut_and_keeps_its_tag() {
    let example = TaggedExample::new(0, ["w1", "longlonglong", "w2"]).with_tags(["O", "B-A", "O"]);
    let pieces = ["l", "##o", "##n", "##g", "##l"];
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "w1", "w2"].into_iter().chain(pieces);
    let tokenizer =
        TextTokenizer::from_vocabulary(words.map(String::from).collect(), WordPieceOptions::default())
            .unwrap();
    let encoding = TagEncoding { max_length: 6, ..TagEncoding::default() };
    let encoded = encode_tagged(&tokenizer, &[example], &set(), &encoding).unwrap();
    assert_eq!(encoded.counts.cut_words, 1);
    let all: Vec<Vec<Option<usize>>> = encoded.features.iter().map(tags).collect();
    assert_eq!(
        all,
        [vec![None, Some(0), None], vec![None, Some(1), None, None, None, None], vec![None, Some(0), None]]
    );
}

#[test]
fn what_a_model_says_right_comes_back_as_the_tags_that_were_encoded() {
    let mut stream = Key::new(11).purpose("encode").stream();
    let set = set();
    let vocabulary = ["w0", "w1", "w2", "long", "\u{200d}", "unheard"];
    for overlap in [0, 3, 16] {
        let examples: Vec<TaggedExample> = (0..60)
            .map(|id| {
                let length = 1 + stream.below(30);
                let words: Vec<&str> = (0..length).map(|_| vocabulary[stream.below(6)]).collect();
                let tags: Vec<String> =
                    (0..length).map(|_| set.labels().names()[stream.below(3)].clone()).collect();
                TaggedExample::new(id, words).with_tags(tags)
            })
            .collect();
        let encoding = TagEncoding { max_length: 10, overlap, ..TagEncoding::default() };
        let encoded = encode_tagged(&tokenizer(), &examples, &set, &encoding).unwrap();
        assert!(encoded.counts.long_examples > 10);
        // A model that is sure of the targets and says anything where there is none, padding included.
        let logits: Vec<Vec<f32>> = encoded
            .features
            .iter()
            .map(|feature| {
                let classes = tags(feature).into_iter().chain([None; 2]);
                classes
                    .flat_map(|class| {
                        let class = class.unwrap_or_else(|| stream.below(3));
                        (0..3).map(move |at| if at == class { 1.0 } else { -1.0 })
                    })
                    .collect()
            })
            .collect();
        let decoded = encoded.decode(&logits, &set).unwrap();
        for (example, decoded) in examples.iter().zip(decoded) {
            assert_eq!(example.tags.as_ref(), Some(&decoded));
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let examples = [TaggedExample::new(0, ["w1"]).with_tags(["B-B"])];
    let error = encode_tagged(&tokenizer(), &examples, &set(), &TagEncoding::default()).unwrap_err();
    assert!(error.to_string().starts_with("<memory>, line 1: unknown label `B-B`"), "{error}");

    let unlabelled = examples.map(TaggedExample::without_tags);
    let error =
        encode_tagged(&tokenizer(), &unlabelled, &set(), &TagEncoding::with_max_length(2)).unwrap_err();
    assert!(matches!(error, DataError::MaxLengthTooSmall { max_length: 2, special: 2, least: 3 }));

    let encoded = encode_tagged(&tokenizer(), &unlabelled, &set(), &TagEncoding::with_max_length(3)).unwrap();
    let none: [Vec<usize>; 0] = [];
    assert!(matches!(
        encoded.decode_classes(&none, &set()),
        Err(DataError::DifferentLengths { predictions: 0, labels: 1 })
    ));
    assert!(matches!(
        encoded.decode(&[vec![0.0; 6]], &set()),
        Err(DataError::DifferentLengths { predictions: 2, labels: 3 })
    ));
    assert!(matches!(
        encoded.decode_classes(&[vec![0, 5, 0]], &set()),
        Err(DataError::ClassOutOfRange { class: 5, position: 1, classes: 3 })
    ));
}
