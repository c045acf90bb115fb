//! Data files and tokenizers as nobody should have written them: an error or examples, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use brew_data::{
    Column, Example, Extent, LabelSet, Layout, LayoutOptions, LayoutTask, MultiLabelSpec, QuestionFileSpec,
    SpanOptions, Split, TagEncoding, TagFileSpec, TagFormat, TagScheme, TagSet, TextFileSpec, TextTokenizer,
    WordPieceOptions, encode_tagged, flag_examples, label_examples, multi_label_set, question_features,
    read_examples, read_multi_label_examples, read_questions, read_tagged_examples, training_features,
    value_examples,
};
use brew_testkit::fuzz;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

const EXTENTS: [Extent; 3] = [Extent::Whole, Extent::Head(40), Extent::Head(1)];

fn tokenizer() -> TextTokenizer {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "dull", "film", "##s", "京"];
    TextTokenizer::from_vocabulary(words.map(String::from).to_vec(), WordPieceOptions::default()).unwrap()
}

/// Reads texts in every way, and makes examples and tokens of them.
fn texts(path: &Path) {
    let tokenizer = tokenizer();
    for extent in EXTENTS {
        let specs = [
            TextFileSpec::default(),
            TextFileSpec::pair(),
            TextFileSpec { header: Some(true), ..TextFileSpec::default() },
            TextFileSpec {
                text: Column::from("text"),
                label: Some(Column::from("label")),
                ..TextFileSpec::default()
            },
            TextFileSpec { text: Column::Index(usize::MAX), ..TextFileSpec::default() },
        ];
        for spec in specs.map(|spec| TextFileSpec { extent, ..spec }) {
            if let Ok(rows) = read_examples(path, &spec) {
                let _ = value_examples(&rows);
                if let Ok(labels) = LabelSet::from_examples(&rows) {
                    let examples = label_examples(&rows, &labels).unwrap();
                    tokenizer.encode_all(&examples, 12).unwrap();
                }
            }
            if let Ok(rows) = read_multi_label_examples(path, &spec, &MultiLabelSpec::default())
                && let Ok(labels) = multi_label_set(&rows)
            {
                let _ = flag_examples(&rows, &labels);
            }
        }
    }
}

#[test]
fn fuzz_tsv() {
    let folder = Folder::new();
    let valid: [&[u8]; 2] = [
        b"a fine film\tgood\na dull film\tbad\n",
        "\u{feff}text\ttext_pair\tlabel\r\na\tb\t1.5\r\n\n京\td\t2,3\r\n".as_bytes(),
    ];
    fuzz(&valid, |bytes| texts(&folder.write("a.tsv", bytes)));
}

#[test]
fn fuzz_csv() {
    let folder = Folder::new();
    let valid: [&[u8]; 2] =
        [b"a fine film,good\n\"a \"\"dull\"\"\nfilm\",bad\n", b"text,label\r\n\"a, b\",1\r\n"];
    fuzz(&valid, |bytes| texts(&folder.write("a.csv", bytes)));
}

#[test]
fn fuzz_json_lines() {
    let folder = Folder::new();
    let valid: [&[u8]; 2] = [
        b"{\"text\": \"a film\", \"label\": \"good\"}\n{\"text\": \"b\", \"label\": 3}\n",
        b"{\"text\": \"a\", \"text_pair\": \"b\", \"labels\": [\"x\", 1, null]}\n",
    ];
    fuzz(&valid, |bytes| texts(&folder.write("a.jsonl", bytes)));
}

#[test]
fn fuzz_layouts() {
    let folder = Folder::new();
    let valid: [&[u8]; 5] = [
        b"index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt is wet.\tentailment\n",
        b"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\ta film\ta plot\n",
        b"language\tgold_label\tsentence1\tsentence2\nzh\tneutral\ta\tb\nen\t-\ta\tb\n",
        b"{\"sentence1\": \"a\", \"sentence2\": \"b\", \"label\": \"0\", \"language\": \"zh\"}\n",
        b"gj04\t1\t\tA sentence.\nid\tquestion1\tquestion2\tis_duplicate\n",
    ];
    fuzz(&valid, |bytes| {
        for name in ["dev.tsv", "dev.json"] {
            let path = folder.write(name, bytes);
            for layout in Layout::ALL {
                let options = LayoutOptions { extent: EXTENTS[bytes.len() % 3], ..LayoutOptions::default() };
                match layout.task() {
                    LayoutTask::MultiLabel => drop(layout.read_multi_label(&path, Split::Dev, &options)),
                    LayoutTask::Tagging => drop(layout.read_tagged(&path, Split::Dev, &options)),
                    _ => drop(layout.read(&path, Split::Dev, &options)),
                }
            }
        }
        let _ = LabelSet::from_file(&folder.write("labels.txt", bytes));
    });
}

