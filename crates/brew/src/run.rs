//! From a run file to a run that is known to fit together.

use std::path::{Path, PathBuf};

use brew_config::{ConfigError, MatchFeature, Problem, compares_any_widths};
use brew_data::{
    Augmentation, Augmenter, BatchSampler, ClassificationReport, Collator, Feature, LabelSet, RawExample,
    TextTokenizer, label_examples, read_examples,
};
use brew_losses::LossRegistry;
use brew_models::BertConfig;
use brew_random::Key;
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::classification::TextBatches;
use crate::{Metric, RunConfig, RunError, model_folder};

/// Whether a run learns from labels or from a teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// Gold labels alone.
    Train,
    /// A teacher's outputs, and gold labels where the configuration weighs them.
    Distill,
}

impl RunKind {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Distill => "distill",
        }
    }
}

/// A run whose files exist, whose data is read and whose models fit together.
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) kind: RunKind,
    pub(crate) config: RunConfig,
    pub(crate) labels: LabelSet,
    pub(crate) tokenizer_folder: PathBuf,
    pub(crate) augmenter: Option<Augmenter>,
    pub(crate) collator: Collator,
    pub(crate) model: BertConfig,
    pub(crate) train: Split,
    pub(crate) dev: Option<Split>,
    pub(crate) test: Option<Split>,
    pub(crate) positive: usize,
}

/// The tokenized examples of one file.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub(crate) features: Vec<Feature>,
}

impl Split {
    pub(crate) fn gold(&self) -> Vec<usize> {
        self.features.iter().filter_map(|feature| feature.label).collect()
    }
}

impl Run {
    /// Reads data, tokenizer and model configurations and checks that they fit together.
    ///
    /// # Errors
    /// [`RunError::Config`] with every problem of the configuration at once; otherwise the first
    /// file that cannot be used.
    pub fn check<B: Backend>(mut config: RunConfig, kind: RunKind) -> Result<Self, RunError> {
        RunError::check(problems::<B>(&config, kind))?;
        // The folder of a finished run stands for the model in it.
        if let Some(from) = &mut config.model.from {
            *from = model_folder(from)?;
        }
        if let (RunKind::Distill, Some(teacher)) = (kind, &mut config.teacher) {
            for folder in &mut teacher.from {
                *folder = model_folder(folder)?;
            }
        }
        let data = &config.data;
        let train_path = data.train.as_deref().expect("checked above");
        let raw_train = read_examples(train_path, &data.columns)?;
        let labels = match &data.labels {
            Some(names) => LabelSet::new(names.clone())?,
            None => LabelSet::from_examples(&raw_train)?,
        };

        let model_source = config.model.from.as_deref();
        let teacher_folders: &[PathBuf] = match (kind, &config.teacher) {
            (RunKind::Distill, Some(teacher)) => &teacher.from,
            _ => &[],
        };
        let tokenizer_folder = config
            .model
            .tokenizer
            .as_deref()
            .or(model_source)
            .or(teacher_folders.first().map(PathBuf::as_path))
            .expect("checked above")
            .to_path_buf();
        let tokenizer = TextTokenizer::from_folder(&tokenizer_folder)?;
        let model = model_config(&config, &labels)?;

        let mut fit = Vec::new();
        check_vocabulary(&mut fit, "model", &model, &tokenizer);
        if model.max_position_embeddings < data.max_length {
            fit.push(Problem::new(
                "data.max_length",
                data.max_length,
                format!("the model has {} positions; lower it", model.max_position_embeddings),
            ));
        }
        check_mask(&mut fit, &data.augmentation, &tokenizer);
        for (index, folder) in teacher_folders.iter().enumerate() {
            let teacher = BertConfig::from_file(&folder.join("config.json"))?;
            check_vocabulary(&mut fit, "teacher", &teacher, &tokenizer);
            check_same_tokenizer(&mut fit, folder, &tokenizer_folder, &tokenizer)?;
            check_labels(&mut fit, folder, &teacher, &labels);
            check_matches(&mut fit, &config, &model, index, &teacher);
        }
        let positive = positive_label(&mut fit, &config, &labels);
        RunError::check(fit)?;

        let split = |raw: &[RawExample]| encode(raw, &labels, &tokenizer, data.max_length);
        let optional =
            |path: Option<&Path>| path.map(|path| split(&read_examples(path, &data.columns)?)).transpose();
        let train = split(&raw_train)?;
        let dev = optional(data.dev.as_deref())?;
        let test = optional(data.test.as_deref())?;
        let augmenter = match data.augmentation.as_slice() {
            [] => None,
            steps => Some(Augmenter::new(steps.to_vec(), &tokenizer, Key::new(config.training.seed))?),
        };
        let collator = Collator::new(tokenizer.pad_id());
        Ok(Self {
            kind,
            labels,
            tokenizer_folder,
            augmenter,
            collator,
            model,
            train,
            dev,
            test,
            positive,
            config,
        })
    }

