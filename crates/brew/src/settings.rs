//! `--set key=value`: changing a run file from the command line.

use std::path::Path;

use brew_config::{ConfigError, Problem, Reading};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use toml::{Table, Value};

use crate::output::RunFolder;
use crate::{DataConfig, RunConfig, RunError};

/// Reads a run file (`.toml` or `.json`) and applies settings such as `training.optimizer.lr=1e-4`.
///
/// In a list, an entry is picked by number from 0 or by its `name`: `tasks[0].data.train=FILE`,
/// `tasks[sst2].data.train=FILE`. A value is read as TOML (`3`, `0.1`, `true`, `[1, 3]`, `"text"`), else taken as text.
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
    changed(&brew_config::load(path)?, settings)
}

/// Reads a run file to its end and applies settings, as [`load_run`] does, but goes on after a mistake. Settings that
/// cannot be applied are problems of their own.
pub(crate) fn read_run(path: &Path, settings: &[String]) -> (Reading<RunConfig>, Vec<Problem>) {
    let mut found = Vec::new();
    let reading = Reading::of_file(path);
    if settings.is_empty() {
        return (reading, found);
    }
    let Ok(mut table) = brew_config::load::<Table>(path) else { return (reading, found) };
    for setting in settings {
        if let Err(error) = apply(&mut table, setting) {
            let field = setting.split('=').next().unwrap_or_default();
            found.push(Problem::new(field, format!("--set {setting}"), error.to_string()).in_file("--set"));
        }
    }
    let mut changed = Reading::of_table(table);
    // What the file says by itself has a line.
    let by_file = |problem: &Problem| {
        let same = |one: &&Problem| one.field == problem.field && one.value == problem.value;
        reading.problems.iter().find(same).cloned()
    };
    let set =
        |field: &str| settings.iter().any(|one| one.split('=').next().is_some_and(|key| key.trim() == field));
    for problem in &mut changed.problems {
        match by_file(problem) {
            Some(known) => *problem = known,
            None if set(&problem.field) => problem.message = format!("{} (from --set)", problem.message),
            None => {}
        }
    }
    (changed, found)
}

/// How files are read for a model: as its run read them, where `model` is the folder of a run, with settings such
/// as `questions.doc_stride=64`, fields of [`DataConfig`].
///
/// # Errors
/// A `run.json` that cannot be read; a setting as in [`load_run`].
pub fn load_data_config(model: &Path, settings: &[String]) -> Result<DataConfig, RunError> {
    let run = RunFolder::config_in(model);
    let data = if run.is_file() { brew_config::load::<Recorded>(&run)?.data } else { Map::new() };
    let data = data.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>();
    let table = Table::try_from(data).unwrap_or_default();
    // What the run recorded by itself first: where that is damaged, no setting is at fault.
    changed::<DataConfig>(&table, &[]).map_err(|error| match error {
        RunError::Config(error) => {
            let message = format!("its `data` is not what a run writes: {}", reason(error));
            RunError::Config(ConfigError::Malformed { path: Some(run), line: None, message })
        }
        other => other,
    })?;
    changed(&table, settings)
}

/// The part of `run.json` that says how files are read.
#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    data: Map<String, serde_json::Value>,
}

