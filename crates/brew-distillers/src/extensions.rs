use brew_config::{DistillationConfig, OptimizerConfig, TrainingConfig};
use brew_losses::{LossError, LossInput, LossRegistry};
use burn::optim::Optimizer;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::comparison::{Comparison, WeightFn};
use crate::{CustomMatch, DistillError, Projection, Recipe, Student, Trainable};

/// What makes one value out of another.
type Change<T> = Box<dyn FnOnce(T) -> T>;

/// Code of the user's own that a distiller takes beside its configuration: losses, matches, schedules of
/// weights, optimizer and learning rate.
///
/// ```
/// use brew_distillers::Extensions;
/// use brew_losses::LossInput;
/// use brew_testkit::TestAutodiffBackend as B;
/// use burn::nn::Linear;
/// use burn::optim::SgdConfig;
///
/// let extensions = Extensions::<B, Linear<B>>::new()
///     // A loss that matches may name.
///     .with_loss("my_l1", |input: &LossInput<B>| {
///         let (student, teacher) = (input.student[0].clone(), input.teacher[0].clone());
///         Ok((student.into_positions() - teacher.into_positions()).abs().mean())
///     })
///     // The gold labels count for nothing at first and for half at the end.
///     .with_hard_label_weight(|progress| 0.5 * progress * progress)
///     .with_optimizer(|_| SgdConfig::new().init());
/// ```
pub struct Extensions<B: AutodiffBackend, M: Student<B>> {
    register: Vec<Change<LossRegistry<B>>>,
    custom_matches: Vec<CustomMatch<B>>,
    kd_loss_weight: Option<WeightFn>,
    hard_label_weight: Option<WeightFn>,
    prepare: Vec<Change<Recipe<B, M>>>,
    projections: Vec<Option<Projection<B>>>,
}

impl<B: AutodiffBackend, M: Student<B>> Default for Extensions<B, M> {
    fn default() -> Self {
        Self {
            register: Vec::new(),
            custom_matches: Vec::new(),
            kd_loss_weight: None,
            hard_label_weight: None,
            prepare: Vec::new(),
            projections: Vec::new(),
        }
    }
}

impl<B: AutodiffBackend, M: Student<B>> Extensions<B, M> {
    /// Nothing beyond the configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// A loss that matches may name, in place of a shipped one of that name.
    #[must_use]
    pub fn with_loss(
        mut self,
        name: impl Into<String>,
        loss: impl Fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        self.register.push(Box::new(move |losses| losses.with(name, loss)));
        self
    }

    /// A match of any pair of tensors, behind those of the configuration.
    #[must_use]
    pub fn with_custom_match(mut self, one: CustomMatch<B>) -> Self {
        self.custom_matches.push(one);
        self
    }

    /// The weight of the soft labels as a function of the share of steps done, in `[0, 1]`, in place of
    /// `kd_loss_weight_scheduler`. The first step has the configured weight, as in TextBrewer.
    #[must_use]
    pub fn with_kd_loss_weight(mut self, weight: impl Fn(f64) -> f64 + 'static) -> Self {
        self.kd_loss_weight = Some(Box::new(weight));
        self
    }

    /// The same for the gold labels, in place of `hard_label_weight_scheduler`.
    #[must_use]
    pub fn with_hard_label_weight(mut self, weight: impl Fn(f64) -> f64 + 'static) -> Self {
        self.hard_label_weight = Some(Box::new(weight));
        self
    }

    /// Another optimizer: see [`Recipe::with_optimizer`].
    #[must_use]
    pub fn with_optimizer<O>(mut self, optimizer: impl Fn(&OptimizerConfig) -> O + 'static) -> Self
    where
        O: Optimizer<Trainable<B, M>, B> + 'static,
    {
        self.prepare.push(Box::new(move |recipe| recipe.with_optimizer(optimizer)));
        self
    }

    /// Another learning rate: see [`Recipe::with_learning_rate`].
    #[must_use]
    pub fn with_learning_rate(mut self, factor: impl Fn(usize, usize) -> f64 + 'static) -> Self {
        self.prepare.push(Box::new(move |recipe| recipe.with_learning_rate(factor)));
        self
    }

    /// Projections to start from, one entry a match, in place of new ones. Behind them may stand what else the
    /// distiller trains; what is not given is new.
    #[must_use]
    pub fn with_projections(mut self, projections: Vec<Option<Projection<B>>>) -> Self {
        self.projections = projections;
        self
    }

    /// The recipe of these extensions, without parameter groups of projections.
    pub(crate) fn recipe(&mut self, config: TrainingConfig) -> Recipe<B, M> {
        self.prepare.drain(..).fold(Recipe::new(config), |recipe, prepare| prepare(recipe))
    }

    /// The shipped losses with the settings of a configuration, and those of these extensions.
    pub(crate) fn losses(&mut self, config: &DistillationConfig) -> LossRegistry<B> {
        let shipped = LossRegistry::default()
            .with_nst_scale(config.nst_scale)
            .with_relation_heads(config.relation_heads);
        self.register.drain(..).fold(shipped, |losses, register| register(losses))
    }

    /// The comparison of these extensions.
    pub(crate) fn comparison(
        &mut self,
        config: DistillationConfig,
        losses: &LossRegistry<B>,
        teachers: usize,
    ) -> Result<Comparison<B>, DistillError> {
        let mut comparison = Comparison::new(config, losses, teachers)?;
        comparison.extend(std::mem::take(&mut self.custom_matches), teachers)?;
        comparison.kd_loss_weight = self.kd_loss_weight.take();
        comparison.hard_label_weight = self.hard_label_weight.take();
        Ok(comparison)
    }

    pub(crate) fn take_projections(&mut self) -> Vec<Option<Projection<B>>> {
        std::mem::take(&mut self.projections)
    }
}
