//! `--set key=value`: changing a run file from the command line.

use std::path::Path;

use brew_config::ConfigError;
use toml::{Table, Value};

use crate::{RunConfig, RunError};

/// Reads a run file (`.toml` or `.json`) and applies settings such as `training.optimizer.lr=1e-4`.
///
/// A value is read as TOML (`3`, `0.1`, `true`, `[1, 3]`, `"text"`), else taken as text.
///
/// # Errors
/// A file that cannot be read, an unknown key (with the nearest known one), a value of the wrong
/// type, a setting without `=`.
pub fn load_run(path: &Path, settings: &[String]) -> Result<RunConfig, RunError> {
    if settings.is_empty() {
        return Ok(brew_config::load(path)?);
    }
    // The file by itself first, so that its own mistakes are told with their line.
    brew_config::load::<RunConfig>(path)?;
    let file: Table = brew_config::load(path)?;
    let with = |settings: &[String]| -> Result<Result<RunConfig, ConfigError>, RunError> {
        let mut table = file.clone();
        for setting in settings {
            apply(&mut table, setting)?;
        }
        Ok(brew_config::from_toml_str(&toml::to_string(&table).expect("a table is TOML")))
    };
    match with(settings)? {
        Ok(config) => Ok(config),
        Err(error) => {
            // The setting with which it first goes wrong.
            let first = (1..=settings.len()).find(|&count| matches!(with(&settings[..count]), Ok(Err(_))));
            let setting = &settings[first.unwrap_or(settings.len()) - 1];
            Err(RunError::Setting { setting: setting.clone(), reason: reason(error) })
        }
    }
}

/// What is wrong, without a place: the lines are of no file of the user's.
fn reason(error: ConfigError) -> String {
    match error {
        ConfigError::Malformed { message, .. } => message,
        ConfigError::UnknownKey { key, nearest, known, .. } => {
            ConfigError::UnknownKey { path: None, line: None, key, nearest, known }.to_string()
        }
        ConfigError::UnknownValue { value, nearest, known, .. } => {
            ConfigError::UnknownValue { path: None, line: None, value, nearest, known }.to_string()
        }
        other => other.to_string(),
    }
}

fn apply(table: &mut Table, setting: &str) -> Result<(), RunError> {
    let wrong = |reason: &str| RunError::Setting { setting: setting.to_owned(), reason: reason.to_owned() };
    let (key, text) = setting.split_once('=').ok_or_else(|| wrong("write it as key=value"))?;
    let parts: Vec<&str> = key.trim().split('.').collect();
    let (last, parents) =
        parts.split_last().filter(|(last, _)| !last.is_empty()).ok_or_else(|| wrong("no key"))?;
    let mut at = table;
    for part in parents {
        at = at
            .entry((*part).to_owned())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| wrong(&format!("`{part}` is not a table")))?;
    }
    at.insert((*last).to_owned(), value(text.trim()));
    Ok(())
}

/// TOML where it is, else text.
fn value(text: &str) -> Value {
    toml::from_str::<Table>(&format!("v = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(file: &str, settings: &[&str]) -> Result<RunConfig, RunError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        fs::write(&path, file).unwrap();
        load_run(&path, &settings.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn settings_override_the_file() {
        let file = "[data]\ntrain = \"a.tsv\"\n[training.optimizer]\nlr = 1e-3\n";
        let settings = [
            "data.train=/tmp/with = sign.tsv",
            "training.optimizer.lr=5e-5",
            "model.layers=[1, 3, 5]",
            "training.seed=7",
        ];
        let config = load(file, &settings).unwrap();
        assert_eq!(config.data.train.as_deref(), Some(Path::new("/tmp/with = sign.tsv")));
        assert_eq!(config.training.optimizer.lr, 5e-5);
        assert_eq!(config.model.layers, Some(vec![1, 3, 5]));
        assert_eq!(config.training.seed, 7);
    }

    #[test]
    fn a_misspelt_setting_names_the_nearest_key() {
        let settings = ["training.seed=1", "training.num_epoch=3", "training.log_every=5"];
        let error = load("", &settings).unwrap_err().to_string();
        assert!(error.starts_with("--set training.num_epoch=3: "), "{error}");
        assert!(error.contains("did you mean `num_epochs`") && !error.contains("line"), "{error}");
    }

    #[test]
    fn settings_that_cannot_be_applied_say_why() {
        for (setting, part) in
            [("training", "key=value"), ("=3", "no key"), ("data.train.x=1", "not a table")]
        {
            let error = load("[data]\ntrain = \"a\"\n", &[setting]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
