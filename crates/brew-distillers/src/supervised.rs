use burn::tensor::backend::AutodiffBackend;

use crate::comparison::hard_label_loss;
use crate::{
    Adaptor, DistillError, ForwardContext, LossTerms, Objective, StepContext, Student, Trainable, Wants,
};

/// Training on gold labels alone, for teachers and baselines: TextBrewer's `BasicTrainer`.
///
/// total = Σ mean(losses)
pub struct Supervised<A> {
    adaptor: A,
}

impl<A> Supervised<A> {
    /// Minimises the `losses` that `adaptor` gives.
    pub fn new(adaptor: A) -> Self {
        Self { adaptor }
    }
}

impl<B, M, T, A> Objective<B, M, T> for Supervised<A>
where
    B: AutodiffBackend,
    M: Student<B>,
    A: Adaptor<B, M, T>,
{
    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &T,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let forward = ForwardContext { dropout: Some(context.dropout()), wants: Wants::default() };
        let output = self.adaptor.adapt(&trainable.student, batch, forward)?;
        let loss = hard_label_loss(&output).ok_or_else(|| DistillError::Adaptor {
            side: "student",
            term: "supervised training".into(),
            needed: "`losses` on the gold labels".into(),
            found: "none".into(),
        })?;
        let mut terms = LossTerms::default();
        terms.push("loss", loss, 1.0);
        Ok(terms)
    }
}
