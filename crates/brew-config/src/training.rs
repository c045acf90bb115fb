use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::problem::Checks;
use crate::{Problem, ScheduleConfig};

/// How a model is trained, whatever it learns from: length, optimizer, checkpoints, logging.
///
/// TextBrewer's `TrainingConfig` files load as they are; what TextBrewer passes to `train()` (epochs,
/// clipping, optimizer, schedule) is here too.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `gradient_accumulation_steps` | 1 | micro-batches summed into one optimizer step | ≥ 1 |
/// | `ckpt_frequency` | 1 | checkpoints an epoch | ≥ 1 |
/// | `ckpt_epoch_frequency` | 1 | epochs between epochs with checkpoints | ≥ 1 |
/// | `ckpt_steps` | none | optimizer steps between checkpoints; replaces the two above | ≥ 1 |
/// | `keep_checkpoints` | 1 | how many of the last checkpoints are kept, besides the best | ≥ 1 |
/// | `log_dir` | `tensorboard` in `output_dir` | folder of the curves for TensorBoard | |
/// | `tensorboard` | true | whether `textbrew` writes curves for TensorBoard | |
/// | `output_dir` | `./saved_models` | folder of checkpoints and of the trained model | |
/// | `num_epochs` | 1 | passes over the data | ≥ 1 |
/// | `num_steps` | none | optimizer steps in all; replaces `num_epochs` | ≥ 1 |
/// | `max_grad_norm` | -1 | bound on the global norm of the student's gradients | > 0, or -1: no clipping |
/// | `optimizer` | AdamW | see [`OptimizerConfig`] | |
/// | `schedule` | constant | see [`ScheduleConfig`] | |
/// | `seed` | 0 | the run's seed | |
/// | `log_every` | 10 | optimizer steps between log lines | ≥ 1 |
/// | `on_not_finite` | `stop` | what follows a step whose gradient is no finite number: see [`NotFiniteAction`] | |
/// | `matmul_precision` | `f32` | what the products of linear layers are computed in: see [`MatmulPrecision`] | |
/// | `device`, `fp16`, `fp16_opt_level`, `data_parallel`, `local_rank` | none | read from TextBrewer's files, no effect: see [`ignored_fields`](Self::ignored_fields) | |
///
/// ```
/// let config = brew_config::TrainingConfig { num_epochs: 0, ..Default::default() };
/// let problems = config.validate();
/// assert_eq!(problems.len(), 1);
/// assert_eq!(problems[0].field, "num_epochs");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Micro-batches whose gradients are summed into one optimizer step.
    pub gradient_accumulation_steps: usize,
    /// Checkpoints an epoch.
    pub ckpt_frequency: usize,
    /// Checkpoints are written in every so many-th epoch.
    pub ckpt_epoch_frequency: usize,
    /// A checkpoint every so many optimizer steps, in place of the two frequencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ckpt_steps: Option<usize>,
    /// How many of the last checkpoints are kept, besides the best.
    pub keep_checkpoints: usize,
    /// Folder of the curves for TensorBoard; `tensorboard` in the run's folder where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_dir: Option<PathBuf>,
    /// Whether `textbrew` writes curves for TensorBoard.
    pub tensorboard: bool,
    /// Folder of checkpoints and of the trained model.
    pub output_dir: PathBuf,
    /// Passes over the data.
    pub num_epochs: usize,
    /// Optimizer steps in all, in place of `num_epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_steps: Option<usize>,
    /// Bound on the global norm of the student's gradients (projections not included); -1 for none.
    pub max_grad_norm: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning-rate schedule.
    pub schedule: ScheduleConfig,
    /// The run's seed: everything random is a function of it.
    pub seed: u64,
    /// Optimizer steps between log lines.
    pub log_every: usize,
    /// What follows a step whose gradient is no finite number.
    pub on_not_finite: NotFiniteAction,
    /// What the products of linear layers are computed in.
    #[serde(skip_serializing_if = "MatmulPrecision::is_default")]
    pub matmul_precision: MatmulPrecision,
    /// TextBrewer's device; no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// TextBrewer's mixed precision; no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fp16: Option<bool>,
    /// TextBrewer's Apex level; no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fp16_opt_level: Option<String>,
    /// TextBrewer's `DataParallel`; no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_parallel: Option<bool>,
    /// TextBrewer's rank in distributed training; no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_rank: Option<i64>,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            gradient_accumulation_steps: 1,
            ckpt_frequency: 1,
            ckpt_epoch_frequency: 1,
            ckpt_steps: None,
            keep_checkpoints: 1,
            log_dir: None,
            tensorboard: true,
            output_dir: PathBuf::from("./saved_models"),
            num_epochs: 1,
            num_steps: None,
            max_grad_norm: -1.0,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            seed: 0,
            log_every: 10,
            on_not_finite: NotFiniteAction::default(),
            matmul_precision: MatmulPrecision::default(),
            device: None,
            fp16: None,
            fp16_opt_level: None,
            data_parallel: None,
            local_rank: None,
        }
    }
}

