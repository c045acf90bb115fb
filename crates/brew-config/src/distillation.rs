use serde::{Deserialize, Serialize};

use crate::problem::Checks;
use crate::{IntermediateMatch, KdLossType, Problem, TemperatureScheduler, WeightScheduler};

/// Relation heads of `minilm_relation` where the configuration does not say otherwise: the attention heads of
/// BERT-base.
pub const DEFAULT_RELATION_HEADS: usize = 12;

/// What the student learns, and from what: the total loss is
/// `kd_loss_weight · L_KD + hard_label_weight · ΣL_hard + Σ weight_i · L_i` over the intermediate matches.
///
/// TextBrewer's `DistillationConfig` files load as they are.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `temperature` | 4 | both models' logits are divided by it | > 0 |
/// | `temperature_scheduler` | `none` | see [`TemperatureScheduler`] | |
/// | `hard_label_weight` | 0 | weight of the adaptor's own losses | ≥ 0 |
/// | `hard_label_weight_scheduler` | `none` | see [`WeightScheduler`] | |
/// | `kd_loss_type` | `ce` | loss on the logits | see [`KdLossType`] |
/// | `kd_loss_weight` | 1 | its weight | ≥ 0 |
/// | `kd_loss_weight_scheduler` | `none` | see [`WeightScheduler`] | |
/// | `probability_shift` | false | swap the teacher's largest logit with the true label's | |
/// | `is_caching_logits` | false | compute the teacher's outputs once and keep them in memory, however much they take; a run file's distillation keeps up to 1 GB unasked, see `[cache]` | |
/// | `intermediate_matches` | [] | see [`IntermediateMatch`] and [`preset`](crate::preset) | |
/// | `kd_scale` | `none` | factor on the KD loss | `none`, `t_squared` |
/// | `nst_scale` | `length` | what `nst` divides its matrices by where there is a mask | `length`, `width` |
/// | `relation_heads` | 12 | heads that `minilm_relation` splits hidden widths into | ≥ 1, a divisor of both widths |
///
/// ```
/// let config = brew_config::DistillationConfig { temperature: -1.0, ..Default::default() };
/// assert_eq!(config.validate(&[])[0].field, "temperature");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillationConfig {
    /// Both models' logits are divided by it in the KD loss.
    pub temperature: f64,
    /// How the temperature follows the logits.
    pub temperature_scheduler: TemperatureScheduler,
    /// Weight of the sum of the adaptor's losses (on the true labels).
    pub hard_label_weight: f64,
    /// How that weight changes.
    pub hard_label_weight_scheduler: WeightScheduler,
    /// Loss on the logits.
    pub kd_loss_type: KdLossType,
    /// Its weight.
    pub kd_loss_weight: f64,
    /// How that weight changes.
    pub kd_loss_weight_scheduler: WeightScheduler,
    /// Swap the teacher's largest logit with the true label's, so that the teacher is never wrong.
    pub probability_shift: bool,
    /// Compute the teacher's outputs once and keep them.
    pub is_caching_logits: bool,
    /// Features of intermediate layers to match. A file may write the name of a [`preset`](crate::preset)
    /// in place of a match; reading replaces it by the preset's matches, and the positions that problems
    /// name count those.
    #[serde(deserialize_with = "crate::presets::tables_and_names")]
    pub intermediate_matches: Vec<IntermediateMatch>,
    /// Factor on the KD loss; TextBrewer has none.
    pub kd_scale: KdScale,
    /// What `nst` divides its matrices by where there is a mask.
    pub nst_scale: NstScale,
    /// Heads that `minilm_relation` splits hidden widths into.
    pub relation_heads: usize,
}

impl Default for DistillationConfig {
    fn default() -> Self {
        Self {
            temperature: 4.0,
            temperature_scheduler: TemperatureScheduler::None,
            hard_label_weight: 0.0,
            hard_label_weight_scheduler: WeightScheduler::None,
            kd_loss_type: KdLossType::Ce,
            kd_loss_weight: 1.0,
            kd_loss_weight_scheduler: WeightScheduler::None,
            probability_shift: false,
            is_caching_logits: false,
            intermediate_matches: Vec::new(),
            kd_scale: KdScale::None,
            nst_scale: NstScale::Length,
            relation_heads: DEFAULT_RELATION_HEADS,
        }
    }
}

