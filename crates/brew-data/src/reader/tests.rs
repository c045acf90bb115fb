use std::path::PathBuf;

use brew_random::Key;
use brew_testkit::real_data;

use super::*;
use crate::LabelSet;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn read(name: &str, content: impl AsRef<[u8]>, spec: &TextFileSpec) -> Result<Vec<RawExample>, DataError> {
    let folder = Folder::new();
    read_examples(&folder.file(name, content), spec)
}

fn read_default(name: &str, content: impl AsRef<[u8]>) -> Vec<RawExample> {
    read(name, content, &TextFileSpec::default()).unwrap()
}

/// Text, second text, label and line of each example.
type Plain = (String, Option<String>, Option<String>, usize);

fn plain(examples: Vec<RawExample>) -> Vec<Plain> {
    for (at, example) in examples.iter().enumerate() {
        assert_eq!(example.id, at as u64);
    }
    examples.into_iter().map(|e| (e.text, e.text_pair, e.label, e.origin.line)).collect()
}

fn single(text: &str, label: Option<&str>, line: usize) -> Plain {
    (text.into(), None, label.map(Into::into), line)
}

fn pair(text: &str, text_pair: &str, label: Option<&str>, line: usize) -> Plain {
    (text.into(), Some(text_pair.into()), label.map(Into::into), line)
}

fn named(text: &str, text_pair: Option<&str>, label: Option<&str>) -> TextFileSpec {
    TextFileSpec {
        text: text.into(),
        text_pair: text_pair.map(Into::into),
        label: label.map(Into::into),
        ..TextFileSpec::default()
    }
}

#[test]
fn text_tab_label_needs_no_configuration() {
    let examples = read_default("train.tsv", "a fine film\t1\n a dull one \t0\n");
    assert_eq!(plain(examples), [single("a fine film", Some("1"), 1), single(" a dull one ", Some("0"), 2)]);
}

#[test]
fn tsv_keeps_quotes_and_stands_crlf_bom_and_blank_lines() {
    let examples =
        read_default("a.tsv", "\u{feff}\r\n\"so\" he said\tyes\r\n\r\n  \t \r\n5\" disk\t no \r\n\r\n");
    assert_eq!(
        plain(examples),
        [single("\"so\" he said", Some("yes"), 2), single("5\" disk", Some("no"), 5)]
    );
}

#[test]
fn unlabelled_files_read_as_they_are() {
    assert_eq!(plain(read_default("a.txt", "one\ntwo")), [single("one", None, 1), single("two", None, 2)]);
    let pairs = read("a.tsv", "one\ttwo\n", &TextFileSpec::pair()).unwrap();
    assert_eq!(plain(pairs), [pair("one", "two", None, 1)]);
    // An empty label is a missing one.
    assert_eq!(plain(read_default("a.tsv", "one\tx\ntwo\t \n"))[1], single("two", None, 2));
}

#[test]
fn pairs_find_the_label_after_the_texts() {
    let pairs = read("dev.txt", "one\ttwo\t0\nthree\tfour\t1\n", &TextFileSpec::pair()).unwrap();
    assert_eq!(plain(pairs), [pair("one", "two", Some("0"), 1), pair("three", "four", Some("1"), 2)]);
}

#[test]
fn a_header_is_found_by_common_names_and_by_named_columns() {
    let examples = read_default("a.tsv", "sentence\tlabel\nfine\t1\n");
    assert_eq!(plain(examples), [single("fine", Some("1"), 2)]);
    let examples = read("a.csv", "Sentence1,Sentence2,Label\na,b,x\n", &TextFileSpec::pair()).unwrap();
    assert_eq!(plain(examples), [pair("a", "b", Some("x"), 2)]);
    // A first row that is not made of such names alone is data.
    let examples = read_default("a.tsv", "text\t1\nfine\t0\n");
    assert_eq!(plain(examples), [single("text", Some("1"), 1), single("fine", Some("0"), 2)]);

    let spec = named("#1 String", Some("#2 String"), Some("Quality"));
    let content = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\ta \"b\"\tc\r\n";
    assert_eq!(plain(read("m.tsv", content, &spec).unwrap()), [pair("a \"b\"", "c", Some("1"), 2)]);
}

