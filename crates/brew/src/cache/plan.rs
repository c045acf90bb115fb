//! What is kept of each teacher of a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use brew_cache::{Fingerprint, TextDigest, block_bytes, digest_file, segment_bytes};
use brew_config::{IntermediateMatch, MatchFeature, MatmulPrecision};
use brew_data::Feature;
use brew_distillers::{KeptSize, Storage, Wants};
use brew_models::{EncoderConfig, weight_file};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{CacheConfig, Run, RunError, RunKind, TaskKind};

/// How the outputs of one teacher are kept.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The teacher, counted from 0.
    pub(crate) index: usize,
    /// Its folder.
    pub(crate) teacher: PathBuf,
    pub(crate) storage: Storage,
    /// The features that the run asks for.
    pub(crate) wants: Wants,
    /// The matches whose layers are kept; all layers where it is `None`.
    pub(crate) matches: Option<Vec<IntermediateMatch>>,
    pub(crate) texts: HashMap<u64, Text>,
    pub(crate) size: KeptSize,
    /// Batches of an epoch, each of which becomes a block.
    batches: u64,
}

/// What a teacher reads of an example.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) digest: TextDigest,
    pub(crate) tokens: u64,
}

/// What keeping the outputs of one teacher takes, known before any is computed.
#[derive(Debug, Clone, Serialize)]
pub struct CacheEstimate {
    /// The teacher's folder.
    pub teacher: PathBuf,
    /// Training texts.
    pub examples: usize,
    /// Bytes of all of them when they are kept, in memory or on disk.
    pub bytes: u64,
}

/// How many bytes a run keeps in memory that was not asked to.
pub(super) const UNASKED: u64 = 1_000_000_000;

/// The settings by which outputs are kept; `None` where they are not.
pub(crate) fn settings(run: &Run) -> Option<CacheConfig> {
    if run.kind != RunKind::Distill {
        return None;
    }
    if let Some(settings) = &run.config.cache {
        return settings.keep.then(|| settings.clone());
    }
    let is_little = || estimates(run).iter().map(|one| one.bytes).sum::<u64>() <= UNASKED;
    let is_kept = run.config.distillation.is_caching_logits || (asks_again(run) && is_little());
    is_kept.then(CacheConfig::default)
}

/// Whether the teachers are asked the same in more than one epoch.
pub(super) fn asks_again(run: &Run) -> bool {
    let training = &run.config.training;
    let batches = run.train.features.len().div_ceil(run.config.data.batch_size);
    let epochs = match training.num_steps {
        Some(steps) => (steps * training.gradient_accumulation_steps).div_ceil(batches.max(1)),
        None => training.num_epochs,
    };
    run.kind == RunKind::Distill && run.config.data.augmentation.is_empty() && epochs > 1
}

/// What keeping each teacher's outputs takes, whether or not the run keeps them.
pub(crate) fn estimates(run: &Run) -> Vec<CacheEstimate> {
    let storage = run.config.cache.clone().unwrap_or_default().storage();
    let without_digests = |_: &Feature| TextDigest([0; 16]);
    let plans = (0..run.teachers.len()).map(|index| Plan::with_digests(run, index, storage, without_digests));
    plans
        .map(|plan| CacheEstimate {
            examples: plan.texts.len(),
            bytes: plan.records(),
            teacher: plan.teacher,
        })
        .collect()
}

impl Plan {
    pub(crate) fn new(run: &Run, index: usize, storage: Storage) -> Self {
        Self::with_digests(run, index, storage, |feature| {
            TextDigest::of(&[&feature.input_ids, &feature.token_type_ids])
        })
    }

    fn with_digests(
        run: &Run,
        index: usize,
        storage: Storage,
        digest: impl Fn(&Feature) -> TextDigest,
    ) -> Self {
        let config = &run.config;
        let model = &run.teachers[index];
        let mut matches = config.distillation.intermediate_matches.clone();
        let mut wants = Wants::of_matches(&matches);
        if let Some(crd) = &config.crd {
            let layer = crd.layer_t.unwrap_or(model.num_hidden_layers);
            matches.push(IntermediateMatch::hidden(layer, 0, "crd").with_teacher(index));
            wants = Wants::of_matches(&matches);
        }
        if let Some(emd) = &config.emd {
            wants = wants.or(Wants::of_emd(emd));
        }
        // Layers matched many to many are not named one by one.
        let matches = config.emd.is_none().then_some(matches);
        let text = |feature: &Feature| Text { digest: digest(feature), tokens: feature.len() as u64 };
        let texts: HashMap<u64, Text> = match run.readings.get(index) {
            Some(Some(own)) => own.teachers().map(|feature| (feature.id, text(feature))).collect(),
            _ => run.train.features.iter().map(|feature| (feature.id, text(feature))).collect(),
        };
        let teacher = config.teacher.as_ref().map_or_else(PathBuf::new, |one| one.from[index].clone());
        let batches = run.train.features.len().div_ceil(config.data.batch_size) as u64;
        let mut plan =
            Self { index, teacher, storage, wants, matches, texts, size: KeptSize::new(storage), batches };
        plan.measure(config.task, run.labels.len(), model);
        plan
    }

