//! From a run file to a run that is known to fit together.

use std::path::{Path, PathBuf};

use brew_config::Problem;
use brew_data::{
    AlignedTokenizer, Augmenter, BatchSampler, Collator, DataError, Feature, LabelSet, Split as Part,
    TextTokenizer,
};
use brew_models::{EncoderConfig, ProblemType, StudentPreset};
use brew_random::Key;
use burn::tensor::backend::{AutodiffBackend, Backend};

mod cache_checks;
pub(crate) mod checks;
mod task_checks;

use cache_checks::check_top_k;
use checks::{check_labels, check_vocabulary, problems};

use crate::adaptors::TextBatches;
use crate::cache::{self, CacheEstimate};
use crate::check::examine;
use crate::corpus::{self, Purpose, Split};
use crate::inference::is_same_file;
use crate::teaching::OwnReading;
use crate::{DataConfig, Metric, RunConfig, RunError, TaskKind, TaskReport, model_folder};

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
    /// One entry a teacher: the training texts in its own tokens, where they are not the student's.
    pub(crate) readings: Vec<Option<OwnReading>>,
    pub(crate) model: EncoderConfig,
    pub(crate) teachers: Vec<EncoderConfig>,
    pub(crate) train: Split,
    pub(crate) dev: Option<Split>,
    pub(crate) test: Option<Split>,
    pub(crate) positive: usize,
}

impl Run {
    /// Reads data, tokenizer and model configurations and checks that they fit together.
    ///
    /// # Errors
    /// [`RunError::Config`] with every problem at once of the configuration, the checkpoints' headers and the first
    /// rows of the data; then the first thing that is wrong further down in a file.
    pub fn check<B: Backend>(config: RunConfig, kind: RunKind) -> Result<Self, RunError> {
        RunError::check(examine::<B>(&config, kind).problems)?;
        Self::read(config, kind)
    }

    /// Reads what a configuration names, in which [`examine`] has found nothing wrong.
    pub(crate) fn read(mut config: RunConfig, kind: RunKind) -> Result<Self, RunError> {
        config.data.fill_from_folder();
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
        let max_length = data.length_limit(config.task);
        let train_path = data.train.as_deref().expect("checked above");
        let mut of_training = DataConfig { questions: data.questions.training_part(), ..data.clone() };
        // Without a teacher nothing can be learned from them.
        of_training.questions.unaligned_as_unlabelled &= kind == RunKind::Distill;
        let mut train_rows = corpus::read(config.task, train_path, Part::Train, &of_training)?;
        // Of all rows, so that a label that a trial's first rows lack is known in dev.
        let found_labels = train_rows.labels()?;
        train_rows.truncate(data.train_examples.unwrap_or(usize::MAX));
        let model_source = config.model.from.as_deref();
        let teacher_folders: &[PathBuf] = match (kind, &config.teacher) {
            (RunKind::Distill, Some(teacher)) => &teacher.from,
            _ => &[],
        };
        let teachers = teacher_folders
            .iter()
            .map(|folder| EncoderConfig::from_file(&folder.join("config.json")))
            .collect::<Result<Vec<_>, _>>()?;
        if kind == RunKind::Train {
            train_rows.require_labels()?;
        }
        let labels = match (&data.labels, found_labels, teachers.first()) {
            (Some(names), ..) => LabelSet::new(names.clone())?,
            (None, Some(found), _) => found,
            (None, None, Some(teacher)) => LabelSet::new(teacher.labels.clone())?,
            // Rows beyond the first ones have no label.
            (None, None, None) => train_rows.labels()?.ok_or(DataError::NoLabels)?,
        };
        for path in data.transfer.iter().filter(|_| kind == RunKind::Distill) {
            // Of the training file itself, what is trained on.
            let data = if is_same_file(path, train_path) { &of_training } else { data };
            train_rows.add_unlabelled(path, data)?;
        }
        let tokenizer_folder = config
            .model
            .tokenizer
            .as_deref()
            .or(model_source)
            .or(teacher_folders.first().map(PathBuf::as_path))
            .expect("checked above")
            .to_path_buf();
        let tokenizer = TextTokenizer::from_folder(&tokenizer_folder)?;
        let model = model_config(&config, &labels, &tokenizer)?;

        let mut fit = Vec::new();
        // What the first rows did not tell.
        check_vocabulary(&mut fit, "model", &model, &tokenizer);
        let mut teacher_tokenizers = Vec::new();
        for (folder, teacher) in teacher_folders.iter().zip(&teachers) {
            let own = if folder == &tokenizer_folder {
                None
            } else {
                Some(TextTokenizer::from_folder(folder)?).filter(|own| !own.same_vocabulary(&tokenizer))
            };
            check_labels(&mut fit, folder, teacher, &labels);
            teacher_tokenizers.push((own, teacher.max_length()));
        }
        check_top_k(&mut fit, &config, kind, labels.len());
        let positive = positive_label(&mut fit, &config, &labels);
        RunError::check(fit)?;

        let judged = |path: &Path, part: Part| {
            // Of a file without a split of its own, the part that is not trained on.
            let of_others = DataConfig { questions: data.questions.other_part(), ..data.clone() };
            let data = if is_same_file(path, train_path) { &of_others } else { data };
            let rows = corpus::read(config.task, path, part, data)?;
            rows.require_labels()?;
            rows.encode(&labels, &tokenizer, data, Purpose::Prediction)
        };
        let optional = |path: Option<&Path>, part: Part| path.map(|path| judged(path, part)).transpose();
        let train = train_rows.encode(&labels, &tokenizer, &of_training, Purpose::Training)?;
        let dev = optional(data.dev.as_deref(), Part::Dev)?;
        let test = optional(data.test.as_deref(), Part::Test)?;
        let augmenter = match data.augmentation.as_slice() {
            [] => None,
            steps => Some(Augmenter::new(steps.to_vec(), &tokenizer, Key::new(config.training.seed))?),
        };
        let collator = Collator::new(tokenizer.pad_id());
        let readings = teacher_tokenizers
            .into_iter()
            .map(|(own, positions)| {
                let Some(own) = own else { return Ok(None) };
                let both = AlignedTokenizer::new(tokenizer.clone(), own);
                // Another vocabulary may need more tokens for the same text.
                let teacher_length = max_length.saturating_mul(2).min(positions);
                let features = train_rows.encode_both(&labels, &both, [max_length, teacher_length])?;
                Ok(features.map(|features| OwnReading::new(features, both.collator())))
            })
            .collect::<Result<_, RunError>>()?;
        Ok(Self {
            kind,
            labels,
            tokenizer_folder,
            augmenter,
            collator,
            readings,
            model,
            teachers,
            train,
            dev,
            test,
            positive,
            config,
        })
    }

