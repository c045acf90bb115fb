use std::f64::consts::PI;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::problem::Checks;

/// Shape of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleName {
    /// The configured rate.
    #[default]
    Constant,
    /// Falls linearly to 0 at the last step.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
}

/// The learning-rate schedule: a warm-up from 0, then a shape.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `name` | `constant` | shape after the warm-up | `constant`, `linear`, `cosine` |
/// | `warmup_steps` | none | optimizer steps of warm-up | |
/// | `warmup_ratio` | 0 | share of all steps, used where `warmup_steps` is absent; rounded down | [0, 1] |
/// | `total_steps` | the run's | optimizer steps until the rate is 0 | |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Shape after the warm-up.
    pub name: ScheduleName,
    /// Optimizer steps of warm-up; replaces `warmup_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<usize>,
    /// Warm-up as a share of all optimizer steps, rounded down.
    pub warmup_ratio: f64,
    /// Optimizer steps that the schedule spans, where they differ from the run's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_steps: Option<usize>,
}

impl ScheduleConfig {
    /// Optimizer steps of warm-up in a schedule of `total`.
    pub fn warmup(&self, total: usize) -> usize {
        self.warmup_steps.unwrap_or((self.warmup_ratio * total as f64).floor() as usize)
    }

    /// What the learning rate is multiplied by in optimizer step `step` (from 0) of `total`.
    ///
    /// With a warm-up of `w` steps it is `k/w` while `k < w` (so the first step has rate 0), and then
    /// 1, `(n−k)/(n−w)` or `½(1 + cos(π(k−w)/(n−w)))`, never below 0: the schedules of
    /// `transformers.get_{constant,linear,cosine}_schedule_with_warmup`.
    ///
    /// ```
    /// use brew_config::{ScheduleConfig, ScheduleName};
    ///
    /// let schedule = ScheduleConfig { name: ScheduleName::Linear, warmup_steps: Some(2), ..Default::default() };
    /// let factors: Vec<f64> = (0..6).map(|step| schedule.factor(step, 6)).collect();
    /// assert_eq!(factors, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
    /// ```
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        let total = self.total_steps.unwrap_or(total);
        let warmup = self.warmup(total);
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let decay_steps = total.saturating_sub(warmup).max(1) as f64;
        let progress = (step - warmup) as f64 / decay_steps;
        match self.name {
            ScheduleName::Constant => 1.0,
            ScheduleName::Linear => (total.saturating_sub(step) as f64 / decay_steps).max(0.0),
            ScheduleName::Cosine if progress >= 1.0 => 0.0,
            ScheduleName::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
        }
    }

    /// Every problem of these values, with paths relative to this struct.
    pub fn validate(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.require(
            (0.0..=1.0).contains(&self.warmup_ratio),
            "warmup_ratio",
            self.warmup_ratio,
            "must be in [0, 1]; it is a share of all optimizer steps, for a number of steps use `warmup_steps`",
        );
        checks.problems
    }
}

/// How a loss's weight changes over training (TextBrewer's `WEIGHT_SCHEDULER`).
///
/// | value | weight, of the share of steps that are done |
/// |---|---|
/// | `none` | the configured one |
/// | `linear_decay` | 1 less the share |
/// | `linear_growth` | the share |
///
/// The first step has the configured weight in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightScheduler {
    /// The configured weight throughout.
    #[default]
    None,
    /// `1 − progress`.
    LinearDecay,
    /// `progress`.
    LinearGrowth,
}

impl WeightScheduler {
    /// The weight that *replaces* the configured one at `progress` (optimizer steps done over all, in
    /// [0, 1]), or `None` to keep the configured one.
    ///
    /// TextBrewer asks after each optimizer step, so the weight of the first is the configured one.
    ///
    /// ```
    /// use brew_config::WeightScheduler;
    ///
    /// assert_eq!(WeightScheduler::LinearDecay.weight(0.25), Some(0.75));
    /// assert_eq!(WeightScheduler::None.weight(0.25), None);
    /// ```
    pub fn weight(self, progress: f64) -> Option<f64> {
        match self {
            Self::None => None,
            Self::LinearDecay => Some(1.0 - progress),
            Self::LinearGrowth => Some(progress),
        }
    }
}

/// How the temperature follows the logits (TextBrewer's `TEMPERATURE_SCHEDULER`).
///
/// Written as TextBrewer does: `"none"`, `"constant"`, `["flsw", beta, gamma]`, `["cwsm", beta]` or
/// `["flsw", {"beta": 1, "gamma": 2}]`. A bare `"flsw"` or `"cwsm"` has beta 1 and gamma 1.
/// Source: <https://arxiv.org/abs/1911.07471>.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum TemperatureScheduler {
    /// The configured temperature.
    #[default]
    None,
    /// The configured temperature, too.
    Constant,
    /// Higher where student and teacher agree ("focal-loss-style weights").
    Flsw {
        /// Strength.
        beta: f64,
        /// Exponent of the disagreement, > 0.
        gamma: f64,
    },
    /// Higher where the student is confident ("confidence-weighted by the student's maximum").
    Cwsm {
        /// Strength.
        beta: f64,
    },
}

