use std::collections::BTreeMap;

use brew_testkit::real_data;

use super::super::*;
use crate::{Layout, SpanReport, Split, TextTokenizer};

/// Sentences, words and spans of each type.
fn counts(file: &TaggedFile, mode: SpanMode) -> (usize, usize, BTreeMap<String, usize>) {
    let mut kinds = BTreeMap::new();
    let mut words = 0;
    for example in &file.examples {
        words += example.words.len();
        for span in file.scheme.spans(example.tags.as_ref().unwrap(), mode).unwrap() {
            *kinds.entry(span.kind).or_default() += 1;
        }
    }
    (file.examples.len(), words, kinds)
}

fn expect(layout: Layout, split: Split, sentences: usize, words: usize, spans: usize) {
    let Some(folder) = real_data(layout.name()) else { return };
    let file = layout.read_tagged(&folder, split, &Default::default()).unwrap();
    let (found, found_words, kinds) = counts(&file, SpanMode::Lenient);
    assert_eq!((found, found_words, kinds.values().sum()), (sentences, words, spans), "{layout} {split:?}");
}

#[test]
fn conll_2003_has_the_rows_it_should() {
    expect(Layout::Conll2003, Split::Train, 14_041, 203_621, 23_499);
    expect(Layout::Conll2003, Split::Dev, 3_250, 51_362, 5_942);
    expect(Layout::Conll2003, Split::Test, 3_453, 46_435, 5_648);
}

#[test]
fn wnut_17_has_the_rows_it_should() {
    expect(Layout::Wnut17, Split::Train, 3_394, 62_730, 1_975);
    expect(Layout::Wnut17, Split::Dev, 1_009, 15_733, 836);
    expect(Layout::Wnut17, Split::Test, 1_287, 23_394, 1_079);
}

#[test]
fn resume_ner_has_the_rows_it_should() {
    let Some(folder) = real_data("resume_ner") else { return };
    let mut begun = BTreeMap::new();
    let mut organisations = [0, 0];
    for (split, sentences, characters) in
        [(Split::Train, 3_821, 124_099), (Split::Dev, 463, 13_890), (Split::Test, 477, 15_100)]
    {
        let file = Layout::ResumeNer.read_tagged(&folder, split, &Default::default()).unwrap();
        assert_eq!(file.scheme, TagScheme::Bmes);
        for (mode, sum) in [SpanMode::Lenient, SpanMode::Strict].into_iter().zip(&mut organisations) {
            let (found, words, kinds) = counts(&file, mode);
            assert_eq!((found, words), (sentences, characters), "{split:?}");
            *sum += kinds["ORG"];
        }
        for tag in file.examples.iter().filter_map(|example| example.tags.as_ref()).flatten() {
            if let Some(kind) = tag.strip_prefix("B-").or(tag.strip_prefix("S-")) {
                *begun.entry(kind.to_owned()).or_insert(0) += 1;
            }
        }
    }
    let expected = [
        ("CONT", 321),
        ("EDU", 1_076),
        ("LOC", 55),
        ("NAME", 1_174),
        ("ORG", 5_687),
        ("PRO", 338),
        ("RACE", 144),
        ("TITLE", 7_770),
    ];
    assert_eq!(begun, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    // Two of the organisations are broken, which seqeval takes for four, or for none.
    assert_eq!(organisations, [5_689, 5_685]);
}

#[test]
fn real_sentences_come_back_whole_from_short_windows() {
    let (Some(folder), Some(vocabulary)) = (real_data("resume_ner"), real_data("bert_base_chinese_vocab"))
    else {
        return;
    };
    let file = Layout::ResumeNer.read_tagged(&folder, Split::Test, &Default::default()).unwrap();
    let tokenizer = TextTokenizer::from_folder(&vocabulary).unwrap();
    let set = TagSet::from_examples(&file.examples, file.scheme).unwrap();
    let encoding = TagEncoding { max_length: 32, ..TagEncoding::default() };
    let encoded = encode_tagged(&tokenizer, &file.examples, &set, &encoding).unwrap();
    assert!(encoded.counts.long_examples > 100, "{}", encoded.counts);
    assert_eq!((encoded.counts.words, encoded.counts.lost_words), (15_100, 0));
    let classes: Vec<Vec<usize>> = encoded
        .features
        .iter()
        .map(|feature| match &feature.target {
            Some(crate::Target::Tags(tags)) => tags.iter().map(|tag| tag.unwrap_or(3)).collect(),
            other => panic!("{other:?}"),
        })
        .collect();
    let decoded = encoded.decode_classes(&classes, &set).unwrap();
    let gold: Vec<&Vec<String>> = file.examples.iter().filter_map(|example| example.tags.as_ref()).collect();
    let report = SpanReport::new(&decoded, &gold, file.scheme, SpanMode::Strict).unwrap();
    assert_eq!((report.f1, report.accuracy, report.words), (1.0, 1.0, 15_100));
}
