use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::problem::Checks;
use crate::projection::projection_or_none;
use crate::{Problem, ProjectionConfig, nearest};

/// Losses of two layers of each model.
const TWO_LAYER_LOSSES: &[&str] = &["fsp", "gram", "nst", "mmd"];
/// Losses of one layer of each model.
const ONE_LAYER_LOSSES: &[&str] = &[
    "attention_mse",
    "attention_mse_sum",
    "attention_ce",
    "attention_ce_mean",
    "hidden_mse",
    "cos",
    "pkd",
    "rkd_distance",
    "rkd_angle",
    "pkt",
    "sp",
    "minilm_relation",
    "crd_in_batch",
];

/// Losses that compare features of any two widths.
const LOSSES_OF_ANY_WIDTH: &[&str] =
    &["nst", "mmd", "rkd_distance", "rkd_angle", "pkt", "sp", "minilm_relation"];

/// Whether a shipped loss compares features of different widths, so that no projection is needed.
///
/// ```
/// assert!(brew_config::compares_any_widths("rkd_distance"));
/// assert!(!brew_config::compares_any_widths("hidden_mse"));
/// ```
pub fn compares_any_widths(loss: &str) -> bool {
    LOSSES_OF_ANY_WIDTH.contains(&loss)
}

/// How many layers of each model a shipped loss compares; `None` for `emd`, which takes any number, and
/// for a loss of the user's own.
///
/// ```
/// assert_eq!(brew_config::required_layers("nst"), Some(2));
/// assert_eq!(brew_config::required_layers("hidden_mse"), Some(1));
/// assert_eq!(brew_config::required_layers("emd"), None);
/// assert_eq!(brew_config::required_layers("my_l1"), None);
/// ```
pub fn required_layers(loss: &str) -> Option<usize> {
    if TWO_LAYER_LOSSES.contains(&loss) {
        Some(2)
    } else if ONE_LAYER_LOSSES.contains(&loss) {
        Some(1)
    } else {
        None
    }
}

/// One layer of the student made to resemble one of the teacher (or two and two, for `fsp` and `nst`).
///
/// | field | meaning | range |
/// |---|---|---|
/// | `layer_T`, `layer_S` | index into the adaptor's list of features, 0 = first | one, or a list of two for `fsp`, `gram`, `nst`, `mmd`, or any list for `emd` |
/// | `feature` | what is compared | `hidden`, `attention`, `attention_scores`, `queries`, `keys`, `values` |
/// | `loss` | name in the loss registry | |
/// | `weight` | weight in the total loss, 1 where it is left out | ≥ 0 |
/// | `proj` | maps the student's width to the teacher's: `["linear", 384, 768]` or with a fourth item, `{"lr": 1e-3}` | see [`ProjectionConfig`] |
/// | `teacher` | which of several teachers, 0 = first and the default | below their number |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntermediateMatch {
    /// Layer of the teacher.
    #[serde(rename = "layer_T")]
    pub layer_t: LayerIndex,
    /// Layer of the student.
    #[serde(rename = "layer_S")]
    pub layer_s: LayerIndex,
    /// What is compared.
    pub feature: MatchFeature,
    /// Name of the loss in the registry.
    pub loss: String,
    /// Weight in the total loss; 1 where it is left out.
    #[serde(default = "one")]
    pub weight: f64,
    /// Maps the student's feature to the teacher's width.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "projection_or_none")]
    pub proj: Option<ProjectionConfig>,
    /// Which of several teachers is matched, 0 = first.
    #[serde(default, skip_serializing_if = "is_first")]
    pub teacher: usize,
}

fn is_first(teacher: &usize) -> bool {
    *teacher == 0
}

impl IntermediateMatch {
    /// A match of hidden states of one layer each, with weight 1 and no projection; layer 0 is the
    /// embeddings.
    ///
    /// ```
    /// use brew_config::IntermediateMatch;
    ///
    /// let one = IntermediateMatch::hidden(6, 3, "hidden_mse").with_projection(312, 768);
    /// assert_eq!(one.name(), "hidden_hidden_mse_3_6");
    /// assert!(one.validate(&[]).is_empty());
    /// ```
    pub fn hidden(layer_t: usize, layer_s: usize, loss: impl Into<String>) -> Self {
        Self {
            layer_t: LayerIndex::One(layer_t),
            layer_s: LayerIndex::One(layer_s),
            feature: MatchFeature::Hidden,
            loss: loss.into(),
            weight: 1.0,
            proj: None,
            teacher: 0,
        }
    }

