//! Checkpoints, told from their headers.

use std::path::{Path, PathBuf};

use brew_config::Problem;
use brew_data::{DataError, TextTokenizer};
use brew_models::{EncoderConfig, HeaderFit, LoadOptions, ModelError, WeightHeader};

use crate::{TaskKind, model_folder};

/// A checkpoint folder, as far as it can be read.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) folder: PathBuf,
    pub(crate) config: Option<EncoderConfig>,
    weights: Option<WeightHeader>,
}

impl Checkpoint {
    /// Reads `config.json` and the header of the weights; what is wrong with either is a problem of the field that
    /// names the folder.
    pub(crate) fn read(found: &mut Vec<Problem>, field: &str, path: &Path) -> Option<Self> {
        let folder = match model_folder(path) {
            Ok(folder) => folder,
            Err(error) => {
                found.push(Problem::new(field, path.display(), error.to_string()).in_file(path));
                return None;
            }
        };
        let config = read_config(found, field, &folder.join("config.json"));
        let weights = WeightHeader::read(&folder);
        let weights = weights.map_err(|error| found.push(of_model(field, &folder, &error))).ok();
        Some(Self { folder, config, weights })
    }

    /// How the weights fit the configuration and a task; `None` where they do not, or are not known.
    pub(crate) fn fit(
        &self,
        found: &mut Vec<Problem>,
        field: &str,
        task: TaskKind,
        options: &LoadOptions,
    ) -> Option<HeaderFit> {
        let (config, weights) = (self.config.as_ref()?, self.weights.as_ref()?);
        let fit = weights.fit(config, task.head(), options);
        fit.map_err(|error| {
            let problem = of_model(field, &weights.path, &error);
            found.push(match &error {
                // A teacher's head cannot start anew.
                ModelError::OtherHead { found, asked, .. } if field.starts_with("teacher") => {
                    let folder = self.folder.display();
                    let message = format!(
                        "{folder}: the checkpoint is a {found}, and a {asked} is asked for; give a teacher that was \
                         trained for {task}"
                    );
                    Problem { message, ..problem }
                }
                _ => problem,
            });
        })
        .ok()
    }
}

/// Reads a `config.json`, each thing that is wrong with it a problem of the field that names it.
pub(crate) fn read_config(found: &mut Vec<Problem>, field: &str, file: &Path) -> Option<EncoderConfig> {
    let read = EncoderConfig::check_file(file);
    read.map_err(|errors| found.extend(errors.iter().map(|error| of_model(field, file, error)))).ok()
}

/// Reads a tokenizer.
pub(crate) fn read_tokenizer(found: &mut Vec<Problem>, field: &str, folder: &Path) -> Option<TextTokenizer> {
    let read = TextTokenizer::from_folder(folder);
    read.map_err(|error| found.push(of_data(field, folder, &error))).ok()
}

pub(crate) fn of_model(field: &str, path: &Path, error: &ModelError) -> Problem {
    let (ModelError::Io { path: file, .. }
    | ModelError::Config { path: file, .. }
    | ModelError::UnknownArchitecture { path: file, .. }
    | ModelError::NoWeights { path: file, .. }
    | ModelError::Corrupt { path: file, .. }
    | ModelError::Mismatch { path: file, .. }
    | ModelError::LabelCount { path: file, .. }
    | ModelError::OtherHead { path: file, .. }) = error
    else {
        return Problem::new(field, path.display(), error.to_string());
    };
    Problem::new(field, path.display(), error.to_string()).in_file(file)
}

pub(crate) fn of_data(field: &str, path: &Path, error: &DataError) -> Problem {
    Problem::new(field, path.display(), error.to_string()).in_file(path)
}