const TEMPERATURE_SCHEDULERS: &[&str] = &["none", "constant", "flsw", "cwsm"];

impl TemperatureScheduler {
    /// Every problem of these values, with paths relative to the field that holds it.
    pub(crate) fn check(&self, checks: &mut Checks) {
        let (beta, gamma) = match *self {
            Self::None | Self::Constant => return,
            Self::Flsw { beta, gamma } => (beta, Some(gamma)),
            Self::Cwsm { beta } => (beta, None),
        };
        checks.require(
            beta.is_finite(),
            "temperature_scheduler[1]",
            beta,
            "beta must be a finite number; try 1",
        );
        if let Some(gamma) = gamma {
            checks.finite_positive("temperature_scheduler[2]", gamma, "gamma is an exponent, try 1");
        }
    }

    fn build<E: de::Error>(name: &str, numbers: &[f64]) -> Result<Self, E> {
        let most = match name {
            "none" | "constant" => 0,
            "cwsm" => 1,
            "flsw" => 2,
            _ => return Err(E::unknown_variant(name, TEMPERATURE_SCHEDULERS)),
        };
        if !numbers.is_empty() && numbers.len() != most {
            return Err(E::custom(format!(
                "temperature_scheduler: {name:?} takes {most} number(s), found {}; write {}",
                numbers.len(),
                match name {
                    "flsw" => "[\"flsw\", beta, gamma]",
                    "cwsm" => "[\"cwsm\", beta]",
                    _ => "the bare name",
                }
            )));
        }
        let number = |index: usize| numbers.get(index).copied().unwrap_or(1.0);
        Ok(match name {
            "none" => Self::None,
            "constant" => Self::Constant,
            "flsw" => Self::Flsw { beta: number(0), gamma: number(1) },
            _ => Self::Cwsm { beta: number(0) },
        })
    }
}

impl Serialize for TemperatureScheduler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, numbers) = match *self {
            Self::None => return serializer.serialize_str("none"),
            Self::Constant => return serializer.serialize_str("constant"),
            Self::Flsw { beta, gamma } => ("flsw", vec![beta, gamma]),
            Self::Cwsm { beta } => ("cwsm", vec![beta]),
        };
        let mut list = serializer.serialize_seq(Some(1 + numbers.len()))?;
        list.serialize_element(name)?;
        numbers.iter().try_for_each(|number| list.serialize_element(number))?;
        list.end()
    }
}

impl<'de> Deserialize<'de> for TemperatureScheduler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SchedulerVisitor)
    }
}

struct SchedulerVisitor;

impl<'de> Visitor<'de> for SchedulerVisitor {
    type Value = TemperatureScheduler;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a temperature scheduler: \"none\", \"constant\", [\"flsw\", beta, gamma] or [\"cwsm\", beta]",
        )
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(TemperatureScheduler::None)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        TemperatureScheduler::build(name, &[])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let name: String = list.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let mut numbers = Vec::new();
        while let Some(argument) = list.next_element::<Argument>()? {
            match argument {
                Argument::Number(number) => numbers.push(number),
                Argument::Named { beta, gamma } if numbers.is_empty() => {
                    numbers.extend(beta);
                    numbers.extend(gamma);
                }
                Argument::Named { .. } => {
                    return Err(de::Error::custom(
                        "temperature_scheduler: give numbers or one {\"beta\": ..} table, not both",
                    ));
                }
            }
        }
        TemperatureScheduler::build(&name, &numbers)
    }
}

enum Argument {
    Number(f64),
    Named { beta: Option<f64>, gamma: Option<f64> },
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArgumentVisitor;

