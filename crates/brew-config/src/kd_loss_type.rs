use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::problem::Checks;

/// The loss on the logits.
///
/// Written by its name, or as a list of name and parameters: `"js"`, `["js", 0.3]` or
/// `["js", {"beta": 0.3}]`. Parameters left out have their defaults.
///
/// | name | parameters | loss |
/// |---|---|---|
/// | `ce` | | cross-entropy with the teacher's softened probabilities |
/// | `mse` | | mean squared error of the logits divided by the temperature |
/// | `kl` | | Kullback-Leibler divergence: `ce` less the teacher's entropy |
/// | `reverse_kl` | | Kullback-Leibler divergence with student and teacher exchanged |
/// | `js` | `beta` = 0.5, between 0 and 1 | generalised Jensen-Shannon divergence |
/// | `skew_kl` | `alpha` = 0.1, between 0 and 1 | `kl` of the student mixed with `alpha` of the teacher |
/// | `skew_reverse_kl` | `alpha` = 0.1, between 0 and 1 | `reverse_kl` of the teacher mixed with `alpha` of the student |
/// | `dkd` | `alpha` = 1, `beta` = 8, both ≥ 0 | decoupled KD: `alpha` weights the true class, `beta` the others; needs labels |
/// | `bce` | | binary cross-entropy of each label, for multi-label classification |
///
/// ```
/// use brew_config::{DistillationConfig, KdLossType, from_json_str};
///
/// let config: DistillationConfig = from_json_str(r#"{"kd_loss_type": ["js", {"beta": 0.3}]}"#)?;
/// assert_eq!(config.kd_loss_type, KdLossType::Js { beta: 0.3 });
/// # Ok::<(), brew_config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum KdLossType {
    /// Cross-entropy with the teacher's softened probabilities.
    #[default]
    Ce,
    /// Mean squared error of the logits divided by the temperature.
    Mse,
    /// Kullback-Leibler divergence of the student from the teacher.
    Kl,
    /// Kullback-Leibler divergence of the teacher from the student.
    ReverseKl,
    /// Generalised Jensen-Shannon divergence (<https://arxiv.org/abs/2306.13649>).
    Js {
        /// Share of the teacher in the mixture.
        beta: f64,
    },
    /// Skewed Kullback-Leibler divergence (<https://arxiv.org/abs/2402.03898>).
    SkewKl {
        /// Share of the teacher in the mixture.
        alpha: f64,
    },
    /// Skewed reverse Kullback-Leibler divergence (<https://arxiv.org/abs/2402.03898>).
    SkewReverseKl {
        /// Share of the student in the mixture.
        alpha: f64,
    },
    /// Decoupled knowledge distillation (<https://arxiv.org/abs/2203.08679>).
    Dkd {
        /// Weight of the true class against the others.
        alpha: f64,
        /// Weight of the others among themselves.
        beta: f64,
    },
    /// Binary cross-entropy of each label.
    Bce,
}

const NAMES: &[&str] = &["ce", "mse", "kl", "reverse_kl", "js", "skew_kl", "skew_reverse_kl", "dkd", "bce"];

