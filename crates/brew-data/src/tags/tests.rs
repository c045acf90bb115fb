mod encode;
mod real;

use std::path::PathBuf;

use super::*;
use crate::{DataError, LabelSet};

fn read(content: &str, spec: &TagFileSpec) -> Result<TaggedFile, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("file");
    std::fs::write(&path, content).unwrap();
    read_tagged_examples(&path, spec)
}

/// Words, tags and line of each sentence.
type Plain = (String, Option<String>, usize);

fn plain(file: &TaggedFile) -> Vec<Plain> {
    let sentence = |example: &TaggedExample| {
        (example.words.join("_"), example.tags.as_ref().map(|tags| tags.join(" ")), example.origin.line)
    };
    file.examples.iter().map(sentence).collect()
}

fn sentence(words: &str, tags: &str, line: usize) -> Plain {
    (words.to_owned(), Some(tags.to_owned()), line)
}

const DEFAULT: TagFileSpec =
    TagFileSpec { format: None, scheme: None, word: 0, tag: None, extent: crate::Extent::Whole };

#[test]
fn conll_2003_loses_its_document_lines_and_becomes_iob2() {
    let content = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\nGerman JJ I-NP I-MISC\n\
                   British JJ I-NP B-MISC\n\n-DOCSTART- -X- -X- O\n\nPeter NNP I-NP I-PER\nBlackburn NNP I-NP I-PER";
    let file = read(content, &DEFAULT).unwrap();
    assert_eq!(
        plain(&file),
        [
            sentence("EU_rejects_German_British", "B-ORG O B-MISC B-MISC", 3),
            sentence("Peter_Blackburn", "B-PER I-PER", 10)
        ]
    );
    assert_eq!(file.scheme, TagScheme::Iob2);
    assert_eq!(file.examples.iter().map(|example| example.id).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn columns_stand_marks_line_ends_and_stray_white_space() {
    // A byte order mark, CRLF, separators of one tab or some spaces, blank lines that are not empty.
    let content = "\u{feff}\r\nKim\tB-PER\t \r\nsings\tO  \r\n\t\r\n  \r\nOslo\tB-LOC\r\n";
    let expected = [sentence("Kim_sings", "B-PER O", 2), sentence("Oslo", "B-LOC", 6)];
    assert_eq!(plain(&read(content, &DEFAULT).unwrap()), expected);
    let spaces = content.replace("\tB", "   B").replace("\tO", " O");
    assert_eq!(plain(&read(&spaces, &DEFAULT).unwrap()), expected);
}

#[test]
fn a_word_may_be_white_space() {
    // The middle word is a space, a no-break space, an ideographic space; the last is missing between tabs.
    let content = "他 O\n  O\n\u{a0} O\n\u{3000} O\n京 S-LOC\n";
    assert_eq!(
        plain(&read(content, &DEFAULT).unwrap()),
        [sentence("他_ _\u{a0}_\u{3000}_京", "O O O O S-LOC", 1)]
    );
    let content = "他\tO\n \tO\n\tO\n\u{3000}\tB-LOC\n";
    assert_eq!(plain(&read(content, &DEFAULT).unwrap()), [sentence("他_ __\u{3000}", "O O O B-LOC", 1)]);
}

#[test]
fn the_tag_may_be_in_any_column() {
    let spec = TagFileSpec { word: 1, tag: Some(2), ..DEFAULT };
    let content = "1 EU B-ORG x y\n2 rejects O\n";
    assert_eq!(plain(&read(content, &spec).unwrap()), [sentence("EU_rejects", "B-ORG O", 1)]);
}

#[test]
fn characters_with_bmes_tags_in_columns_and_in_lines() {
    let expected = [sentence("常_建_良", "B-NAME M-NAME E-NAME", 1)];
    let file = read("常 B-NAME\n建 M-NAME\n良 E-NAME\n", &DEFAULT).unwrap();
    assert_eq!((plain(&file).as_slice(), file.scheme), (&expected[..], TagScheme::Bmes));
    let lines = "常 建 良\tB-NAME M-NAME E-NAME\r\n\r\n男\tO\r\n无 标\n";
    let file = read(lines, &DEFAULT).unwrap();
    let expected = [expected[0].clone(), sentence("男", "O", 3), ("无_标".into(), None, 4)];
    assert_eq!((plain(&file).as_slice(), file.scheme), (&expected[..], TagScheme::Bmes));
    // A word and a tag a line are columns, not sentences of one word.
    assert_eq!(read("常\tB-NAME\n建\tE-NAME\n", &DEFAULT).unwrap().examples.len(), 1);
}

#[test]
fn sentences_without_tags_are_unlabelled() {
    let file = read("EU\nrejects\n\nOslo\n", &DEFAULT).unwrap();
    assert_eq!(plain(&file), [("EU_rejects".into(), None, 1), ("Oslo".into(), None, 4)]);
    let file = read("EU B-ORG\n\nOslo\nis\n", &DEFAULT).unwrap();
    assert_eq!(plain(&file), [sentence("EU", "B-ORG", 1), ("Oslo_is".into(), None, 3)]);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let message = |content: &str, spec: &TagFileSpec| {
        let text = read(content, spec).unwrap_err().to_string();
        text.split_once("file").map(|(_, rest)| rest.to_owned()).unwrap_or(text)
    };
    assert_eq!(
        message("EU B-ORG\nrejects\n", &DEFAULT),
        ", line 2: the word `rejects` has no tag, though others of its sentence have; complete the row, or put a \
         blank line between sentences"
    );
    assert_eq!(message("\nEU NNP B-ORG\nis O\n", &DEFAULT), ", line 3: 2 column(s) where 3 are expected");
    let third = TagFileSpec { tag: Some(2), ..DEFAULT };
    assert_eq!(message("EU B-ORG\n", &third), ", line 1: 2 column(s) where 3 are expected");
    assert_eq!(
        message("EU B-ORG\nis O\nbig NNP\n", &DEFAULT),
        ", line 3: `NNP` is no tag of the scheme iob2, whose tags are O, B-TYPE, I-TYPE; set `scheme`, or `tag` if \
         another column holds the tags"
    );
    let bmes = TagFileSpec { scheme: Some(TagScheme::Bmes), ..DEFAULT };
    assert!(
        message("a b\tO B-X\nc d\tO I-X\n", &bmes)
            .starts_with(", line 2: `I-X` is no tag of the scheme bmes")
    );
    let lines = TagFileSpec { format: Some(TagFormat::Lines), ..DEFAULT };
    assert_eq!(
        message("a b\tO O\na b\tO\n", &lines),
        ", line 2: 2 word(s) before the tab and 1 tag(s) behind it"
    );
    assert!(message("\n \n-DOCSTART- O\n", &DEFAULT).contains("holds no example"));
}

#[test]
fn specifications_in_files() {
    let spec: TagFileSpec = serde_json::from_str(r#"{"format": "columns", "scheme": "bioes"}"#).unwrap();
    assert_eq!((spec.format, spec.scheme), (Some(TagFormat::Conll), Some(TagScheme::Bioes)));
    assert_eq!(serde_json::to_string(&DEFAULT).unwrap(), r#"{"word":0}"#);
    assert!(serde_json::from_str::<TagFileSpec>(r#"{"tags": 3}"#).is_err());
    let encoding: TagEncoding = serde_json::from_str(r#"{"long_sentences": "truncate"}"#).unwrap();
    assert_eq!((encoding.max_length, encoding.long_sentences), (128, LongSentences::Truncate));
}

#[test]
fn tag_sets_hold_every_tag_of_the_types_that_occur() {
    let example = |tags: &[&str]| TaggedExample::new(0, tags.to_vec()).with_tags(tags.to_vec());
    let examples = [TaggedExample::new(0, ["w"]), example(&["O", "S-B"]), example(&["B-A", "E-A"])];
    let set = TagSet::from_examples(&examples, TagScheme::Bmes).unwrap();
    assert_eq!(set.labels().names(), ["O", "B-A", "M-A", "E-A", "S-A", "B-B", "M-B", "E-B", "S-B"]);
    let text = serde_json::to_string(&set).unwrap();
    assert!(text.starts_with(r#"{"scheme":"bmes","tags":["O","B-A","#), "{text}");
    assert_eq!(serde_json::from_str::<TagSet>(&text).unwrap(), set);

    assert!(matches!(TagSet::from_examples(&[example(&["O"])], TagScheme::Iob2), Err(DataError::NoTags)));
    let without = LabelSet::new(["B-A", "I-A"]).unwrap();
    assert!(matches!(TagSet::new(without, TagScheme::Iob2), Err(DataError::NoOutsideTag)));
    let other = LabelSet::new(["O", "S-A"]).unwrap();
    assert!(matches!(TagSet::new(other, TagScheme::Iob2), Err(DataError::TagOutsideScheme { .. })));
    // The order of a model that was trained before is kept.
    let before = TagSet::new(LabelSet::new(["B-A", "O", "I-A"]).unwrap(), TagScheme::Iob2).unwrap();
    assert_eq!(before.outside(), 1);
}
