use burn::tensor::backend::Backend;
use derive_new::new;

use crate::{Adaptor, AdaptorOutput, DistillError, ForwardContext, Wants};

/// Gives the outputs a student learns from. `B` is the backend without autodiff: a teacher builds
/// no graph.
pub trait Teacher<B: Backend, T> {
    /// The teacher's outputs on a batch, with at least the features wanted.
    ///
    /// # Errors
    /// Whatever keeps the teacher from being run.
    fn outputs(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError>;

    /// Whether outputs are kept and given again for the same example in another batch.
    fn keeps_outputs(&self) -> bool {
        false
    }

    /// Keeps the outputs of a batch that an earlier process of the run had, where they are not kept already. The
    /// last bits of an example's outputs depend on the batch it is in, so that a continued run has to compute
    /// what it lacks in the batches in which it was first computed.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    fn recall(&self, batch: &T, wants: Wants) -> Result<(), DistillError> {
        let _ = (batch, wants);
        Ok(())
    }

    /// Every batch of an epoch was answered. A teacher that kept all it said lets go of what it needs to say more;
    /// it may be asked again all the same.
    fn rest(&self) {}
}

/// Any closure of the right shape, such as one that reads outputs from a file.
impl<B, T, F> Teacher<B, T> for F
where
    B: Backend,
    F: Fn(&T, Wants) -> Result<AdaptorOutput<B>, DistillError>,
{
    fn outputs(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        self(batch, wants)
    }
}

/// One model as a teacher.
#[derive(new)]
pub struct ModelTeacher<M, A> {
    model: M,
    adaptor: A,
}

impl<B: Backend, M, T, A: Adaptor<B, M, T>> Teacher<B, T> for ModelTeacher<M, A> {
    fn outputs(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        self.adaptor.adapt(&self.model, batch, ForwardContext::evaluation(wants))
    }
}