/// More than any run writes. The loop counts them beforehand.
const MOST_CHECKPOINTS: usize = 10_000_000;
/// More than any run makes.
const MOST_STEPS: usize = 1_000_000_000_000;

impl TrainingConfig {
    /// Every problem of these values; empty means that they can be run.
    pub fn validate(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.at_least_one(
            "gradient_accumulation_steps",
            self.gradient_accumulation_steps,
            "use 1 to step after every batch",
        );
        checks.at_least_one(
            "ckpt_frequency",
            self.ckpt_frequency,
            "use 1 for a checkpoint at each epoch's end",
        );
        checks.at_least_one("ckpt_epoch_frequency", self.ckpt_epoch_frequency, "use 1 for every epoch");
        if let Some(steps) = self.ckpt_steps {
            checks.at_least_one("ckpt_steps", steps, "leave it out to save by epoch");
        }
        checks.at_least_one("keep_checkpoints", self.keep_checkpoints, "use 1 for the last alone");
        match self.num_steps {
            Some(steps) => checks.at_least_one("num_steps", steps, "leave it out to train for `num_epochs`"),
            None => checks.at_least_one("num_epochs", self.num_epochs, "or give `num_steps`"),
        }
        let checkpoints = self.num_epochs.saturating_mul(self.ckpt_frequency);
        checks.require(
            self.num_steps.is_some() || checkpoints <= MOST_CHECKPOINTS,
            "num_epochs",
            self.num_epochs,
            &format!(
                "makes more than {MOST_CHECKPOINTS} checkpoints, {} an epoch; train for fewer epochs",
                self.ckpt_frequency
            ),
        );
        if let Some(steps) = self.num_steps {
            checks.require(
                steps <= MOST_STEPS,
                "num_steps",
                steps,
                &format!("must be at most {MOST_STEPS}; no run ends after more"),
            );
        }
        checks.require(
            self.max_grad_norm == -1.0 || (self.max_grad_norm.is_finite() && self.max_grad_norm > 0.0),
            "max_grad_norm",
            self.max_grad_norm,
            "must be a finite number greater than 0, or -1 for no clipping",
        );
        checks.at_least_one("log_every", self.log_every, "use 1 to log every step");
        checks.nested("optimizer", self.optimizer.validate());
        checks.nested("schedule", self.schedule.validate());
        if let (Some(warmup), Some(steps)) = (self.schedule.warmup_steps, self.num_steps) {
            checks.require(
                warmup <= steps,
                "schedule.warmup_steps",
                warmup,
                &format!(
                    "must be at most `num_steps`, which is {steps}; shorten the warm-up or train longer"
                ),
            );
        }
        checks.problems
    }

    /// What these values ask of PyTorch that has no effect here, so that a caller can say so.
    ///
    /// Values that ask for nothing are left out: `fp16 = false`, `data_parallel = false`, `local_rank = -1`,
    /// and an `fp16_opt_level` without `fp16`, which TextBrewer does not follow either.
    ///
    /// ```
    /// use brew_config::{TrainingConfig, from_json_str};
    ///
    /// let config: TrainingConfig = from_json_str(r#"{"device": "cuda", "fp16": false}"#)?;
    /// let ignored = config.ignored_fields();
    /// assert_eq!(ignored.len(), 1);
    /// assert!(ignored[0].to_string().starts_with(r#"device = "cuda" has no effect: choose the backend"#));
    /// # Ok::<(), brew_config::ConfigError>(())
    /// ```
    pub fn ignored_fields(&self) -> Vec<IgnoredField> {
        let mut ignored = Vec::new();
        let mut ignore = |field, value: String, advice| ignored.push(IgnoredField { field, value, advice });
        if let Some(device) = &self.device {
            ignore("device", format!("{device:?}"), "choose the backend instead (`textbrew --backend`)");
        }
        if self.fp16 == Some(true) {
            ignore(
                "fp16",
                "true".into(),
                "training is in single precision, or with `matmul_precision = \"bf16\"`; leave it out",
            );
            if let Some(level) = &self.fp16_opt_level {
                ignore("fp16_opt_level", format!("{level:?}"), "it belongs to `fp16`; leave it out");
            }
        }
        if self.data_parallel == Some(true) {
            ignore(
                "data_parallel",
                "true".into(),
                "a run trains on one device; for the larger batch use `gradient_accumulation_steps`",
            );
        }
        if let Some(rank) = self.local_rank.filter(|&rank| rank >= 0) {
            ignore(
                "local_rank",
                rank.to_string(),
                "a run is one process; start one, and for the larger batch use `gradient_accumulation_steps`",
            );
        }
        ignored
    }
}