    /// The same with another teacher than the first, where there are several.
    ///
    /// ```
    /// let one = brew_config::IntermediateMatch::hidden(6, 3, "hidden_mse").with_teacher(2);
    /// assert_eq!(one.name(), "hidden_hidden_mse_3_6_teacher2");
    /// ```
    #[must_use]
    pub fn with_teacher(mut self, teacher: usize) -> Self {
        self.teacher = teacher;
        self
    }

    /// The same with a linear projection from the student's width to the teacher's.
    #[must_use]
    pub fn with_projection(mut self, in_features: usize, out_features: usize) -> Self {
        self.proj = Some(ProjectionConfig::linear(in_features, out_features));
        self
    }

    /// TextBrewer's name of this match in logs: feature, loss, student's layer, teacher's layer; and
    /// the teacher where it is not the first.
    ///
    /// ```
    /// use brew_config::{IntermediateMatch, LayerIndex, MatchFeature};
    ///
    /// let nst = IntermediateMatch {
    ///     layer_t: LayerIndex::Many(vec![4, 4]),
    ///     layer_s: LayerIndex::Many(vec![2, 2]),
    ///     feature: MatchFeature::Hidden,
    ///     loss: "nst".into(),
    ///     weight: 1.0,
    ///     proj: None,
    ///     teacher: 0,
    /// };
    /// assert_eq!(nst.name(), "hidden_nst_2-2_4-4");
    /// ```
    pub fn name(&self) -> String {
        let name = format!("{}_{}_{}_{}", self.feature, self.loss, self.layer_s, self.layer_t);
        if self.teacher == 0 { name } else { format!("{name}_teacher{}", self.teacher) }
    }

