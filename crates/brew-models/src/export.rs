//! Hugging Face checkpoints, written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use safetensors::{Dtype, View};
use serde_json::Value;

use crate::names::SPAN_OUTPUTS;
use crate::state::{Exported, exported};
use crate::{EncoderConfig, Head, ModelError, PretrainedModel};

/// The tokenizer's files that are copied beside an exported model, where they exist.
pub const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"];

/// What the name of the folder starts with in which a model is written before it is whole; one that is left
/// behind by a crash may be removed.
pub const STAGING_PREFIX: &str = ".saving-";

const WEIGHTS: &str = "model.safetensors";

/// Writes a folder that transformers' `from_pretrained` reads (of every family but BiGRU, which transformers does
/// not have; only Brew reads those): `config.json`, `model.safetensors`
/// and, from `tokenizer_source`, the [`TOKENIZER_FILES`] that are there.
///
/// Everything is first written and flushed to disk in a hidden folder beside the target. A new
/// target appears by one rename, whole. In an existing one each file is replaced whole, the weights
/// last; other files in it stay.
///
/// # Errors
/// A configuration that is not the model's, a path that cannot be read or written. The target is
/// then as it was.
pub fn save_pretrained<M: PretrainedModel>(
    model: &M,
    config: &EncoderConfig,
    tokenizer_source: Option<&Path>,
    folder: &Path,
) -> Result<(), ModelError> {
    config.validate()?;
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|source| ModelError::io(parent, source))?;
    let staging = staging_folder(parent)?;
    let names = write_files(model, config, tokenizer_source, staging.path())?;
    for name in &names {
        flush(&staging.path().join(name))?;
    }
    flush(staging.path())?;
    publish(staging, &names, folder)?;
    flush(parent)
}

/// Writes the files of [`save_pretrained`] into a folder, which is made, and does not wait for the disk: for a part of
/// something that becomes whole as a whole, as a checkpoint does.
///
/// # Errors
/// Those of [`save_pretrained`]. What was written by then stays.
pub fn write_pretrained<M: PretrainedModel>(
    model: &M,
    config: &EncoderConfig,
    tokenizer_source: Option<&Path>,
    folder: &Path,
) -> Result<(), ModelError> {
    config.validate()?;
    fs::create_dir_all(folder).map_err(|source| ModelError::io(folder, source))?;
    write_files(model, config, tokenizer_source, folder).map(drop)
}

/// Writes the files of an exported model; returns their names, the weights last.
fn write_files<M: PretrainedModel>(
    model: &M,
    config: &EncoderConfig,
    tokenizer_source: Option<&Path>,
    folder: &Path,
) -> Result<Vec<&'static str>, ModelError> {
    let tensors = exported(model, config)?;
    let at = |name: &str| folder.join(name);
    let mut names = vec!["config.json"];
    let text = serde_json::to_string_pretty(&exported_config(config, M::HEAD))
        .map_err(|error| ModelError::config(&at("config.json"), error.to_string()))?;
    fs::write(at("config.json"), text + "\n").map_err(|source| ModelError::io(&at("config.json"), source))?;
    if let Some(source_folder) = tokenizer_source {
        for name in TOKENIZER_FILES {
            let source = source_folder.join(name);
            if source.is_file() {
                fs::copy(&source, at(name)).map_err(|error| ModelError::io(&source, error))?;
                names.push(name);
            }
        }
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(&tensors, Some(metadata), &at(WEIGHTS))
        .map_err(|error| ModelError::io(&at(WEIGHTS), std::io::Error::other(error)))?;
    names.push(WEIGHTS);
    Ok(names)
}

/// Moves the finished files to where they belong.
fn publish(staging: tempfile::TempDir, names: &[&str], folder: &Path) -> Result<(), ModelError> {
    if !folder.exists() {
        fs::rename(staging.path(), folder).map_err(|source| ModelError::io(folder, source))?;
        // Nothing is left under the old name.
        let _ = staging.keep();
        return Ok(());
    }
    for name in names {
        let target = folder.join(name);
        fs::rename(staging.path().join(name), &target).map_err(|source| ModelError::io(&target, source))?;
    }
    flush(folder)
}

fn staging_folder(parent: &Path) -> Result<tempfile::TempDir, ModelError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(STAGING_PREFIX);
    #[cfg(unix)]
    {
        // As any other new folder: what the umask leaves, instead of the private default.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(parent).map_err(|source| ModelError::io(parent, source))
}

/// Waits until a file or folder is on the disk.
fn flush(path: &Path) -> Result<(), ModelError> {
    if cfg!(not(unix)) && path.is_dir() {
        return Ok(());
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| ModelError::io(path, source))
}

fn exported_config(config: &EncoderConfig, head: Head) -> Value {
    let mut config = config.clone();
    if head == Head::QuestionAnswering {
        config = config.with_num_labels(SPAN_OUTPUTS);
    }
    let class = head.class_name(config.architecture);
    config.other.remove("dtype");
    config.other.insert("architectures".to_owned(), vec![class].into());
    config.other.insert("torch_dtype".to_owned(), "float32".into());
    serde_json::to_value(config).expect("a configuration is plain JSON")
}

impl View for &Exported {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.values().bytes;
        Cow::Owned(bytes.try_into_vec().unwrap_or_else(|bytes| bytes.to_vec()))
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}
