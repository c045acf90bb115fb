//! Times a training step on batches of texts of mixed lengths, with padding computed and without.
//!
//!     cargo run --release --example packed_tokens
//!
//! The model has the shape of MiniLM-L6: 6 layers of width 384, 30522 words. Both kinds of batch take
//! turns, so that whatever else the machine does meets both.
#![allow(clippy::print_stdout, reason = "an example")]

use std::time::Instant;

use anyhow::{Result, ensure};
use brew::adaptors::ClassifierAdaptor;
use brew::config::TrainingConfig;
use brew::data::{Batch, Collator, Feature, Target};
use brew::distillers::{BasicTrainer, Callback, CallbackError, Counted, Hooks, StepReport};
use brew::models::{EncoderConfig, EncoderInput, Mode, OutputRequest, SequenceClassifier};
use brew::random::{Key, Stream};
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::tensor::backend::Backend;
use burn_flex::Flex;

type B = Autodiff<Flex>;

const PAIRS: u64 = 16;
const BATCH: u64 = 32;

fn main() -> Result<()> {
    let device = Default::default();
    let config = EncoderConfig {
        hidden_size: 384,
        num_hidden_layers: 6,
        num_attention_heads: 12,
        intermediate_size: 1536,
        ..EncoderConfig::default()
    };
    let model = SequenceClassifier::<B>::try_new(&config, Key::new(1), &device)?;

    // The same texts twice, padded first; without their lengths, padding is computed.
    let mut batches = Vec::new();
    let (mut tokens, mut positions) = (0, 0);
    for pair in 0..PAIRS {
        let packed: Batch<B> = texts(Key::new(2).index(pair), &device);
        let real = packed.lengths.iter().flatten().sum::<usize>();
        tokens += real;
        positions += packed.len() * packed.length();
        let padded = Batch { lengths: None, ..packed.clone() };
        batches.extend([padded, packed].map(|batch| Counted { examples: batch.len(), tokens: real, batch }));
    }
    println!("{tokens} tokens in {positions} positions: {:.2}", tokens as f64 / positions as f64);

    let mut seconds = Vec::new();
    let training = TrainingConfig { num_epochs: 1, log_every: 1, ..TrainingConfig::default() };
    let hooks = Hooks::new().with_callback(Seconds(&mut seconds));
    let trained = BasicTrainer::new(training, ClassifierAdaptor).train(model, &batches, hooks)?;
    report("training step", &seconds);

    let model = trained.trainable.student.valid();
    let mut seconds = Vec::new();
    for pair in 0..PAIRS {
        let batch: Batch<Flex> = texts(Key::new(2).index(pair), &device);
        let mut time = |lengths: Option<Vec<usize>>| {
            let input = EncoderInput {
                input_ids: batch.input_ids.clone(),
                attention_mask: batch.attention_mask.clone(),
                token_type_ids: batch.token_type_ids.clone(),
                lengths,
            };
            let start = Instant::now();
            let output = model.forward(input, OutputRequest::default(), Mode::Eval);
            seconds.push(start.elapsed().as_secs_f64());
            output.logits
        };
        let difference = time(None) - time(batch.lengths.clone());
        let difference = difference.abs().max().into_scalar();
        ensure!(difference < 1e-4, "the logits differ by {difference}");
    }
    report("forward pass", &seconds);
    Ok(())
}

/// Keeps how long each step took.
struct Seconds<'a>(&'a mut Vec<f64>);

impl<M> Callback<M> for Seconds<'_> {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.0.push(report.seconds);
        Ok(())
    }
}

/// `seconds` holds padded and packed in turn; the first pair warms up.
fn report(what: &str, seconds: &[f64]) {
    let pairs = || seconds.chunks_exact(2).skip(1);
    let median = |values: &mut dyn Iterator<Item = f64>| {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "{what}: padded {:.0} ms, packed {:.0} ms, packed/padded {:.3} (medians of {} pairs)",
        1e3 * median(&mut pairs().map(|pair| pair[0])),
        1e3 * median(&mut pairs().map(|pair| pair[1])),
        median(&mut pairs().map(|pair| pair[1] / pair[0])),
        pairs().count()
    );
}

/// Random texts whose lengths are those of film reviews: 5 to 50 tokens, 20 in the mean.
fn texts<B: Backend>(key: Key, device: &B::Device) -> Batch<B> {
    let mut stream = key.stream();
    let features: Vec<Feature> = (0..BATCH)
        .map(|id| {
            let length = length(&mut stream);
            let input_ids = (0..length).map(|_| 1 + stream.below(30_521) as u32).collect();
            Feature {
                id,
                input_ids,
                token_type_ids: vec![0; length],
                target: Some(Target::Class(stream.below(2))),
            }
        })
        .collect();
    Collator::new(0).collate(&features.iter().collect::<Vec<_>>(), device)
}

/// The smaller of two draws: short texts are common, long ones rare.
fn length(stream: &mut Stream) -> usize {
    5 + stream.below(46).min(stream.below(46))
}