#[test]
fn a_header_can_be_forced_either_way() {
    let spec = TextFileSpec { header: Some(false), ..TextFileSpec::default() };
    assert_eq!(plain(read("a.tsv", "text\tlabel\n", &spec).unwrap()), [single("text", Some("label"), 1)]);
    let spec = TextFileSpec { header: Some(true), label: Some(1.into()), ..TextFileSpec::default() };
    assert_eq!(plain(read("a.tsv", "foo\tbar\nt\tx\n", &spec).unwrap()), [single("t", Some("x"), 2)]);
    let spec = TextFileSpec { header: Some(false), ..named("text", None, None) };
    let error = read("a.tsv", "text\tlabel\n", &spec).unwrap_err();
    assert!(matches!(&error, DataError::NameWithoutHeader { name, .. } if name == "text"), "{error}");
}

#[test]
fn under_a_header_only_a_column_called_label_is_taken_for_one() {
    let examples = read("a.csv", "review,stars\nfine,5\n", &named("review", None, None)).unwrap();
    assert_eq!(plain(examples), [single("fine", None, 2)]);
    let spec = named("review", None, Some("stars"));
    assert_eq!(plain(read("a.csv", "review,stars\nfine,5\n", &spec).unwrap())[0].2.as_deref(), Some("5"));
    assert_eq!(spec.without_label().label, None);
}

#[test]
fn csv_follows_rfc_4180() {
    let content = "text,label\r\n\"a, \"\"b\"\"\r\nc\",x\r\n\r\nplain,\"y\"\r\nlast,z";
    let examples = plain(read_default("a.csv", content));
    assert_eq!(
        examples,
        [single("a, \"b\"\r\nc", Some("x"), 2), single("plain", Some("y"), 5), single("last", Some("z"), 6)]
    );
    let error = read("a.csv", "a,x\n\"b,y\nc,z\n", &TextFileSpec::default()).unwrap_err();
    assert!(matches!(error, DataError::BadCsv { line: 2, .. }), "{error}");
}

#[test]
fn json_lines_take_labels_of_every_kind() {
    let content = "{\"text\": \"a\\nb\", \"label\": 1}\n\n{\"label\": \"x\", \"text\": \"c\"}\r\n\
                   {\"text\": \"d\", \"label\": null}\n{\"text\": \"e\", \"label\": true}\n{\"text\": \"f\"}\n";
    assert_eq!(
        plain(read_default("a.jsonl", content)),
        [
            single("a\nb", Some("1"), 1),
            single("c", Some("x"), 3),
            single("d", None, 4),
            single("e", Some("true"), 5),
            single("f", None, 6)
        ]
    );
    let spec = named("premise", Some("hypothesis"), Some("gold"));
    let content = "{\"id\": 3, \"premise\": \"p\", \"hypothesis\": \"h\", \"gold\": \"entailment\"}";
    assert_eq!(plain(read("a.json", content, &spec).unwrap()), [pair("p", "h", Some("entailment"), 1)]);
}

#[test]
fn an_explicit_format_beats_the_extension() {
    let spec = TextFileSpec { format: Some(TextFormat::Tsv), ..TextFileSpec::default() };
    assert_eq!(plain(read("TREC.train", "who ?\tHUM\n", &spec).unwrap()), [single("who ?", Some("HUM"), 1)]);
    let error = read("TREC.train", "who ?\tHUM\n", &TextFileSpec::default()).unwrap_err();
    assert!(matches!(error, DataError::UnknownFormat { .. }), "{error}");
}

#[test]
fn files_that_are_not_there_or_not_files() {
    let folder = Folder::new();
    let missing = folder.0.path().join("missing.tsv");
    let error = read_examples(&missing, &TextFileSpec::default()).unwrap_err();
    assert!(matches!(&error, DataError::Missing { path } if *path == missing), "{error}");
    let error = read_examples(folder.0.path(), &TextFileSpec::default()).unwrap_err();
    assert!(matches!(error, DataError::IsFolder { .. }), "{error}");
}

#[test]
fn files_without_rows() {
    for (name, content) in
        [("a.tsv", ""), ("a.tsv", "\n \n"), ("a.csv", "\n"), ("a.jsonl", "\n"), ("a.tsv", "text\tlabel\n")]
    {
        let error = read(name, content, &TextFileSpec::default()).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{name} {content:?}: {error}");
    }
}

