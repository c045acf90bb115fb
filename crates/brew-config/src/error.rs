use std::path::PathBuf;

use thiserror::Error;

use crate::Problem;

/// Why a configuration could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}; check that the path exists and is readable", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file's extension says neither TOML nor JSON.
    #[error(
        "cannot tell the format of {} from its extension `{extension}`; name the file `.toml` or `.json`",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its extension, empty where there is none.
        extension: String,
    },
    /// A key no field has.
    #[error("{}unknown key `{key}`{}; known keys here: {}", place(path, *line), did_you_mean(nearest), known.join(", "))]
    UnknownKey {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// Line of the key, from 1.
        line: Option<usize>,
        /// The key as written.
        key: String,
        /// The known key it resembles.
        nearest: Option<String>,
        /// Every key known at that place.
        known: Vec<String>,
    },
    /// A name that is none of a field's choices.
    #[error(
        "{}unknown value `{value}`{}; allowed here: {}", place(path, *line), did_you_mean(nearest), known.join(", ")
    )]
    UnknownValue {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// Line of the value, from 1.
        line: Option<usize>,
        /// The value as written.
        value: String,
        /// The allowed value it resembles.
        nearest: Option<String>,
        /// Every value allowed at that place.
        known: Vec<String>,
    },
    /// A name among the intermediate matches that is no preset.
    #[error(
        "{}unknown preset `{name}`{}; write {}, or a table with `layer_T` and so on",
        place(path, *line), did_you_mean(nearest), crate::presets::how_to_write()
    )]
    UnknownPreset {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// Line of the name, from 1.
        line: Option<usize>,
        /// The name as written.
        name: String,
        /// The preset it resembles.
        nearest: Option<String>,
    },
    /// The text is not TOML or JSON, or a value has the wrong type.
    #[error("{}{message}; correct the file at that place", place(path, *line))]
    Malformed {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// Line of the mistake, from 1.
        line: Option<usize>,
        /// What the parser says.
        message: String,
    },
    /// Every field has its type, but values are out of range.
    #[error("{}\n{}", count(problems.len()), list(problems))]
    Invalid {
        /// All of them.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// `Ok` where `validate()` found nothing, otherwise the error that lists all it found.
    ///
    /// ```
    /// use brew_config::{ConfigError, TrainingConfig};
    ///
    /// assert!(ConfigError::from_problems(TrainingConfig::default().validate()).is_ok());
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if there is any problem.
    pub fn from_problems(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::Invalid { problems }) }
    }

    pub(crate) fn in_file(mut self, file: PathBuf) -> Self {
        match &mut self {
            Self::UnknownKey { path, .. }
            | Self::UnknownValue { path, .. }
            | Self::UnknownPreset { path, .. }
            | Self::Malformed { path, .. } => {
                *path = Some(file);
            }
            Self::Read { .. } | Self::UnknownFormat { .. } | Self::Invalid { .. } => {}
        }
        self
    }
}

fn place(path: &Option<PathBuf>, line: Option<usize>) -> String {
    match (path, line) {
        (Some(path), Some(line)) => format!("{}:{line}: ", path.display()),
        (Some(path), None) => format!("{}: ", path.display()),
        (None, Some(line)) => format!("line {line}: "),
        (None, None) => String::new(),
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

fn count(problems: usize) -> String {
    match problems {
        1 => "there is 1 problem:".to_owned(),
        count => format!("there are {count} problems:"),
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n")
}
