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