#[test]
fn short_rows_say_what_was_expected() {
    for name in ["a.tsv", "a.csv"] {
        let separator = if name == "a.tsv" { "\t" } else { "," };
        let content = format!("a{separator}1\n\nb\n");
        let error = read(name, content, &TextFileSpec::default()).unwrap_err();
        assert!(matches!(error, DataError::TooFewColumns { line: 3, found: 1, expected: 2, .. }), "{error}");
    }
    let spec = TextFileSpec { text: 3.into(), ..TextFileSpec::default() };
    let error = read("a.jsonl", "{\"text\": \"a\"}", &spec).unwrap_err();
    assert!(matches!(error, DataError::TooFewColumns { line: 1, found: 1, expected: 4, .. }), "{error}");
}

#[test]
fn unknown_columns_name_the_nearest() {
    let cases = [
        ("a.tsv", "sentence\tlabel\nx\t1\n", named("sentense", None, None), "sentence"),
        ("a.csv", "sentence,label\nx,1\n", named("sentence", None, Some("lable")), "label"),
        ("a.jsonl", "{\"sentence\": \"x\"}\n", named("sentnce", None, None), "sentence"),
    ];
    for (file, content, spec, expected) in cases {
        let error = read(file, content, &spec).unwrap_err();
        assert!(
            matches!(&error, DataError::UnknownColumn { line: 1, nearest: Some(nearest), .. } if nearest == expected),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("did you mean `{expected}`?")), "{error}");
    }
    let error =
        read("a.jsonl", "{\"text\": \"x\"}\n{\"txt\": \"y\"}\n", &TextFileSpec::default()).unwrap_err();
    assert!(matches!(error, DataError::UnknownColumn { line: 2, .. }), "{error}");
}

#[test]
fn invalid_utf8_is_found_by_line_and_byte() {
    let error = read("a.tsv", b"\xef\xbb\xbfgood\t1\ncaf\xe9\t0\n", &TextFileSpec::default()).unwrap_err();
    assert!(matches!(error, DataError::InvalidUtf8 { line: 2, offset: 13, .. }), "{error}");
}

#[test]
fn bad_json_is_found_by_line() {
    for bad in ["{\"text\": \"b\"", "[1, 2]", "\"b\"", "{\"text\": \"b\"} {}"] {
        let content = format!("{{\"text\": \"a\"}}\n{bad}\n");
        let error = read("a.jsonl", content, &TextFileSpec::default()).unwrap_err();
        assert!(matches!(error, DataError::BadJson { line: 2, .. }), "{bad}: {error}");
    }
    for bad in ["{\"text\": 3, \"label\": 1}", "{\"text\": \"b\", \"label\": [1]}"] {
        let content = format!("{{\"text\": \"a\", \"label\": 0}}\n{bad}\n");
        let error = read("a.jsonl", content, &TextFileSpec::default()).unwrap_err();
        assert!(matches!(error, DataError::BadValue { line: 2, .. }), "{bad}: {error}");
    }
}

