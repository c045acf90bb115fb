//! What the rows of every task have in common.

use brew_data::{DataError, MultiLabelExample, Origin, QuestionExample, RawExample, TaggedExample};

use crate::RunError;

/// One row of a file, of which something may be known.
pub(super) trait Row {
    /// Tells it from the other rows.
    fn number(&mut self) -> &mut u64;

    /// Whether it is known what a model should say of it.
    fn is_labelled(&self) -> bool;

    /// Forgets that.
    fn forget(&mut self);

    /// What to tell a user who needs it to be known.
    fn unlabelled(&self) -> RunError;
}

/// Refuses rows of which nothing is known.
pub(super) fn require_labels<R: Row>(rows: &[R]) -> Result<(), RunError> {
    rows.iter().find(|row| !row.is_labelled()).map_or(Ok(()), |row| Err(row.unlabelled()))
}

/// Adds the first `count` rows of another file, without what is known of them, and numbered apart from these.
pub(super) fn add_unlabelled<R: Row>(rows: &mut Vec<R>, more: Vec<R>, count: Option<usize>) {
    let start = rows.iter_mut().map(|row| *row.number() + 1).max().unwrap_or(0);
    let more = more.into_iter().take(count.unwrap_or(usize::MAX));
    rows.extend(more.zip(start..).map(|(mut row, number)| {
        *row.number() = number;
        row.forget();
        row
    }));
}

fn missing_label(origin: &Origin) -> RunError {
    DataError::MissingLabel { path: origin.path.to_path_buf(), line: origin.line }.into()
}

impl Row for RawExample {
    fn number(&mut self) -> &mut u64 {
        &mut self.id
    }

    fn is_labelled(&self) -> bool {
        self.label.is_some()
    }

    fn forget(&mut self) {
        self.label = None;
    }

    fn unlabelled(&self) -> RunError {
        missing_label(&self.origin)
    }
}

impl Row for MultiLabelExample {
    fn number(&mut self) -> &mut u64 {
        &mut self.id
    }

    fn is_labelled(&self) -> bool {
        self.labels.is_some()
    }

    fn forget(&mut self) {
        self.labels = None;
    }

    fn unlabelled(&self) -> RunError {
        missing_label(&self.origin)
    }
}

impl Row for TaggedExample {
    fn number(&mut self) -> &mut u64 {
        &mut self.id
    }

    fn is_labelled(&self) -> bool {
        self.tags.is_some()
    }

    fn forget(&mut self) {
        self.tags = None;
    }

    fn unlabelled(&self) -> RunError {
        missing_label(&self.origin)
    }
}

impl Row for QuestionExample {
    fn number(&mut self) -> &mut u64 {
        &mut self.number
    }

    fn is_labelled(&self) -> bool {
        Self::is_labelled(self)
    }

    fn forget(&mut self) {
        self.answers.clear();
        self.is_impossible = false;
    }

    fn unlabelled(&self) -> RunError {
        RunError::UnansweredQuestion { place: self.origin.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_rows_are_numbered_apart_and_unlabelled() {
        let row = |id| RawExample::new(id, "a").with_label("x");
        let mut rows = vec![row(0), row(7)];
        add_unlabelled(&mut rows, vec![row(0), row(7), row(8)], Some(2));
        let found: Vec<_> = rows.iter().map(|row| (row.id, row.label.is_some())).collect();
        assert_eq!(found, [(0, true), (7, true), (8, false), (9, false)]);
        assert!(require_labels(&rows[..2]).is_ok());
        let error = require_labels(&rows).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
