use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::problem::Checks;
use crate::training::check_betas;

/// The map from the student's width to the teacher's: a linear layer with bias, then this.
///
/// `linear`, `relu` and `tanh` are TextBrewer's `PROJ_MAP`; the others have the constants of PyTorch's
/// layers of these names. Activations with trained parameters (PReLU) or another width (GLU) are none of
/// them.
///
/// | values | shape |
/// |---|---|
/// | `linear` | nothing after the layer |
/// | `relu`, `leaky_relu`, `elu`, `selu`, `softplus` | without bound above |
/// | `gelu`, `gelu_tanh`, `silu`, `hard_swish`, `mish` | the same, with a dip below 0 |
/// | `tanh`, `softsign`, `sigmoid`, `hard_sigmoid` | bounded |
/// | `log_sigmoid` | bounded above by 0 |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionName {
    /// Nothing after the linear layer.
    Linear,
    /// max(x, 0).
    Relu,
    /// x, and 0.01·x below 0.
    LeakyRelu,
    /// tanh(x).
    Tanh,
    /// x·Φ(x), Φ the normal distribution function (<https://arxiv.org/abs/1606.08415>).
    Gelu,
    /// Its approximation ½x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
    GeluTanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// ln(sigmoid(x)).
    LogSigmoid,
    /// x/6 + ½, held in [0, 1].
    HardSigmoid,
    /// x·sigmoid(x), also called swish (<https://arxiv.org/abs/1710.05941>).
    Silu,
    /// x·hard_sigmoid(x) (<https://arxiv.org/abs/1905.02244>).
    HardSwish,
    /// ln(1 + eˣ).
    Softplus,
    /// x·tanh(softplus(x)) (<https://arxiv.org/abs/1908.08681>).
    Mish,
    /// x, and eˣ − 1 below 0 (<https://arxiv.org/abs/1511.07289>).
    Elu,
    /// 1.0507·x, and 1.7581·(eˣ − 1) below 0 (<https://arxiv.org/abs/1706.02515>).
    Selu,
    /// x / (1 + |x|).
    Softsign,
}

impl ProjectionName {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Linear,
        Self::Relu,
        Self::LeakyRelu,
        Self::Tanh,
        Self::Gelu,
        Self::GeluTanh,
        Self::Sigmoid,
        Self::LogSigmoid,
        Self::HardSigmoid,
        Self::Silu,
        Self::HardSwish,
        Self::Softplus,
        Self::Mish,
        Self::Elu,
        Self::Selu,
        Self::Softsign,
    ];

    /// The name as files write it.
    ///
    /// ```
    /// assert_eq!(brew_config::ProjectionName::HardSwish.as_str(), "hard_swish");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky_relu",
            Self::Tanh => "tanh",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Sigmoid => "sigmoid",
            Self::LogSigmoid => "log_sigmoid",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Silu => "silu",
            Self::HardSwish => "hard_swish",
            Self::Softplus => "softplus",
            Self::Mish => "mish",
            Self::Elu => "elu",
            Self::Selu => "selu",
            Self::Softsign => "softsign",
        }
    }
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A projection, written as TextBrewer's list: `["linear", 384, 768]` or `["linear", 384, 768, {"lr": 1e-3}]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectionConfig {
    /// Which map.
    pub name: ProjectionName,
    /// The student's width.
    pub in_features: usize,
    /// The teacher's width.
    pub out_features: usize,
    /// The optimizer's settings for this projection, where they differ from the run's.
    pub group: ProjectionGroup,
}

impl ProjectionConfig {
    /// A linear map trained with the run's settings.
    ///
    /// ```
    /// let projection = brew_config::ProjectionConfig::linear(384, 768);
    /// assert_eq!(serde_json::to_string(&projection)?, r#"["linear",384,768]"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn linear(in_features: usize, out_features: usize) -> Self {
        let group = ProjectionGroup::default();
        Self { name: ProjectionName::Linear, in_features, out_features, group }
    }

    pub(crate) fn check(&self, checks: &mut Checks) {
        let written = format!("[\"{}\", {}, {}]", self.name, self.in_features, self.out_features);
        checks.require(
            self.in_features >= 1 && self.out_features >= 1,
            "proj",
            &written,
            "both widths must be at least 1; write [name, student's hidden size, teacher's hidden size]",
        );
        self.group.check(checks, "proj[3]");
    }
}

/// Optimizer settings of one projection; what is absent is the run's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectionGroup {
    /// Learning rate, before the schedule's factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Decoupled weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Exponential decay of the first and the second moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub betas: Option<[f64; 2]>,
    /// Added to the denominator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
}