        impl<'de> Visitor<'de> for ArgumentVisitor {
            type Value = Argument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a table of beta and gamma")
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
                let (mut beta, mut gamma) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "beta" => beta = Some(map.next_value()?),
                        "gamma" => gamma = Some(map.next_value()?),
                        other => return Err(de::Error::unknown_field(other, &["beta", "gamma"])),
                    }
                }
                if beta.is_none() && gamma.is_some() {
                    return Err(de::Error::missing_field("beta"));
                }
                Ok(Argument::Named { beta, gamma })
            }
        }

        deserializer.deserialize_any(ArgumentVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DistillationConfig, from_json_str, from_toml_str};

    fn factors(schedule: &ScheduleConfig, total: usize) -> Vec<f64> {
        (0..total).map(|step| schedule.factor(step, total)).collect()
    }

    #[test]
    fn shapes_after_a_warm_up() {
        let schedule =
            |name| ScheduleConfig { name, warmup_steps: Some(2), warmup_ratio: 0.9, total_steps: None };
        assert_eq!(factors(&schedule(ScheduleName::Constant), 4), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(factors(&schedule(ScheduleName::Linear), 6), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
        let cosine = factors(&schedule(ScheduleName::Cosine), 6);
        let expected = [0.0, 0.5, 1.0, 0.5 + 0.125f64.sqrt(), 0.5, 0.5 - 0.125f64.sqrt()];
        for (found, wanted) in cosine.iter().zip(expected) {
            assert!((found - wanted).abs() < 1e-12, "{cosine:?}");
        }
    }

    #[test]
    fn a_ratio_of_the_steps_is_rounded_down() {
        let schedule = ScheduleConfig { warmup_ratio: 0.1, ..Default::default() };
        assert_eq!(schedule.warmup(29), 2);
        assert_eq!(schedule.warmup(5), 0);
        assert_eq!(schedule.factor(0, 5), 1.0);
    }

    #[test]
    fn no_factor_is_negative_or_undefined_beyond_the_end() {
        for name in [ScheduleName::Linear, ScheduleName::Cosine] {
            let schedule = ScheduleConfig { name, warmup_steps: Some(4), ..Default::default() };
            assert_eq!(schedule.factor(9, 8), 0.0);
            assert!((0.0..=1.0).contains(&schedule.factor(4, 4)), "all warm-up");
            assert_eq!(schedule.factor(0, 0), 0.0);
        }
    }

    #[test]
    fn a_schedule_may_span_more_steps_than_the_run() {
        let schedule =
            ScheduleConfig { name: ScheduleName::Linear, total_steps: Some(8), ..Default::default() };
        assert_eq!(factors(&schedule, 4), [1.0, 0.875, 0.75, 0.625]);
    }

    #[test]
    fn growing_and_decaying_weights_replace_the_configured_one() {
        assert_eq!(WeightScheduler::LinearGrowth.weight(0.25), Some(0.25));
        assert_eq!(WeightScheduler::LinearDecay.weight(1.0), Some(0.0));
        assert_eq!(WeightScheduler::None.weight(0.5), None);
    }

    fn scheduler(json: &str) -> TemperatureScheduler {
        let text = format!(r#"{{"temperature_scheduler": {json}}}"#);
        from_json_str::<DistillationConfig>(&text).unwrap().temperature_scheduler
    }

    #[test]
    fn every_way_to_write_a_temperature_scheduler() {
        assert_eq!(scheduler(r#""none""#), TemperatureScheduler::None);
        assert_eq!(scheduler("null"), TemperatureScheduler::None);
        assert_eq!(scheduler(r#""constant""#), TemperatureScheduler::Constant);
        assert_eq!(scheduler(r#"["flsw", 1, 2]"#), TemperatureScheduler::Flsw { beta: 1.0, gamma: 2.0 });
        assert_eq!(
            scheduler(r#"["flsw", {"beta": 0.5, "gamma": 3}]"#),
            TemperatureScheduler::Flsw { beta: 0.5, gamma: 3.0 }
        );
        assert_eq!(scheduler(r#"["cwsm", 1.5]"#), TemperatureScheduler::Cwsm { beta: 1.5 });
        let toml: DistillationConfig = from_toml_str("temperature_scheduler = [\"flsw\", 1, 2.0]").unwrap();
        assert_eq!(toml.temperature_scheduler, TemperatureScheduler::Flsw { beta: 1.0, gamma: 2.0 });
    }

    #[test]
    fn flsw_by_its_bare_name_has_defaults() {
        assert_eq!(scheduler(r#""flsw""#), TemperatureScheduler::Flsw { beta: 1.0, gamma: 1.0 });
        assert_eq!(scheduler(r#""cwsm""#), TemperatureScheduler::Cwsm { beta: 1.0 });
    }

    #[test]
    fn a_wrong_temperature_scheduler_is_an_error_that_says_how_to_write_it() {
        let error = |json: &str| {
            from_json_str::<DistillationConfig>(&format!(r#"{{"temperature_scheduler": {json}}}"#))
                .unwrap_err()
                .to_string()
        };
        assert!(error(r#"["flws", 1, 2]"#).contains("did you mean `flsw`?"));
        assert!(error(r#"["flsw", 1]"#).contains(r#"write ["flsw", beta, gamma]"#));
        assert!(error(r#"["cwsm", {"beta": 1, "gamma": 1}]"#).contains("takes 1 number"));
        assert!(error(r#"["flsw", {"bta": 1}]"#).contains("did you mean `beta`?"));
        assert!(error("3").contains("a temperature scheduler"));
    }

    #[test]
    fn temperature_schedulers_come_back_as_they_went() {
        for scheduler in [
            TemperatureScheduler::None,
            TemperatureScheduler::Constant,
            TemperatureScheduler::Flsw { beta: 1.0, gamma: 2.5 },
            TemperatureScheduler::Cwsm { beta: 0.5 },
        ] {
            let text = serde_json::to_string(&scheduler).unwrap();
            assert_eq!(serde_json::from_str::<TemperatureScheduler>(&text).unwrap(), scheduler, "{text}");
        }
    }
}