    /// The folder the run writes to.
    pub fn output(&self) -> &Path {
        &self.config.training.output_dir
    }

    /// What the run learns from.
    pub fn kind(&self) -> RunKind {
        self.kind
    }

    /// The run's configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The root of the run's random numbers.
    pub(crate) fn key(&self) -> Key {
        Key::new(self.config.training.seed)
    }

    /// The training batches on a device.
    pub(crate) fn batches<B: AutodiffBackend>(&self, device: &B::Device) -> Result<TextBatches<B>, RunError> {
        let lengths = self.train.features.iter().map(Feature::len).collect();
        let mut sampler = BatchSampler::training(lengths, self.config.data.batch_size, self.key())?;
        if !self.config.data.length_buckets {
            sampler = sampler.with_bucket_batches(None);
        }
        let batches = TextBatches::new(self.train.features.clone(), sampler, self.collator, device.clone());
        Ok(match &self.augmenter {
            Some(augmenter) => batches.with_augmenter(augmenter.clone()),
            None => batches,
        })
    }

    /// The score of a checkpoint.
    pub(crate) fn score(&self, report: &ClassificationReport) -> f64 {
        match self.config.evaluation.metric {
            Metric::Accuracy => report.accuracy,
            Metric::F1 => report.per_label.get(self.positive).map_or(0.0, |label| label.scores.f1),
            Metric::MacroF1 => report.macro_f1,
        }
    }
}

