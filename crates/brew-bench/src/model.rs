//! Forward passes and training steps at a padded shape.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use brew::adaptors::ClassifierAdaptor;
use brew::config::{OptimizerConfig, TrainingConfig};
use brew::data::{Batch, Collator, Feature, Target};
use brew::distillers::{BasicTrainer, Callback, CallbackError, Counted, Hooks};
use brew::models::{
    EncoderConfig, EncoderInput, LoadOptions, Mode, OutputRequest, Pretrained, SequenceClassifier,
    load_pretrained, save_pretrained,
};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::measure::{Part, measure};
use crate::task::{Export, Padded};

pub(crate) type Classifier<B> = SequenceClassifier<B>;

pub(crate) fn load<B: Backend>(folder: &Path, device: &B::Device) -> Result<Pretrained<Classifier<B>>> {
    Ok(load_pretrained(folder, &LoadOptions::default(), device)?)
}

/// Texts of so many tokens, no padding, whose ids follow a rule that the peer's side has too.
fn made_up<B: Backend>(spec: &Padded, config: &EncoderConfig, device: &B::Device) -> Batch<B> {
    let token = |place: usize| (1 + place * 7919 % (config.vocab_size - 1)) as u32;
    let features: Vec<Feature> = (0..spec.batch)
        .map(|row| Feature {
            id: row as u64,
            input_ids: (row * spec.length..(row + 1) * spec.length).map(token).collect(),
            token_type_ids: vec![0; spec.length],
            target: Some(Target::Class(row % 2)),
        })
        .collect();
    let all: Vec<&Feature> = features.iter().collect();
    Collator::new(0).collate(&all, device)
}

fn logits<B: Backend>(model: &Classifier<B>, batch: &Batch<B>) -> Tensor<B, 2> {
    let input = EncoderInput {
        input_ids: batch.input_ids.clone(),
        attention_mask: batch.attention_mask.clone(),
        token_type_ids: batch.token_type_ids.clone(),
        lengths: batch.lengths.clone(),
    };
    model.forward(input, OutputRequest::default(), Mode::Eval).logits
}

fn numbers<B: Backend>(logits: Tensor<B, 2>) -> Vec<f64> {
    logits.into_data().iter::<f64>().collect()
}

pub(crate) fn forward<B: Backend>(spec: &Padded, device: &B::Device) -> Result<Vec<Part>> {
    let Pretrained { model, config, .. } = load::<B>(&spec.model, device)?;
    let batch = made_up::<B>(spec, &config, device);
    let (seconds, logits) = measure::<B, _>(spec.times, device, || Ok(logits(&model, &batch)))?;
    Ok(vec![Part::new("", seconds, spec.batch, numbers(logits))])
}

/// The moments at which the steps of a run ended.
struct Clock<'a>(&'a mut Vec<Instant>);

impl<M> Callback<M> for Clock<'_> {
    fn on_start(&mut self, _step: usize, _total_steps: usize) -> Result<(), CallbackError> {
        self.0.push(Instant::now());
        Ok(())
    }

    fn on_step(&mut self, _step: usize, _total_steps: usize) -> Result<(), CallbackError> {
        self.0.push(Instant::now());
        Ok(())
    }
}

/// Steps of the training loop itself, dropout and all.
pub(crate) fn step<B: AutodiffBackend>(spec: &Padded, device: &B::Device) -> Result<Vec<Part>> {
    let Pretrained { model, config, .. } = load::<B>(&spec.model, device)?;
    let batch = made_up::<B>(spec, &config, device);
    let check = numbers(logits(&model, &batch).inner());
    let steps = spec.times.warmup + spec.times.iterations;
    let training = TrainingConfig {
        num_steps: Some(steps),
        // Nothing is read back before the end.
        log_every: steps,
        optimizer: OptimizerConfig { lr: 1e-5, weight_decay: 0.01, ..OptimizerConfig::default() },
        ..TrainingConfig::default()
    };
    let mut ends = Vec::with_capacity(steps + 1);
    let hooks = Hooks::new().with_callback(Clock(&mut ends));
    let batches = vec![Counted::new(batch, spec.batch)];
    BasicTrainer::new(training, ClassifierAdaptor).train(model, &batches, hooks)?;
    let seconds = ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).skip(spec.times.warmup);
    Ok(vec![Part::new("", seconds.collect(), spec.batch, check)])
}

/// Writes the folder that the inference of both sides reads.
pub(crate) fn export<B: Backend>(spec: &Export, device: &B::Device) -> Result<Vec<Part>> {
    let Pretrained { model, config, .. } = load::<B>(&spec.model, device)?;
    save_pretrained(&model, &config, Some(&spec.tokenizer), &spec.folder)?;
    Ok(Vec::new())
}
