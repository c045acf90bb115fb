//! How large a run is: estimates, each said to be one.

use std::collections::BTreeSet;

use brew_config::MatchFeature;
use brew_data::Feature;
use brew_models::{Architecture, EncoderConfig, Head, ParameterTable};
use serde::Serialize;

use super::data::Sample;
use crate::{RunConfig, TaskKind};

/// Bytes of a number in single precision.
const FLOAT: u64 = 4;

/// A model of a run, told from its configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSize {
    /// `student` or `teacher`; `model` where it learns from labels alone.
    pub role: &'static str,
    /// Where it comes from.
    pub source: String,
    /// Its family.
    pub family: &'static str,
    /// Encoder layers.
    pub layers: usize,
    /// Width of the hidden states.
    pub width: usize,
    /// Parameters, embeddings and head included.
    pub parameters: usize,
}

impl ModelSize {
    pub(super) fn new(role: &'static str, source: String, config: &EncoderConfig, task: TaskKind) -> Self {
        Self {
            role,
            source,
            family: config.architecture.model_type(),
            layers: config.num_hidden_layers,
            width: config.hidden_size,
            parameters: parameters(config, task),
        }
    }
}

fn parameters(config: &EncoderConfig, task: TaskKind) -> usize {
    ParameterTable::of_config(config, Some(task.head()), None).total
}

/// A data file of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataSize {
    /// `train`, `dev`, `test` or `transfer`; with the name of its task in a run of several.
    pub part: String,
    /// The file.
    pub file: String,
    /// Its rows; by the sizes of the first ones unless it `is_exact`.
    pub rows: usize,
    /// Whether the file was read whole.
    pub is_exact: bool,
    /// Tokens of a text or pair on average, of the first rows; 0 where they are not known.
    pub mean_tokens: f64,
    /// Tokens of the longest of the first rows.
    pub longest: usize,
    /// The share of the first rows that fill `data.max_length`, and of which there may be more than is read.
    pub full: f64,
}

impl DataSize {
    pub(super) fn new(part: String, sample: &Sample, max_length: usize) -> Self {
        let tokens = tokens(&sample.features);
        let full = sample.features.iter().filter(|feature| feature.len() >= max_length).count();
        let count = sample.features.len().max(1) as f64;
        Self {
            part,
            file: sample.file.display().to_string(),
            rows: sample.count,
            is_exact: sample.is_whole,
            mean_tokens: tokens as f64 / count,
            longest: sample.features.iter().map(Feature::len).max().unwrap_or(0),
            full: full as f64 / count,
        }
    }
}

fn tokens(features: &[Feature]) -> usize {
    features.iter().map(Feature::len).sum()
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StepCount {
    /// Batches of an epoch.
    pub batches_per_epoch: usize,
    /// Optimizer steps of an epoch.
    pub per_epoch: usize,
    /// Optimizer steps of the run.
    pub total: usize,
}

impl StepCount {
    pub(super) fn new(config: &RunConfig, batches_per_epoch: usize) -> Self {
        let training = &config.training;
        // As the loop counts: what is left at an epoch's end makes a step of its own.
        let per_epoch = batches_per_epoch.div_ceil(training.gradient_accumulation_steps.max(1));
        let total = training.num_steps.unwrap_or(training.num_epochs.saturating_mul(per_epoch));
        Self { batches_per_epoch, per_epoch, total }
    }
}

/// Bytes in memory. Parameters are counted; activations are an estimate for the longest texts seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// The trained model's parameters.
    pub weights: u64,
    /// Their gradients.
    pub gradients: u64,
    /// Both moments of AdamW.
    pub moments: u64,
    /// The teachers' parameters.
    pub teachers: u64,
    /// What the trained model keeps of a batch for its gradients, and a teacher's layer at work.
    pub activations: u64,
    /// All of it.
    pub total: u64,
}

