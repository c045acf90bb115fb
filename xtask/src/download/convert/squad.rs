//! SQuAD 1.1 files, written article by article.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::download::error::{DownloadError, Result};

#[derive(Serialize)]
struct Article<'a> {
    title: &'a str,
    paragraphs: [Paragraph<'a>; 1],
}

#[derive(Serialize)]
struct Paragraph<'a> {
    context: &'a str,
    qas: Vec<Question>,
}

#[derive(Serialize)]
pub(super) struct Question {
    pub(super) id: String,
    pub(super) question: String,
    pub(super) answers: Vec<Answer>,
}

#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) answer_start: usize,
}

/// Writes a SQuAD 1.1 file article by article.
pub(super) struct SquadWriter {
    path: PathBuf,
    file: BufWriter<File>,
    articles: usize,
    questions: usize,
}

impl SquadWriter {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let mut file = create(path)?;
        file.write_all(br#"{"version":"1.1","data":["#).map_err(|source| DownloadError::io(path, source))?;
        Ok(Self { path: path.to_path_buf(), file, articles: 0, questions: 0 })
    }

    /// One text and its questions; nothing if there are none.
    pub(super) fn article(&mut self, title: &str, context: &str, qas: Vec<Question>) -> Result<()> {
        if qas.is_empty() {
            return Ok(());
        }
        let wrong = |source| DownloadError::io(&self.path, source);
        let separator: &[u8] = if self.articles == 0 { b"\n" } else { b",\n" };
        self.file.write_all(separator).map_err(wrong)?;
        self.articles += 1;
        self.questions += qas.len();
        let article = Article { title, paragraphs: [Paragraph { context, qas }] };
        serde_json::to_writer(&mut self.file, &article).map_err(|error| wrong(error.into()))
    }

    /// Completes the file; how many questions are in it.
    pub(super) fn finish(mut self) -> Result<usize> {
        self.file.write_all(b"\n]}\n").map_err(|source| DownloadError::io(&self.path, source))?;
        finish(self.file, &self.path)?;
        Ok(self.questions)
    }
}

pub(super) fn create(path: &Path) -> Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new).map_err(|source| DownloadError::io(path, source))
}

pub(super) fn finish(file: BufWriter<File>, path: &Path) -> Result<()> {
    let file = file.into_inner().map_err(|error| DownloadError::io(path, error.into_error()))?;
    file.sync_all().map_err(|source| DownloadError::io(path, source))
}
