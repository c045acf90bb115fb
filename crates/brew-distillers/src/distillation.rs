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

/// What the teachers say of a batch: their mean prediction, and each one's outputs.
pub(crate) fn teachers_outputs<B: AutodiffBackend, T>(
    teachers: &Ensemble<B::InnerBackend, T>,
    batch: &T,
    wants: Wants,
) -> Result<(AdaptorOutput<B>, Vec<AdaptorOutput<B>>), DistillError> {
    let outputs = teachers.outputs(batch, wants)?;
    let soft = AdaptorOutput {
        logits: teachers.mean_logits(&outputs)?,
        logits_mask: outputs[0].logits_mask.clone(),
        aligned: outputs[0].aligned,
        ..AdaptorOutput::default()
    };
    let outputs = outputs.into_iter().map(AdaptorOutput::from_inner).collect();
    Ok((AdaptorOutput::from_inner(soft), outputs))
}

impl<B, M, T> Objective<B, M, T> for Distillation<B, M, T>
where
    B: AutodiffBackend,
    M: Student<B>,
{
    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &T,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let wants = self.comparison.wants();
        let (soft, teachers) = teachers_outputs(&self.teachers, batch, wants)?;
        let forward = ForwardContext { dropout: Some(context.dropout()), wants };
        let student = self.adaptor.adapt(&trainable.student, batch, forward)?;
        self.comparison.terms(&trainable.projections, &student, &soft, &teachers, context)
    }
}
