//! Texts to batches, and what a model says of them.

use std::path::Path;

use anyhow::Result;
use brew::adaptors::{TextBatches, classify};
use brew::data::{
    BatchSampler, Collator, Example, Feature, LabelSet, TextFileSpec, TextTokenizer, label_examples,
    read_examples,
};
use brew::distillers::BatchSource;
use brew::random::Key;
use burn::tensor::backend::Backend;

use crate::measure::{Part, measure};
use crate::model::load;
use crate::task::{Infer, Texts};

/// How many texts' logits are told.
const TOLD: usize = 8;

fn examples(path: &Path) -> Result<Vec<Example>> {
    let raw = read_examples(path, &TextFileSpec::default())?;
    Ok(label_examples(&raw, &LabelSet::from_examples(&raw)?)?)
}

/// From strings to the tensors of one epoch.
pub(crate) fn tokenize<B: Backend>(spec: &Texts, device: &B::Device) -> Result<Vec<Part>> {
    let examples = examples(&spec.texts)?;
    let tokenizer = TextTokenizer::from_folder(&spec.tokenizer)?;
    let (seconds, tokens) = measure::<B, _>(spec.times, device, || {
        let features = tokenizer.encode_all(&examples, spec.max_length)?;
        let lengths = features.iter().map(Feature::len).collect();
        let sampler = BatchSampler::training(lengths, spec.batch, Key::new(0))?;
        let batches =
            TextBatches::<B>::new(features, sampler, Collator::new(tokenizer.pad_id()), device.clone());
        let mut tokens = 0;
        for batch in batches.epoch(0, 0) {
            tokens += batch?.tokens;
        }
        Ok(tokens)
    })?;
    Ok(vec![Part::new("", seconds, examples.len(), vec![tokens as f64])])
}

/// Logits of texts that are tokens already.
pub(crate) fn infer<B: Backend>(spec: &Infer, device: &B::Device) -> Result<Vec<Part>> {
    let model = load::<B>(&spec.model, device)?.model;
    let tokenizer = TextTokenizer::from_folder(&spec.model)?;
    let features = tokenizer.encode_all(&examples(&spec.texts)?, spec.max_length)?;
    let collator = Collator::new(tokenizer.pad_id());
    let mut parts = Vec::new();
    for &batch in &spec.batches {
        let (seconds, logits) = measure::<B, _>(spec.times, device, || {
            Ok(classify(&model, &features, batch, collator, device)?)
        })?;
        let told = logits.iter().take(TOLD).flatten().map(|&logit| f64::from(logit)).collect();
        parts.push(Part::new(format!("batch {batch}"), seconds, features.len(), told));
    }
    Ok(parts)
}