/// The problems that show without reading any other file.
fn problems<B: Backend>(config: &RunConfig, kind: RunKind) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut missing = |field: &str, remedy: &str| found.push(Problem::new(field, "missing", remedy));
    if config.data.train.is_none() {
        missing("data.train", "name the training file, in the run file or as `--set data.train=FILE`");
    }
    match (&config.model.from, &config.model.config) {
        (None, None) => missing(
            "model.from",
            "name a checkpoint folder to start from, or in `model.config` a config.json to initialise at random",
        ),
        (Some(_), Some(_)) => missing("model.config", "give either `model.from` or `model.config`, not both"),
        _ => {}
    }
    let has_tokenizer = config.model.tokenizer.is_some()
        || config.model.from.is_some()
        || (kind == RunKind::Distill && config.teacher.as_ref().is_some_and(|one| !one.from.is_empty()));
    if !has_tokenizer {
        missing("model.tokenizer", "name the folder with tokenizer.json or vocab.txt");
    }
    let teachers = config.teacher.as_ref().map_or(0, |teacher| teacher.from.len());
    if kind == RunKind::Distill && teachers == 0 {
        missing("teacher.from", "name the teacher's checkpoint folder, or use `textbrew train`");
    }
    let weights = config.teacher.as_ref().and_then(|teacher| teacher.weights.as_ref());
    if let Some(weights) = weights.filter(|weights| {
        weights.len() != teachers
            || weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0)
            || weights.iter().sum::<f64>() <= 0.0
    }) {
        let remedy = format!("give each of the {teachers} teachers one, 0 or more, not all 0");
        found.push(Problem::new("teacher.weights", format!("{weights:?}"), remedy));
    }
    for (index, one) in config.distillation.intermediate_matches.iter().enumerate() {
        if kind == RunKind::Distill && one.teacher >= teachers.max(1) {
            let field = format!("distillation.intermediate_matches[{index}].teacher");
            found.push(Problem::new(field, one.teacher, format!("there are {teachers}, counted from 0")));
        }
    }
    for (field, value) in
        [("data.batch_size", config.data.batch_size), ("data.eval_batch_size", config.data.eval_batch_size)]
    {
        if value == 0 {
            found.push(Problem::new(field, value, "must be at least 1"));
        }
    }
    if config.data.max_length < 3 {
        found.push(Problem::new(
            "data.max_length",
            config.data.max_length,
            "must be at least 3: a token between [CLS] and [SEP]",
        ));
    }
    for (index, step) in config.data.augmentation.iter().enumerate() {
        let problems = step.validate().into_iter();
        found.extend(problems.map(|problem| {
            let field = format!("data.augmentation[{index}].{}", problem.field);
            Problem::new(field, problem.value, problem.message)
        }));
    }
    if kind == RunKind::Distill
        && config.distillation.is_caching_logits
        && !config.data.augmentation.is_empty()
    {
        let remedy =
            "the cached logits are of the unchanged text; set it to false, or leave out data.augmentation";
        found.push(Problem::new("distillation.is_caching_logits", true, remedy));
    }
    let nested = |prefix: &str, problems: Vec<Problem>| {
        problems.into_iter().map(|problem| problem.within(prefix)).collect::<Vec<_>>()
    };
    found.extend(nested("training", config.training.validate()));
    let losses = LossRegistry::<B>::default().names();
    found.extend(nested("distillation", config.distillation.validate(&losses)));
    found
}

/// The configuration of the trained model, with the run's labels.
fn model_config(config: &RunConfig, labels: &LabelSet) -> Result<BertConfig, RunError> {
    let file = match (&config.model.from, &config.model.config) {
        (Some(folder), _) => folder.join("config.json"),
        (None, Some(file)) => file.clone(),
        (None, None) => unreachable!("checked before"),
    };
    let mut model = BertConfig::from_file(&file)?;
    if let Some(layers) = &config.model.layers {
        let available = model.num_hidden_layers;
        if let Some(&layer) = layers.iter().find(|&&layer| layer >= available) {
            let remedy = format!("{} has layers 0 to {}", file.display(), available - 1);
            return Err(ConfigError::from_problems(vec![Problem::new("model.layers", layer, remedy)])
                .expect_err("one problem")
                .into());
        }
        model.num_hidden_layers = layers.len();
    }
    Ok(model.with_labels(labels.names().to_vec()))
}

fn check_vocabulary(found: &mut Vec<Problem>, field: &str, model: &BertConfig, tokenizer: &TextTokenizer) {
    if tokenizer.vocab_size() > model.vocab_size {
        found.push(Problem::new(
            format!("{field}.tokenizer"),
            format!("{} tokens", tokenizer.vocab_size()),
            format!(
                "the {field} embeds only {}; use the tokenizer the checkpoint came with",
                model.vocab_size
            ),
        ));
    }
}

/// Masking needs a mask.
fn check_mask(found: &mut Vec<Problem>, steps: &[Augmentation], tokenizer: &TextTokenizer) {
    for (index, step) in steps.iter().enumerate() {
        if matches!(step, Augmentation::Masking { .. }) && tokenizer.mask_id().is_none() {
            let remedy = "the tokenizer has no mask token; take another step, such as `deleting`";
            found.push(Problem::new(format!("data.augmentation[{index}].name"), step.name(), remedy));
        }
    }
}

