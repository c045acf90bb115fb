//! Distillation losses as functions of tensors, and a registry of them by name.
//!
//! The losses on logits ([`kd_ce_loss`], [`kd_mse_loss`]) take positions × classes. The losses on
//! intermediate features take a [`LossInput`] (student's and teacher's layers and a mask over tokens),
//! and are found by name in a [`LossRegistry`], which is a value that the caller may extend. No
//! gradient ever reaches the teacher.
//!
//! Formulas and masking are TextBrewer's (release 0.2.1.post1); where it would divide by zero, these
//! losses return 0 instead.
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
//! };
//! let loss = registry.get("hidden_mse")?(&input)?;
//! assert_eq!(loss.into_scalar(), 1.0);
//! # Ok::<(), brew_losses::LossError>(())
//! ```

mod attention;
mod error;
#[cfg(test)]
mod gradient_check;
mod hidden;
mod kd;
mod masking;
mod registry;
mod relation;
mod temperature;
mod tensor;

pub use attention::{attention_ce_loss, attention_ce_mean_loss, attention_mse_loss, attention_mse_sum_loss};
pub use error::{LossError, Side};
pub use hidden::{cos_loss, hidden_mse_loss, pkd_loss};
pub use kd::{check_logits, cross_entropy, kd_ce_loss, kd_loss, kd_mse_loss, probability_shift};
pub use masking::select_positions;
pub use registry::{LossFn, LossRegistry};
pub use relation::{fsp_loss, nst_loss};
pub use temperature::{Temperature, cwsm_temperature, flsw_temperature};
pub use tensor::{FeatureTensor, LossInput};