impl MemoryEstimate {
    pub(super) fn new(
        student: (&EncoderConfig, TaskKind),
        teachers: &[EncoderConfig],
        batch: usize,
        length: usize,
    ) -> Self {
        let bytes = |config: &EncoderConfig| FLOAT * parameters(config, student.1) as u64;
        let weights = bytes(student.0);
        let of_teachers = teachers.iter().map(bytes).sum();
        let (kept, layers) =
            (layer_activations(student.0, batch, length), student.0.num_hidden_layers as u64);
        // A teacher builds no graph: one layer's numbers at a time.
        let working =
            teachers.iter().map(|teacher| layer_activations(teacher, batch, length)).max().unwrap_or(0);
        let activations = kept * (layers + 1) + working;
        let total = 4 * weights + of_teachers + activations;
        Self { weights, gradients: weights, moments: 2 * weights, teachers: of_teachers, activations, total }
    }
}

/// Bytes that a layer keeps for its gradients: its input, queries, keys, values, what attention gives, both residuals
/// and normalisations with their dropout, the wide layer before and after its activation, and the attention's scores,
/// probabilities and dropout of each head.
fn layer_activations(config: &EncoderConfig, batch: usize, length: usize) -> u64 {
    let (batch, length) = (batch as u64, length as u64);
    let (width, wide, heads) =
        (config.hidden_size as u64, config.intermediate_size as u64, config.num_attention_heads as u64);
    let numbers = match config.architecture {
        // Gates of both directions at every token, and what they were made of.
        Architecture::BiGru => batch * length * 16 * width,
        _ => batch * (length * (14 * width + 3 * wide) + 3 * heads * length * length),
    };
    FLOAT * numbers
}

/// How large the outputs of a teacher are that a distillation needs, in single precision and without padding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CacheSize {
    /// Bytes of an example, whatever its length: the logits of a text.
    pub per_example: u64,
    /// Bytes of each token: hidden states, queries, keys and values, and the logits of tokens.
    pub per_token: u64,
    /// Bytes of each pair of tokens of a text: attention.
    pub per_token_pair: u64,
    /// Bytes of all training examples, going by the lengths of the first ones.
    pub total: u64,
}

impl CacheSize {
    /// Bytes of an example of so many tokens.
    ///
    /// ```
    /// let cache = brew::CacheSize { per_example: 8, per_token: 3072, per_token_pair: 0, total: 0 };
    /// assert_eq!(cache.of_example(10), 30728);
    /// ```
    pub fn of_example(&self, tokens: u64) -> u64 {
        self.per_example + tokens * self.per_token + tokens * tokens * self.per_token_pair
    }

    /// The same with the size of `rows` examples that are as long as these.
    pub(super) fn of_rows(self, features: &[Feature], rows: usize) -> Self {
        let bytes: u64 = features.iter().map(|feature| self.of_example(feature.len() as u64)).sum();
        let mean = bytes as f64 / features.len().max(1) as f64;
        Self { total: (mean * rows as f64).round() as u64, ..self }
    }
}

/// The size of what the distillation of a run needs of teacher `number`: its logits, and the layers that the matches
/// compare, each once.
///
/// ```
/// use brew::models::EncoderConfig;
/// use brew::{RunConfig, cache_size};
///
/// let mut config = RunConfig::default();
/// config.distillation.intermediate_matches =
///     vec![brew::config::IntermediateMatch::hidden(12, 3, "hidden_mse")];
/// let cache = cache_size(&config, 0, &EncoderConfig::default());
/// assert_eq!((cache.per_example, cache.per_token), (2 * 4, 768 * 4));
/// ```
pub fn cache_size(config: &RunConfig, number: usize, teacher: &EncoderConfig) -> CacheSize {
    let mut cache = CacheSize::default();
    match config.task.head() {
        Head::SequenceClassification => cache.per_example += FLOAT * teacher.num_labels() as u64,
        Head::TokenClassification => cache.per_token += FLOAT * teacher.num_labels() as u64,
        // The logits of a start and of an end.
        Head::QuestionAnswering => cache.per_token += FLOAT * 2,
    }
    let mut layers: BTreeSet<(String, usize)> = BTreeSet::new();
    let mut need = |feature: MatchFeature, layer: usize| {
        if !layers.insert((feature.to_string(), layer)) {
            return;
        }
        match feature.is_per_token() {
            true => cache.per_token += FLOAT * teacher.hidden_size as u64,
            false => cache.per_token_pair += FLOAT * teacher.num_attention_heads as u64,
        }
    };
    for one in config.distillation.intermediate_matches.iter().filter(|one| one.teacher == number) {
        one.layer_t.as_slice().iter().for_each(|&layer| need(one.feature, layer));
    }
    if let Some(emd) = &config.emd {
        let all = (1..=teacher.num_hidden_layers).collect();
        for &layer in emd.layers_t.as_ref().unwrap_or(&all) {
            if emd.hidden_weight > 0.0 {
                need(MatchFeature::Hidden, layer);
            }
            if emd.attention_weight > 0.0 {
                need(MatchFeature::Attention, layer.saturating_sub(1));
            }
        }
    }
    if let Some(crd) = &config.crd {
        need(MatchFeature::Hidden, crd.layer_t.unwrap_or(teacher.num_hidden_layers));
    }
    cache
}