#[test]
fn specifications_are_plain_serde() {
    assert_eq!(serde_json::from_str::<TextFileSpec>("{}").unwrap(), TextFileSpec::default());
    let spec: TextFileSpec =
        serde_json::from_str(r#"{"format": "jsonl", "header": true, "text": 1, "label": "gold"}"#).unwrap();
    assert_eq!((&spec.text, &spec.label), (&Column::Index(1), &Some(Column::Name("gold".into()))));
    assert_eq!(spec.format, Some(TextFormat::JsonLines));
    assert_eq!(serde_json::from_str::<TextFileSpec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    let error = serde_json::from_str::<TextFileSpec>(r#"{"txt": 1}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `txt`"), "{error}");
}

/// Random texts survive being written in each format and read again.
#[test]
fn what_is_written_is_what_is_read() {
    let alphabet: Vec<char> = "abc é中😀\"',;\\#".chars().collect();
    let mut stream = Key::new(9).purpose("reader").stream();
    for _ in 0..50 {
        let mut word = |extra: &[char]| -> String {
            let letters: Vec<char> = alphabet.iter().chain(extra).copied().collect();
            let body: String = (0..stream.below(12)).map(|_| *stream.pick(&letters)).collect();
            format!("x{body}")
        };
        let rows: Vec<(String, String)> = (0..10).map(|_| (word(&[]), word(&[]))).collect();
        let wide: Vec<(String, String)> = (0..10).map(|_| (word(&['\n', '\t', '\r']), word(&[]))).collect();

        let tsv: String = rows.iter().map(|(a, b)| format!("{a}\t{b}\t1\n")).collect();
        let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let csv: String = wide.iter().map(|(a, b)| format!("{},{},1\r\n", quote(a), quote(b))).collect();
        let json: String = wide
            .iter()
            .map(|(a, b)| serde_json::json!({"a": a, "b": b, "label": 1}).to_string() + "\n")
            .collect();
        for (name, content, rows) in [("a.tsv", tsv, &rows), ("a.csv", csv, &wide), ("a.jsonl", json, &wide)]
        {
            let examples = read(name, content, &TextFileSpec::pair()).unwrap();
            let found: Vec<_> =
                examples.into_iter().map(|e| (e.text, e.text_pair.unwrap(), e.label.unwrap())).collect();
            let expected: Vec<_> = rows.iter().map(|(a, b)| (a.clone(), b.clone(), "1".to_owned())).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}

/// Rows and rows of each label, in the order of the labels.
fn counts(path: &Path, spec: &TextFileSpec) -> (usize, Vec<(String, usize)>) {
    let raw = read_examples(path, spec).unwrap();
    let labels = LabelSet::from_examples(&raw).unwrap();
    let count = |name: &String| raw.iter().filter(|example| example.label.as_ref() == Some(name)).count();
    (raw.len(), labels.names().iter().map(|name| (name.clone(), count(name))).collect())
}

fn expected(rows: usize, labels: [(&str, usize); 2]) -> (usize, Vec<(String, usize)>) {
    (rows, labels.map(|(name, count)| (name.to_owned(), count)).to_vec())
}

#[test]
fn sst2_has_the_rows_it_should() {
    let Some(folder) = real_data("sst2") else { return };
    let spec = TextFileSpec::default();
    assert_eq!(counts(&folder.join("train.tsv"), &spec), expected(6920, [("0", 3310), ("1", 3610)]));
    assert_eq!(counts(&folder.join("dev.tsv"), &spec), expected(872, [("0", 428), ("1", 444)]));
    assert_eq!(counts(&folder.join("test.tsv"), &spec), expected(1821, [("0", 912), ("1", 909)]));
}

#[test]
fn mrpc_has_the_rows_it_should() {
    let Some(folder) = real_data("mrpc") else { return };
    let spec = named("#1 String", Some("#2 String"), Some("Quality"));
    assert_eq!(counts(&folder.join("msr-para-train.tsv"), &spec), expected(3576, [("0", 1169), ("1", 2407)]));
    assert_eq!(counts(&folder.join("msr-para-val.tsv"), &spec), expected(500, [("0", 154), ("1", 346)]));
    assert_eq!(counts(&folder.join("msr-para-test.tsv"), &spec), expected(1725, [("0", 578), ("1", 1147)]));
}

#[test]
fn chinese_sets_have_the_rows_they_should() {
    if let Some(folder) = real_data("chnsenticorp") {
        let spec = TextFileSpec::default();
        assert_eq!(
            counts(&folder.join("dev.tsv"), &spec),
            expected(1200, [("negative", 607), ("positive", 593)])
        );
        assert_eq!(
            counts(&folder.join("train.tsv"), &spec),
            expected(9600, [("negative", 4801), ("positive", 4799)])
        );
    }
    if let Some(folder) = real_data("afqmc") {
        let spec = TextFileSpec::pair();
        assert_eq!(counts(&folder.join("dev.txt"), &spec), expected(4316, [("0", 2978), ("1", 1338)]));
    }
}

#[test]
fn trec_is_refused_for_its_encoding() {
    let Some(folder) = real_data("trec6") else { return };
    let spec = TextFileSpec { format: Some(TextFormat::Tsv), ..TextFileSpec::default() };
    let error = read_examples(&folder.join("TREC.train"), &spec).unwrap_err();
    assert!(matches!(error, DataError::InvalidUtf8 { .. }), "{error}");
}

#[test]
fn a_column_beyond_all_numbers_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.tsv", "a\tb\n"), ("a.csv", "a,b\n"), ("a.jsonl", "{\"text\": \"a\"}\n")] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        for spec in [
            TextFileSpec { text: Column::Index(usize::MAX), ..TextFileSpec::default() },
            TextFileSpec { text_pair: Some(Column::Index(usize::MAX)), ..TextFileSpec::default() },
            TextFileSpec { label: Some(Column::Index(usize::MAX)), ..TextFileSpec::default() },
        ] {
            let error = read_examples(&path, &spec).unwrap_err();
            assert!(matches!(error, DataError::TooFewColumns { .. }), "{name}: {error}");
        }
    }
}
