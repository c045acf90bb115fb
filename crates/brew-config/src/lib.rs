//! Configuration of training and distillation: plain data, checked before anything runs.
//!
//! The two structs a run needs are [`TrainingConfig`] (the loop: optimizer, schedule, checkpoints) and
//! [`DistillationConfig`] (what is learnt from the teacher). Both are plain serde structs: fields left
//! out have their defaults, unknown fields are errors that name the nearest known one, and
//! `validate()` returns *every* [`Problem`] at once. TextBrewer's JSON files load as they are.
//!
//! ```
//! use brew_config::{DistillationConfig, from_json_str};
//!
//! let config: DistillationConfig = from_json_str(
//!     r#"{
//!         "temperature": 8,
//!         "intermediate_matches": [
//!             {"layer_T": 12, "layer_S": 3, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
//!              "proj": ["linear", 384, 768]}
//!         ]
//!     }"#,
//! )?;
//! assert_eq!(config.intermediate_matches[0].name(), "hidden_hidden_mse_3_12");
//! assert!(config.validate(&["hidden_mse".to_string()]).is_empty());
//! # Ok::<(), brew_config::ConfigError>(())
//! ```

mod crd;
mod distillation;
mod emd;
mod error;
mod kd_loss_type;
mod load;
mod matches;
mod nearest;
mod presets;
mod problem;
mod projection;
mod reading;
mod schedule;
mod training;

pub use crd::{CrdConfig, CrdPooling, NegativesFrom};
pub use distillation::{DEFAULT_RELATION_HEADS, DistillationConfig, KdScale, NstScale};
pub use emd::EmdConfig;
pub use error::ConfigError;
pub use kd_loss_type::KdLossType;
pub use load::{from_json_str, from_toml_str, load};
pub use matches::{IntermediateMatch, LayerIndex, MatchFeature, compares_any_widths, required_layers};
pub use nearest::nearest;
pub use presets::{LayerMap, match_table, preset, preset_names, tinybert_matches};
pub use problem::Problem;
pub use projection::{ProjectionConfig, ProjectionGroup, ProjectionName};
pub use reading::Reading;
pub use schedule::{ScheduleConfig, ScheduleName, TemperatureScheduler, WeightScheduler};
pub use training::{
    IgnoredField, MatmulPrecision, NotFiniteAction, OptimizerConfig, OptimizerName, TrainingConfig,
};
