//! Rows whose label is a list.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Column, TextFileSpec, TextFormat, csv, json, table, tsv, without_mark};
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
    let (content, format) = spec.read(path)?;
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
    let rows = match format {
        TextFormat::Tsv => tsv::rows(text),
        TextFormat::Csv => csv::rows(text, path)?,
        TextFormat::JsonLines => {
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            // What is no object is json's to refuse.
            let keys = serde_json::from_str::<Map<String, Value>>(first).unwrap_or_default();
            return json_rows(text, &named(spec, keys.keys().map(String::as_str)), path, split);
        }
    };
    let spec = match rows.first() {
        Some(first) if spec.header != Some(false) => named(spec, first.cells.iter().map(|cell| cell.trim())),
        _ => spec.clone(),
    };
    let examples = table::examples(rows, &spec, path)?;
    let row = |example: crate::RawExample| ListRow {
        text: example.text,
        text_pair: example.text_pair,
        labels: example.label.as_deref().and_then(split),
        origin: example.origin,
    };
    Ok(examples.into_iter().map(row).collect())
}

/// The specification for columns of these names, if they are names: with no label column given, it is `labels` where
/// there is no `label`.
fn named<'a>(spec: &TextFileSpec, names: impl Iterator<Item = &'a str>) -> TextFileSpec {
    let (mut has_label, mut labels) = (spec.label.is_some(), None);
    for name in names {
        has_label |= name.eq_ignore_ascii_case("label");
        if name.eq_ignore_ascii_case("labels") {
            labels = Some(Column::Name(name.to_owned()));
        }
    }
    TextFileSpec { label: if has_label { spec.label.clone() } else { labels }, ..spec.clone() }
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
