use std::cell::RefCell;
use std::collections::HashMap;

use brew_losses::FeatureTensor;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
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

/// A teacher whose sentence-level logits are computed once for each example and kept in memory:
/// `is_caching_logits`.
///
/// TextBrewer caches whole batches and so freezes their composition; this keeps rows by example id,
/// so that shuffling goes on. Only two-dimensional logits can be kept: batches whose logits have
/// positions, or that ask for features, go to the teacher every time.
pub struct CachedLogits<Te, I> {
    teacher: Te,
    ids: I,
    rows: RefCell<HashMap<u64, Vec<Vec<f32>>>>,
}

impl<Te, I> CachedLogits<Te, I> {
    /// Caches `teacher`, with `ids` giving the example ids of a batch in the order of its rows.
    pub fn new(teacher: Te, ids: I) -> Self {
        Self { teacher, ids, rows: RefCell::default() }
    }
}

impl<B, T, Te, I> Teacher<B, T> for CachedLogits<Te, I>
where
    B: Backend,
    Te: Teacher<B, T>,
    I: Fn(&T) -> (Vec<u64>, B::Device),
{
    fn outputs(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        if wants != Wants::default() {
            return self.teacher.outputs(batch, wants);
        }
        let (ids, device) = (self.ids)(batch);
        if let Some(output) = self.cached(&ids, &device) {
            return Ok(output);
        }
        let output = self.teacher.outputs(batch, wants)?;
        self.keep(&ids, &output);
        Ok(output)
    }
}

impl<Te, I> CachedLogits<Te, I> {
    fn cached<B: Backend>(&self, ids: &[u64], device: &B::Device) -> Option<AdaptorOutput<B>> {
        let rows = self.rows.borrow();
        let found: Vec<_> = ids.iter().map(|id| rows.get(id)).collect::<Option<_>>()?;
        let heads = found.first()?.len();
        let logits = (0..heads)
            .map(|head| {
                let classes = found[0][head].len();
                let values: Vec<f32> = found.iter().flat_map(|row| row[head].iter().copied()).collect();
                let data = TensorData::new(values, [ids.len(), classes]);
                FeatureTensor::from(Tensor::<B, 2>::from_data(data, device))
            })
            .collect();
        Some(AdaptorOutput { logits, ..AdaptorOutput::default() })
    }

    fn keep<B: Backend>(&self, ids: &[u64], output: &AdaptorOutput<B>) {
        let mut heads = Vec::new();
        for logits in &output.logits {
            match logits {
                FeatureTensor::D2(logits) if logits.dims()[0] == ids.len() => {
                    heads.push((logits.dims()[1], logits.clone().into_data().convert::<f32>()));
                }
                _ => return,
            }
        }
        if heads.is_empty() || !output.logits_mask.is_empty() {
            return;
        }
        let mut rows = self.rows.borrow_mut();
        for (at, &id) in ids.iter().enumerate() {
            let row = heads
                .iter()
                .map(|(classes, data)| {
                    let values = data.as_slice::<f32>().expect("converted to f32 above");
                    values[at * classes..(at + 1) * classes].to_vec()
                })
                .collect();
            rows.insert(id, row);
        }
    }
}
