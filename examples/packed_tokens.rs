//! Times a training step on a batch of texts of mixed lengths, with padding computed and without.
//!
//!     cargo run --release --example packed_tokens
//!
//! The model has the shape of MiniLM-L6: 6 layers of width 384, 30522 words. Both kinds of step take
//! turns on the same batches, so that whatever else the machine does meets both.
#![allow(clippy::print_stdout, reason = "an example")]

use std::time::Instant;

use anyhow::{Result, ensure};
use brew::data::{Batch, Collator, Feature};
use brew::models::{BertConfig, BertForSequenceClassification, EncoderInput, Mode, OutputRequest};
use brew::random::{Key, Stream};
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::backend::Backend;
use burn_flex::Flex;

type B = Autodiff<Flex>;

const PAIRS: u64 = 15;
const BATCH: u64 = 32;

fn main() -> Result<()> {
    let device = Default::default();
    let config = BertConfig {
        hidden_size: 384,
        num_hidden_layers: 6,
        num_attention_heads: 12,
        intermediate_size: 1536,
        ..BertConfig::default()
    };
    let mut model = BertForSequenceClassification::<B>::try_new(&config, Key::new(1), &device)?;
    let mut optimizer = AdamWConfig::new().init();
    let mut step = |batch: &Batch<B>, lengths: Option<Vec<usize>>, dropout: Key| {
        let start = Instant::now();
        let output = model.forward(input(batch, lengths), OutputRequest::default(), Mode::Train { dropout });
        let gradients = GradientsParams::from_grads(output.logits.powi_scalar(2).mean().backward(), &model);
        model = optimizer.step(1e-5, model.clone(), gradients);
        start.elapsed().as_secs_f64()
    };
    let (mut tokens, mut positions) = (0, 0);
    let (mut padded, mut packed) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let batch: Batch<B> = texts(Key::new(2).index(pair), &device);
        tokens += batch.lengths.iter().flatten().sum::<usize>();
        positions += batch.len() * batch.length();
        let dropout = Key::new(3).index(pair);
        // The first pair warms up; whichever goes second finds the caches warm, so they take turns.
        let both = if pair % 2 == 0 {
            let first = step(&batch, None, dropout);
            (first, step(&batch, batch.lengths.clone(), dropout))
        } else {
            let first = step(&batch, batch.lengths.clone(), dropout);
            (step(&batch, None, dropout), first)
        };
        if pair > 0 {
            padded.push(both.0);
            packed.push(both.1);
        }
    }
    println!("{tokens} tokens in {positions} positions: {:.2}", tokens as f64 / positions as f64);
    report("training step", &padded, &packed);

    let model = model.valid();
    let (mut padded, mut packed) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let batch: Batch<Flex> = texts(Key::new(2).index(pair), &device);
        let time = |lengths: Option<Vec<usize>>| {
            let start = Instant::now();
            let output = model.forward(input(&batch, lengths), OutputRequest::default(), Mode::Eval);
            (start.elapsed().as_secs_f64(), output.logits)
        };
        let (one, other) = (time(None), time(batch.lengths.clone()));
        let difference = (one.1 - other.1).abs().max().into_scalar();
        ensure!(difference < 1e-4, "the logits differ by {difference}");
        padded.push(one.0);
        packed.push(other.0);
    }
    report("forward pass", &padded, &packed);
    Ok(())
}

fn input<B: Backend>(batch: &Batch<B>, lengths: Option<Vec<usize>>) -> EncoderInput<B> {
    EncoderInput {
        input_ids: batch.input_ids.clone(),
        attention_mask: batch.attention_mask.clone(),
        token_type_ids: batch.token_type_ids.clone(),
        lengths,
    }
}

fn report(what: &str, padded: &[f64], packed: &[f64]) {
    let median = |values: &mut dyn Iterator<Item = f64>| {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "{what}: padded {:.1} ms, packed {:.1} ms, packed/padded {:.3} (medians of {} pairs)",
        1e3 * median(&mut padded.iter().copied()),
        1e3 * median(&mut packed.iter().copied()),
        median(&mut padded.iter().zip(packed).map(|(padded, packed)| packed / padded)),
        padded.len()
    );
}

/// Random texts whose lengths are those of film reviews: 5 to 50 tokens, 20 in the mean.
fn texts<B: Backend>(key: Key, device: &B::Device) -> Batch<B> {
    let mut stream = key.stream();
    let features: Vec<Feature> = (0..BATCH)
        .map(|id| {
            let length = length(&mut stream);
            let input_ids = (0..length).map(|_| 1 + stream.below(30_521) as u32).collect();
            Feature { id, input_ids, token_type_ids: vec![0; length], label: None }
        })
        .collect();
    Collator::new(0).collate(&features.iter().collect::<Vec<_>>(), device)
}

/// The smaller of two draws: short texts are common, long ones rare.
fn length(stream: &mut Stream) -> usize {
    5 + stream.below(46).min(stream.below(46))
}
