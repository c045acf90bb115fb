//! A folder with a tiny task, and the program run in it as a user would.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod models;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the program said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A temporary folder with `vocab/`, `config.json`, `train.tsv`, `dev.tsv` and `run.toml`.
pub(crate) struct Workshop {
    folder: tempfile::TempDir,
}

const WORDS: [&str; 10] = ["good", "fine", "great", "bad", "dull", "poor", "a", "the", "film", "plot"];

/// A run of a few steps on a model of two layers of width 8.
const RUN: &str = r#"
[data]
train = "train.tsv"
dev = "dev.tsv"
max_length = 12
batch_size = 8

[model]
config = "config.json"
tokenizer = "vocab"

[training]
output_dir = "out"
num_epochs = 2
optimizer = { lr = 1e-2 }
"#;

impl Workshop {
    pub(crate) fn new() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        let mut vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
        for word in WORDS {
            let _ = writeln!(vocabulary, "{word}");
        }
        fs::create_dir(shop.path("vocab")).unwrap();
        shop.write("vocab/vocab.txt", &vocabulary);
        shop.write("config.json", config(8, 2));
        shop.write("train.tsv", texts(40));
        shop.write("dev.tsv", texts(12));
        shop.write("run.toml", RUN);
        shop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Every file below the folder, sorted, by its path from there.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, found);
                }
                found.push(path.strip_prefix(root).unwrap().to_path_buf());
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), self.folder.path(), &mut found);
        found.sort();
        found
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_textbrew"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn textbrew(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs the program and expects it to succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.textbrew(arguments);
        assert_eq!(outcome.code, Some(0), "textbrew {arguments:?}: {}", outcome.stderr);
        outcome
    }

    /// Runs the program and expects it to refuse with `code`, to name everything in `named` and to
    /// change no file.
    pub(crate) fn refuse(&self, arguments: &[&str], code: i32, named: &[&str]) {
        let before = self.files();
        let outcome = self.textbrew(arguments);
        let said = &outcome.stderr;
        assert_eq!(outcome.code, Some(code), "textbrew {arguments:?}: {said}");
        assert!(!said.contains("panicked"), "textbrew {arguments:?}: {said}");
        for part in named {
            assert!(said.contains(part), "textbrew {arguments:?} does not say {part:?}: {said}");
        }
        assert_eq!(outcome.stdout, "", "textbrew {arguments:?}");
        assert_eq!(self.files(), before, "textbrew {arguments:?} left files behind");
    }
}

/// A `config.json`.
pub(crate) fn config(width: usize, layers: usize) -> String {
    format!(
        r#"{{"model_type": "bert", "vocab_size": 15, "hidden_size": {width}, "num_hidden_layers": {layers},
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16,
        "type_vocab_size": 2}}"#
    )
}

/// Lines of text and label, told apart by their adjective.
pub(crate) fn texts(count: usize) -> String {
    let mut lines = String::new();
    for index in 0..count {
        let label = if index % 6 < 3 { "pos" } else { "neg" };
        let noun = WORDS[8 + index % 2];
        let _ = writeln!(lines, "the {noun} {} a {noun}\t{label}", WORDS[index % 6]);
    }
    lines
}
