//! Reading a configuration to its end, with every mistake in it.

mod lines;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::load::{diagnose, text_of};
use crate::{ConfigError, Problem};

use lines::Lines;
use tree::{Place, Step, Tree};

/// A configuration with more mistakes than this is no configuration.
const MOST_PROBLEMS: usize = 200;

/// What could be read of a configuration, and everything that could not.
///
/// ```
/// use brew_config::{Reading, TrainingConfig};
///
/// let text = "num_epoch = 3\nseed = \"one\"\nlog_every = 5";
/// let reading = Reading::<TrainingConfig>::of_toml(text);
/// let fields: Vec<&str> = reading.problems.iter().map(|problem| problem.field.as_str()).collect();
/// assert_eq!(fields, ["num_epoch", "seed"]);
/// // What was most likely meant is taken for the further checks.
/// let config = reading.config.unwrap();
/// assert_eq!((config.num_epochs, config.log_every), (3, 5));
/// ```
#[derive(Debug)]
pub struct Reading<T> {
    /// The configuration as if its mistakes were corrected: misspelt names as the nearest known ones, other mistakes
    /// left out. It is for further checks, never for a run. `None` where there is nothing to go by.
    pub config: Option<T>,
    /// Every mistake: unknown keys, unknown names, values of a wrong type, missing fields.
    pub problems: Vec<Problem>,
    /// Of each list that entries were left out of, the numbers that the others have in the file.
    kept: BTreeMap<String, Vec<usize>>,
    /// Fields that were left out.
    removed: BTreeSet<String>,
    /// What fields that were given another name are called in the file.
    renamed: BTreeMap<String, String>,
}

impl<T: DeserializeOwned> Reading<T> {
    /// Reads a `.toml` or `.json` file.
    pub fn of_file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let read = || -> Result<Self, ConfigError> {
            let (text, is_toml) = text_of(path)?;
            Ok(match is_toml {
                true => Self::of_toml(&text),
                false => Self::of_json(&text),
            })
        };
        let mut reading = read().unwrap_or_else(|error| Self::failed(&error));
        for problem in &mut reading.problems {
            problem.file = Some(path.to_path_buf());
        }
        reading
    }

    /// Reads TOML text.
    pub fn of_toml(text: &str) -> Self {
        match crate::from_toml_str::<toml::Table>(text) {
            Ok(table) => Self::of_tree(toml::Value::Table(table), &Lines::of_toml(text)),
            Err(error) => Self::failed(&error),
        }
    }

    /// Reads JSON text.
    pub fn of_json(text: &str) -> Self {
        match crate::from_json_str::<serde_json::Value>(text) {
            Ok(value) => Self::of_tree(value, &Lines::default()),
            Err(error) => Self::failed(&error),
        }
    }

    /// Reads a table of TOML; its problems have no lines.
    pub fn of_table(table: toml::Table) -> Self {
        Self::of_tree(toml::Value::Table(table), &Lines::default())
    }

    fn failed(error: &ConfigError) -> Self {
        let problem = Problem::new("", "", error.to_string());
        Self {
            config: None,
            problems: vec![problem],
            kept: BTreeMap::new(),
            removed: BTreeSet::new(),
            renamed: BTreeMap::new(),
        }
    }

    fn of_tree<V: Tree>(mut tree: V, lines: &Lines) -> Self {
        let mut found = Self {
            config: None,
            problems: Vec::new(),
            kept: BTreeMap::new(),
            removed: BTreeSet::new(),
            renamed: BTreeMap::new(),
        };
        let mut seen = BTreeSet::new();
        let mut places = Vec::new();
        while found.problems.len() < MOST_PROBLEMS {
            let error = match serde_path_to_error::deserialize::<_, T>(tree.clone()) {
                Ok(config) => {
                    found.config = Some(config);
                    break;
                }
                Err(error) => error,
            };
            let mut place = place_of(error.path());
            let error = diagnose(&V::message(&error.into_inner()), None);
            if let ConfigError::UnknownKey { key, .. } = &error {
                // Some readers of maps name the map, others the key in it.
                if !matches!(place.last(), Some(Step::Key(last)) if last == key) {
                    place.push(Step::Key(key.clone()));
                }
            }
            let missing = missing_field(&error);
            let written = found.as_written(&place);
            let (field, value) = match &missing {
                Some(name) if written.is_empty() => (name.clone(), "missing".to_owned()),
                Some(name) => (format!("{written}.{name}"), "missing".to_owned()),
                None => (written, tree.at(&place).map(|value| shortened(&value.shown())).unwrap_or_default()),
            };
            // A field may be missing because it was left out before.
            if missing.is_none() || found.problems.iter().all(|known| known.field != field) {
                let line = lines.line(&field);
                let message = explain(&error);
                let message = line.map(|line| format!("line {line}: {message}")).unwrap_or(message);
                places.push(line.unwrap_or(usize::MAX));
                found.problems.push(Problem::new(field, value, message));
            }
            let is_first = seen.insert(format!("{place:?}"));
            if !found.repair(&mut tree, &place, &error, is_first) {
                break;
            }
        }
        // As in the file.
        let mut sorted: Vec<_> = places.into_iter().zip(std::mem::take(&mut found.problems)).collect();
        sorted.sort_by_key(|(line, _)| *line);
        found.problems = sorted.into_iter().map(|(_, problem)| problem).collect();
        found
    }

    /// Puts the nearest known name in place of an unknown one, or leaves out what cannot be read. Whether there was
    /// anything to do.
    fn repair<V: Tree>(&mut self, tree: &mut V, place: &[Step], error: &ConfigError, is_first: bool) -> bool {
        match error {
            ConfigError::UnknownKey { nearest: Some(nearest), .. }
                if is_first && tree.rename(place, nearest) =>
            {
                let mut other = place.to_vec();
                other.pop();
                other.push(Step::Key(nearest.clone()));
                self.renamed.insert(self.as_written(&other), self.as_written(place));
                true
            }
            ConfigError::UnknownValue { value, nearest: Some(nearest), .. }
                if is_first && tree.replace(place, value, nearest) =>
            {
                true
            }
            ConfigError::UnknownPreset { name, nearest: Some(nearest), .. }
                if is_first && tree.replace(place, name, nearest) =>
            {
                true
            }
            _ => {
                // The error may be of something deeper that has no place in the tree: leave out what is around it.
                let mut place = place;
                while let Some((last, parent)) = place.split_last() {
                    let field = self.as_written(place);
                    if let Some(length) = tree.remove(place) {
                        self.removed.insert(field);
                        if let Step::Index(index) = last {
                            let kept =
                                self.kept.entry(path_text(parent)).or_insert_with(|| (0..length).collect());
                            if *index < kept.len() {
                                kept.remove(*index);
                            }
                        }
                        return true;
                    }
                    place = parent;
                }
                false
            }
        }
    }

    /// A path in the repaired tree as it is in the file.
    fn as_written(&self, place: &[Step]) -> String {
        let mut steps = place.to_vec();
        for at in 0..steps.len() {
            if let Step::Index(index) = place[at]
                && let Some(&kept) = self.kept.get(&path_text(&place[..at])).and_then(|kept| kept.get(index))
            {
                steps[at] = Step::Index(kept);
            }
        }
        let text = path_text(&steps);
        let of_file = self.renamed.iter().find(|(name, _)| covers(name, &text));
        of_file.map_or_else(|| text.clone(), |(name, of_file)| format!("{of_file}{}", &text[name.len()..]))
    }

    /// The problems that a check of [`config`](Self::config) has found, without those that only follow from these
    /// here, and with entries of lists numbered as in the file.
    ///
    /// ```
    /// use brew_config::{DistillationConfig, Reading};
    ///
    /// let text = "intermediate_matches = [3, {layer_T = 1, layer_S = 1, feature = \"hidden\", loss = \"cosine\"}]";
    /// let reading = Reading::<DistillationConfig>::of_toml(text);
    /// assert_eq!(reading.problems[0].field, "intermediate_matches[0]");
    /// let found = reading.config.as_ref().unwrap().validate(&["cos".to_owned()]);
    /// assert_eq!(reading.further(found)[0].field, "intermediate_matches[1].loss");
    /// ```
    pub fn further(&self, found: Vec<Problem>) -> Vec<Problem> {
        let is_known = |problem: &Problem| {
            let is_missing = problem.value == "missing";
            self.removed.iter().any(|field| covers(field, &problem.field))
                || is_missing && self.problems.iter().any(|known| covers(&known.field, &problem.field))
        };
        let found = found.into_iter().map(|problem| match tree::steps(&problem.field) {
            Some(steps) => Problem { field: self.as_written(&steps), ..problem },
            None => problem,
        });
        found.filter(|problem| !is_known(problem)).collect()
    }
}

