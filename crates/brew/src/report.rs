use brew_data::metrics::QaReport;
use brew_data::{ClassificationReport, MultiLabelReport, RegressionReport, SpanReport};
use serde::Serialize;

use crate::Metric;

/// How good a model's predictions are, by the measures of its task.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum TaskReport {
    /// Of one class a text.
    Classification(ClassificationReport),
    /// Of labels that exclude no other.
    Flags(MultiLabelReport),
    /// Of numbers.
    Values(RegressionReport),
    /// Of a tag a word.
    Tags(SpanReport),
    /// Of answers that are parts of texts.
    Answers(QaReport),
}

/// One number of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// What it is, for a person.
    pub name: &'static str,
    /// Its value; a share from 0 to 1 where it is one.
    pub value: f64,
    /// Whether it is a share, shown in per cent.
    pub is_share: bool,
}

impl Figure {
    fn share(name: &'static str, value: f64) -> Self {
        Self { name, value, is_share: true }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_share { write!(f, "{:.2} %", 100.0 * self.value) } else { write!(f, "{:.4}", self.value) }
    }
}

impl TaskReport {
    /// How many texts were judged.
    pub fn examples(&self) -> usize {
        match self {
            Self::Classification(report) => report.examples,
            Self::Flags(report) => report.examples,
            Self::Values(report) => report.examples,
            Self::Tags(report) => report.sentences,
            Self::Answers(report) => report.questions,
        }
    }

    /// The numbers by which such predictions are usually judged, the most usual first.
    pub fn figures(&self) -> Vec<Figure> {
        match self {
            Self::Classification(report) => vec![
                Figure::share("accuracy", report.accuracy),
                Figure::share("F1", report.f1),
                Figure::share("macro F1", report.macro_f1),
            ],
            Self::Flags(report) => vec![
                Figure::share("micro F1", report.micro_f1),
                Figure::share("macro F1", report.macro_f1),
                Figure::share("all right", report.subset_accuracy),
            ],
            Self::Values(report) => vec![
                Figure { name: "Pearson", value: report.pearson, is_share: false },
                Figure { name: "Spearman", value: report.spearman, is_share: false },
                Figure { name: "squared error", value: report.mse, is_share: false },
            ],
            Self::Tags(report) => vec![
                Figure::share("span F1", report.f1),
                Figure::share("precision", report.micro_average.precision),
                Figure::share("recall", report.micro_average.recall),
                Figure::share("tags", report.accuracy),
            ],
            Self::Answers(report) => {
                vec![Figure::share("exact match", report.exact_match), Figure::share("F1", report.f1)]
            }
        }
    }

    /// The value of a metric, if the report has it; `positive` is the class that a classification's F1 is about.
    pub fn score(&self, metric: Metric, positive: usize) -> Option<f64> {
        match self {
            Self::Classification(report) => match metric {
                Metric::Accuracy => Some(report.accuracy),
                Metric::F1 => Some(report.per_label.get(positive).map_or(0.0, |label| label.scores.f1)),
                Metric::MacroF1 => Some(report.macro_f1),
                Metric::Matthews => Some(report.matthews),
                _ => None,
            },
            Self::Flags(report) => match metric {
                Metric::MicroF1 => Some(report.micro_f1),
                Metric::MacroF1 => Some(report.macro_f1),
                Metric::Accuracy => Some(report.subset_accuracy),
                _ => None,
            },
            Self::Values(report) => match metric {
                Metric::Pearson => Some(report.pearson),
                Metric::Spearman => Some(report.spearman),
                _ => None,
            },
            Self::Tags(report) => match metric {
                Metric::F1 => Some(report.f1),
                Metric::MacroF1 => Some(report.macro_average.f1),
                Metric::Accuracy => Some(report.accuracy),
                _ => None,
            },
            Self::Answers(report) => match metric {
                Metric::F1 => Some(report.f1),
                Metric::ExactMatch => Some(report.exact_match),
                _ => None,
            },
        }
    }
}
