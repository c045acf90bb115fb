use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    vocabulary: Vec<String>,
    settings: BTreeMap<String, Setting>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Setting {
    do_lower_case: bool,
    tokenize_chinese_chars: bool,
    strip_accents: Option<bool>,
}

#[derive(Deserialize)]
struct Case {
    setting: String,
    text: String,
    text_pair: Option<String>,
    max_length: usize,
    input_ids: Vec<u32>,
    token_type_ids: Vec<u32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/tokenizer.json")).unwrap()
}

impl Case {
    fn check(&self, tokenizer: &TextTokenizer) {
        let mut example = Example::new(5, self.text.clone()).with_label(1);
        example.text_pair.clone_from(&self.text_pair);
        let feature = tokenizer.encode(&example, self.max_length).unwrap();
        let (found, expected) = (tokenizer.tokens(&feature.input_ids), tokenizer.tokens(&self.input_ids));
        assert_eq!(
            found, expected,
            "{:?} {:?} {} {}",
            self.text, self.text_pair, self.max_length, self.setting
        );
        assert_eq!(feature.input_ids, self.input_ids);
        assert_eq!(feature.token_type_ids, self.token_type_ids);
        assert_eq!((feature.id, feature.class()), (5, Some(1)));
    }
}

#[test]
fn word_pieces_are_those_of_transformers() {
    let golden = golden();
    for (name, setting) in &golden.settings {
        let options = WordPieceOptions {
            do_lower_case: setting.do_lower_case,
            tokenize_chinese_chars: setting.tokenize_chinese_chars,
            strip_accents: setting.strip_accents,
        };
        let tokenizer = TextTokenizer::from_vocabulary(golden.vocabulary.clone(), options).unwrap();
        let mut cases = golden.cases.iter().filter(|case| case.setting == *name).peekable();
        assert!(cases.peek().is_some(), "no case for {name}");
        cases.for_each(|case| case.check(&tokenizer));
    }
}

/// A folder with `vocab.txt` alone, and the folder that saving it gives, encode alike.
#[test]
fn folders_give_the_same_tokenizer() {
    let golden = golden();
    for (name, setting) in &golden.settings {
        let folder = tempfile::tempdir().unwrap();
        // CRLF and a missing last line end must not change the vocabulary.
        std::fs::write(folder.path().join("vocab.txt"), golden.vocabulary.join("\r\n")).unwrap();
        let config = json!({
            "do_lower_case": setting.do_lower_case,
            "tokenize_chinese_chars": setting.tokenize_chinese_chars,
            "strip_accents": setting.strip_accents,
            "pad_token": {"content": "[PAD]"},
        });
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let first = TextTokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(first.vocab_size(), golden.vocabulary.len());

        let saved = folder.path().join("saved/deeper");
        first.save(&saved).unwrap();
        for file in ["tokenizer.json", "vocab.txt", "tokenizer_config.json"] {
            assert!(saved.join(file).is_file(), "{file}");
        }
        let second = TextTokenizer::from_folder(&saved).unwrap();
        assert_eq!((second.vocab_size(), second.pad_id()), (first.vocab_size(), first.pad_id()));
        std::fs::remove_file(saved.join("tokenizer.json")).unwrap();
        let third = TextTokenizer::from_folder(&saved).unwrap();
        for case in golden.cases.iter().filter(|case| case.setting == *name) {
            case.check(&first);
            case.check(&second);
            case.check(&third);
        }
    }
}

fn words(extra: &[&str]) -> Vec<String> {
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].iter().chain(extra).map(|&word| word.to_owned()).collect()
}

fn small() -> TextTokenizer {
    TextTokenizer::from_vocabulary(words(&["a", "b"]), WordPieceOptions::default()).unwrap()
}

#[test]
fn truncation_and_padding_baked_into_a_file_are_off() {
    let folder = tempfile::tempdir().unwrap();
    small().save(folder.path()).unwrap();
    let path = folder.path().join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["truncation"] =
        json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
    file["padding"] = json!({
        "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
    });
    std::fs::write(&path, file.to_string()).unwrap();
    std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    let feature = tokenizer.encode(&Example::new(0, "a b a b"), 10).unwrap();
    assert_eq!(feature.input_ids, [2, 4, 5, 4, 5, 3]);
    assert_eq!(tokenizer.pad_id(), 0);
}

#[test]
fn a_length_without_room_for_text_is_an_error() {
    let tokenizer = small();
    assert_eq!(tokenizer.encode(&Example::new(0, "a b"), 3).unwrap().input_ids, [2, 4, 3]);
    let error = tokenizer.encode(&Example::new(0, "a b"), 2).unwrap_err();
    assert!(matches!(error, DataError::MaxLengthTooSmall { max_length: 2, special: 2, least: 3 }), "{error}");
    let pair = Example::new(0, "a b").with_pair("b a");
    assert_eq!(tokenizer.encode(&pair, 5).unwrap().input_ids, [2, 4, 3, 5, 3]);
    let error = tokenizer.encode(&pair, 4).unwrap_err();
    assert!(matches!(error, DataError::MaxLengthTooSmall { max_length: 4, special: 3, least: 5 }), "{error}");
    assert!(tokenizer.encode_all(&[pair], 0).is_err());
}

