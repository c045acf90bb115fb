//! What keeps a model from being used on a file.

use std::path::Path;

use brew_config::Problem;
use brew_data::{LabelSet, Split as Part};
use brew_models::LoadOptions;

use super::data::Sample;
use super::models::{Checkpoint, read_tokenizer};
use crate::corpus::Purpose;
use crate::inference::stated_task;
use crate::{DataConfig, RunError};

/// The problems of a model folder and of the file that it is to be used on, told from headers and first rows.
/// `is_judged` says that the file's labels are needed.
///
/// # Errors
/// [`RunError::Config`] with all of them.
pub(crate) fn before_use(
    model: &Path,
    file: &Path,
    data: &DataConfig,
    is_judged: bool,
) -> Result<(), RunError> {
    let mut found = Vec::new();
    let checkpoint = Checkpoint::read(&mut found, "model", model);
    let config = checkpoint.as_ref().and_then(|checkpoint| checkpoint.config.as_ref());
    let task = config.map(stated_task);
    let mut tokenizer = None;
    if let Some(checkpoint) = &checkpoint {
        if let Some(task) = task
            && let Some(fit) = checkpoint.fit(&mut found, "model", task, &LoadOptions::default())
            && !fit.initialised.is_empty()
        {
            let error = RunError::NoClassifier { path: checkpoint.folder.clone() };
            found.push(Problem::new("model", model.display(), error.to_string()).in_file(&checkpoint.folder));
        }
        tokenizer = read_tokenizer(&mut found, "model", &checkpoint.folder);
    }
    if data.eval_batch_size == 0 {
        found.push(Problem::new("batch_size", 0, "must be at least 1"));
    }
    let before = found.len();
    if let Some(task) = task
        && let Some(mut sample) = Sample::read(&mut found, "data", task, file, Part::Test, data)
    {
        match is_judged {
            true => sample.require_labels(&mut found, "data"),
            false => sample.rows.forget_labels(),
        }
        let labels = config.and_then(|config| LabelSet::new(config.labels.clone()).ok());
        if let (Some(labels), Some(tokenizer)) = (&labels, &tokenizer)
            && found.len() == before
        {
            sample.encode(&mut found, "data", labels, tokenizer, data, Purpose::Prediction);
        }
    } else if task.is_none() && !file.exists() {
        let error = brew_data::DataError::Missing { path: file.to_path_buf() };
        found.push(Problem::new("data", file.display(), error.to_string()).in_file(file));
    }
    RunError::check(found)
}