/// Teacher and student read the same batch, so one vocabulary must serve both.
fn check_same_tokenizer(
    found: &mut Vec<Problem>,
    teacher_folder: &Path,
    tokenizer_folder: &Path,
    tokenizer: &TextTokenizer,
) -> Result<(), RunError> {
    if teacher_folder == tokenizer_folder {
        return Ok(());
    }
    let own = TextTokenizer::from_folder(teacher_folder)?;
    if !own.same_vocabulary(tokenizer) {
        found.push(Problem::new(
            "teacher.from",
            teacher_folder.display(),
            format!(
                "its vocabulary differs from that of {}, and both read the same batches; use a teacher of the \
                 student's vocabulary",
                tokenizer_folder.display()
            ),
        ));
    }
    Ok(())
}

fn check_labels(found: &mut Vec<Problem>, folder: &Path, teacher: &BertConfig, labels: &LabelSet) {
    let unnamed = teacher.labels.iter().all(|name| name.starts_with("LABEL_"));
    let same = if unnamed { teacher.num_labels() == labels.len() } else { teacher.labels == labels.names() };
    if !same {
        found.push(Problem::new(
            "teacher.from",
            format!("{} with labels {:?}", folder.display(), teacher.labels),
            format!(
                "the run's labels are {:?}; give data.labels in the teacher's order, or a teacher of these labels",
                labels.names()
            ),
        ));
    }
}

/// Layers that exist and widths that agree, for the matches with teacher `number`.
fn check_matches(
    found: &mut Vec<Problem>,
    config: &RunConfig,
    student: &BertConfig,
    number: usize,
    teacher: &BertConfig,
) {
    let matches = config.distillation.intermediate_matches.iter().enumerate();
    for (index, one) in matches.filter(|(_, one)| one.teacher == number) {
        let at = format!("distillation.intermediate_matches[{index}]");
        for (field, layers, model) in [("layer_T", &one.layer_t, teacher), ("layer_S", &one.layer_s, student)]
        {
            // Hidden state 0 is the embeddings, so there is one more of them than layers.
            let last = match one.feature {
                MatchFeature::Hidden => model.num_hidden_layers,
                _ => model.num_hidden_layers - 1,
            };
            for &layer in layers.as_slice().iter().filter(|&&layer| layer > last) {
                let whose = if field == "layer_T" { "teacher" } else { "student" };
                found.push(Problem::new(
                    format!("{at}.{field}"),
                    layer,
                    format!("the {whose} has {} from 0 to {last}", one.feature),
                ));
            }
        }
        match one.feature {
            MatchFeature::Attention | MatchFeature::AttentionScores => {
                let by_head = ["attention_mse", "attention_ce"].contains(&one.loss.as_str());
                if student.num_attention_heads != teacher.num_attention_heads && by_head {
                    found.push(Problem::new(
                        format!("{at}.loss"),
                        &one.loss,
                        format!(
                            "the student has {} heads, the teacher {}; use a loss that sums or averages heads",
                            student.num_attention_heads, teacher.num_attention_heads
                        ),
                    ));
                }
            }
            MatchFeature::Hidden | MatchFeature::Queries | MatchFeature::Keys | MatchFeature::Values => {
                let (from, to) = match &one.proj {
                    Some(projection) => {
                        if projection.in_features != student.hidden_size {
                            found.push(Problem::new(
                                format!("{at}.proj"),
                                projection.in_features,
                                format!("the student's width is {}", student.hidden_size),
                            ));
                        }
                        (projection.out_features, "the projection's output width")
                    }
                    None => (student.hidden_size, "the student's width"),
                };
                if from != teacher.hidden_size && !compares_any_widths(&one.loss) {
                    found.push(Problem::new(
                        format!("{at}.proj"),
                        if one.proj.is_some() { from.to_string() } else { "missing".into() },
                        format!(
                            "{to} is {from}, the teacher's {}; add proj = [\"linear\", {}, {}]",
                            teacher.hidden_size, student.hidden_size, teacher.hidden_size
                        ),
                    ));
                }
                let heads = config.distillation.relation_heads;
                if one.loss == "minilm_relation"
                    && !(from.is_multiple_of(heads) && teacher.hidden_size.is_multiple_of(heads))
                {
                    found.push(Problem::new(
                        "distillation.relation_heads",
                        heads,
                        format!("must divide {to}, {from}, and the teacher's, {}", teacher.hidden_size),
                    ));
                }
            }
        }
    }
}

