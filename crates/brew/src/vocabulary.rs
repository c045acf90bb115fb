//! A tokenizer of one's own, learned from the texts of data files.

use std::fs;
use std::path::{Path, PathBuf};

use brew_data::{TextFileSpec, TextTokenizer, WordPieceOptions, read_examples};

use crate::RunError;

/// What a tokenizer folder holds.
const FILES: [&str; 3] = ["tokenizer.json", "vocab.txt", "tokenizer_config.json"];

/// Learns word pieces from the texts of files, both of a pair, and writes them as a tokenizer folder:
/// `tokenizer.json`, `vocab.txt` and `tokenizer_config.json`, as transformers reads them. `size` is the most
/// entries it has; see [`TextTokenizer::train`].
///
/// # Errors
/// [`RunError::TokenizerExists`] where `output` holds one of these files already; a file that cannot be read,
/// a size that is too small, texts without a word; [`RunError::Io`] where `output` cannot be written.
pub fn train_vocabulary(
    files: &[PathBuf],
    columns: &TextFileSpec,
    size: usize,
    options: WordPieceOptions,
    output: &Path,
) -> Result<TextTokenizer, RunError> {
    if let Some(file) = FILES.into_iter().find(|file| output.join(file).exists()) {
        return Err(RunError::TokenizerExists { path: output.to_path_buf(), file });
    }
    let mut texts = Vec::new();
    for file in files {
        for example in read_examples(file, columns)? {
            texts.push(example.text);
            texts.extend(example.text_pair);
        }
    }
    let tokenizer = TextTokenizer::train(texts, size, options)?;

    let failed = |error| RunError::io("write", output)(error);
    fs::create_dir_all(output).map_err(failed)?;
    // Written aside and moved, so that no file is ever there by half.
    let aside = tempfile::tempdir_in(output).map_err(failed)?;
    tokenizer.save(aside.path())?;
    for file in FILES {
        fs::rename(aside.path().join(file), output.join(file)).map_err(failed)?;
    }
    Ok(tokenizer)
}
