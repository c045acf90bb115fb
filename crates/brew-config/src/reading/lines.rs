//! On which line of a TOML file a field stands.

use toml::de::{DeTable, DeValue};

use super::tree::{Step, steps};

/// The lines of a file's fields; none of a file of another kind.
#[derive(Default)]
pub(super) struct Lines<'a> {
    text: &'a str,
    table: Option<DeTable<'a>>,
}

impl<'a> Lines<'a> {
    pub(super) fn of_toml(text: &'a str) -> Self {
        Self { text, table: DeTable::parse(text).ok().map(toml::Spanned::into_inner) }
    }

    /// The line of a field, from 1, or of the innermost table around it that is written out.
    pub(super) fn line(&self, field: &str) -> Option<usize> {
        let steps = steps(field)?;
        let (first, rest) = steps.split_first()?;
        let Step::Key(first) = first else { return None };
        let (key, mut value) =
            self.table.as_ref()?.iter().find(|(key, _)| key.get_ref().as_ref() == first.as_str())?;
        let mut start = key.span().start;
        for step in rest {
            let next = match (value.get_ref(), step) {
                (DeValue::Table(table), Step::Key(name)) => table
                    .iter()
                    .find(|(key, _)| key.get_ref().as_ref() == name.as_str())
                    .map(|(key, value)| (key.span().start, value)),
                (DeValue::Array(list), Step::Index(index)) => {
                    list.get(*index).map(|value| (value.span().start, value))
                }
                _ => None,
            };
            let Some((at, inner)) = next else { break };
            (start, value) = (at, inner);
        }
        Some(1 + self.text.get(..start)?.matches('\n').count())
    }
}
