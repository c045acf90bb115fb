use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One thing wrong with a configuration, or with a file that it names: where, what it holds, and what to write
/// instead.
///
/// As text it is `field = value: message`, or `field: message` where it is a file that something is wrong with: then
/// the message names the place in it.
///
/// ```
/// use brew_config::Problem;
///
/// let problem = Problem::new("data.train", "a.tsv", "a.tsv, line 3: the row has 1 column, not 2").in_file("a.tsv");
/// assert_eq!(problem.to_string(), "data.train: a.tsv, line 3: the row has 1 column, not 2");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file with the mistake, where it is known; else it is the configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Path of the field, such as `intermediate_matches[2].proj`; of the one that names the file where the mistake is
    /// in another file than the configuration's. Empty where the whole file is meant.
    pub field: String,
    /// The value found there, as it would be written in JSON.
    pub value: String,
    /// What is allowed, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of the field at `field`, which holds `value`.
    pub fn new(field: impl Into<String>, value: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { file: None, field: field.into(), value: value.to_string(), message: message.into() }
    }

    /// The same problem, of what is in this file.
    #[must_use]
    pub fn in_file(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The same problem of a struct that is itself the field `parent` of another one.
    ///
    /// ```
    /// let problem = brew_config::Problem::new("lr", -1.0, "must be at least 0").within("optimizer");
    /// assert_eq!(problem.field, "optimizer.lr");
    /// ```
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A message that names the file need not be told twice which one.
        let names_the_file =
            self.file.as_ref().is_some_and(|file| self.message.contains(&*file.to_string_lossy()));
        match (self.field.as_str(), names_the_file) {
            ("", _) => f.write_str(&self.message),
            (field, true) => write!(f, "{field}: {}", self.message),
            (field, false) => write!(f, "{field} = {}: {}", self.value, self.message),
        }
    }
}

/// Collects the problems of one struct.
#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) problems: Vec<Problem>,
}

impl Checks {
    pub(crate) fn require(&mut self, holds: bool, field: &str, value: impl fmt::Display, message: &str) {
        if !holds {
            self.problems.push(Problem::new(field, value, message));
        }
    }

    pub(crate) fn at_least_one(&mut self, field: &str, value: usize, remedy: &str) {
        self.require(value >= 1, field, value, &format!("must be at least 1; {remedy}"));
    }

    pub(crate) fn finite_not_negative(&mut self, field: &str, value: f64, remedy: &str) {
        self.require(
            value.is_finite() && value >= 0.0,
            field,
            value,
            &format!("must be a finite number of at least 0; {remedy}"),
        );
    }

    pub(crate) fn finite_positive(&mut self, field: &str, value: f64, remedy: &str) {
        self.require(
            value.is_finite() && value > 0.0,
            field,
            value,
            &format!("must be a finite number greater than 0; {remedy}"),
        );
    }

    pub(crate) fn nested(&mut self, parent: &str, problems: Vec<Problem>) {
        self.problems.extend(problems.into_iter().map(|problem| problem.within(parent)));
    }
}
