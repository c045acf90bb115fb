//! Tab-separated rows without quoting.

use std::borrow::Cow;

use super::table::Row;

/// The rows of `text` that are not blank.
pub(super) fn rows(text: &str) -> Vec<Row<'_>> {
    text.split('\n')
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            Row { line: at + 1, cells: line.split('\t').map(Cow::Borrowed).collect() }
        })
        .collect()
}
