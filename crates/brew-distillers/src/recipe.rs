//! How the loop trains, beyond what a configuration file can say.

use std::path::Path;

use brew_config::{OptimizerConfig, ProjectionGroup, TrainingConfig};
use burn::optim::{GradientsParams, Optimizer};
use burn::tensor::backend::AutodiffBackend;

use crate::adamw::AdamW;
use crate::parameters::NamedParameter;
use crate::record::{load_record, save_record};
use crate::{DistillError, Student, Trainable};

/// Makes the optimizer of one parameter group from its settings.
type OptimizerFn<B, M> = Box<dyn Fn(&OptimizerConfig) -> Box<dyn GroupOptimizer<B, M>>>;

/// A factor on every group's learning rate, from the optimizer step (from 0) and the run's steps.
type LearningRateFn = Box<dyn Fn(usize, usize) -> f64>;

/// How the loop trains: a configuration, the projections' parameter groups, and where given an optimizer
/// and a learning rate of the user's own.
///
/// ```
/// use brew_config::TrainingConfig;
/// use brew_distillers::Recipe;
/// use brew_testkit::TestAutodiffBackend as B;
/// use burn::nn::Linear;
/// use burn::optim::SgdConfig;
///
/// // Plain gradient descent whose rate falls with the square root of the step.
/// let recipe = Recipe::<B, Linear<B>>::new(TrainingConfig::default())
///     .with_optimizer(|_| SgdConfig::new().init())
///     .with_learning_rate(|step, _steps| 1.0 / (1.0 + step as f64).sqrt());
/// ```
pub struct Recipe<B: AutodiffBackend, M: Student<B>> {
    pub(crate) config: TrainingConfig,
    pub(crate) projection_groups: Vec<Option<ProjectionGroup>>,
    optimizer: OptimizerFn<B, M>,
    learning_rate: Option<LearningRateFn>,
}

impl<B: AutodiffBackend, M: Student<B>> Recipe<B, M> {
    /// AdamW and the schedule of the configuration, no projections.
    pub fn new(config: TrainingConfig) -> Self {
        Self {
            config,
            projection_groups: Vec::new(),
            optimizer: Box::new(|settings| Box::new(AdamW::new(settings))),
            learning_rate: None,
        }
    }

    /// The same with parameter groups of the projections, one entry each.
    #[must_use]
    pub fn with_projection_groups(mut self, groups: Vec<Option<ProjectionGroup>>) -> Self {
        self.projection_groups = groups;
        self
    }

    /// The same with another optimizer of Burn's or of the user's own, made for each parameter group from
    /// the group's settings, of which it takes what it can use. The rate is given at each step.
    #[must_use]
    pub fn with_optimizer<O>(mut self, optimizer: impl Fn(&OptimizerConfig) -> O + 'static) -> Self
    where
        O: Optimizer<Trainable<B, M>, B> + 'static,
    {
        self.optimizer = Box::new(move |settings| Box::new(OfBurn(optimizer(settings))));
        self
    }

    /// The same with a factor on every group's rate as a function of the optimizer step, from 0, and of
    /// the run's steps, in place of `schedule`.
    #[must_use]
    pub fn with_learning_rate(mut self, factor: impl Fn(usize, usize) -> f64 + 'static) -> Self {
        self.learning_rate = Some(Box::new(factor));
        self
    }

    /// The optimizer of a parameter group.
    pub(crate) fn optimizer(&self, settings: &OptimizerConfig) -> Box<dyn GroupOptimizer<B, M>> {
        (self.optimizer)(settings)
    }

    /// The factor on every group's rate at optimizer step `step`, from 0.
    pub(crate) fn factor(&self, step: usize, steps: usize) -> f64 {
        match &self.learning_rate {
            Some(factor) => factor(step, steps),
            None => self.config.schedule.factor(step, steps),
        }
    }
}

impl<B: AutodiffBackend, M: Student<B>> From<TrainingConfig> for Recipe<B, M> {
    fn from(config: TrainingConfig) -> Self {
        Self::new(config)
    }
}

/// The optimizer of one parameter group.
pub(crate) trait GroupOptimizer<B: AutodiffBackend, M: Student<B>> {
    fn step(&mut self, lr: f64, trainable: Trainable<B, M>, gradients: GradientsParams) -> Trainable<B, M>;

    /// Writes the state, in full precision, to the file of this stem and an extension of its kind.
    fn save(&self, stem: &Path, parameters: &[NamedParameter]) -> Result<(), DistillError>;

    /// Takes over a state that was written by an optimizer of the same kind.
    ///
    /// # Errors
    /// In words, what is wrong with the file.
    fn load(&mut self, stem: &Path, parameters: &[NamedParameter], device: &B::Device) -> Result<(), String>;
}

/// Any of Burn's optimizers.
struct OfBurn<O>(O);

impl<B, M, O> GroupOptimizer<B, M> for OfBurn<O>
where
    B: AutodiffBackend,
    M: Student<B>,
    O: Optimizer<Trainable<B, M>, B>,
{
    fn step(&mut self, lr: f64, trainable: Trainable<B, M>, gradients: GradientsParams) -> Trainable<B, M> {
        self.0.step(lr, trainable, gradients)
    }

    fn save(&self, stem: &Path, _parameters: &[NamedParameter]) -> Result<(), DistillError> {
        save_record::<B, _>(self.0.to_record(), &stem.with_extension("mpk"))
    }

    fn load(
        &mut self,
        stem: &Path,
        _parameters: &[NamedParameter],
        device: &B::Device,
    ) -> Result<(), String> {
        let record = load_record::<B, _>(&stem.with_extension("mpk"), device)?;
        self.0 = self.0.clone().load_record(record);
        Ok(())
    }
}
