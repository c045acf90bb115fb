use std::collections::BTreeMap;
use std::sync::Arc;

use brew_config::{NstScale, nearest};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::{
    LossError, LossInput, attention_ce_loss, attention_ce_mean_loss, attention_mse_loss,
    attention_mse_sum_loss, cos_loss, fsp_loss, hidden_mse_loss, nst_loss, pkd_loss,
};

/// A loss on intermediate features, `[1]`.
pub type LossFn<B> = Arc<dyn Fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError> + Send + Sync>;

/// Losses on intermediate features by name: a value, which [`Self::with`] extends.
///
/// | name | compares | loss |
/// |---|---|---|
/// | `attention_mse` | attention | [`attention_mse_loss`] |
/// | `attention_mse_sum` | attention, summed over heads | [`attention_mse_sum_loss`] |
/// | `attention_ce` | attention | [`attention_ce_loss`] |
/// | `attention_ce_mean` | attention, averaged over heads | [`attention_ce_mean_loss`] |
/// | `hidden_mse` | hidden states | [`hidden_mse_loss`] |
/// | `cos` | hidden states | [`cos_loss`] |
/// | `pkd` | the first token's state | [`pkd_loss`] |
/// | `fsp`, `gram` | two layers of hidden states | [`fsp_loss`] |
/// | `nst`, `mmd` | two layers of hidden states | [`nst_loss`] |
///
/// ```
/// use std::sync::Arc;
///
/// use brew_losses::{FeatureTensor, LossInput, LossRegistry};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let registry = LossRegistry::<TestBackend>::default().with("my_l1", |input: &LossInput<TestBackend>| {
///     let (student, teacher) = (input.student[0].clone(), input.teacher[0].clone());
///     Ok((student.into_positions() - teacher.into_positions()).abs().mean())
/// });
/// let device = Default::default();
/// let feature = |value: f32| vec![FeatureTensor::from(Tensor::<TestBackend, 2>::full([2, 2], value, &device))];
/// let loss = registry.get("my_l1")?(&LossInput { student: feature(1.0), teacher: feature(4.0), mask: None })?;
/// assert_eq!(loss.into_scalar(), 3.0);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub struct LossRegistry<B: Backend> {
    losses: BTreeMap<String, LossFn<B>>,
}

impl<B: Backend> Clone for LossRegistry<B> {
    fn clone(&self) -> Self {
        Self { losses: self.losses.clone() }
    }
}

impl<B: Backend> std::fmt::Debug for LossRegistry<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LossRegistry").field("names", &self.names()).finish()
    }
}

impl<B: Backend> Default for LossRegistry<B> {
    fn default() -> Self {
        Self { losses: BTreeMap::new() }
            .with("attention_mse", attention_mse_loss)
            .with("attention_mse_sum", attention_mse_sum_loss)
            .with("attention_ce", attention_ce_loss)
            .with("attention_ce_mean", attention_ce_mean_loss)
            .with("hidden_mse", hidden_mse_loss)
            .with("cos", cos_loss)
            .with("pkd", pkd_loss)
            .with("fsp", fsp_loss)
            .with("gram", |input: &LossInput<B>| fsp_loss(input).map_err(|error| error.renamed("gram")))
            .with_nst_scale(NstScale::default())
    }
}

impl<B: Backend> LossRegistry<B> {
    /// This registry with `loss` under `name`, in place of any other of that name.
    #[must_use]
    pub fn with<F>(mut self, name: impl Into<String>, loss: F) -> Self
    where
        F: Fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError> + Send + Sync + 'static,
    {
        self.losses.insert(name.into(), Arc::new(loss));
        self
    }

    /// This registry with `nst` and `mmd` dividing by `scale` where there is a mask.
    #[must_use]
    pub fn with_nst_scale(self, scale: NstScale) -> Self {
        self.with("nst", move |input: &LossInput<B>| nst_loss(input, scale))
            .with("mmd", move |input: &LossInput<B>| {
                nst_loss(input, scale).map_err(|error| error.renamed("mmd"))
            })
    }

    /// The loss of that name.
    ///
    /// # Errors
    /// [`LossError::UnknownLoss`], which names the nearest known one.
    pub fn get(&self, name: &str) -> Result<LossFn<B>, LossError> {
        self.losses.get(name).cloned().ok_or_else(|| LossError::UnknownLoss {
            name: name.to_string(),
            nearest: nearest(name, self.losses.keys().map(String::as_str)).map(str::to_string),
            known: self.names(),
        })
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.losses.keys().cloned().collect()
    }
}