impl ProjectionGroup {
    /// The problems of these settings, which stand at `field`.
    pub(crate) fn check(&self, checks: &mut Checks, field: &str) {
        if let Some(lr) = self.lr {
            checks.finite_not_negative(&format!("{field}.lr"), lr, "leave it out to use the optimizer's");
        }
        if let Some(decay) = self.weight_decay {
            let field = format!("{field}.weight_decay");
            checks.finite_not_negative(&field, decay, "leave it out to use the optimizer's");
        }
        if let Some(eps) = self.eps {
            checks.finite_positive(&format!("{field}.eps"), eps, "leave it out to use the optimizer's");
        }
        if let Some(betas) = self.betas {
            check_betas(checks, &format!("{field}.betas"), betas);
        }
    }
}

impl Serialize for ProjectionConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_group = self.group != ProjectionGroup::default();
        let mut list = serializer.serialize_seq(Some(3 + usize::from(has_group)))?;
        list.serialize_element(&self.name)?;
        list.serialize_element(&self.in_features)?;
        list.serialize_element(&self.out_features)?;
        if has_group {
            list.serialize_element(&self.group)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for ProjectionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let projection = deserializer.deserialize_seq(ProjectionVisitor)?;
        projection.ok_or_else(|| de::Error::invalid_length(0, &ProjectionVisitor))
    }
}

/// `null` and, as in TextBrewer, an empty list are no projection.
pub(crate) fn projection_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ProjectionConfig>, D::Error> {
    deserializer.deserialize_any(ProjectionVisitor)
}

struct ProjectionVisitor;

impl<'de> Visitor<'de> for ProjectionVisitor {
    type Value = Option<ProjectionConfig>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a projection like [\"linear\", 384, 768] or [\"linear\", 384, 768, {\"lr\": 0.001}]")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let missing = |count| de::Error::invalid_length(count, &self);
        let Some(name) = list.next_element()? else { return Ok(None) };
        let in_features = list.next_element()?.ok_or_else(|| missing(1))?;
        let out_features = list.next_element()?.ok_or_else(|| missing(2))?;
        let group = list.next_element()?.unwrap_or_default();
        if list.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(missing(5));
        }
        Ok(Some(ProjectionConfig { name, in_features, out_features, group }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IntermediateMatch, from_json_str};

    #[test]
    fn projections_of_three_and_four_items() {
        let with = |proj: &str| {
            from_json_str::<IntermediateMatch>(&format!(
                r#"{{"layer_T": 0, "layer_S": 0, "feature": "hidden", "loss": "cos", "weight": 1, "proj": {proj}}}"#
            ))
            .unwrap()
            .proj
        };
        let plain = ProjectionConfig {
            name: ProjectionName::Linear,
            in_features: 16,
            out_features: 32,
            group: ProjectionGroup::default(),
        };
        assert_eq!(with("null"), None);
        assert_eq!(with("[]"), None, "as in TextBrewer");
        assert_eq!(with(r#"["linear", 16, 32]"#), Some(plain.clone()));
        assert_eq!(with(r#"["linear", 16, 32, {}]"#), Some(plain.clone()));
        let group = ProjectionGroup { lr: Some(1e-3), betas: Some([0.8, 0.9]), ..Default::default() };
        let own_rate = ProjectionConfig { name: ProjectionName::Tanh, group, ..plain.clone() };
        assert_eq!(with(r#"["tanh", 16, 32, {"lr": 1e-3, "betas": [0.8, 0.9]}]"#), Some(own_rate.clone()));
        for projection in [plain, own_rate] {
            let text = serde_json::to_string(&projection).unwrap();
            assert_eq!(serde_json::from_str::<ProjectionConfig>(&text).unwrap(), projection, "{text}");
        }
    }

    #[test]
    fn every_projection_is_read_and_written_by_its_name() {
        for (index, name) in ProjectionName::ALL.into_iter().enumerate() {
            let quoted = format!("\"{name}\"");
            assert_eq!(serde_json::from_str::<ProjectionName>(&quoted).unwrap(), name);
            assert_eq!(serde_json::to_string(&name).unwrap(), quoted);
            assert_eq!(name as usize, index, "`ALL` leaves none out");
        }
        assert_eq!(ProjectionName::ALL.last(), Some(&ProjectionName::Softsign), "the last variant");
    }

    #[test]
    fn malformed_projections_say_what_one_looks_like() {
        let error = |proj: &str| from_json_str::<ProjectionConfig>(proj).unwrap_err().to_string();
        assert!(error("[]").contains(r#"["linear", 384, 768]"#));
        assert!(error(r#"["linear", 16]"#).contains(r#"["linear", 384, 768]"#));
        assert!(error(r#"["linear", 16, 32, {}, 5]"#).contains(r#"["linear", 384, 768]"#));
        assert!(error(r#"["liner", 16, 32]"#).contains("did you mean `linear`?"));
        assert!(error(r#"["linear", 16, 32, {"rl": 1}]"#).contains("did you mean `lr`?"));
    }
}
