use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::Checks;
use crate::{Problem, ProjectionConfig, ProjectionGroup};

/// Contrastive representation distillation: each example's states in student and teacher are to be told, together,
/// from pairs of two different examples.
///
/// A trained linear head on each side maps a state to `feature_dim` numbers of norm 1. A memory of each side
/// holds one such vector for every training example; a state of one side is compared with the other side's
/// vector of the same example and with those of `negatives` others.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `layer_T`, `layer_S` | last | hidden state compared, 0 = embeddings | |
/// | `pooling` | `first` | a text's state: that of its first token, or the mean over its tokens | `first`, `mean` |
/// | `feature_dim` | 128 | width behind the heads | ≥ 1 |
/// | `negatives` | 1024 | other examples each one is told from; all there are where that is fewer | ≥ 1 |
/// | `negatives_from` | `all` | which others: any, or those with another label | `all`, `different_class` |
/// | `temperature` | 0.07 | divides the cosines | > 0 |
/// | `momentum` | 0.5 | share of the old vector when an example's is renewed | in [0, 1) |
/// | `weight` | 0.8 | weight in the total loss | > 0 |
/// | `head` | of the run | optimizer settings of both heads, such as `{ lr = 1e-3 }` | see [`ProjectionGroup`] |
///
/// The paper draws 16,384 of ImageNet's 1.2 million and of CIFAR-100's 50,000 examples, where fewer did slightly
/// worse; 1,024 is a similar share of a text set of thousands. Temperature, momentum, width and weight are the
/// paper's and its released code's.
///
/// Source: Tian, Krishnan, Isola, <https://arxiv.org/abs/1910.10699>.
///
/// ```
/// let config: brew_config::CrdConfig = brew_config::from_json_str(r#"{"momentum": 1}"#)?;
/// assert_eq!(config.validate()[0].field, "momentum");
/// # Ok::<(), brew_config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrdConfig {
    /// Hidden state of the teacher, 0 = embeddings; the last where it is left out.
    #[serde(rename = "layer_T", skip_serializing_if = "Option::is_none")]
    pub layer_t: Option<usize>,
    /// Hidden state of the student, 0 = embeddings; the last where it is left out.
    #[serde(rename = "layer_S", skip_serializing_if = "Option::is_none")]
    pub layer_s: Option<usize>,
    /// What of a text's tokens is compared.
    pub pooling: CrdPooling,
    /// Width behind the heads.
    pub feature_dim: usize,
    /// Other examples each one is told from, at most.
    pub negatives: usize,
    /// Which others.
    pub negatives_from: NegativesFrom,
    /// Divides the cosines.
    pub temperature: f64,
    /// Share of the old vector when an example's is renewed.
    pub momentum: f64,
    /// Weight in the total loss.
    pub weight: f64,
    /// Optimizer settings of both heads, where they differ from the run's.
    pub head: ProjectionGroup,
}

impl Default for CrdConfig {
    fn default() -> Self {
        Self {
            layer_t: None,
            layer_s: None,
            pooling: CrdPooling::First,
            feature_dim: 128,
            negatives: 1024,
            negatives_from: NegativesFrom::All,
            temperature: 0.07,
            momentum: 0.5,
            weight: 0.8,
            head: ProjectionGroup::default(),
        }
    }
}

/// How a text's tokens become one state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrdPooling {
    /// The state of the first token.
    #[default]
    First,
    /// The mean of the states of its tokens, padding left out.
    Mean,
}

/// Which examples another one may be told from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NegativesFrom {
    /// All others.
    #[default]
    All,
    /// Those with another label, as in the paper. An example without a label is told from all others, and no
    /// example with a label from it.
    DifferentClass,
}

impl fmt::Display for NegativesFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::DifferentClass => "different_class",
        })
    }
}

impl CrdConfig {
    /// The linear layers of both heads, the student's first, for states of these widths.
    ///
    /// ```
    /// let [student, teacher] = brew_config::CrdConfig::default().heads([384, 768]);
    /// assert_eq!((student.in_features, teacher.in_features, teacher.out_features), (384, 768, 128));
    /// ```
    pub fn heads(&self, widths: [usize; 2]) -> [ProjectionConfig; 2] {
        widths.map(|width| ProjectionConfig {
            group: self.head.clone(),
            ..ProjectionConfig::linear(width, self.feature_dim)
        })
    }

    /// Every problem of these values; empty means that they can be run.
    pub fn validate(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.at_least_one("feature_dim", self.feature_dim, "128 is usual");
        checks.at_least_one("negatives", self.negatives, "more are better; all there are is the most");
        checks.finite_positive("temperature", self.temperature, "0.07 is usual");
        checks.require(
            (0.0..1.0).contains(&self.momentum),
            "momentum",
            self.momentum,
            "must be at least 0 and below 1; 0.5 is usual",
        );
        checks.finite_positive("weight", self.weight, "leave the whole table out instead");
        self.head.check(&mut checks, "head");
        checks.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_json_str, from_toml_str};

    #[test]
    fn the_defaults_can_be_run() {
        assert_eq!(CrdConfig::default().validate(), []);
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let config: CrdConfig = from_toml_str(
            r#"
            feature_dim = 0
            negatives = 0
            temperature = 0
            momentum = -0.1
            weight = nan
            head = { lr = -1 }
            "#,
        )
        .unwrap();
        let problems = config.validate();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        let expected = ["feature_dim", "negatives", "temperature", "momentum", "weight", "head.lr"];
        assert_eq!(fields, expected);
    }

    #[test]
    fn json_comes_back_as_it_went_and_typing_mistakes_are_named() {
        let text =
            r#"{"layer_T": 6, "pooling": "mean", "negatives_from": "different_class", "head": {"lr": 0.01}}"#;
        let config: CrdConfig = from_json_str(text).unwrap();
        assert_eq!((config.layer_t, config.head.lr), (Some(6), Some(0.01)));
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(from_json_str::<CrdConfig>(&json).unwrap(), config);
        let error = from_json_str::<CrdConfig>(r#"{"pooling": "men"}"#).unwrap_err().to_string();
        assert!(error.contains("`mean`"), "{error}");
    }
}
