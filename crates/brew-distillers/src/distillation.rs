use brew_config::DistillationConfig;
use brew_losses::LossRegistry;
use burn::tensor::backend::AutodiffBackend;

use crate::comparison::Comparison;
use crate::{
    Adaptor, AdaptorOutput, DistillError, Ensemble, ForwardContext, LossTerms, Objective, StepContext,
    Student, Teacher, Trainable, Wants,
};

/// Knowledge distillation with one teacher or several: soft labels, hard labels and intermediate
/// matches.
///
/// total = `kd_loss_weight` · Σ kd(logits) + Σ `weight` · match + `hard_label_weight` · Σ mean(losses)
///
/// Source: TextBrewer's `GeneralDistiller`; without matches its `BasicDistiller`, with several teachers
/// its `MultiTeacherDistiller`, which has no matches.
pub struct Distillation<B: AutodiffBackend, M, T> {
    comparison: Comparison<B>,
    adaptor: Box<dyn Adaptor<B, M, T>>,
    teachers: Ensemble<B::InnerBackend, T>,
}

impl<B: AutodiffBackend, M, T> Distillation<B, M, T> {
    /// Checks the configuration and looks its losses up in `losses`.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configuration, an unknown loss included.
    pub fn new(
        config: DistillationConfig,
        losses: &LossRegistry<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teacher: impl Teacher<B::InnerBackend, T> + 'static,
    ) -> Result<Self, DistillError> {
        Self::with_teachers(config, losses, adaptor, Ensemble::single(teacher))
    }

    /// The same with several teachers: their logits are averaged, each match names its own.
    ///
    /// # Errors
    /// [`DistillError::Config`] with every problem of the configuration, a match of a teacher that is
    /// not there included.
    pub fn with_teachers(
        config: DistillationConfig,
        losses: &LossRegistry<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teachers: Ensemble<B::InnerBackend, T>,
    ) -> Result<Self, DistillError> {
        Ok(Self::from_comparison(Comparison::new(config, losses, teachers.len())?, adaptor, teachers))
    }

    pub(crate) fn from_comparison(
        comparison: Comparison<B>,
        adaptor: impl Adaptor<B, M, T> + 'static,
        teachers: Ensemble<B::InnerBackend, T>,
    ) -> Self {
        Self { comparison, adaptor: Box::new(adaptor), teachers }
    }
}

/// What both sides say of a batch.
pub(crate) struct Outputs<B: AutodiffBackend> {
    pub(crate) student: AdaptorOutput<B>,
    /// The teachers' mean prediction.
    pub(crate) soft: AdaptorOutput<B>,
    pub(crate) teachers: Vec<AdaptorOutput<B>>,
}

impl<B: AutodiffBackend> Outputs<B> {
    /// Runs the teachers, then the student in training.
    pub(crate) fn of<M, T>(
        student: &M,
        adaptor: &dyn Adaptor<B, M, T>,
        teachers: &Ensemble<B::InnerBackend, T>,
        batch: &T,
        wants: Wants,
        context: &StepContext,
    ) -> Result<Self, DistillError> {
        let outputs = teachers.outputs(batch, wants)?;
        let soft = AdaptorOutput {
            logits: teachers.mean_logits(&outputs)?,
            logits_mask: outputs[0].logits_mask.clone(),
            aligned: outputs[0].aligned,
            ..AdaptorOutput::default()
        };
        let forward = ForwardContext { dropout: Some(context.dropout()), wants };
        Ok(Self {
            student: adaptor.adapt(student, batch, forward)?,
            soft: AdaptorOutput::from_inner(soft),
            teachers: outputs.into_iter().map(AdaptorOutput::from_inner).collect(),
        })
    }
}

impl<B, M, T> Objective<B, M, T> for Distillation<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    fn keeps_outputs(&self) -> bool {
        self.teachers.keeps_outputs()
    }

    fn recall(&mut self, batch: &T) -> Result<(), DistillError> {
        self.teachers.recall(batch, self.comparison.wants())
    }

    fn rest_teachers(&mut self) {
        self.teachers.rest();
    }

    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &T,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let (student, wants) = (&trainable.student, self.comparison.wants());
        let outputs = Outputs::of(student, self.adaptor.as_ref(), &self.teachers, batch, wants, context)?;
        self.comparison.terms(&trainable.projections, &outputs, context)
    }
}
