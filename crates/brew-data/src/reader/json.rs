//! One JSON object a line.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Column, Rows, TextFileSpec};
use crate::error::nearest;
use crate::{DataError, RawExample};

/// Keys of the columns.
struct Keys {
    text: String,
    text_pair: Option<String>,
    label: Option<String>,
}

/// The examples in `text`.
pub(super) fn examples(text: &str, spec: &TextFileSpec, path: &Path) -> Result<Vec<RawExample>, DataError> {
    let mut examples = Rows::new(path);
    for_each(text, spec, path, |line, text, text_pair, label| {
        let label = label.map(|(key, value)| line.label(key, value)).transpose()?.flatten();
        examples.push(line.line, text, text_pair, label.as_deref());
        Ok(())
    })?;
    Ok(examples.examples)
}

/// The examples in `text` one by one: where, text, second text, and the key and value of the label.
pub(super) fn for_each(
    text: &str,
    spec: &TextFileSpec,
    path: &Path,
    mut each: impl FnMut(&Place<'_>, String, Option<String>, Option<(&str, &Value)>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut keys: Option<Keys> = None;
    for (at, content) in text.split('\n').enumerate() {
        if content.trim().is_empty() {
            continue;
        }
        let at = Place { path, line: at + 1 };
        let object: Map<String, Value> = serde_json::from_str(content).map_err(|error| {
            DataError::BadJson { path: path.to_path_buf(), line: at.line, message: error.to_string() }
        })?;
        let keys = match &keys {
            Some(keys) => keys,
            None => keys.insert(at.keys(&object, spec)?),
        };
        let text = at.text(&object, &keys.text)?;
        let text_pair = keys.text_pair.as_deref().map(|key| at.text(&object, key)).transpose()?;
        let label = keys.label.as_deref().and_then(|key| Some((key, object.get(key)?)));
        each(&at, text, text_pair, label)?;
    }
    Ok(())
}

/// The line that an error names.
pub(super) struct Place<'a> {
    path: &'a Path,
    pub(super) line: usize,
}

impl Place<'_> {
    /// What the columns are called, going by the first object.
    fn keys(&self, object: &Map<String, Value>, spec: &TextFileSpec) -> Result<Keys, DataError> {
        let resolve = |column: &Column| match column {
            Column::Name(name) if object.contains_key(name) => Ok(name.clone()),
            Column::Name(name) => Err(self.unknown(object, name)),
            Column::Index(index) => {
                object.keys().nth(*index).cloned().ok_or_else(|| DataError::TooFewColumns {
                    path: self.path.to_path_buf(),
                    line: self.line,
                    found: object.len(),
                    expected: index.saturating_add(1),
                })
            }
        };
        Ok(Keys {
            text: resolve(&spec.text)?,
            text_pair: spec.text_pair.as_ref().map(resolve).transpose()?,
            label: match &spec.label {
                Some(column) => Some(resolve(column)?),
                None => object.keys().find(|key| key.eq_ignore_ascii_case("label")).cloned(),
            },
        })
    }

    fn unknown(&self, object: &Map<String, Value>, name: &str) -> DataError {
        DataError::UnknownColumn {
            path: self.path.to_path_buf(),
            line: self.line,
            name: name.to_owned(),
            nearest: nearest(name, object.keys().map(String::as_str)),
            known: object.keys().cloned().collect(),
        }
    }

    fn text(&self, object: &Map<String, Value>, key: &str) -> Result<String, DataError> {
        match object.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.bad_value(key, other, "a string")),
            None => Err(self.unknown(object, key)),
        }
    }

    pub(super) fn label(&self, key: &str, value: &Value) -> Result<Option<String>, DataError> {
        match value {
            Value::Null => Ok(None),
            Value::String(label) => Ok(Some(label.clone())),
            Value::Number(label) => Ok(Some(label.to_string())),
            Value::Bool(label) => Ok(Some(label.to_string())),
            other => Err(self.bad_value(key, other, "a string or a number")),
        }
    }

    fn bad_value(&self, key: &str, value: &Value, expected: &'static str) -> DataError {
        let found: String = value.to_string().chars().take(60).collect();
        DataError::BadValue {
            path: self.path.to_path_buf(),
            line: self.line,
            name: key.to_owned(),
            found: format!("`{found}`"),
            expected,
        }
    }
}