impl DistillationConfig {
    /// Every problem of these values; empty means that they can be run.
    ///
    /// `known_losses` are the names of the loss registry; an empty list leaves the names unchecked.
    pub fn validate(&self, known_losses: &[String]) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.finite_positive("temperature", self.temperature, "values from 1 to 10 are usual");
        self.temperature_scheduler.check(&mut checks);
        checks.finite_not_negative(
            "hard_label_weight",
            self.hard_label_weight,
            "use 0 to leave the labels out",
        );
        self.kd_loss_type.check(&mut checks);
        checks.finite_not_negative("kd_loss_weight", self.kd_loss_weight, "use 0 to leave the logits out");
        for (index, single) in self.intermediate_matches.iter().enumerate() {
            checks.nested(&format!("intermediate_matches[{index}]"), single.validate(known_losses));
        }
        checks.at_least_one(
            "relation_heads",
            self.relation_heads,
            "choose a number that divides both models' hidden widths",
        );
        checks.problems
    }
}

/// A factor on the KD loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KdScale {
    /// None, as TextBrewer.
    #[default]
    None,
    /// The squared temperature, which keeps the size of the gradients (Hinton et al.,
    /// <https://arxiv.org/abs/1503.02531>).
    TSquared,
}

/// What `nst` (`mmd`) divides its similarity matrices by where a mask is given; without one it is
/// always the hidden width.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NstScale {
    /// The padded length of the batch, as TextBrewer 0.2.1.post1 does.
    #[default]
    Length,
    /// The hidden width, as TextBrewer's repository does.
    Width,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_json_str, from_toml_str};

    #[test]
    fn textbrewers_dictionary_loads_as_it_is() {
        let config: DistillationConfig = from_json_str(
            r#"{"temperature": 8, "temperature_scheduler": "none", "hard_label_weight": 0,
                "hard_label_weight_scheduler": "linear_growth", "kd_loss_type": "mse", "kd_loss_weight": 1,
                "kd_loss_weight_scheduler": "linear_decay", "probability_shift": true, "is_caching_logits": false,
                "intermediate_matches": [
                    {"layer_T": 0, "layer_S": 0, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
                     "proj": ["linear", 384, 768]},
                    {"layer_T": [0, 0], "layer_S": [0, 0], "feature": "hidden", "loss": "nst", "weight": 1}]}"#,
        )
        .unwrap();
        assert_eq!(config.temperature, 8.0);
        assert_eq!(config.kd_loss_type, KdLossType::Mse);
        assert_eq!(config.hard_label_weight_scheduler, WeightScheduler::LinearGrowth);
        assert_eq!(config.kd_loss_weight_scheduler, WeightScheduler::LinearDecay);
        assert!(config.probability_shift);
        assert_eq!(config.intermediate_matches.len(), 2);
        assert_eq!(config.validate(&["hidden_mse".into(), "nst".into()]), []);
    }

    #[test]
    fn no_matches_may_be_written_as_null() {
        let config: DistillationConfig = from_json_str(r#"{"intermediate_matches": null}"#).unwrap();
        assert_eq!(config, DistillationConfig::default());
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let config: DistillationConfig = from_toml_str(
            r#"
            temperature = -1
            temperature_scheduler = ["flsw", nan, 0]
            hard_label_weight = inf
            kd_loss_type = ["js", 1]
            kd_loss_weight = -0.5
            relation_heads = 0

            [[intermediate_matches]]
            layer_T = 1
            layer_S = 1
            feature = "hidden"
            loss = "cos"
            weight = 1

            [[intermediate_matches]]
            layer_T = 1
            layer_S = [1, 2]
            feature = "hidden"
            loss = "cosine"
            weight = nan
            proj = ["linear", 16, 0]
            "#,
        )
        .unwrap();
        let problems = config.validate(&["cos".into(), "nst".into()]);
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "temperature",
                "temperature_scheduler[1]",
                "temperature_scheduler[2]",
                "hard_label_weight",
                "kd_loss_type[1].beta",
                "kd_loss_weight",
                "intermediate_matches[1].loss",
                "intermediate_matches[1].weight",
                "intermediate_matches[1].proj",
                "relation_heads",
            ]
        );
        assert!(problems[6].message.contains("cos, nst"), "{}", problems[6]);
    }

    #[test]
    fn json_and_toml_come_back_as_they_went() {
        let config: DistillationConfig = from_json_str(
            r#"{"kd_scale": "t_squared", "nst_scale": "width", "temperature_scheduler": ["cwsm", 2],
                "kd_loss_type": ["dkd", {"beta": 2}], "relation_heads": 4, "intermediate_matches":
                [{"layer_T": 1, "layer_S": [2], "feature": "attention_scores", "loss": "attention_ce", "weight": 0.5,
                  "proj": ["relu", 4, 8, {"eps": 1e-6}]}]}"#,
        )
        .unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(from_json_str::<DistillationConfig>(&json).unwrap(), config);
        let toml = toml::to_string(&config).unwrap();
        assert_eq!(from_toml_str::<DistillationConfig>(&toml).unwrap(), config);
    }
}
