//! What the examples share: a made-up task, small models that solve it, and how well they do.
#![allow(dead_code, reason = "no example uses all of it")]

use anyhow::Result;
use brew::adaptors::{ClassifierAdaptor, InnerAdaptor, TextBatches, argmax, classify};
use brew::config::{OptimizerConfig, ScheduleConfig, ScheduleName, TrainingConfig};
use brew::data::{BatchSampler, Collator, Feature, Target, metrics};
use brew::distillers::{BasicTrainer, Hooks, ModelTeacher};
use brew::models::{EncoderConfig, SequenceClassifier};
use brew::random::Key;
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn_flex::Flex;

/// The backend students train on; teachers run on `Flex`.
pub(crate) type B = Autodiff<Flex>;
pub(crate) type Classifier<B> = SequenceClassifier<B>;

pub(crate) const WORDS: usize = 200;
const PAD: u32 = 0;
/// Opens every text; the models classify by it.
pub(crate) const START: u32 = 1;
pub(crate) const FIRST_WORD: u32 = 2;
/// Room for the words and for whatever tokens an example adds.
pub(crate) const VOCABULARY: usize = 256;

/// Words that speak for some classes and against others. A text belongs to the class that its words speak
/// for most.
pub(crate) struct Language {
    /// What each word says of each class.
    opinions: Vec<Vec<f32>>,
}

impl Language {
    pub(crate) fn new(classes: usize, key: Key) -> Self {
        Self::fair((0..WORDS as u64).map(|word| key.index(word).normal(classes, 1.0)).collect())
    }

    /// A language whose words are made of this one's and speak as those do together.
    pub(crate) fn compound(&self, words: &[Vec<usize>]) -> Self {
        let sum = |parts: &Vec<usize>| {
            let opinions = parts.iter().map(|&part| self.opinions[part].clone());
            opinions.reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect()).unwrap_or_default()
        };
        Self::fair(words.iter().map(sum).collect())
    }

    /// The words together speak for no class, so that all are about as frequent.
    fn fair(mut opinions: Vec<Vec<f32>>) -> Self {
        for class in 0..opinions[0].len() {
            let mean = opinions.iter().map(|word| word[class]).sum::<f32>() / opinions.len() as f32;
            opinions.iter_mut().for_each(|word| word[class] -= mean);
        }
        Self { opinions }
    }

    /// So many texts of 6 to 14 words, of which a share has a label drawn at random.
    pub(crate) fn texts(&self, count: usize, random_labels: f64, key: Key) -> Vec<Feature> {
        let mut stream = key.stream();
        (0..count as u64)
            .map(|id| {
                let words: Vec<usize> = (0..6 + stream.below(9)).map(|_| stream.below(WORDS)).collect();
                let sums: Vec<f32> = (0..self.opinions[0].len())
                    .map(|class| words.iter().map(|&word| self.opinions[word][class]).sum())
                    .collect();
                let random = stream.chance(random_labels);
                let label = if random { stream.below(sums.len()) } else { argmax(&sums) };
                feature(id, words.into_iter().map(|word| FIRST_WORD + word as u32), Some(label))
            })
            .collect()
    }
}

/// A text of these tokens.
pub(crate) fn feature(id: u64, tokens: impl Iterator<Item = u32>, label: Option<usize>) -> Feature {
    let input_ids: Vec<u32> = std::iter::once(START).chain(tokens).collect();
    Feature { id, token_type_ids: vec![0; input_ids.len()], input_ids, target: label.map(Target::Class) }
}

/// A BERT of so many layers and hidden units with random weights.
pub(crate) fn classifier(layers: usize, width: usize, classes: usize, key: Key) -> Result<Classifier<B>> {
    let config = EncoderConfig {
        vocab_size: VOCABULARY,
        hidden_size: width,
        num_hidden_layers: layers,
        num_attention_heads: 2,
        intermediate_size: 2 * width,
        max_position_embeddings: 64,
        initializer_range: 0.1,
        ..EncoderConfig::default()
    }
    .with_labels((0..classes).map(|class| format!("class {class}")));
    Ok(Classifier::try_new(&config, key, &Default::default())?)
}

/// Texts as batches of 32, shuffled anew each epoch.
pub(crate) fn batches(texts: &[Feature]) -> Result<TextBatches<B>> {
    let lengths = texts.iter().map(Feature::len).collect();
    let sampler = BatchSampler::training(lengths, 32, Key::new(7))?;
    Ok(TextBatches::new(texts.to_vec(), sampler, collator(), Default::default()))
}

pub(crate) fn collator() -> Collator {
    Collator::new(PAD)
}

/// So many epochs at a rate that rises shortly and falls to 0.
pub(crate) fn training(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        num_epochs: epochs,
        max_grad_norm: 1.0,
        optimizer: OptimizerConfig { lr: 3e-3, ..OptimizerConfig::default() },
        schedule: ScheduleConfig {
            name: ScheduleName::Linear,
            warmup_ratio: 0.1,
            ..ScheduleConfig::default()
        },
        ..TrainingConfig::default()
    }
}

/// Trains a model on the labels of texts.
pub(crate) fn train_on_labels(
    model: Classifier<B>,
    texts: &[Feature],
    epochs: usize,
) -> Result<Classifier<Flex>> {
    let trainer = BasicTrainer::new(training(epochs), ClassifierAdaptor);
    Ok(trainer.train(model, &batches(texts)?, Hooks::new())?.trainable.student.valid())
}

/// A model as the teacher of a student on batches of text.
pub(crate) fn teacher(
    model: &Classifier<Flex>,
) -> ModelTeacher<Classifier<Flex>, InnerAdaptor<ClassifierAdaptor>> {
    ModelTeacher::new(model.clone(), InnerAdaptor(ClassifierAdaptor))
}

/// The classes that a model gives texts.
pub(crate) fn predictions(model: &Classifier<Flex>, texts: &[Feature]) -> Result<Vec<usize>> {
    let logits = classify(model, texts, 100, collator(), &Default::default())?;
    Ok(logits.iter().map(|row| argmax(row)).collect())
}

pub(crate) fn gold(texts: &[Feature]) -> Vec<usize> {
    texts.iter().filter_map(|text| text.class()).collect()
}

/// The share of texts that a model gives the right class, in percent.
pub(crate) fn accuracy(model: &Classifier<Flex>, texts: &[Feature]) -> Result<f64> {
    Ok(100.0 * metrics::accuracy(&predictions(model, texts)?, &gold(texts))?)
}