fn positive_label(found: &mut Vec<Problem>, config: &RunConfig, labels: &LabelSet) -> usize {
    let Some(name) = &config.evaluation.positive else { return labels.len() - 1 };
    labels.index(name).unwrap_or_else(|| {
        found.push(Problem::new("evaluation.positive", name, format!("the labels are {:?}", labels.names())));
        0
    })
}

/// Labels and tokenizes the examples of one file.
fn encode(
    raw: &[RawExample],
    labels: &LabelSet,
    tokenizer: &TextTokenizer,
    max_length: usize,
) -> Result<Split, RunError> {
    let examples = label_examples(raw, labels)?;
    Ok(Split { features: tokenizer.encode_all(&examples, max_length)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with one match of a student of 3 layers, width 24 and 6 heads and a teacher of 6
    /// layers, width 36 and 12 heads.
    fn problems(one: &str) -> Vec<String> {
        let text = format!("[[distillation.intermediate_matches]]\n{one}");
        let config: RunConfig = toml::from_str(&text).unwrap();
        let model = |layers, width, heads| BertConfig {
            num_hidden_layers: layers,
            hidden_size: width,
            num_attention_heads: heads,
            ..BertConfig::default()
        };
        let mut found = Vec::new();
        check_matches(&mut found, &config, &model(3, 24, 6), 0, &model(6, 36, 12));
        found.iter().map(ToString::to_string).collect()
    }

    fn one(feature: &str, loss: &str, rest: &str) -> String {
        format!("layer_T = 5\nlayer_S = 2\nfeature = \"{feature}\"\nloss = \"{loss}\"\nweight = 1\n{rest}")
    }

    #[test]
    fn attention_scores_are_matched_as_attention_is() {
        for feature in ["attention", "attention_scores"] {
            assert_eq!(problems(&one(feature, "attention_mse_sum", "")), [""; 0]);
            for loss in ["attention_mse", "attention_ce"] {
                let found = problems(&one(feature, loss, ""));
                assert!(found.len() == 1 && found[0].contains("6 heads, the teacher 12"), "{found:?}");
            }
            let beyond = one(feature, "attention_mse_sum", "").replace("layer_T = 5", "layer_T = 6");
            let found = problems(&beyond);
            assert!(found.len() == 1, "{found:?}");
            assert!(found[0].contains(&format!("the teacher has {feature} from 0 to 5")), "{found:?}");
        }
    }

    #[test]
    fn queries_keys_and_values_are_matched_as_hidden_states_are_by_layer_of_attention() {
        for feature in ["queries", "keys", "values"] {
            assert_eq!(problems(&one(feature, "minilm_relation", "")), [""; 0]);
            assert_eq!(problems(&one(feature, "hidden_mse", "proj = [\"linear\", 24, 36]")), [""; 0]);
            let found = problems(&one(feature, "hidden_mse", ""));
            assert!(found.len() == 1 && found[0].contains("add proj = [\"linear\", 24, 36]"), "{found:?}");
            let beyond = one(feature, "minilm_relation", "").replace("layer_S = 2", "layer_S = 3");
            let found = problems(&beyond);
            assert!(found.len() == 1, "{found:?}");
            assert!(found[0].contains(&format!("the student has {feature} from 0 to 2")), "{found:?}");
        }
        // Hidden states have one more, the embeddings.
        let last = one("hidden", "minilm_relation", "").replace('5', "6").replace('2', "3");
        assert_eq!(problems(&last), [""; 0]);
    }
}