/// A setting of TextBrewer's that is read and not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredField {
    /// Its name in [`TrainingConfig`].
    pub field: &'static str,
    /// What it holds, as JSON.
    pub value: String,
    /// What to use instead.
    pub advice: &'static str,
}

impl fmt::Display for IgnoredField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} has no effect: {}", self.field, self.value, self.advice)
    }
}

/// What follows an optimizer step whose gradient has a NaN or an infinity in it. The parameters are never moved
/// by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotFiniteAction {
    /// The run ends with an error; its last checkpoint stays.
    #[default]
    Stop,
    /// The step is left out; ten such steps in a row end the run.
    Skip,
    /// The step is left out and every later learning rate is halved; ten such steps in a row end the run.
    Lower,
}

impl NotFiniteAction {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
            Self::Lower => "lower",
        }
    }
}

/// What the products of linear layers are computed in while a model is trained: those of the student, forward and
/// backward, and of its teachers. Weights, gradients, moments, norms, attention and losses are float32 in any case,
/// and so is every evaluation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatmulPrecision {
    /// Single precision.
    #[default]
    F32,
    /// Both factors and the product rounded to bfloat16, which has 8 bits of precision, and summed in float32. On the
    /// flex backend, with a processor that multiplies bfloat16 numbers itself (`avx512_bf16`).
    Bf16,
}

impl MatmulPrecision {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Left out where it is written: what a run was is compared with runs from before there was a choice.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which optimizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay, as `torch.optim.AdamW`
    /// (Loshchilov and Hutter, <https://arxiv.org/abs/1711.05101>).
    #[default]
    AdamW,
}

/// The optimizer and its settings.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `name` | `adamw` | which one | `adamw` |
/// | `lr` | 1e-4 | learning rate before the schedule's factor | ≥ 0 |
/// | `betas` | [0.9, 0.999] | decay of the first and second moment | [0, 1) |
/// | `eps` | 1e-8 | added to the denominator | > 0 |
/// | `weight_decay` | 0.01 | decoupled decay | ≥ 0 |
/// | `no_decay_bias_norm` | false | leave biases and normalisation out of the decay | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Which optimizer.
    pub name: OptimizerName,
    /// Learning rate, before the schedule's factor.
    pub lr: f64,
    /// Exponential decay of the first and the second moment.
    pub betas: [f64; 2],
    /// Added to the denominator for stability.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// `false` decays every parameter, as `torch.optim.AdamW` over one group does; `true` leaves biases
    /// and the parameters of normalisation layers out.
    pub no_decay_bias_norm: bool,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            name: OptimizerName::AdamW,
            lr: 1e-4,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.01,
            no_decay_bias_norm: false,
        }
    }
}

impl OptimizerConfig {
    /// Every problem of these values, with paths relative to this struct.
    pub fn validate(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.finite_not_negative("lr", self.lr, "try 1e-4");
        check_betas(&mut checks, "betas", self.betas);
        checks.finite_positive("eps", self.eps, "the usual value is 1e-8");
        checks.finite_not_negative("weight_decay", self.weight_decay, "use 0 for no decay");
        checks.problems
    }
}

