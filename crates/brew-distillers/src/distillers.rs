use brew_config::{ConfigError, DistillationConfig, ProjectionGroup, TrainingConfig};
use brew_losses::LossRegistry;
use brew_random::Key;
use burn::tensor::backend::AutodiffBackend;

use crate::{
    Adaptor, BatchSource, DistillError, Distillation, Ensemble, Hooks, Projection, Student, Supervised,
    Teacher, Trainable, Trained, fit,
};

/// Trains a model on gold labels, for a teacher or a baseline: TextBrewer's `BasicTrainer`.
pub struct BasicTrainer<A> {
    config: TrainingConfig,
    adaptor: A,
}

impl<A> BasicTrainer<A> {
    /// A trainer that minimises the `losses` of `adaptor`.
    pub fn new(config: TrainingConfig, adaptor: A) -> Self {
        Self { config, adaptor }
    }

    /// Trains `model`.
    ///
    /// # Errors
    /// See [`fit`].
    pub fn train<B, M, T>(
        self,
        model: M,
        batches: &dyn BatchSource<T>,
        hooks: Hooks<'_, M>,
    ) -> Result<Trained<B, M>, DistillError>
    where
        B: AutodiffBackend,
        M: Student<B>,
        A: Adaptor<B, M, T>,
    {
        let mut objective = Supervised::new(self.adaptor);
        fit(Trainable::new(model), &[], &mut objective, batches, &self.config, hooks)
    }
}

/// The shipped losses with the settings of a configuration.
fn shipped_losses<B: AutodiffBackend>(config: &DistillationConfig) -> LossRegistry<B> {
    LossRegistry::default().with_nst_scale(config.nst_scale).with_relation_heads(config.relation_heads)
}

/// Distils one teacher into a student with intermediate matches and projections: TextBrewer's
/// `GeneralDistiller`.
pub struct GeneralDistiller<B: AutodiffBackend, M, T> {
    config: TrainingConfig,
    distillation: DistillationConfig,
    objective: Distillation<B, M, T>,
    projections: Option<Vec<Option<Projection<B>>>>,
}

impl<B, M, T> GeneralDistiller<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    /// A distiller with the shipped losses.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        let losses = shipped_losses(&distillation);
        Self::with_losses(config, distillation, &losses, teacher, adaptor)
    }

    /// A distiller whose matches may name the losses of `losses`, the user's own included.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn with_losses(
        config: TrainingConfig,
        distillation: DistillationConfig,
        losses: &LossRegistry<B>,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_teachers(config, distillation, losses, Ensemble::single(teacher), adaptor)
    }

    fn with_teachers(
        config: TrainingConfig,
        distillation: DistillationConfig,
        losses: &LossRegistry<B>,
        teachers: Ensemble<B::InnerBackend, T>,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        let mut problems = config.validate();
        problems.extend(distillation.validate(&losses.names()));
        ConfigError::from_problems(problems)?;
        let objective = Distillation::with_teachers(distillation.clone(), losses, adaptor, teachers)?;
        Ok(Self { config, distillation, objective, projections: None })
    }

    /// Starts from given projections, one entry a match, instead of new ones.
    #[must_use]
    pub fn with_projections(mut self, projections: Vec<Option<Projection<B>>>) -> Self {
        self.projections = Some(projections);
        self
    }

    /// Distils into `student`.
    ///
    /// # Errors
    /// See [`fit`].
    pub fn train(
        mut self,
        student: M,
        batches: &dyn BatchSource<T>,
        hooks: Hooks<'_, M>,
    ) -> Result<Trained<B, M>, DistillError> {
        let matches = &self.distillation.intermediate_matches;
        let trainable = match self.projections.take() {
            Some(projections) => Trainable { student, projections },
            None => {
                let device =
                    burn::module::Module::<B>::devices(&student).into_iter().next().unwrap_or_default();
                let key = Key::new(self.config.seed).purpose("projections");
                Trainable::with_projections(student, matches, key, &device)
            }
        };
        let groups: Vec<Option<ProjectionGroup>> =
            matches.iter().map(|one| one.proj.as_ref().map(|projection| projection.group.clone())).collect();
        fit(trainable, &groups, &mut self.objective, batches, &self.config, hooks)
    }
}

/// Distils one teacher's predictions into a student, without intermediate matches: TextBrewer's
/// `BasicDistiller`.
pub struct BasicDistiller<B: AutodiffBackend, M, T>(GeneralDistiller<B, M, T>);

impl<B, M, T> BasicDistiller<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    /// A distiller that looks at logits and labels alone; matches of the configuration are left out,
    /// as TextBrewer does, and the log says so.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn new(
        config: TrainingConfig,
        mut distillation: DistillationConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        let matches = std::mem::take(&mut distillation.intermediate_matches);
        if !matches.is_empty() {
            log::warn!(
                "BasicDistiller leaves out {} intermediate matches; use GeneralDistiller",
                matches.len()
            );
        }
        GeneralDistiller::new(config, distillation, teacher, adaptor).map(Self)
    }

    /// Distils into `student`.
    ///
    /// # Errors
    /// See [`fit`].
    pub fn train(
        self,
        student: M,
        batches: &dyn BatchSource<T>,
        hooks: Hooks<'_, M>,
    ) -> Result<Trained<B, M>, DistillError> {
        self.0.train(student, batches, hooks)
    }
}

/// Distils several teachers into one student: the mean of their logits, as TextBrewer's
/// `MultiTeacherDistiller`, and, which that has not, matches with any one of them
/// ([`IntermediateMatch::teacher`](brew_config::IntermediateMatch::teacher)).
pub struct MultiTeacherDistiller<B: AutodiffBackend, M, T>(GeneralDistiller<B, M, T>);

impl<B, M, T> MultiTeacherDistiller<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    /// A distiller with the shipped losses.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        teachers: Ensemble<B::InnerBackend, T>,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        let losses = shipped_losses(&distillation);
        Self::with_losses(config, distillation, &losses, teachers, adaptor)
    }

    /// A distiller whose matches may name the losses of `losses`, the user's own included.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn with_losses(
        config: TrainingConfig,
        distillation: DistillationConfig,
        losses: &LossRegistry<B>,
        teachers: Ensemble<B::InnerBackend, T>,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        GeneralDistiller::with_teachers(config, distillation, losses, teachers, adaptor).map(Self)
    }

    /// Distils into `student`.
    ///
    /// # Errors
    /// See [`fit`].
    pub fn train(
        self,
        student: M,
        batches: &dyn BatchSource<T>,
        hooks: Hooks<'_, M>,
    ) -> Result<Trained<B, M>, DistillError> {
        self.0.train(student, batches, hooks)
    }
}