#[test]
fn special_tokens_must_exist() {
    for (role, token) in [("unk", "[UNK]"), ("cls", "[CLS]"), ("sep", "[SEP]"), ("pad", "[PAD]")] {
        let rest = words(&["a"]).into_iter().filter(|word| word != token).collect();
        let error = TextTokenizer::from_vocabulary(rest, WordPieceOptions::default()).unwrap_err();
        assert!(
            matches!(&error, DataError::MissingSpecialToken { role: found, .. } if *found == role),
            "{token}: {error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    small().save(folder.path()).unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"pad_token": "<nothing>"}"#).unwrap();
    for file in ["tokenizer.json", "vocab.txt"] {
        let error = TextTokenizer::from_folder(folder.path()).unwrap_err();
        assert!(error.to_string().contains("no pad token `<nothing>`"), "{error}");
        assert!(error.to_string().contains(file), "{error}");
        std::fs::remove_file(folder.path().join(file)).unwrap();
    }
}

#[test]
fn folders_that_hold_no_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let error = TextTokenizer::from_folder(&folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error}");
    let error = TextTokenizer::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::NoTokenizer { .. }), "{error}");
    std::fs::write(folder.path().join("tokenizer.json"), "{").unwrap();
    let error = TextTokenizer::from_folder(folder.path()).unwrap_err();
    assert!(
        matches!(&error, DataError::BadTokenizer { path, .. } if path.ends_with("tokenizer.json")),
        "{error}"
    );
    std::fs::write(folder.path().join("tokenizer_config.json"), "[]").unwrap();
    let error = TextTokenizer::from_folder(folder.path()).unwrap_err();
    assert!(error.to_string().contains("not a JSON object"), "{error}");
}

#[test]
fn other_models_than_word_pieces_work_from_their_file() {
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [
            {"id": 5, "content": "<mask>", "single_word": false, "lstrip": false, "rstrip": false,
             "normalized": false, "special": true}
        ],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                           "trim_offsets": true, "add_prefix_space": false},
        "model": {"type": "WordLevel", "unk_token": "<unk>",
                  "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4}}
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    assert_eq!((tokenizer.pad_id(), tokenizer.vocab_size()), (1, 6));
    assert_eq!((tokenizer.mask_id(), tokenizer.structural_ids()), (Some(5), vec![0, 1, 2]));
    let feature = tokenizer.encode(&Example::new(0, "a zz a a").with_pair("a <mask>"), 8).unwrap();
    assert_eq!(feature.input_ids, [0, 4, 3, 2, 2, 4, 5, 2]);
    assert_eq!(feature.token_type_ids, [0; 8]);
    let saved = folder.path().join("saved");
    tokenizer.save(&saved).unwrap();
    assert!(!saved.join("vocab.txt").exists());
    assert_eq!(TextTokenizer::from_folder(&saved).unwrap().vocab_size(), 6);
}

#[test]
fn masks_and_unknown_words_are_words_and_other_special_tokens_structure() {
    let words = ["a", "[SEP]", "[UNK]", "[CLS]", "[MASK]", "[PAD]"].map(String::from);
    let tokenizer = TextTokenizer::from_vocabulary(words.to_vec(), WordPieceOptions::default()).unwrap();
    assert_eq!((tokenizer.mask_id(), tokenizer.structural_ids()), (Some(4), vec![1, 3, 5]));
    let tokenizer = TextTokenizer::from_vocabulary(
        words[..4].iter().cloned().chain(["[PAD]".into()]).collect(),
        WordPieceOptions::default(),
    )
    .unwrap();
    assert_eq!((tokenizer.mask_id(), tokenizer.structural_ids()), (None, vec![1, 3, 4]));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.txt"), words.join("\n")).unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"mask_token": "a"}"#).unwrap();
    let tokenizer = TextTokenizer::from_folder(folder.path()).unwrap();
    assert_eq!(tokenizer.mask_id(), Some(0), "as the configuration names it");
}

#[test]
fn encoding_many_keeps_their_order() {
    let tokenizer = small();
    let examples: Vec<Example> = (0..1000).map(|id| Example::new(id, "a ".repeat(id as usize % 7))).collect();
    let features = tokenizer.encode_all(&examples, 6).unwrap();
    assert_eq!(features.len(), 1000);
    for (example, feature) in examples.iter().zip(&features) {
        assert_eq!(feature, &tokenizer.encode(example, 6).unwrap());
    }
    assert!(tokenizer.encode_all(&[], 6).unwrap().is_empty());
}

#[test]
fn a_tokenizer_json_at_which_the_library_panics_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let begin =
        b"{\"version\":\"1.0\",\"added_tokens\":[],\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\"";
    for end in [&b""[..], b",\"cleanup\":", b",\"cl\xf4anup\":true}}"] {
        std::fs::write(&path, [&begin[..], end].concat()).unwrap();
        let error = TextTokenizer::from_folder(folder.path()).unwrap_err();
        assert!(matches!(error, DataError::BadTokenizer { .. }), "{error}");
    }
}
