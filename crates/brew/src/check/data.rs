//! The first rows of data files.

use std::path::{Path, PathBuf};

use brew_config::Problem;
use brew_data::{Extent, Feature, LabelSet, RawExample, Split as Part, TextTokenizer};
use brew_models::EncoderConfig;

use crate::corpus::{self, Corpus, Purpose};
use crate::{DataConfig, RunError, TaskKind};

/// So many bytes of a file are read.
const HEAD: u64 = 1 << 18;
/// So many rows at most are made tokens of.
const ENCODED: usize = 500;

/// The first rows of a file.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) rows: Box<dyn Corpus>,
    /// Whether these are all rows of the file.
    pub(crate) is_whole: bool,
    /// The file itself, where the path is a folder.
    pub(crate) file: PathBuf,
    /// How many rows the file has; by the sizes of the first ones where it is not read whole.
    pub(crate) count: usize,
    /// Tokens of the first rows, once they are known.
    pub(crate) features: Vec<Feature>,
}

impl Sample {
    /// Reads the first rows of a file; that it cannot be read is a problem of the field that names it.
    pub(crate) fn read(
        found: &mut Vec<Problem>,
        field: &str,
        task: TaskKind,
        path: &Path,
        part: Part,
        data: &DataConfig,
    ) -> Option<Self> {
        let rows = match corpus::read_extent(task, path, part, data, Extent::Head(HEAD)) {
            Ok(rows) => rows,
            Err(error) => {
                found.push(of_run(field, path, &error));
                return None;
            }
        };
        let in_folder = data.layout.filter(|_| path.is_dir());
        let file = in_folder.and_then(|layout| layout.find(path, part, &data.layout_options).ok());
        let file = file.unwrap_or_else(|| path.to_path_buf());
        let bytes = std::fs::metadata(&file).map_or(0, |file| file.len());
        let is_whole = bytes <= HEAD;
        let count = match is_whole {
            true => rows.len(),
            // The head ends with a row, so that it holds a little less.
            false => (rows.len() as f64 * bytes as f64 / HEAD as f64).round() as usize,
        };
        Some(Self { rows, is_whole, file, count, features: Vec::new() })
    }

    /// Refuses rows without labels.
    pub(crate) fn require_labels(&self, found: &mut Vec<Problem>, field: &str) {
        if let Err(error) = self.rows.require_labels() {
            found.push(of_run(field, &self.file, &error));
        }
    }

    /// Makes tokens of the first rows, which finds labels that are not known and texts that cannot be tokenized.
    pub(crate) fn encode(
        &mut self,
        found: &mut Vec<Problem>,
        field: &str,
        labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
        purpose: Purpose,
    ) {
        // A length that is wrong in itself has been told.
        if data.max_length.is_some_and(|most| most < 3) {
            return;
        }
        self.rows.truncate(ENCODED);
        match self.rows.encode(labels, tokenizer, data, purpose) {
            Ok(split) => self.features = split.features,
            Err(error) => found.push(of_run(field, &self.file, &error)),
        }
    }
}

fn of_run(field: &str, path: &Path, error: &RunError) -> Problem {
    Problem::new(field, path.display(), error.to_string()).in_file(path)
}

/// The labels of a run, as far as its first rows tell.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) set: LabelSet,
    /// Whether further rows cannot add to them.
    pub(crate) is_certain: bool,
}

impl Labels {
    /// The labels that a run will have: those that the file gives, else those of the rows, else a teacher's.
    pub(crate) fn of(
        found: &mut Vec<Problem>,
        data: &DataConfig,
        sample: Option<&Sample>,
        teacher: Option<&EncoderConfig>,
    ) -> Option<Self> {
        if let Some(names) = &data.labels {
            let set = LabelSet::new(names.clone());
            let set = set.map_err(|error| {
                found.push(Problem::new("data.labels", format!("{names:?}"), error.to_string()));
            });
            return Some(Self { set: set.ok()?, is_certain: true });
        }
        let of_teacher = || LabelSet::new(teacher?.labels.clone()).ok();
        let sample = sample?;
        match sample.rows.labels() {
            Ok(Some(set)) if sample.is_whole => Some(Self { set, is_certain: true }),
            Ok(Some(set)) => Some(Self { set, is_certain: false }),
            Ok(None) => Some(Self { set: of_teacher()?, is_certain: true }),
            // A part may lack what the whole has: a word with a tag, say.
            Err(_) if !sample.is_whole => Some(Self { set: of_teacher()?, is_certain: false }),
            Err(error) => {
                found.push(of_run("data.train", &sample.file, &error));
                None
            }
        }
    }

    /// These labels and a teacher's together, in the order that they have in a run, where the first rows have no
    /// others than the teacher; else these.
    pub(crate) fn completed(self, teacher: Option<&EncoderConfig>, task: TaskKind) -> Self {
        let Some(teacher) = teacher.filter(|_| !self.is_certain) else { return self };
        let is_part = self.set.names().iter().all(|name| teacher.labels.contains(name));
        if !is_part {
            return self;
        }
        let examples: Vec<RawExample> =
            teacher.labels.iter().map(|name| RawExample::new(0, "").with_label(name.clone())).collect();
        let set = match task {
            TaskKind::Classification => LabelSet::from_examples(&examples),
            _ => LabelSet::new(teacher.labels.clone()),
        };
        match set {
            Ok(set) => Self { set, ..self },
            Err(_) => self,
        }
    }
}
