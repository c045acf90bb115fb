//! Distillation losses as functions of tensors, and a registry of them by name.
//!
//! The losses on logits ([`kd_loss`] lists them) take positions × classes. The losses on intermediate
//! features take a [`LossInput`] (student's and teacher's layers and a mask over tokens), and are found by
//! name in a [`LossRegistry`], which is a value that the caller may extend. No gradient ever reaches the
//! teacher.
//!
//! Formulas and masking of the losses that TextBrewer has are TextBrewer's (release 0.2.1.post1), those of
//! the others their papers'; where they would divide by zero, these losses return 0 instead.
//!
//! ```
//! use brew_losses::{LossInput, LossRegistry};
//! use brew_testkit::TestBackend;
//! use burn::tensor::Tensor;
//!
//! let device = Default::default();
//! let registry = LossRegistry::<TestBackend>::default();
//! let input = LossInput {
//!     student: vec![Tensor::<TestBackend, 3>::zeros([2, 5, 8], &device).into()],
//!     teacher: vec![Tensor::<TestBackend, 3>::ones([2, 5, 8], &device).into()],
//!     mask: Some(Tensor::ones([2, 5], &device)),
//!     teacher_mask: None,
//! };
//! let loss = registry.get("hidden_mse")?(&input)?;
//! assert_eq!(loss.into_scalar(), 1.0);
//! # Ok::<(), brew_losses::LossError>(())
//! ```

mod attention;
mod binary;
mod contrastive;
mod decoupled;
mod divergence;
mod error;
#[cfg(test)]
mod gradient_check;
mod hidden;
mod kd;
mod log_softmax;
mod masking;
mod minilm;
mod nce;
mod registry;
mod relation;
mod relational;
mod sequences;
mod similarity;
mod supervised;
mod temperature;
mod tensor;
mod transport;
mod transport_problem;

pub use attention::{attention_ce_loss, attention_ce_mean_loss, attention_mse_loss, attention_mse_sum_loss};
pub use binary::kd_bce_loss;
pub use contrastive::crd_in_batch_loss;
pub use decoupled::dkd_loss;
pub use divergence::{js_loss, kl_loss, reverse_kl_loss, skew_kl_loss, skew_reverse_kl_loss};
pub use error::{LossError, Side};
pub use hidden::{cos_loss, hidden_mse_loss, pkd_loss};
pub use kd::{check_logits, cross_entropy, kd_ce_loss, kd_loss, kd_mse_loss, probability_shift};
pub use masking::select_positions;
pub use minilm::minilm_relation_loss;
pub use nce::{contrast_scores, crd_nce_loss, log_normaliser, renewed, unit_rows};
pub use registry::{LossFn, LossRegistry};
pub use relation::{fsp_loss, nst_loss};
pub use relational::{rkd_angle_loss, rkd_distance_loss};
pub use similarity::{pkt_loss, sp_loss};
pub use supervised::{binary_cross_entropy, squared_error};
pub use temperature::{Temperature, cwsm_temperature, flsw_temperature};
pub use tensor::{FeatureTensor, LossInput};
pub use transport::{EarthMover, earth_mover, emd_loss, layer_costs};
pub use transport_problem::{TransportPlan, transport_plan};
