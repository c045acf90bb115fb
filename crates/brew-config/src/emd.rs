use serde::{Deserialize, Serialize};

use crate::problem::Checks;
use crate::projection::projection_or_none;
use crate::{MatchFeature, Problem, ProjectionConfig, nearest};

/// Many layers of the teacher matched with many of the student by earth mover's distance: BERT-EMD.
///
/// Every layer has a mass, those of a model with the sum 1, at first all equal. The masses of the student's
/// layers are moved to the teacher's at the least cost, the cost between two layers being a loss of their
/// features; after each batch a layer whose mass was moved cheaply gains mass.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `layers_T`, `layers_S` | all | layers that take part, counted from 1; hidden state 0, the embeddings, does not | ≥ 1, each once |
/// | `hidden_weight` | 1 | weight of the distance of hidden states | ≥ 0 |
/// | `hidden_loss` | `hidden_mse` | cost between two hidden states | a loss of one layer |
/// | `proj` | none | maps every hidden state of the student to the teacher's width; one for all layers | see [`ProjectionName`](crate::ProjectionName) |
/// | `attention_weight` | 1 | weight of the distance of attention | ≥ 0 |
/// | `attention` | `attention_scores` | which attention | `attention_scores`, `attention` |
/// | `attention_loss` | `attention_mse` | cost between two layers' attention | a loss of one layer |
/// | `update_masses` | true | whether the masses change after each batch | |
/// | `separate_masses` | false | whether hidden states and attention have masses of their own | |
///
/// Source: Li et al., <https://arxiv.org/abs/2010.06133>.
///
/// ```
/// let config: brew_config::EmdConfig = brew_config::from_json_str(r#"{"layers_S": [2, 0]}"#)?;
/// assert_eq!(config.validate(&[])[0].field, "layers_S[1]");
/// # Ok::<(), brew_config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmdConfig {
    /// Layers of the teacher that take part, counted from 1; all where it is left out.
    #[serde(rename = "layers_T", skip_serializing_if = "Option::is_none")]
    pub layers_t: Option<Vec<usize>>,
    /// Layers of the student that take part, counted from 1; all where it is left out.
    #[serde(rename = "layers_S", skip_serializing_if = "Option::is_none")]
    pub layers_s: Option<Vec<usize>>,
    /// Weight of the distance of hidden states.
    pub hidden_weight: f64,
    /// Cost between two hidden states.
    pub hidden_loss: String,
    /// Maps every hidden state of the student to the teacher's width.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "projection_or_none")]
    pub proj: Option<ProjectionConfig>,
    /// Weight of the distance of attention.
    pub attention_weight: f64,
    /// Which attention.
    pub attention: MatchFeature,
    /// Cost between two layers' attention.
    pub attention_loss: String,
    /// Whether the masses change after each batch.
    pub update_masses: bool,
    /// Whether hidden states and attention have masses of their own.
    pub separate_masses: bool,
}

impl Default for EmdConfig {
    fn default() -> Self {
        Self {
            layers_t: None,
            layers_s: None,
            hidden_weight: 1.0,
            hidden_loss: "hidden_mse".into(),
            proj: None,
            attention_weight: 1.0,
            attention: MatchFeature::AttentionScores,
            attention_loss: "attention_mse".into(),
            update_masses: true,
            separate_masses: false,
        }
    }
}

impl EmdConfig {
    /// Every problem of these values; empty means that they can be run.
    ///
    /// `known_losses` are the names of the loss registry; an empty list leaves the names unchecked.
    pub fn validate(&self, known_losses: &[String]) -> Vec<Problem> {
        let mut checks = Checks::default();
        for (field, layers) in [("layers_T", &self.layers_t), ("layers_S", &self.layers_s)] {
            let Some(layers) = layers else { continue };
            checks.require(
                !layers.is_empty(),
                field,
                "[]",
                "name at least one layer, or leave it out for all",
            );
            for (index, &layer) in layers.iter().enumerate() {
                let field = format!("{field}[{index}]");
                checks.require(
                    layer > 0,
                    &field,
                    layer,
                    "layers are counted from 1; the embeddings take no part",
                );
                checks.require(!layers[..index].contains(&layer), &field, layer, "is named before");
            }
        }
        checks.finite_not_negative(
            "hidden_weight",
            self.hidden_weight,
            "use 0 to leave the hidden states out",
        );
        checks.finite_not_negative(
            "attention_weight",
            self.attention_weight,
            "use 0 to leave the attention out",
        );
        checks.require(
            self.hidden_weight > 0.0 || self.attention_weight > 0.0,
            "hidden_weight",
            self.hidden_weight,
            "`hidden_weight` and `attention_weight` are both 0; leave the whole table out instead",
        );
        checks.require(
            !self.attention.is_per_token(),
            "attention",
            self.attention,
            "must be `attention_scores` or `attention`",
        );
        for (field, loss) in [("hidden_loss", &self.hidden_loss), ("attention_loss", &self.attention_loss)] {
            let remedy = match nearest(loss, known_losses.iter().map(String::as_str)) {
                Some(name) => format!("no such loss; did you mean `{name}`?"),
                None => format!("no such loss; known losses: {}", known_losses.join(", ")),
            };
            checks.require(known_losses.is_empty() || known_losses.contains(loss), field, loss, &remedy);
            let takes = crate::required_layers(loss).unwrap_or(1);
            checks.require(takes == 1, field, loss, "the cost is between one layer and one layer");
        }
        if let Some(projection) = &self.proj {
            projection.check(&mut checks);
        }
        checks.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_json_str, from_toml_str};

    #[test]
    fn the_defaults_can_be_run() {
        assert_eq!(EmdConfig::default().validate(&["hidden_mse".into(), "attention_mse".into()]), []);
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let config: EmdConfig = from_toml_str(
            r#"
            layers_T = []
            layers_S = [1, 1]
            hidden_weight = 0
            attention_weight = 0
            attention = "keys"
            hidden_loss = "nst"
            attention_loss = "atention_mse"
            proj = ["linear", 0, 8]
            "#,
        )
        .unwrap();
        let problems = config.validate(&["hidden_mse".into(), "attention_mse".into(), "nst".into()]);
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        let expected = [
            "layers_T",
            "layers_S[1]",
            "hidden_weight",
            "attention",
            "hidden_loss",
            "attention_loss",
            "proj",
        ];
        assert_eq!(fields, expected);
        assert!(problems[5].message.contains("`attention_mse`"), "{}", problems[5]);
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let text = r#"{"layers_T": [3, 6], "proj": ["linear", 4, 8], "separate_masses": true}"#;
        let config: EmdConfig = from_json_str(text).unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(from_json_str::<EmdConfig>(&json).unwrap(), config);
    }
}