#[test]
fn fuzz_tagged_words() {
    let folder = Folder::new();
    let valid: [&[u8]; 3] = [
        b"-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\nGerman JJ I-NP I-MISC\n",
        "京 B-LOC\n好 E-LOC\n \tO\n\n是 S-LOC\n".as_bytes(),
        b"a fine film\tO B-X I-X\nthe\tO\n",
    ];
    let tokenizer = tokenizer();
    fuzz(&valid, |bytes| {
        let path = folder.write("a.txt", bytes);
        for extent in EXTENTS {
            let specs = [
                TagFileSpec::default(),
                TagFileSpec { word: usize::MAX, tag: Some(usize::MAX), ..TagFileSpec::default() },
                TagFileSpec { format: Some(TagFormat::Lines), ..TagFileSpec::default() },
                TagFileSpec { scheme: Some(TagScheme::Iob1), tag: Some(1), ..TagFileSpec::default() },
                TagFileSpec {
                    scheme: Some(TagScheme::Bmes),
                    word: 1,
                    tag: Some(0),
                    ..TagFileSpec::default()
                },
            ];
            for spec in specs {
                let Ok(file) = read_tagged_examples(&path, &TagFileSpec { extent, ..spec }) else { continue };
                let Ok(tags) = TagSet::from_examples(&file.examples, file.scheme) else { continue };
                let encoding = TagEncoding { max_length: 8, overlap: 2, ..TagEncoding::default() };
                let _ = encode_tagged(&tokenizer, &file.examples, &tags, &encoding);
            }
        }
    });
}

#[test]
fn fuzz_questions() {
    let folder = Folder::new();
    let valid: [&[u8]; 3] = [
        br#"{"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": "a fine film", "qas": [{"id": "1",
            "question": "a film", "answers": [{"text": "fine", "answer_start": 2}], "is_impossible": false}]}]}]}"#,
        r#"[{"context_id": "D", "context_text": "京 a film", "title": "京", "qas": [{"query_id": "D_0",
            "query_text": "film?", "answers": ["京", 3]}]}]"#
            .as_bytes(),
        b"{\"header\": {}}\n{\"context\": \"a fine film\", \"qas\": [{\"qid\": \"1\", \"question\": \"a\", \"answers\": [\"fine\"],
          \"detected_answers\": [{\"text\": \"fine\", \"char_spans\": [[2, 5]]}]}]}\n",
    ];
    let tokenizer = tokenizer();
    fuzz(&valid, |bytes| {
        let path = folder.write("a.json", bytes);
        for extent in [Extent::Whole, Extent::Head(60), Extent::Head(230)] {
            let specs = [(0, None), (1, Some(1)), (usize::MAX, Some(usize::MAX))];
            for (skip_titles, take_titles) in specs {
                let spec = QuestionFileSpec { skip_titles, take_titles, extent };
                let Ok((questions, _)) = read_questions(&path, &spec) else { continue };
                let options = SpanOptions { max_length: 16, doc_stride: 3, ..SpanOptions::default() };
                let _ = training_features(&tokenizer, &questions, &options);
                let _ = question_features(&tokenizer, &questions, &options);
            }
        }
    });
}

/// Reads a tokenizer folder and a few texts with it.
fn tokenize(folder: &Folder) {
    let Ok(tokenizer) = TextTokenizer::from_folder(folder.0.path()) else { return };
    for text in ["a fine film", "", "京京 films!", "\u{0}\u{301}e"] {
        let _ = tokenizer.encode(&Example::new(0, text), 12);
        let _ = tokenizer.encode(&Example::new(0, text).with_pair("a"), 12);
    }
    tokenizer.structural_ids();
    tokenizer.mask_id();
}

#[test]
fn fuzz_tokenizer_json() {
    let folder = Folder::new();
    tokenizer().save(folder.0.path()).unwrap();
    let valid = fs::read(folder.0.path().join("tokenizer.json")).unwrap();
    let unigram = br###"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{"id": 0, "content": "<pad>",
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": {"type": "Replace", "pattern": {"Regex": " +"}, "content": "x"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true},
        "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair":
        [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {}},
        "decoder": null, "model": {"type": "Unigram", "unk_id": 1, "vocab": [["<pad>", 0.0], ["<unk>", 0.0], ["_a", -1.5],
        ["f", -3.0], ["i", -3.0]], "byte_fallback": false}}"###;
    let bpe = br###"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<pad>"}, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space":
        true, "trim_offsets": true, "use_regex": true}, "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls":
        ["<s>", 1], "trim_offsets": true, "add_prefix_space": false}, "decoder": null, "model": {"type": "BPE", "dropout": null,
        "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback":
        false, "ignore_merges": false, "vocab": {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a": 4, "f": 5, "i": 6, "fi": 7},
        "merges": [["f", "i"]]}}"###;
    fuzz(&[&valid, unigram, bpe], |bytes| {
        folder.write("tokenizer.json", bytes);
        tokenize(&folder);
    });
}

#[test]
fn fuzz_vocabulary_and_its_configuration() {
    let folder = Folder::new();
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nfine\n##s\n".as_bytes();
    let config = br#"{"do_lower_case": true, "strip_accents": null, "unk_token": {"content": "[UNK]"}, "pad_token": "[PAD]"}"#;
    fuzz(&[vocabulary, config], |bytes| {
        folder.write("vocab.txt", bytes);
        folder.write("tokenizer_config.json", config);
        tokenize(&folder);
        folder.write("vocab.txt", vocabulary);
        folder.write("tokenizer_config.json", bytes);
        tokenize(&folder);
    });
}