    /// Every problem of these values, with paths relative to this match.
    ///
    /// `known_losses` are the names of the loss registry; an empty list leaves the name unchecked.
    pub fn validate(&self, known_losses: &[String]) -> Vec<Problem> {
        let mut checks = Checks::default();
        if !known_losses.is_empty() && !known_losses.contains(&self.loss) {
            let hint = match nearest(&self.loss, known_losses.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`? Known losses: "),
                None => "known losses: ".to_string(),
            };
            checks.require(
                false,
                "loss",
                format!("{:?}", self.loss),
                &format!(
                    "no such loss; {hint}{}; register a loss of your own by name",
                    known_losses.join(", ")
                ),
            );
        }
        checks.finite_not_negative("weight", self.weight, "use 0 to switch the match off");
        for (field, layers) in [("layer_T", &self.layer_t), ("layer_S", &self.layer_s)] {
            let count = layers.as_slice().len();
            match required_layers(&self.loss) {
                Some(2) => checks.require(
                    count == 2,
                    field,
                    layers.as_written(),
                    &format!("loss `{}` takes a list of two layers; write it like [4, 4]", self.loss),
                ),
                Some(_) => checks.require(
                    count == 1,
                    field,
                    layers.as_written(),
                    &format!("loss `{}` takes one layer; write it like 4", self.loss),
                ),
                None => {
                    checks.require(count >= 1, field, layers.as_written(), "must name at least one layer")
                }
            }
        }
        if let Some(projection) = &self.proj {
            projection.check(&mut checks);
        }
        checks.problems
    }
}

/// The feature a match compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchFeature {
    /// Hidden states, `[batch, length, hidden]`.
    Hidden,
    /// Whatever the adaptor gives as attention, unchanged (transformers gives probabilities).
    Attention,
    /// Attention scores before the softmax, which is what the attention losses were made for.
    AttentionScores,
    /// What each attention layer asks with, `[batch, length, hidden]`.
    Queries,
    /// What each attention layer is asked for, `[batch, length, hidden]`.
    Keys,
    /// What each attention layer passes on, `[batch, length, hidden]`.
    Values,
}

impl MatchFeature {
    /// Whether the feature is `[batch, length, hidden]`, one vector a token, so that a projection may map it.
    pub const fn is_per_token(self) -> bool {
        !matches!(self, Self::Attention | Self::AttentionScores)
    }
}

impl fmt::Display for MatchFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hidden => "hidden",
            Self::Attention => "attention",
            Self::AttentionScores => "attention_scores",
            Self::Queries => "queries",
            Self::Keys => "keys",
            Self::Values => "values",
        })
    }
}

/// One layer or several, as TextBrewer's files write them: `4` or `[4, 4]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LayerIndex {
    /// One layer.
    One(usize),
    /// Several, in this order.
    Many(Vec<usize>),
}

impl LayerIndex {
    /// The layers in order.
    ///
    /// ```
    /// assert_eq!(brew_config::LayerIndex::One(3).as_slice(), [3]);
    /// ```
    pub fn as_slice(&self) -> &[usize] {
        match self {
            Self::One(layer) => std::slice::from_ref(layer),
            Self::Many(layers) => layers,
        }
    }

    fn as_written(&self) -> String {
        match self {
            Self::One(layer) => layer.to_string(),
            Self::Many(layers) => format!("{layers:?}"),
        }
    }
}

/// Joined by dashes, as in TextBrewer's names of losses.
impl fmt::Display for LayerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, layer) in self.as_slice().iter().enumerate() {
            let dash = if position == 0 { "" } else { "-" };
            write!(f, "{dash}{layer}")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for LayerIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LayerVisitor;

        impl<'de> Visitor<'de> for LayerVisitor {
            type Value = LayerIndex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a layer (a whole number from 0) or a list of layers")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<LayerIndex, E> {
                usize::try_from(value)
                    .map(LayerIndex::One)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<LayerIndex, E> {
                usize::try_from(value)
                    .map(LayerIndex::One)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LayerIndex, A::Error> {
                let mut layers = Vec::new();
                while let Some(layer) = list.next_element()? {
                    layers.push(layer);
                }
                Ok(LayerIndex::Many(layers))
            }
        }

        deserializer.deserialize_any(LayerVisitor)
    }
}

fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_json_str;

    fn load(json: &str) -> IntermediateMatch {
        from_json_str(json).unwrap()
    }

    fn fields(single: &IntermediateMatch) -> Vec<String> {
        single.validate(&[]).into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn names_are_textbrewers() {
        let one = load(
            r#"{"layer_T": 3, "layer_S": 1, "feature": "attention", "loss": "attention_mse", "weight": 2}"#,
        );
        assert_eq!(one.name(), "attention_attention_mse_1_3");
        let two = load(
            r#"{"layer_T": [4, 5], "layer_S": [2, 3], "feature": "hidden", "loss": "nst", "weight": 1}"#,
        );
        assert_eq!(two.name(), "hidden_nst_2-3_4-5");
        assert_eq!((fields(&one), fields(&two)), (vec![], vec![]));
    }

    #[test]
    fn a_match_without_a_weight_has_weight_one() {
        let single = load(r#"{"layer_T": 2, "layer_S": 1, "feature": "hidden", "loss": "hidden_mse"}"#);
        assert_eq!(single, IntermediateMatch::hidden(2, 1, "hidden_mse"));
    }

    #[test]
    fn lists_of_layers_are_for_losses_of_two_layers() {
        let with = |loss: &str, layers: &str| {
            load(&format!(
                r#"{{"layer_T": {layers}, "layer_S": {layers}, "feature": "hidden", "loss": "{loss}", "weight": 1}}"#
            ))
        };
        for loss in TWO_LAYER_LOSSES {
            assert_eq!(fields(&with(loss, "[1, 2]")), Vec::<String>::new());
            for layers in ["1", "[1]", "[1, 2, 3]"] {
                assert_eq!(fields(&with(loss, layers)), ["layer_T", "layer_S"], "{loss} {layers}");
            }
        }
        for loss in ONE_LAYER_LOSSES {
            assert_eq!(fields(&with(loss, "1")), Vec::<String>::new());
            assert_eq!(fields(&with(loss, "[1, 2]")), ["layer_T", "layer_S"], "{loss}");
        }
        assert_eq!(fields(&with("my_loss", "[1, 2, 3]")), Vec::<String>::new());
        assert_eq!(fields(&with("my_loss", "[]")), ["layer_T", "layer_S"]);
    }

    #[test]
    fn a_negative_layer_is_an_error_and_not_a_number() {
        let error = from_json_str::<LayerIndex>("-1").unwrap_err().to_string();
        assert!(error.contains("-1") && error.contains("a whole number from 0"), "{error}");
    }

    #[test]
    fn bad_settings_of_a_projection_are_found() {
        let single = load(
            r#"{"layer_T": 0, "layer_S": 0, "feature": "hidden", "loss": "cos", "weight": -1,
                "proj": ["relu", 0, 32, {"lr": -1, "weight_decay": -1, "eps": 0, "betas": [2, 0.9]}]}"#,
        );
        assert_eq!(
            fields(&single),
            ["weight", "proj", "proj[3].lr", "proj[3].weight_decay", "proj[3].eps", "proj[3].betas[0]"]
        );
    }
}