pub(crate) fn check_betas(checks: &mut Checks, field: &str, betas: [f64; 2]) {
    for (index, beta) in betas.into_iter().enumerate() {
        checks.require(
            (0.0..1.0).contains(&beta),
            &format!("{field}[{index}]"),
            beta,
            "must be in [0, 1); the usual values are [0.9, 0.999]",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_json_str;

    #[test]
    fn textbrewers_dictionary_loads_as_it_is() {
        let config: TrainingConfig = from_json_str(
            r#"{"gradient_accumulation_steps": 2, "ckpt_frequency": 1, "ckpt_epoch_frequency": 3, "ckpt_steps": null,
                "log_dir": null, "output_dir": "./out", "device": "cuda", "fp16": false, "fp16_opt_level": "O1",
                "data_parallel": false, "local_rank": -1}"#,
        )
        .unwrap();
        assert_eq!((config.gradient_accumulation_steps, config.ckpt_epoch_frequency), (2, 3));
        assert_eq!(config.output_dir, PathBuf::from("./out"));
        let ignored: Vec<&str> = config.ignored_fields().iter().map(|one| one.field).collect();
        assert_eq!(ignored, ["device"], "the others ask for nothing");
        assert_eq!(config.validate(), []);
    }

    #[test]
    fn products_in_single_precision_are_not_written_down() {
        let config: TrainingConfig = from_json_str(r#"{"matmul_precision": "bf16"}"#).unwrap();
        assert_eq!(config.matmul_precision, MatmulPrecision::Bf16);
        let written = |config: &TrainingConfig| serde_json::to_value(config).unwrap();
        assert_eq!(written(&config)["matmul_precision"], config.matmul_precision.name());
        // What older checkpoints say of their runs goes on being the same.
        assert!(written(&TrainingConfig::default()).get("matmul_precision").is_none());
    }

    #[test]
    fn what_pytorch_was_asked_for_comes_back_with_advice() {
        let config: TrainingConfig = from_json_str(
            r#"{"device": "cuda:1", "fp16": true, "fp16_opt_level": "O2", "data_parallel": true, "local_rank": 0}"#,
        )
        .unwrap();
        let texts: Vec<String> = config.ignored_fields().iter().map(ToString::to_string).collect();
        for (text, (start, advice)) in texts.iter().zip([
            ("device = \"cuda:1\" has no effect: ", "--backend"),
            ("fp16 = true has no effect: ", "single precision"),
            ("fp16_opt_level = \"O2\" has no effect: ", "leave it out"),
            ("data_parallel = true has no effect: ", "gradient_accumulation_steps"),
            ("local_rank = 0 has no effect: ", "one process"),
        ]) {
            assert!(text.starts_with(start) && text.contains(advice), "{text}");
        }
        assert_eq!(texts.len(), 5);
        assert_eq!(TrainingConfig::default().ignored_fields(), []);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = TrainingConfig {
            gradient_accumulation_steps: 0,
            ckpt_frequency: 0,
            ckpt_epoch_frequency: 0,
            ckpt_steps: Some(0),
            num_epochs: 0,
            max_grad_norm: 0.0,
            log_every: 0,
            optimizer: OptimizerConfig {
                lr: f64::NAN,
                betas: [0.9, 1.0],
                eps: 0.0,
                weight_decay: -0.1,
                ..Default::default()
            },
            schedule: ScheduleConfig { warmup_ratio: 1.5, ..Default::default() },
            ..Default::default()
        };
        let problems = config.validate();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "gradient_accumulation_steps",
                "ckpt_frequency",
                "ckpt_epoch_frequency",
                "ckpt_steps",
                "num_epochs",
                "max_grad_norm",
                "log_every",
                "optimizer.lr",
                "optimizer.betas[1]",
                "optimizer.eps",
                "optimizer.weight_decay",
                "schedule.warmup_ratio",
            ]
        );
        assert_eq!(problems[7].value, "NaN");
    }

    #[test]
    fn numbers_beyond_any_run_are_told() {
        let found = |config: TrainingConfig| {
            config.validate().iter().map(|one| one.field.clone()).collect::<Vec<_>>()
        };
        let config = TrainingConfig { num_epochs: usize::MAX, ..Default::default() };
        assert_eq!(found(config), ["num_epochs"]);
        let config = TrainingConfig { num_epochs: 1000, ckpt_frequency: 100_000, ..Default::default() };
        assert_eq!(found(config), ["num_epochs"]);
        let config =
            TrainingConfig { num_epochs: usize::MAX, num_steps: Some(usize::MAX), ..Default::default() };
        assert_eq!(found(config), ["num_steps"]);
    }

    #[test]
    fn a_number_of_steps_replaces_the_epochs() {
        let config = TrainingConfig { num_epochs: 0, num_steps: Some(5), ..Default::default() };
        assert_eq!(config.validate(), []);
        let config = TrainingConfig { num_steps: Some(0), ..Default::default() };
        assert_eq!(config.validate()[0].field, "num_steps");
    }

    #[test]
    fn a_warm_up_longer_than_the_run_is_a_problem() {
        let schedule = ScheduleConfig { warmup_steps: Some(6), ..Default::default() };
        let config = TrainingConfig { num_steps: Some(5), schedule, ..Default::default() };
        let problems = config.validate();
        assert_eq!(problems[0].to_string().split(':').next(), Some("schedule.warmup_steps = 6"));
    }

    #[test]
    fn toml_comes_back_as_it_went() {
        let config = TrainingConfig {
            num_steps: Some(7),
            optimizer: OptimizerConfig { betas: [0.8, 0.95], ..Default::default() },
            ..Default::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(crate::from_toml_str::<TrainingConfig>(&text).unwrap(), config);
    }
}