#[cfg(test)]
mod tests {
    use brew_config::IntermediateMatch;

    use super::*;

    fn bert() -> EncoderConfig {
        EncoderConfig::default()
    }

    #[test]
    fn parameters_and_their_bytes_are_those_of_bert() {
        // BertForSequenceClassification of bert-base-uncased with two labels, as transformers counts it.
        let size = ModelSize::new("teacher", "bert".to_owned(), &bert(), TaskKind::Classification);
        assert_eq!(size.parameters, 109_483_778);
        let memory = MemoryEstimate::new((&bert(), TaskKind::Classification), &[bert(), bert()], 1, 1);
        assert_eq!(memory.weights, 4 * 109_483_778);
        assert_eq!((memory.gradients, memory.moments), (memory.weights, 2 * memory.weights));
        assert_eq!(memory.teachers, 2 * memory.weights);
        assert_eq!(memory.total, 6 * memory.weights + memory.activations);
        // A layer of one token: 14 widths, 3 wide ones, 3 numbers a head; thirteen of them, and one of a teacher.
        assert_eq!(memory.activations, 4 * (14 * 768 + 3 * 3072 + 3 * 12) * 14);
    }

    #[test]
    fn a_cache_holds_each_layer_once() {
        let mut config = RunConfig::default();
        let attention = IntermediateMatch {
            feature: MatchFeature::Attention,
            ..IntermediateMatch::hidden(3, 1, "attention_mse")
        };
        config.distillation.intermediate_matches = vec![
            IntermediateMatch::hidden(12, 3, "hidden_mse"),
            IntermediateMatch::hidden(12, 3, "cos"),
            IntermediateMatch::hidden(4, 1, "hidden_mse"),
            IntermediateMatch::hidden(5, 1, "hidden_mse").with_teacher(1),
            attention,
        ];
        let cache = cache_size(&config, 0, &bert());
        assert_eq!(cache, CacheSize { per_example: 8, per_token: 2 * 3072, per_token_pair: 48, total: 0 });
        assert_eq!(cache.of_example(10), 8 + 10 * 2 * 3072 + 100 * 48);
        assert_eq!(cache_size(&config, 1, &bert()).per_token, 3072);
        config.task = TaskKind::TokenClassification;
        assert_eq!(cache_size(&config, 1, &bert().with_num_labels(9)).per_token, 3072 + 36);
        config.task = TaskKind::QuestionAnswering;
        assert_eq!(cache_size(&config, 1, &bert()).per_token, 3072 + 8);
    }

    #[test]
    fn steps_are_those_of_the_loop() {
        let mut config = RunConfig::default();
        config.training.num_epochs = 3;
        config.training.gradient_accumulation_steps = 2;
        assert_eq!(StepCount::new(&config, 7), StepCount { batches_per_epoch: 7, per_epoch: 4, total: 12 });
        config.training.num_steps = Some(5);
        assert_eq!(StepCount::new(&config, 7).total, 5);
    }
}