    /// What is wrong with a configuration that shows without reading any other file.
    pub fn problems<B: Backend>(config: &RunConfig, kind: RunKind) -> Vec<Problem> {
        let mut config = config.clone();
        config.data.fill_from_folder();
        problems::<B>(&config, kind)
    }

    /// The folder the run writes to.
    pub fn output(&self) -> &Path {
        &self.config.training.output_dir
    }

    /// What the model is to say.
    pub fn task(&self) -> TaskKind {
        self.config.task
    }

    /// What the run learns from.
    pub fn kind(&self) -> RunKind {
        self.kind
    }

    /// The run's configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// What keeping each teacher's outputs of the training texts takes, in the way that the run's `[cache]` says, or in
    /// f32 where it has none; known before any is computed.
    pub fn cache_estimates(&self) -> Vec<CacheEstimate> {
        cache::estimates(self)
    }

    /// What a user should know of how each file became features, with the file's part.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let splits = [("train", Some(&self.train)), ("dev", self.dev.as_ref()), ("test", self.test.as_ref())];
        splits.into_iter().filter_map(|(name, split)| Some((name, split?.note.as_deref()?)))
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
    pub(crate) fn score(&self, report: &TaskReport) -> f64 {
        let metric = self.config.evaluation.metric.unwrap_or(Metric::of(self.task())[0]);
        report.score(metric, self.positive).unwrap_or_default()
    }
}

/// The configuration of the trained model, with the run's labels.
fn model_config(
    config: &RunConfig,
    labels: &LabelSet,
    tokenizer: &TextTokenizer,
) -> Result<EncoderConfig, RunError> {
    let problem_type = problem_type(config.task);
    let file = match (&config.model.from, &config.model.config, &config.model.preset) {
        (Some(folder), ..) => folder.join("config.json"),
        (None, Some(file), _) => file.clone(),
        (None, None, Some(name)) => {
            let pad_token_id = Some(tokenizer.pad_id() as usize);
            let preset = name.parse::<StudentPreset>()?.config(tokenizer.vocab_size());
            let model = EncoderConfig { pad_token_id, problem_type, ..preset };
            return Ok(model.with_labels(labels.names().to_vec()));
        }
        (None, None, None) => unreachable!("checked before"),
    };
    let mut model = EncoderConfig { problem_type, ..EncoderConfig::from_file(&file)? };
    if let Some(layers) = &config.model.layers {
        RunError::check(kept_layers(&model, layers, &file))?;
        model.num_hidden_layers = layers.len();
    }
    Ok(model.with_labels(labels.names().to_vec()))
}

/// What the labels of a model of this task mean, where it has to be said.
pub(crate) fn problem_type(task: TaskKind) -> Option<ProblemType> {
    match task {
        TaskKind::MultiLabel => Some(ProblemType::MultiLabelClassification),
        TaskKind::Regression => Some(ProblemType::Regression),
        _ => None,
    }
}

/// What is wrong with the layers that are kept of a checkpoint.
pub(crate) fn kept_layers(model: &EncoderConfig, layers: &[usize], file: &Path) -> Vec<Problem> {
    let refuse = |value: String, remedy: String| Problem::new("model.layers", value, remedy);
    if !model.architecture.has_distinct_layers() {
        let family = model.architecture;
        let remedy =
            format!("{} is a {family}, which has no layers of their own; leave it out", file.display());
        return vec![refuse(format!("{layers:?}"), remedy)];
    }
    if layers.is_empty() {
        return vec![refuse("[]".to_owned(), "keep at least one layer, or leave it out for all".to_owned())];
    }
    let available = model.num_hidden_layers;
    let beyond = layers.iter().filter(|&&layer| layer >= available);
    let remedy = || format!("{} has layers 0 to {}", file.display(), available - 1);
    beyond.map(|layer| refuse(layer.to_string(), remedy())).collect()
}

pub(crate) fn positive_label(found: &mut Vec<Problem>, config: &RunConfig, labels: &LabelSet) -> usize {
    let Some(name) = &config.evaluation.positive else { return labels.len() - 1 };
    labels.index(name).unwrap_or_else(|| {
        found.push(Problem::new("evaluation.positive", name, format!("the labels are {:?}", labels.names())));
        0
    })
}
