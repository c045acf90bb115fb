//! Tokenizers in a model folder.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::{SpecialTokens, TextTokenizer, WordPieceOptions};
use crate::DataError;

/// Names of the padding token where no configuration tells it.
const USUAL_PAD_TOKENS: [&str; 2] = ["[PAD]", "<pad>"];

pub(super) fn read(folder: &Path) -> Result<TextTokenizer, DataError> {
    if !folder.is_dir() {
        return Err(match folder.exists() {
            true => DataError::NoTokenizer { path: folder.to_path_buf() },
            false => DataError::Missing { path: folder.to_path_buf() },
        });
    }
    let config = read_config(&folder.join("tokenizer_config.json"))?;
    let tokenizer_file = folder.join("tokenizer.json");
    if tokenizer_file.is_file() {
        return read_tokenizer_json(tokenizer_file, config);
    }
    let vocabulary_file = folder.join("vocab.txt");
    if vocabulary_file.is_file() {
        return read_vocabulary(vocabulary_file, config);
    }
    Err(DataError::NoTokenizer { path: folder.to_path_buf() })
}

/// The object in a configuration file, or `None` where there is no such file.
fn read_config(path: &Path) -> Result<Option<Value>, DataError> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| bad(path, error.to_string()))?;
    match value.is_object() {
        true => Ok(Some(value)),
        false => Err(bad(path, "not a JSON object".to_owned())),
    }
}

fn bad(path: &Path, message: String) -> DataError {
    DataError::BadTokenizer { path: path.to_path_buf(), message }
}

/// A special token in a configuration: a string, or an object with its `content`.
pub(super) fn token<'a>(config: Option<&'a Value>, key: &str) -> Option<&'a str> {
    let value = config?.get(key)?;
    value.as_str().or_else(|| value.get("content")?.as_str())
}

fn read_tokenizer_json(path: PathBuf, config: Option<Value>) -> Result<TextTokenizer, DataError> {
    let bytes = std::fs::read(&path).map_err(|source| DataError::io(&path, source))?;
    let mut tokenizer = parse(&bytes).map_err(|message| bad(&path, message))?;
    let baked_pad = tokenizer.get_padding().map(|padding| padding.pad_token.clone());
    tokenizer.with_truncation(None).map_err(|error| bad(&path, error.to_string()))?;
    tokenizer.with_padding(None);

    let pad_token = match token(config.as_ref(), "pad_token").map(str::to_owned).or(baked_pad) {
        Some(token) => token,
        None => USUAL_PAD_TOKENS
            .into_iter()
            .find(|token| tokenizer.token_to_id(token).is_some())
            .unwrap_or(USUAL_PAD_TOKENS[0])
            .to_owned(),
    };
    for (role, key) in [("unk", "unk_token"), ("cls", "cls_token"), ("sep", "sep_token")] {
        if let Some(token) = token(config.as_ref(), key) {
            require(&tokenizer, &path, role, token)?;
        }
    }
    let pad_id = require(&tokenizer, &path, "pad", &pad_token)?;
    let vocab_size = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
    let config = config
        .unwrap_or_else(|| json!({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad_token}));
    Ok(TextTokenizer { tokenizer, pad_id, vocab_size, config })
}

/// Reads a `tokenizer.json`. The library panics at some that are damaged: a decoder that is not whole JSON, a map of
/// characters that is none.
fn parse(bytes: &[u8]) -> Result<Tokenizer, String> {
    serde_json::from_slice::<Value>(bytes).map_err(|error| error.to_string())?;
    match catch_unwind(|| Tokenizer::from_bytes(bytes)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("it is damaged; fetch it again".to_owned()),
    }
}

fn require(tokenizer: &Tokenizer, path: &Path, role: &'static str, token: &str) -> Result<u32, DataError> {
    tokenizer.token_to_id(token).ok_or_else(|| DataError::MissingSpecialToken {
        origin: path.display().to_string(),
        role,
        token: token.to_owned(),
    })
}

fn read_vocabulary(path: PathBuf, config: Option<Value>) -> Result<TextTokenizer, DataError> {
    let bytes = std::fs::read(&path).map_err(|source| DataError::io(&path, source))?;
    let text = String::from_utf8(bytes).map_err(|error| bad(&path, error.to_string()))?;
    // Not `lines()` or `trim()`: entries may be odd white space, and only the file's end may be missing.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let vocabulary =
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect();

    let flag = |key: &str| config.as_ref().and_then(|config| config.get(key)?.as_bool());
    let usual = WordPieceOptions::default();
    let options = WordPieceOptions {
        do_lower_case: flag("do_lower_case").unwrap_or(usual.do_lower_case),
        tokenize_chinese_chars: flag("tokenize_chinese_chars").unwrap_or(usual.tokenize_chinese_chars),
        strip_accents: flag("strip_accents"),
    };
    let mut special = SpecialTokens::default();
    for (key, name) in [
        ("unk_token", &mut special.unk),
        ("cls_token", &mut special.cls),
        ("sep_token", &mut special.sep),
        ("pad_token", &mut special.pad),
        ("mask_token", &mut special.mask),
    ] {
        if let Some(token) = token(config.as_ref(), key) {
            token.clone_into(name);
        }
    }
    TextTokenizer::word_pieces(vocabulary, options, &special, Some(path), config)
}

pub(super) fn write(tokenizer: &TextTokenizer, folder: &Path) -> Result<(), DataError> {
    std::fs::create_dir_all(folder).map_err(|source| DataError::io(folder, source))?;
    let put = |name: &str, content: String| {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|source| DataError::io(&path, source))
    };
    let serialised = tokenizer
        .tokenizer
        .to_string(false)
        .map_err(|error| bad(&folder.join("tokenizer.json"), error.to_string()))?;
    put("tokenizer.json", serialised)?;
    put("tokenizer_config.json", format!("{:#}\n", tokenizer.config))?;
    if let Some(vocabulary) = tokenizer.word_piece_vocabulary() {
        put("vocab.txt", vocabulary.join("\n") + "\n")?;
    }
    Ok(())
}