/// A table with settings, as what it describes.
fn changed<T: DeserializeOwned>(file: &Table, settings: &[String]) -> Result<T, RunError> {
    let with = |settings: &[String]| -> Result<Result<T, ConfigError>, RunError> {
        let mut table = file.clone();
        for setting in settings {
            apply(&mut table, setting)?;
        }
        Ok(brew_config::from_toml_str(&toml::to_string(&table).expect("a table is TOML")))
    };
    match with(settings)? {
        Ok(config) => Ok(config),
        Err(error) if settings.is_empty() => Err(error.into()),
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

/// More parts than the key of any field has.
const DEEPEST: usize = 16;

fn apply(table: &mut Table, setting: &str) -> Result<(), RunError> {
    let wrong = |reason: &str| RunError::Setting { setting: setting.to_owned(), reason: reason.to_owned() };
    let (key, text) = setting.split_once('=').ok_or_else(|| wrong("write it as key=value"))?;
    let parts: Vec<&str> = key.trim().split('.').collect();
    // Tables within tables are walked by recursion.
    if parts.len() > DEEPEST {
        return Err(wrong("no field lies so deep"));
    }
    let (last, parents) =
        parts.split_last().filter(|(last, _)| !last.is_empty()).ok_or_else(|| wrong("no key"))?;
    let mut at = table;
    for part in parents {
        at = below(at, part).map_err(|reason| wrong(&reason))?;
    }
    at.insert((*last).to_owned(), value(text.trim()));
    Ok(())
}

/// The table that one part of a key leads to, a new one where there is none; `name[entry]` leads into a list.
fn below<'a>(table: &'a mut Table, part: &str) -> Result<&'a mut Table, String> {
    let Some((name, entry)) = part.strip_suffix(']').and_then(|part| part.split_once('[')) else {
        return table
            .entry(part.to_owned())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("`{part}` is not a table"));
    };
    let list = table.get_mut(name).and_then(Value::as_array_mut);
    let list = list.ok_or_else(|| format!("`{name}` is not a list of the run file"))?;
    let name_of = |one: &Value| one.get("name").and_then(Value::as_str).map(str::to_owned);
    let index = match entry.parse() {
        Ok(index) => Some(index),
        Err(_) => list.iter().position(|one| name_of(one).as_deref() == Some(entry)),
    };
    let names: Vec<String> = list.iter().filter_map(name_of).collect();
    let known = format!("it has {} entries, counted from 0, called {names:?}", list.len());
    index
        .and_then(|index| list.get_mut(index))
        .and_then(Value::as_table_mut)
        .ok_or_else(|| format!("`{name}` has no table {entry}; {known}"))
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
    fn every_run_file_of_the_project_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
        let is_run = |file: &Path| {
            file.extension().is_some_and(|extension| extension == "toml")
                && !file.ends_with("experiment.toml")
        };
        let runs = files.filter(|file| is_run(file));
        let mut count = 0;
        for file in runs {
            load_run(&file, &[]).unwrap_or_else(|error| panic!("{error}"));
            count += 1;
        }
        assert!(count > 0);
    }

    #[test]
    fn an_entry_of_a_list_is_picked_by_number_or_name() {
        let file = "[[tasks]]\nname = \"a\"\n[[tasks]]\nname = \"b\"\ndata = { train = \"b.tsv\" }\n";
        let settings = ["tasks[0].data.train=first.tsv", "tasks[b].data.max_length=7"];
        let tasks = load(file, &settings).unwrap().tasks;
        assert_eq!(tasks[0].data.train.as_deref(), Some(Path::new("first.tsv")));
        assert_eq!(tasks[1].data.train.as_deref(), Some(Path::new("b.tsv")));
        assert_eq!(tasks[1].data.max_length, Some(7));
        for (setting, part) in [
            ("tasks[2].data.train=c", "no table 2; it has 2 entries"),
            ("tasks[c].data.train=c", "called [\"a\", \"b\"]"),
            ("task[0].data.train=c", "`task` is not a list"),
        ] {
            let error = load(file, &[setting]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_misspelt_setting_names_the_nearest_key() {
        let settings = ["training.seed=1", "training.num_epoch=3", "training.log_every=5"];
        let error = load("", &settings).unwrap_err().to_string();
        assert!(error.starts_with("--set training.num_epoch=3: "), "{error}");
        assert!(error.contains("did you mean `num_epochs`") && !error.contains("line"), "{error}");
    }

    #[test]
    fn a_damaged_record_of_a_run_is_an_error_without_settings_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("run.json"), r#"{"data": {"train": "a.tsv", "max_length": "long"}}"#)
            .unwrap();
        for settings in [Vec::new(), vec!["batch_size=3".to_owned()]] {
            let error = load_data_config(folder.path(), &settings).unwrap_err().to_string();
            assert!(error.contains("run.json: its `data`") && error.contains("\"long\""), "{error}");
        }
        fs::write(folder.path().join("run.json"), r#"{"data": {"train": "a.tsv", "max_length": 7}}"#)
            .unwrap();
        let data = load_data_config(folder.path(), &["max_length=9".to_owned()]).unwrap();
        assert_eq!((data.train.as_deref(), data.max_length), (Some(Path::new("a.tsv")), Some(9)));
    }

    #[test]
    fn settings_that_cannot_be_applied_say_why() {
        let deep = "a.".repeat(20_000) + "b=1";
        for (setting, part) in [
            ("training", "key=value"),
            ("=3", "no key"),
            ("data.train.x=1", "not a table"),
            (&deep, "so deep"),
        ] {
            let error = load("[data]\ntrain = \"a\"\n", &[setting]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