impl KdLossType {
    /// The name in files.
    ///
    /// ```
    /// assert_eq!(brew_config::KdLossType::SkewKl { alpha: 0.1 }.name(), "skew_kl");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ce => "ce",
            Self::Mse => "mse",
            Self::Kl => "kl",
            Self::ReverseKl => "reverse_kl",
            Self::Js { .. } => "js",
            Self::SkewKl { .. } => "skew_kl",
            Self::SkewReverseKl { .. } => "skew_reverse_kl",
            Self::Dkd { .. } => "dkd",
            Self::Bce => "bce",
        }
    }

    /// Whether it compares with the true labels.
    pub fn needs_labels(&self) -> bool {
        matches!(self, Self::Dkd { .. })
    }

    /// Every problem of these values, with paths relative to the struct that holds `kd_loss_type`.
    pub(crate) fn check(&self, checks: &mut Checks) {
        for (name, value) in self.parameters() {
            let field = format!("kd_loss_type[1].{name}");
            match self {
                Self::Dkd { .. } => checks.finite_not_negative(&field, value, "1 and 8 are the defaults"),
                _ => checks.require(
                    value > 0.0 && value < 1.0,
                    &field,
                    value,
                    "must be greater than 0 and less than 1; use `kl` or `reverse_kl` for the ends",
                ),
            }
        }
    }

    /// Names and values in the order in which they are written.
    fn parameters(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::Js { beta } => vec![("beta", beta)],
            Self::SkewKl { alpha } | Self::SkewReverseKl { alpha } => vec![("alpha", alpha)],
            Self::Dkd { alpha, beta } => vec![("alpha", alpha), ("beta", beta)],
            Self::Ce | Self::Mse | Self::Kl | Self::ReverseKl | Self::Bce => Vec::new(),
        }
    }

    /// The loss of that name with its defaults.
    fn named<E: de::Error>(name: &str) -> Result<Self, E> {
        Ok(match name {
            "ce" => Self::Ce,
            "mse" => Self::Mse,
            "kl" => Self::Kl,
            "reverse_kl" => Self::ReverseKl,
            "js" => Self::Js { beta: 0.5 },
            "skew_kl" => Self::SkewKl { alpha: 0.1 },
            "skew_reverse_kl" => Self::SkewReverseKl { alpha: 0.1 },
            "dkd" => Self::Dkd { alpha: 1.0, beta: 8.0 },
            "bce" => Self::Bce,
            _ => return Err(E::unknown_variant(name, NAMES)),
        })
    }

    fn set(&mut self, parameter: &str, value: f64) {
        match (self, parameter) {
            (Self::Js { beta } | Self::Dkd { beta, .. }, "beta") => *beta = value,
            (Self::SkewKl { alpha } | Self::SkewReverseKl { alpha } | Self::Dkd { alpha, .. }, "alpha") => {
                *alpha = value
            }
            _ => unreachable!("only a parameter that the loss has is set"),
        }
    }

    /// The names of its parameters.
    fn parameter_names(&self) -> &'static [&'static str] {
        match self {
            Self::Js { .. } => &["beta"],
            Self::SkewKl { .. } | Self::SkewReverseKl { .. } => &["alpha"],
            Self::Dkd { .. } => &["alpha", "beta"],
            Self::Ce | Self::Mse | Self::Kl | Self::ReverseKl | Self::Bce => &[],
        }
    }

    fn with_arguments<E: de::Error>(name: &str, arguments: Vec<Argument>) -> Result<Self, E> {
        let mut loss = Self::named(name)?;
        let parameters = loss.parameter_names();
        let mut numbers = 0;
        let count = arguments.len();
        for argument in arguments {
            match argument {
                Argument::Number(value) => {
                    let Some(parameter) = parameters.get(numbers) else {
                        return Err(E::custom(format!(
                            "kd_loss_type: {name:?} takes {} number(s), found more; write {}",
                            parameters.len(),
                            loss.as_written()
                        )));
                    };
                    loss.set(parameter, value);
                    numbers += 1;
                }
                Argument::Named(values) if count == 1 => {
                    for (key, value) in values {
                        if !parameters.contains(&key.as_str()) {
                            return Err(E::unknown_field(&key, parameters));
                        }
                        loss.set(&key, value);
                    }
                }
                Argument::Named(_) => {
                    return Err(E::custom(format!(
                        "kd_loss_type: give numbers or one table, not both; write {}",
                        loss.as_written()
                    )));
                }
            }
        }
        Ok(loss)
    }

    /// The way to write it with its parameters.
    fn as_written(&self) -> String {
        let parameters: Vec<String> =
            self.parameters().iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        match parameters.is_empty() {
            true => format!("{:?}", self.name()),
            false => format!("[{:?}, {{{}}}]", self.name(), parameters.join(", ")),
        }
    }
}

impl Serialize for KdLossType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Parameters(Vec<(&'static str, f64)>);

        impl Serialize for Parameters {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }

        let parameters = self.parameters();
        if parameters.is_empty() {
            return serializer.serialize_str(self.name());
        }
        let mut list = serializer.serialize_seq(Some(2))?;
        list.serialize_element(self.name())?;
        list.serialize_element(&Parameters(parameters))?;
        list.end()
    }
}

impl<'de> Deserialize<'de> for KdLossType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KdLossVisitor;

        impl<'de> Visitor<'de> for KdLossVisitor {
            type Value = KdLossType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a loss on the logits like \"ce\", \"js\" or [\"js\", {\"beta\": 0.3}]")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<KdLossType, E> {
                KdLossType::named(name)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<KdLossType, A::Error> {
                let name: String = list.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let mut arguments = Vec::new();
                while let Some(argument) = list.next_element()? {
                    arguments.push(argument);
                }
                KdLossType::with_arguments(&name, arguments)
            }
        }

        deserializer.deserialize_any(KdLossVisitor)
    }
}

/// A parameter by its place, or all by their names.
enum Argument {
    Number(f64),
    Named(Vec<(String, f64)>),
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArgumentVisitor;