/// Whether a field is another one or in it.
fn covers(outer: &str, field: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn place_of(path: &serde_path_to_error::Path) -> Place {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().map_while(step).collect()
}

fn path_text(place: &[Step]) -> String {
    let mut text = String::new();
    for step in place {
        // Writing to a string cannot fail.
        let _ = match step {
            Step::Key(key) if text.is_empty() => write!(text, "{key}"),
            Step::Key(key) => write!(text, ".{key}"),
            Step::Index(index) => write!(text, "[{index}]"),
        };
    }
    text
}

fn missing_field(error: &ConfigError) -> Option<String> {
    let ConfigError::Malformed { message, .. } = error else { return None };
    Some(message.strip_prefix("missing field `")?.split('`').next()?.to_owned())
}

/// The error without the name and the value, which stand before it.
fn explain(error: &ConfigError) -> String {
    let meant = |nearest: &Option<String>| {
        nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
    };
    match error {
        // The other ones would be many.
        ConfigError::UnknownKey { nearest: nearest @ Some(_), .. } => {
            format!("unknown key{}", meant(nearest))
        }
        ConfigError::UnknownKey { known, .. } => {
            format!("unknown key; known here: {}", known.join(", "))
        }
        ConfigError::UnknownValue { value, nearest, known, .. } => {
            format!("unknown value `{value}`{}; allowed here: {}", meant(nearest), known.join(", "))
        }
        ConfigError::Malformed { message, .. } if message.starts_with("missing field `") => {
            "give it".to_owned()
        }
        ConfigError::Malformed { message, .. } => format!("{message}; correct it"),
        other => other.to_string(),
    }
}

/// The beginning of a long value.
fn shortened(value: &str) -> String {
    const LONGEST: usize = 60;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests;
