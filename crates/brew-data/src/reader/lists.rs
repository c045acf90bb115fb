//! Rows whose label is a list.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{TextFileSpec, TextFormat, csv, json, read_utf8, table, tsv, without_mark};
use crate::{DataError, Origin};

/// A row with a list of labels.
pub(crate) struct ListRow {
    pub(crate) text: String,
    pub(crate) text_pair: Option<String>,
    /// The labels, or `None` where they are not known.
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) origin: Origin,
}

/// The rows of a file whose label column holds labels between separators, or, in JSON lines, a list as well.
pub(crate) fn rows(path: &Path, spec: &TextFileSpec, separator: &str) -> Result<Vec<ListRow>, DataError> {
    let content = read_utf8(path)?;
    let text = without_mark(&content);
    let split = |cell: &str| -> Option<Vec<String>> {
        let labels: Vec<String> = cell
            .split(separator)
            .map(str::trim)
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect();
        (!labels.is_empty()).then_some(labels)
    };
    let examples = match spec.format_of(path)? {
        TextFormat::Tsv => table::examples(tsv::rows(text), spec, path)?,
        TextFormat::Csv => table::examples(csv::rows(text, path)?, spec, path)?,
        TextFormat::JsonLines => return json_rows(text, spec, path, split),
    };
    let row = |example: crate::RawExample| ListRow {
        text: example.text,
        text_pair: example.text_pair,
        labels: example.label.as_deref().and_then(split),
        origin: example.origin,
    };
    Ok(examples.into_iter().map(row).collect())
}

fn json_rows(
    text: &str,
    spec: &TextFileSpec,
    path: &Path,
    split: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<Vec<ListRow>, DataError> {
    let shared: Arc<Path> = path.into();
    let mut rows = Vec::new();
    json::for_each(text, spec, path, |place, text, text_pair, label| {
        let labels = match label {
            None => None,
            Some((key, Value::Array(values))) => {
                let mut labels = Vec::with_capacity(values.len());
                for value in values {
                    let label = place.label(key, value)?;
                    labels
                        .extend(label.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
                }
                Some(labels)
            }
            Some((key, value)) => place.label(key, value)?.as_deref().and_then(&split),
        };
        let origin = Origin { path: Arc::clone(&shared), line: place.line };
        rows.push(ListRow { text, text_pair, labels, origin });
        Ok(())
    })?;
    Ok(rows)
}