        impl<'de> Visitor<'de> for ArgumentVisitor {
            type Value = Argument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a table of alpha and beta")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Argument, E> {
                Ok(Argument::Number(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Argument, E> {
                Ok(Argument::Number(value as f64))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Argument, E> {
                Ok(Argument::Number(value as f64))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Argument, A::Error> {
                let mut values = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    values.push(entry);
                }
                Ok(Argument::Named(values))
            }
        }

        deserializer.deserialize_any(ArgumentVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DistillationConfig, from_json_str, from_toml_str};

    fn load(json: &str) -> Result<KdLossType, String> {
        from_json_str::<DistillationConfig>(&format!(r#"{{"kd_loss_type": {json}}}"#))
            .map(|config| config.kd_loss_type)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_loss_by_its_bare_name_has_defaults() {
        let defaults = [
            ("ce", KdLossType::Ce),
            ("mse", KdLossType::Mse),
            ("kl", KdLossType::Kl),
            ("reverse_kl", KdLossType::ReverseKl),
            ("js", KdLossType::Js { beta: 0.5 }),
            ("skew_kl", KdLossType::SkewKl { alpha: 0.1 }),
            ("skew_reverse_kl", KdLossType::SkewReverseKl { alpha: 0.1 }),
            ("dkd", KdLossType::Dkd { alpha: 1.0, beta: 8.0 }),
            ("bce", KdLossType::Bce),
        ];
        assert_eq!(defaults.map(|(name, _)| name), NAMES);
        for (name, loss) in defaults {
            assert_eq!(load(&format!("{name:?}")), Ok(loss));
            assert_eq!(load(&format!("[{name:?}]")), Ok(loss));
            assert_eq!(load(&format!("[{name:?}, {{}}]")), Ok(loss));
            assert_eq!(loss.name(), name);
            assert_eq!(DistillationConfig { kd_loss_type: loss, ..Default::default() }.validate(&[]), []);
        }
    }

    #[test]
    fn parameters_by_place_and_by_name() {
        assert_eq!(load(r#"["js", 0.3]"#), Ok(KdLossType::Js { beta: 0.3 }));
        assert_eq!(load(r#"["js", {"beta": 0.3}]"#), Ok(KdLossType::Js { beta: 0.3 }));
        assert_eq!(load(r#"["skew_kl", 0.2]"#), Ok(KdLossType::SkewKl { alpha: 0.2 }));
        assert_eq!(
            load(r#"["skew_reverse_kl", {"alpha": 0.2}]"#),
            Ok(KdLossType::SkewReverseKl { alpha: 0.2 })
        );
        assert_eq!(load(r#"["dkd", 2, 0.5]"#), Ok(KdLossType::Dkd { alpha: 2.0, beta: 0.5 }));
        assert_eq!(load(r#"["dkd", {"beta": 2}]"#), Ok(KdLossType::Dkd { alpha: 1.0, beta: 2.0 }));
        let toml: DistillationConfig =
            from_toml_str("kd_loss_type = [\"dkd\", { alpha = 2, beta = 0.5 }]").unwrap();
        assert_eq!(toml.kd_loss_type, KdLossType::Dkd { alpha: 2.0, beta: 0.5 });
    }

    #[test]
    fn a_wrong_loss_is_an_error_that_says_how_to_write_it() {
        assert!(load(r#""reverse_lk""#).unwrap_err().contains("did you mean `reverse_kl`?"));
        assert!(load(r#"["js", {"bta": 0.3}]"#).unwrap_err().contains("did you mean `beta`?"));
        assert!(load(r#"["js", {"alpha": 0.3}]"#).unwrap_err().contains("alpha"));
        let error = load(r#"["kl", 0.3]"#).unwrap_err();
        assert!(error.contains(r#""kl" takes 0 number(s), found more; write "kl""#), "{error}");
        let error = load(r#"["js", 0.3, 0.4]"#).unwrap_err();
        assert!(error.contains(r#"write ["js", {"beta": 0.3}]"#), "{error}");
        let error = load(r#"["dkd", 1, {"beta": 0.3}]"#).unwrap_err();
        assert!(error.contains("numbers or one table, not both"), "{error}");
        assert!(load("[]").unwrap_err().contains("a loss on the logits like"));
        assert!(load("3").unwrap_err().contains("a loss on the logits like"));
        assert!(load(r#"["js", "half"]"#).unwrap_err().contains("a number, or a table"));
    }

    #[test]
    fn parameters_out_of_range_are_found() {
        let fields = |kd_loss_type: KdLossType| -> Vec<String> {
            let config = DistillationConfig { kd_loss_type, ..Default::default() };
            config.validate(&[]).into_iter().map(|problem| problem.field).collect()
        };
        for end in [0.0, 1.0, -0.1, f64::NAN] {
            assert_eq!(fields(KdLossType::Js { beta: end }), ["kd_loss_type[1].beta"]);
            assert_eq!(fields(KdLossType::SkewKl { alpha: end }), ["kd_loss_type[1].alpha"]);
            assert_eq!(fields(KdLossType::SkewReverseKl { alpha: end }), ["kd_loss_type[1].alpha"]);
        }
        assert_eq!(
            fields(KdLossType::Dkd { alpha: -1.0, beta: f64::INFINITY }),
            ["kd_loss_type[1].alpha", "kd_loss_type[1].beta"]
        );
        assert_eq!(fields(KdLossType::Dkd { alpha: 0.0, beta: 0.0 }), Vec::<String>::new());
    }

    #[test]
    fn losses_come_back_as_they_went() {
        for name in NAMES {
            let loss = load(&format!("{name:?}")).unwrap();
            let json = serde_json::to_string(&loss).unwrap();
            assert_eq!(serde_json::from_str::<KdLossType>(&json).unwrap(), loss, "{json}");
            let config = DistillationConfig { kd_loss_type: loss, ..Default::default() };
            let toml = toml::to_string(&config).unwrap();
            assert_eq!(from_toml_str::<DistillationConfig>(&toml).unwrap(), config, "{toml}");
        }
    }
}
