//! Distils BERT into a shallower BERT on random tokens: the example TextBrewer starts with.
//!
//!     cargo run --example random_tokens
//!
//! Nothing is downloaded. The teacher has random weights, so there is nothing to learn but to agree
//! with it; the last line says how often the student does, before and after.
#![allow(clippy::print_stdout, reason = "an example")]

use anyhow::Result;
use brew::adaptors::{ClassifierAdaptor, InnerAdaptor, TextBatches, argmax, classify};
use brew::config::{
    DistillationConfig, IntermediateMatch, OptimizerConfig, ScheduleConfig, ScheduleName, TrainingConfig,
};
use brew::data::{Batch, BatchSampler, Collator, Feature};
use brew::distillers::{Callback, CallbackError, GeneralDistiller, Hooks, ModelTeacher, StepReport};
use brew::models::{EncoderConfig, SequenceClassifier, StudentHead};
use brew::random::Key;
use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module};
use burn_flex::Flex;

type B = Autodiff<Flex>;

const VOCABULARY: usize = 1000;
const PAD: u32 = 0;

fn main() -> Result<()> {
    let device = Default::default();
    let config = EncoderConfig {
        vocab_size: VOCABULARY,
        hidden_size: 64,
        num_hidden_layers: 6,
        num_attention_heads: 4,
        intermediate_size: 128,
        max_position_embeddings: 32,
        // Larger than BERT's 0.02, or a random model says the same of every text.
        initializer_range: 0.2,
        ..EncoderConfig::default()
    };
    let teacher = SequenceClassifier::<Flex>::try_new(&config, Key::new(1), &device)?;
    // The student has layers 1, 3 and 5 of another random model: as wide, half as deep.
    let other = SequenceClassifier::<B>::try_new(&config, Key::new(2), &device)?;
    let (student, _) =
        SequenceClassifier::from_layers(&other, &config, &[1, 3, 5], StudentHead::Copy, &device)?;

    let train = random_texts(Key::new(3), 1024);
    let test = random_texts(Key::new(4), 256);
    let collator = Collator::new(PAD);
    let agreement = |student: &SequenceClassifier<Flex>| -> Result<f64> {
        let teacher = classify(&teacher, &test, 64, collator, &device)?;
        let student = classify(student, &test, 64, collator, &device)?;
        let same = teacher.iter().zip(&student).filter(|(t, s)| argmax(t) == argmax(s)).count();
        Ok(100.0 * same as f64 / test.len() as f64)
    };
    let before = agreement(&student.valid())?;

    let training = TrainingConfig {
        num_epochs: 8,
        optimizer: OptimizerConfig { lr: 1e-3, ..OptimizerConfig::default() },
        schedule: ScheduleConfig {
            name: ScheduleName::Linear,
            warmup_ratio: 0.1,
            ..ScheduleConfig::default()
        },
        log_every: 32,
        ..TrainingConfig::default()
    };
    let distillation = DistillationConfig {
        temperature: 2.0,
        intermediate_matches: vec![
            IntermediateMatch::hidden(2, 1, "hidden_mse"),
            IntermediateMatch::hidden(4, 2, "hidden_mse"),
            IntermediateMatch::hidden(6, 3, "hidden_mse"),
        ],
        ..DistillationConfig::default()
    };
    let distiller = GeneralDistiller::<B, _, Batch<B>>::new(
        training,
        distillation,
        ModelTeacher::new(teacher.clone(), InnerAdaptor(ClassifierAdaptor)),
        ClassifierAdaptor,
    )?;
    println!(
        "teacher {} parameters, student {}",
        Module::<Flex>::num_params(&teacher),
        Module::<B>::num_params(&student)
    );
    let lengths = train.iter().map(Feature::len).collect();
    let batches =
        TextBatches::new(train, BatchSampler::training(lengths, 32, Key::new(5))?, collator, device);
    let trained = distiller.train(student, &batches, Hooks::new().with_callback(Losses))?;

    let after = agreement(&trained.trainable.student.valid())?;
    println!("student and teacher agree on {before:.1} % of new texts before, {after:.1} % after");
    Ok(())
}

/// Texts of random tokens and of 5 to 20 tokens, without labels.
fn random_texts(key: Key, count: u64) -> Vec<Feature> {
    let mut stream = key.stream();
    (0..count)
        .map(|id| {
            let length = 5 + stream.below(16);
            let input_ids: Vec<u32> = (0..length).map(|_| 1 + stream.below(VOCABULARY - 1) as u32).collect();
            Feature { id, token_type_ids: vec![0; length], input_ids, target: None }
        })
        .collect()
}

/// Prints every report.
struct Losses;

impl<M> Callback<M> for Losses {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        let terms: Vec<String> =
            report.terms.iter().map(|term| format!("{} {:.4}", term.name, term.value)).collect();
        println!("step {:>3} of {}: {}", report.step, report.total_steps, terms.join(", "));
        Ok(())
    }
}
