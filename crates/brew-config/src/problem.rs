use std::fmt;

/// One thing wrong with a configuration: where, what it holds, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `intermediate_matches[2].proj`.
    pub field: String,
    /// The value found there, as it would be written in JSON.
    pub value: String,
    /// What is allowed, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of the field at `field`, which holds `value`.
    pub fn new(field: impl Into<String>, value: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.to_string(), message: message.into() }
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
        write!(f, "{} = {}: {}", self.field, self.value, self.message)
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
