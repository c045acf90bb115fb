use std::collections::BTreeMap;
use std::sync::Arc;

use brew_config::{DEFAULT_RELATION_HEADS, NstScale, nearest};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::{
    LossError, LossInput, attention_ce_loss, attention_ce_mean_loss, attention_mse_loss,
    attention_mse_sum_loss, cos_loss, crd_in_batch_loss, emd_loss, fsp_loss, hidden_mse_loss,
    minilm_relation_loss, nst_loss, pkd_loss, pkt_loss, rkd_angle_loss, rkd_distance_loss, sp_loss,
};

/// The temperature of `crd_in_batch`, the paper's.
const CRD_TEMPERATURE: f64 = 0.07;

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
/// | `rkd_distance` | distances between the first tokens' states of a batch | [`rkd_distance_loss`] |
/// | `rkd_angle` | angles between the first tokens' states of a batch | [`rkd_angle_loss`] |
/// | `pkt` | neighbours of the first token's state in a batch | [`pkt_loss`] |
/// | `sp` | similarities of a batch's sequences | [`sp_loss`] |
/// | `minilm_relation` | relations between tokens, of hidden states or of queries, keys or values | [`minilm_relation_loss`] |
/// | `crd_in_batch` | the first token's state against a batch's others, at temperature 0.07 | [`crd_in_batch_loss`] |
/// | `emd` | any number of layers of hidden states | [`emd_loss`] |
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
/// let loss = registry.get("my_l1")?(&LossInput { student: feature(1.0), teacher: feature(4.0), mask: None, teacher_mask: None })?;
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
            .with("rkd_distance", rkd_distance_loss)
            .with("rkd_angle", rkd_angle_loss)
            .with("pkt", pkt_loss)
            .with("sp", sp_loss)
            .with("crd_in_batch", |input: &LossInput<B>| crd_in_batch_loss(input, CRD_TEMPERATURE))
            .with("emd", emd_loss)
            .with_nst_scale(NstScale::default())
            .with_relation_heads(DEFAULT_RELATION_HEADS)
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

    /// This registry with `minilm_relation` splitting hidden widths into `heads` relation heads.
    #[must_use]
    pub fn with_relation_heads(self, heads: usize) -> Self {
        self.with("minilm_relation", move |input: &LossInput<B>| minilm_relation_loss(input, heads))
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

#[cfg(test)]
mod tests {
    use brew_config::required_layers;
    use brew_testkit::{TestAutodiffBackend, TestBackend};

    use super::*;
    use crate::FeatureTensor;

    /// As many layers as the loss takes; `emd` takes any number.
    fn layers<B: Backend>(name: &str, shape: [usize; 3], value: f32) -> Vec<FeatureTensor<B>> {
        let layer = FeatureTensor::from(Tensor::<B, 3>::full(shape, value, &Default::default()));
        vec![layer; required_layers(name).unwrap_or(3)]
    }

    #[test]
    fn the_names_are_those_the_configuration_knows() {
        let names = LossRegistry::<TestBackend>::default().names();
        assert_eq!(names.len(), 18);
        let of_any_number: Vec<_> = names.iter().filter(|name| required_layers(name).is_none()).collect();
        assert_eq!(of_any_number, ["emd"]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_the_nearest() {
        let error = LossRegistry::<TestBackend>::default().get("hiden_mse").err().unwrap();
        assert!(error.to_string().contains("did you mean `hidden_mse`?"), "{error}");
    }

    #[test]
    fn extending_a_registry_leaves_the_original_alone() {
        let original = LossRegistry::<TestBackend>::default();
        let extended = original
            .clone()
            .with("zero", |_: &LossInput<TestBackend>| Ok(Tensor::zeros([1], &Default::default())));
        assert!(extended.get("zero").is_ok());
        assert!(original.get("zero").is_err());
    }

    #[test]
    fn every_loss_says_which_shapes_do_not_fit() {
        let registry = LossRegistry::<TestBackend>::default();
        for name in registry.names() {
            // Some compare different widths, so their lengths differ here, and some different lengths too.
            let teacher_shape = match name.as_str() {
                "nst" | "mmd" | "minilm_relation" => [2, 5, 24],
                "rkd_distance" | "rkd_angle" | "pkt" | "sp" => [3, 4, 24],
                _ => [2, 4, 36],
            };
            for mask in [None, Some(Tensor::ones([2, 4], &Default::default()))] {
                let input = LossInput {
                    student: layers(&name, [2, 4, 24], 1.0),
                    teacher: layers(&name, teacher_shape, 1.0),
                    mask,
                    teacher_mask: None,
                };
                let message = registry.get(&name).unwrap()(&input).err().unwrap().to_string();
                assert!(message.contains(&format!("loss `{name}`")), "{message}");
                assert!(message.contains("[2, 4, 24]"), "{message}");
                assert!(message.contains(&format!("{teacher_shape:?}")), "{message}");
            }
        }
    }

    #[test]
    fn widths_that_differ_are_told_to_be_projected() {
        let registry = LossRegistry::<TestBackend>::default();
        for name in ["hidden_mse", "cos", "pkd", "fsp", "gram", "crd_in_batch", "emd"] {
            let input = LossInput {
                student: layers(name, [2, 4, 16], 1.0),
                teacher: layers(name, [2, 4, 32], 1.0),
                mask: None,
                teacher_mask: None,
            };
            let message = registry.get(name).unwrap()(&input).err().unwrap().to_string();
            assert!(message.contains("projection"), "{message}");
        }
    }

    #[test]
    fn every_loss_refuses_another_number_of_layers_and_another_batchs_mask() {
        let registry = LossRegistry::<TestBackend>::default();
        for name in registry.names() {
            let loss = registry.get(&name).unwrap();
            let three = || vec![layers::<TestBackend>(&name, [2, 4, 4], 1.0).remove(0); 3];
            if required_layers(&name).is_some() {
                let input = LossInput { student: three(), teacher: three(), mask: None, teacher_mask: None };
                let error = loss(&input).err().unwrap();
                assert!(
                    matches!(&error, LossError::LayerCount { loss, found: 3, .. } if *loss == name),
                    "{error}"
                );
            }
            if name == "pkd" {
                continue;
            }
            let input = LossInput {
                student: layers(&name, [2, 12, 12], 1.0),
                teacher: layers(&name, [2, 12, 12], 1.0),
                mask: Some(Tensor::ones([3, 12], &Default::default())),
                teacher_mask: None,
            };
            let error = loss(&input).err().unwrap();
            assert!(matches!(&error, LossError::MaskMismatch { loss, .. } if *loss == name), "{error}");
        }
    }

    #[test]
    fn no_loss_gives_the_teacher_a_gradient() {
        let registry = LossRegistry::<TestAutodiffBackend>::default();
        let device = Default::default();
        for name in registry.names() {
            for mask in [None, Some(Tensor::ones([2, 12], &device))] {
                let count = required_layers(&name).unwrap_or(3);
                let student = Tensor::<TestAutodiffBackend, 3>::ones([2, 12, 12], &device).require_grad();
                let teacher = Tensor::<TestAutodiffBackend, 3>::ones([2, 12, 12], &device).require_grad();
                let input = LossInput {
                    student: vec![FeatureTensor::from(student.clone() * 2.0); count],
                    teacher: vec![FeatureTensor::from(teacher.clone() * 3.0); count],
                    mask,
                    teacher_mask: None,
                };
                let gradients = registry.get(&name).unwrap()(&input).unwrap().backward();
                assert!(student.grad(&gradients).is_some(), "{name}");
                assert!(teacher.grad(&gradients).is_none(), "{name}");
            }
        }
    }
}
