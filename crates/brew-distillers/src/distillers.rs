use brew_config::{ConfigError, CrdConfig, DistillationConfig, EmdConfig, ProjectionConfig, TrainingConfig};
use brew_losses::LossRegistry;
use brew_random::Key;
use burn::tensor::backend::AutodiffBackend;

use crate::comparison::Comparison;
use crate::crd::CrdMatch;
use crate::emd::EmdMatch;
use crate::{
    Adaptor, BatchSource, CrdDistillation, CrdInputs, DistillError, Distillation, EmdDistillation, Ensemble,
    Extensions, Hooks, MultiTask, Objective, Projection, Recipe, Student, Supervised, Task, TaskBatch,
    Teacher, Trainable, Trained, fit,
};

/// Trains a model on gold labels, for a teacher or a baseline: TextBrewer's `BasicTrainer`.
pub struct BasicTrainer<B: AutodiffBackend, M: Student<B>, A> {
    recipe: Recipe<B, M>,
    adaptor: A,
}

impl<B: AutodiffBackend, M: Student<B>, A> BasicTrainer<B, M, A> {
    /// A trainer that minimises the `losses` of `adaptor`, by a configuration or a [`Recipe`].
    pub fn new(recipe: impl Into<Recipe<B, M>>, adaptor: A) -> Self {
        Self { recipe: recipe.into(), adaptor }
    }

    /// Trains `model`.
    ///
    /// # Errors
    /// See [`fit`].
    pub fn train<T>(
        self,
        model: M,
        batches: &dyn BatchSource<T>,
        hooks: Hooks<'_, M>,
    ) -> Result<Trained<B, M>, DistillError>
    where
        A: Adaptor<B, M, T>,
    {
        let mut objective = Supervised::new(self.adaptor);
        fit(Trainable::new(model), &self.recipe, &mut objective, batches, hooks)
    }
}

/// What the distillers have in common: a recipe, an objective and the projections it needs.
pub(crate) struct Distiller<B: AutodiffBackend, M: Student<B>, O> {
    recipe: Recipe<B, M>,
    objective: O,
    /// What is trained beside the student: the projections of the matches, then what the objective adds.
    projections: Vec<Option<ProjectionConfig>>,
    /// The first of them, where the user gives some to start from.
    given: Vec<Option<Projection<B>>>,
}

impl<B: AutodiffBackend, M: Student<B>, O> Distiller<B, M, O> {
    /// Checks both configurations at once and builds the objective from their comparison.
    pub(crate) fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        mut extensions: Extensions<B, M>,
        teachers: usize,
        objective: impl FnOnce(Comparison<B>) -> O,
    ) -> Result<Self, DistillError> {
        let losses = extensions.losses(&distillation);
        Self::with_losses(config, distillation, &losses, extensions, teachers, objective)
    }

    /// The same with the losses already looked up.
    fn with_losses(
        config: TrainingConfig,
        distillation: DistillationConfig,
        losses: &LossRegistry<B>,
        mut extensions: Extensions<B, M>,
        teachers: usize,
        objective: impl FnOnce(Comparison<B>) -> O,
    ) -> Result<Self, DistillError> {
        let mut problems = config.validate();
        let comparison = match extensions.comparison(distillation, losses, teachers) {
            Ok(comparison) => comparison,
            Err(DistillError::Config(ConfigError::Invalid { problems: more })) => {
                problems.extend(more);
                return Err(ConfigError::Invalid { problems }.into());
            }
            Err(error) => return Err(error),
        };
        ConfigError::from_problems(problems)?;
        let recipe = extensions.recipe(config).with_projection_groups(comparison.projection_groups());
        let (projections, given) = (comparison.projections(), extensions.take_projections());
        Ok(Self { recipe, objective: objective(comparison), projections, given })
    }

    /// The same with what the objective trains besides, behind the projections of the matches.
    fn training(mut self, added: impl IntoIterator<Item = ProjectionConfig>) -> Self {
        for projection in added {
            self.recipe.projection_groups.push(Some(projection.group.clone()));
            self.projections.push(Some(projection));
        }
        self
    }

    /// Distils into `student`.
    pub(crate) fn train<T>(
        self,
        student: M,
        batches: &dyn BatchSource<T>,
        hooks: Hooks<'_, M>,
    ) -> Result<Trained<B, M>, DistillError>
    where
        O: Objective<B, M, T>,
    {
        let Self { recipe, mut objective, projections, given } = self;
        let device = burn::module::Module::<B>::devices(&student).into_iter().next().unwrap_or_default();
        let key = Key::new(recipe.config.seed).purpose("projections");
        let mut trainable = Trainable::with_projections(student, &projections, key, &device);
        let replaced = given.len().min(trainable.projections.len());
        trainable.projections.splice(..replaced, given);
        fit(trainable, &recipe, &mut objective, batches, hooks)
    }
}

