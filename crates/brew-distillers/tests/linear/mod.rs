//! A linear model and its batches, for tests of the loop.

use brew_config::{OptimizerConfig, ScheduleConfig, ScheduleName, TrainingConfig};
use brew_distillers::{Adaptor, AdaptorOutput, BasicTrainer, Counted, DistillError, ForwardContext, Hooks};
use brew_losses::cross_entropy;
use brew_random::Key;
use brew_testkit::{TestAutodiffBackend as AB, TestBackend as B};
use burn::module::{AutodiffModule, Param};
use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

pub(crate) const INPUTS: usize = 6;
pub(crate) const CLASSES: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Batch<X: Backend> {
    pub(crate) inputs: Tensor<X, 2>,
    pub(crate) labels: Tensor<X, 1, Int>,
}

pub(crate) fn model<X: Backend>(seed: u64) -> Linear<X> {
    let device = Default::default();
    let weight = TensorData::new(Key::new(seed).normal(INPUTS * CLASSES, 0.5), [INPUTS, CLASSES]);
    Linear {
        weight: Param::from_tensor(Tensor::from_data(weight, &device)),
        bias: Some(Param::from_tensor(Tensor::zeros([CLASSES], &device))),
    }
}

/// `count` batches of `size` examples, the same examples in the same order for every `size`.
pub(crate) fn batches(count: usize, size: usize) -> Vec<Counted<Batch<AB>>> {
    let device = Default::default();
    let values = Key::new(9).normal(count * size * INPUTS, 1.0);
    (0..count)
        .map(|index| {
            let rows = values[index * size * INPUTS..(index + 1) * size * INPUTS].to_vec();
            let labels: Vec<i64> = (0..size).map(|row| ((index * size + row) % CLASSES) as i64).collect();
            let batch = Batch {
                inputs: Tensor::from_data(TensorData::new(rows, [size, INPUTS]), &device),
                labels: Tensor::from_data(TensorData::new(labels, [size]), &device),
            };
            Counted::new(batch, size)
        })
        .collect()
}

pub(crate) struct LinearAdaptor;

impl<X: Backend> Adaptor<X, Linear<X>, Batch<X>> for LinearAdaptor {
    fn adapt(
        &self,
        model: &Linear<X>,
        batch: &Batch<X>,
        _context: ForwardContext,
    ) -> Result<AdaptorOutput<X>, DistillError> {
        let logits = model.forward(batch.inputs.clone());
        let loss = cross_entropy(logits.clone(), batch.labels.clone());
        Ok(AdaptorOutput { losses: vec![loss], ..AdaptorOutput::from_logits(logits) })
    }
}

pub(crate) fn config(epochs: usize, accumulation: usize) -> TrainingConfig {
    TrainingConfig {
        num_epochs: epochs,
        gradient_accumulation_steps: accumulation,
        max_grad_norm: 1.0,
        log_every: 1,
        optimizer: OptimizerConfig { lr: 0.05, ..OptimizerConfig::default() },
        schedule: ScheduleConfig {
            name: ScheduleName::Linear,
            warmup_ratio: 0.1,
            ..ScheduleConfig::default()
        },
        ..TrainingConfig::default()
    }
}

pub(crate) fn weights(model: &Linear<B>) -> Vec<f32> {
    model.weight.val().into_data().to_vec().unwrap()
}

/// Trains from seed 1 and gives the final weights and the number of steps.
pub(crate) fn train(
    config: TrainingConfig,
    batches: &Vec<Counted<Batch<AB>>>,
    hooks: Hooks<'_, Linear<AB>>,
) -> (Vec<f32>, usize) {
    let trained = BasicTrainer::new(config, LinearAdaptor).train(model::<AB>(1), batches, hooks).unwrap();
    (weights(&trained.trainable.student.valid()), trained.steps)
}
