use std::fmt;

use brew_models::{Head, ProblemType};
use serde::{Deserialize, Serialize};

/// What a model is to say of a text: `task = "…"` before the first table of a run file.
///
/// | name | the model says | head | kept loss on labels | `kd_loss_type` |
/// |---|---|---|---|---|
/// | `classification` | one class of a text or a pair | over the text | cross-entropy | any but `bce` |
/// | `multi_label` | which of some labels hold | over the text | binary cross-entropy | `bce`, `mse` |
/// | `regression` | a number | over the text | squared error | `mse` |
/// | `token_classification` | a tag of each word | over each token | cross-entropy | any but `bce` |
/// | `question_answering` | where in a text the answer to a question stands | first and last token | cross-entropy of both, their mean | any but `bce`, `dkd` |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// One class of a text or a pair.
    #[default]
    Classification,
    /// Which of some labels hold; none excludes another.
    MultiLabel,
    /// A number.
    Regression,
    /// A tag of each word.
    TokenClassification,
    /// Where in a text the answer to a question stands.
    QuestionAnswering,
}

impl TaskKind {
    /// Every task, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Classification,
        Self::MultiLabel,
        Self::Regression,
        Self::TokenClassification,
        Self::QuestionAnswering,
    ];

    /// The name in run files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi_label",
            Self::Regression => "regression",
            Self::TokenClassification => "token_classification",
            Self::QuestionAnswering => "question_answering",
        }
    }

    /// The head of its models.
    pub(crate) const fn head(self) -> Head {
        match self {
            Self::TokenClassification => Head::TokenClassification,
            Self::QuestionAnswering => Head::QuestionAnswering,
            Self::Classification | Self::MultiLabel | Self::Regression => Head::SequenceClassification,
        }
    }

    /// What an `architectures` entry or `problem_type` of a `config.json` says of the task.
    ///
    /// ```
    /// use brew::TaskKind;
    /// use brew::models::ProblemType;
    ///
    /// let found = TaskKind::of_checkpoint("RobertaForTokenClassification", None);
    /// assert_eq!(found, Some(TaskKind::TokenClassification));
    /// let found = TaskKind::of_checkpoint("BertForSequenceClassification", Some(ProblemType::Regression));
    /// assert_eq!(found, Some(TaskKind::Regression));
    /// assert_eq!(TaskKind::of_checkpoint("BertModel", None), None);
    /// ```
    pub fn of_checkpoint(architecture: &str, problem_type: Option<ProblemType>) -> Option<Self> {
        Some(match Head::of_class(architecture)? {
            Head::TokenClassification => Self::TokenClassification,
            Head::QuestionAnswering => Self::QuestionAnswering,
            Head::SequenceClassification => match problem_type {
                Some(ProblemType::MultiLabelClassification) => Self::MultiLabel,
                Some(ProblemType::Regression) => Self::Regression,
                _ => Self::Classification,
            },
        })
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_run_files() {
        for task in TaskKind::ALL {
            assert_eq!(serde_json::to_value(task).unwrap(), task.name());
        }
    }
}