/// Distils one teacher into a student with intermediate matches and projections: TextBrewer's
/// `GeneralDistiller`.
pub struct GeneralDistiller<B: AutodiffBackend, M: Student<B>, T>(Distiller<B, M, Distillation<B, M, T>>);

impl<B: AutodiffBackend, M: Student<B>, T> GeneralDistiller<B, M, T> {
    /// A distiller as the configurations describe it.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_extensions(config, distillation, teacher, adaptor, Extensions::new())
    }

    /// A distiller with losses, matches, schedules or an optimizer of the user's own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations and of the extensions.
    pub fn with_extensions(
        config: TrainingConfig,
        distillation: DistillationConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
        extensions: Extensions<B, M>,
    ) -> Result<Self, DistillError> {
        let teachers = Ensemble::single(teacher);
        Distiller::new(config, distillation, extensions, 1, |comparison| {
            Distillation::from_comparison(comparison, adaptor, teachers)
        })
        .map(Self)
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

/// Distils one teacher's predictions into a student, without intermediate matches: TextBrewer's
/// `BasicDistiller`.
pub struct BasicDistiller<B: AutodiffBackend, M: Student<B>, T>(GeneralDistiller<B, M, T>);

impl<B: AutodiffBackend, M: Student<B>, T> BasicDistiller<B, M, T> {
    /// A distiller that looks at logits and labels alone; matches of the configuration are left out,
    /// as TextBrewer does, and the log says so.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_extensions(config, distillation, teacher, adaptor, Extensions::new())
    }

    /// A distiller with schedules or an optimizer of the user's own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations and of the extensions.
    pub fn with_extensions(
        config: TrainingConfig,
        mut distillation: DistillationConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
        extensions: Extensions<B, M>,
    ) -> Result<Self, DistillError> {
        let matches = std::mem::take(&mut distillation.intermediate_matches);
        if !matches.is_empty() {
            log::warn!(
                "BasicDistiller leaves out {} intermediate matches; use GeneralDistiller",
                matches.len()
            );
        }
        GeneralDistiller::with_extensions(config, distillation, teacher, adaptor, extensions).map(Self)
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
pub struct MultiTeacherDistiller<B: AutodiffBackend, M: Student<B>, T>(
    Distiller<B, M, Distillation<B, M, T>>,
);

impl<B: AutodiffBackend, M: Student<B>, T> MultiTeacherDistiller<B, M, T> {
    /// A distiller as the configurations describe it.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        teachers: Ensemble<B::InnerBackend, T>,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_extensions(config, distillation, teachers, adaptor, Extensions::new())
    }

    /// A distiller with losses, matches, schedules or an optimizer of the user's own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations and of the extensions.
    pub fn with_extensions(
        config: TrainingConfig,
        distillation: DistillationConfig,
        teachers: Ensemble<B::InnerBackend, T>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        extensions: Extensions<B, M>,
    ) -> Result<Self, DistillError> {
        Distiller::new(config, distillation, extensions, teachers.len(), |comparison| {
            Distillation::from_comparison(comparison, adaptor, teachers)
        })
        .map(Self)
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

/// Distils a teacher a task into one student: TextBrewer's `MultiTaskDistiller`.
///
/// The batches come from [`TaskBatches`](crate::TaskBatches); each task's adaptor picks the student's head.
pub struct MultiTaskDistiller<B: AutodiffBackend, M: Student<B>, T>(Distiller<B, M, MultiTask<B, M, T>>);

impl<B: AutodiffBackend, M: Student<B>, T> MultiTaskDistiller<B, M, T> {
    /// A distiller as the configurations describe it; `distillation` holds for every task.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations, and without any task.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        tasks: Vec<Task<B, M, T>>,
    ) -> Result<Self, DistillError> {
        Self::with_extensions(config, distillation, tasks, Extensions::new())
    }

    /// A distiller with losses, matches, schedules or an optimizer of the user's own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of both configurations and of the extensions, and
    /// without any task.
    pub fn with_extensions(
        config: TrainingConfig,
        distillation: DistillationConfig,
        tasks: Vec<Task<B, M, T>>,
        extensions: Extensions<B, M>,
    ) -> Result<Self, DistillError> {
        let teachers = MultiTask::common_teachers(&tasks)?;
        Distiller::new(config, distillation, extensions, teachers, |comparison| {
            MultiTask::from_comparison(comparison, tasks)
        })
        .map(Self)
    }

    /// Distils into `student`.
    ///
    /// # Errors
    /// See [`fit`].
    pub fn train(
        self,
        student: M,
        batches: &dyn BatchSource<TaskBatch<T>>,
        hooks: Hooks<'_, M>,
    ) -> Result<Trained<B, M>, DistillError> {
        self.0.train(student, batches, hooks)
    }
}

/// Distils one teacher into a student with layers matched many to many: BERT-EMD.
pub struct EmdDistiller<B: AutodiffBackend, M: Student<B>, T>(Distiller<B, M, EmdDistillation<B, M, T>>);

impl<B: AutodiffBackend, M: Student<B>, T> EmdDistiller<B, M, T> {
    /// A distiller as the configurations describe it.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configurations.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        emd: EmdConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_extensions(config, distillation, emd, teacher, adaptor, Extensions::new())
    }

    /// A distiller with losses, matches, schedules or an optimizer of the user's own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configurations and of the extensions.
    pub fn with_extensions(
        config: TrainingConfig,
        distillation: DistillationConfig,
        emd: EmdConfig,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
        mut extensions: Extensions<B, M>,
    ) -> Result<Self, DistillError> {
        let losses = extensions.losses(&distillation);
        let projection = emd.proj.clone();
        let emd = EmdMatch::new(emd, &losses)?;
        let teachers = Ensemble::single(teacher);
        let distiller = Distiller::with_losses(config, distillation, &losses, extensions, 1, |comparison| {
            EmdDistillation::from_comparison(comparison, emd, adaptor, teachers)
        })?;
        Ok(Self(distiller.training(projection)))
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

/// Distils one teacher into a student with the states of each example told from those of others: CRD.
pub struct CrdDistiller<B: AutodiffBackend, M: Student<B>, T>(Distiller<B, M, CrdDistillation<B, M, T>>);

impl<B: AutodiffBackend, M: Student<B>, T> CrdDistiller<B, M, T> {
    /// A distiller as the configurations describe it, over the examples of `inputs`.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configurations, or of the examples.
    pub fn new(
        config: TrainingConfig,
        distillation: DistillationConfig,
        crd: CrdConfig,
        inputs: CrdInputs<T>,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_extensions(config, distillation, crd, inputs, teacher, adaptor, Extensions::new())
    }

    /// A distiller with losses, matches, schedules or an optimizer of the user's own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configurations, of the examples or of the
    /// extensions.
    pub fn with_extensions(
        config: TrainingConfig,
        distillation: DistillationConfig,
        crd: CrdConfig,
        inputs: CrdInputs<T>,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
        adaptor: impl Adaptor<B, M, T> + 'static,
        extensions: Extensions<B, M>,
    ) -> Result<Self, DistillError> {
        let heads = crd.heads(inputs.widths());
        let crd = CrdMatch::new(crd, inputs)?;
        let teachers = Ensemble::single(teacher);
        let distiller = Distiller::new(config, distillation, extensions, 1, |comparison| {
            CrdDistillation::from_comparison(comparison, crd, adaptor, teachers)
        })?;
        Ok(Self(distiller.training(heads)))
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