    /// The layers of a feature that are kept, of as many as there are.
    fn keeps(&self, feature: MatchFeature, layer: usize) -> bool {
        let Some(matches) = &self.matches else { return true };
        let mut of_teacher = matches.iter().filter(|one| one.teacher == self.index);
        of_teacher.any(|one| one.feature == feature && one.layer_t.as_slice().contains(&layer))
    }

    /// What a record holds, in its order.
    fn measure(&mut self, task: TaskKind, labels: usize, model: &EncoderConfig) {
        let mut size = self.size;
        match task {
            TaskKind::QuestionAnswering => (0..3).for_each(|_| size.places()),
            TaskKind::TokenClassification => {
                size.logits_of_tokens(labels);
                size.places();
            }
            _ => size.logits_of_text(labels),
        }
        for (feature, count) in features(self.wants, model) {
            for layer in 0..count {
                match feature {
                    _ if !self.keeps(feature, layer) => size.left_out(),
                    MatchFeature::Attention | MatchFeature::AttentionScores => {
                        size.pairs(model.num_attention_heads);
                    }
                    MatchFeature::Hidden => size.tokens(model.hidden_state_width(layer)),
                    _ => size.tokens(model.hidden_size),
                }
            }
        }
        self.size = size;
    }

    /// Bytes of all records.
    pub(crate) fn records(&self) -> u64 {
        self.texts.values().map(|text| self.size.bytes(text.tokens)).sum()
    }

    /// Bytes of a file with the records of these texts, which a fill writes in one go.
    pub(crate) fn file(&self, texts: impl Iterator<Item = Text>, fingerprint: &Fingerprint) -> u64 {
        let (count, records) =
            texts.fold((0, 0), |(count, bytes), text| (count + 1, bytes + self.size.bytes(text.tokens)));
        match count {
            0 => 0,
            _ => {
                let blocks = self.batches.min(count);
                segment_bytes(fingerprint)
                    + blocks * block_bytes(0)
                    + (block_bytes(count) - block_bytes(0))
                    + records
            }
        }
    }

    /// Everything that the teacher's outputs depend on, and how they are kept, but for the texts.
    pub(crate) fn fingerprint(&self, run: &Run) -> Result<Fingerprint, RunError> {
        let own = run.readings.get(self.index).is_some_and(Option::is_some);
        let tokenizer = if own { &self.teacher } else { &run.tokenizer_folder };
        let layers: Value = features(self.wants, &run.teachers[self.index])
            .into_iter()
            .map(|(feature, count)| {
                let kept: Vec<usize> = (0..count).filter(|&layer| self.keeps(feature, layer)).collect();
                (feature.to_string(), json!(kept))
            })
            .collect::<serde_json::Map<_, _>>()
            .into();
        let mut parts = vec![
            ("weights", json!(digest_file(&weight_file(&self.teacher)?)?)),
            ("config", json!(digest_file(&self.teacher.join("config.json"))?)),
            ("tokenizer", json!(digest_file(&tokenizer_file(tokenizer))?)),
            ("task", json!(run.task())),
            ("labels", json!(run.labels.len())),
            ("layers", layers),
            ("dtype", json!(self.storage.precision)),
            ("top_k", json!(self.storage.top_k)),
            // What the teacher computes, and how it is written, is that version's.
            ("brew", json!(env!("CARGO_PKG_VERSION"))),
        ];
        let precision = run.config.training.matmul_precision;
        if precision != MatmulPrecision::F32 {
            parts.push(("matmul_precision", json!(precision)));
        }
        Ok(Fingerprint::new(parts).with_note("teacher", self.teacher.display().to_string()))
    }
}

/// The features that an output has, in their order, and how many layers of each.
fn features(wants: Wants, model: &EncoderConfig) -> Vec<(MatchFeature, usize)> {
    let (states, attention) = (model.num_hidden_layers + 1, model.attention_layers());
    let all = [
        (MatchFeature::Hidden, wants.hidden, states),
        (MatchFeature::Attention, wants.attention, attention),
        (MatchFeature::AttentionScores, wants.attention_scores, attention),
        (MatchFeature::Queries, wants.queries_keys_values, attention),
        (MatchFeature::Keys, wants.queries_keys_values, attention),
        (MatchFeature::Values, wants.queries_keys_values, attention),
    ];
    all.into_iter()
        .filter(|(_, is_wanted, _)| *is_wanted)
        .map(|(feature, _, count)| (feature, count))
        .collect()
}

/// The file that a tokenizer is read from.
fn tokenizer_file(folder: &Path) -> PathBuf {
    let names = ["tokenizer.json", "vocab.txt"].map(|name| folder.join(name));
    names.iter().find(|path| path.is_file()).unwrap_or(&names[0]).clone()
}
