//! The embedded default: a student learns from a teacher on a task made on the spot.

use std::time::Instant;

use brew_config::{
    DistillationConfig, IntermediateMatch, OptimizerConfig, ScheduleConfig, ScheduleName, TrainingConfig,
};
use brew_data::bag_of_words::{BagOfWords, BagOfWordsConfig};
use brew_data::grammar::{Corpus, GrammarConfig};
use brew_data::{Batch, BatchSampler, Collator, Example, Feature, TextTokenizer, WordPieceOptions};
use brew_distillers::{
    BasicTrainer, Callback, CallbackError, GeneralDistiller, Hooks, ModelTeacher, StepReport,
};
use brew_models::{EncoderConfig, SequenceClassifier};
use brew_random::Key;
use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::AutodiffBackend;
use serde::Serialize;

use crate::adaptors::{ClassifierAdaptor, InnerAdaptor, TextBatches, argmax, classify};
use crate::{BackendJob, BackendKind, Observer, RunError, dispatch};

/// Tokens of the longest sentence the grammar writes, special tokens included, and some to spare.
const MAX_LENGTH: usize = 48;
const EVAL_BATCH: usize = 100;

/// What [`quickstart`] found.
#[derive(Debug, Clone, Serialize)]
pub struct QuickstartOutcome {
    /// One entry a seed.
    pub seeds: Vec<SeedOutcome>,
    /// Test sentences of each seed.
    pub test_examples: usize,
    /// The share of wrong labels in the training data.
    pub label_noise: f64,
    /// Parameters of the teacher.
    pub teacher_parameters: usize,
    /// Parameters of the student.
    pub student_parameters: usize,
    /// Test sentences a second, teacher: the best of the seeds.
    pub teacher_speed: f64,
    /// Test sentences a second, student: the best of the seeds.
    pub student_speed: f64,
    /// Seconds in all.
    pub seconds: f64,
}

/// Test accuracies of one seed, in `[0, 1]`.
#[derive(Debug, Clone, Serialize)]
pub struct SeedOutcome {
    /// The seed of corpus, weights and batches.
    pub seed: u64,
    /// Always the more frequent label.
    pub majority: f64,
    /// Logistic regression on word counts.
    pub bag_of_words: f64,
    /// The teacher.
    pub teacher: f64,
    /// The student trained on labels alone.
    pub student_labels: f64,
    /// The student distilled from the teacher.
    pub student_distilled: f64,
}

/// Generates a corpus for each seed, trains a teacher from scratch, a student on labels alone and the
/// same student by distillation, and measures all three beside a majority class and a bag of words.
///
/// # Errors
/// Training that does not go on, such as a loss that is not finite.
pub fn quickstart(
    backend: BackendKind,
    seeds: &[u64],
    observer: &mut dyn Observer,
) -> Result<QuickstartOutcome, RunError> {
    dispatch(backend, QuickstartJob { seeds, observer })
}

/// Model and training settings of one of the three runs.
struct Recipe {
    layers: usize,
    width: usize,
    epochs: usize,
    lr: f64,
}

// With 10 epochs one teacher of seven (seeds 1 to 7) has not found the task yet, at 74 %, and its student ends at 67 %.
const TEACHER: Recipe = Recipe { layers: 3, width: 96, epochs: 13, lr: 1e-3 };
const STUDENT: Recipe = Recipe { layers: 1, width: 48, epochs: 8, lr: 2e-3 };
const BATCH: usize = 64;

struct QuickstartJob<'a> {
    seeds: &'a [u64],
    observer: &'a mut dyn Observer,
}

impl BackendJob for QuickstartJob<'_> {
    type Output = Result<QuickstartOutcome, RunError>;

    fn run<B: AutodiffBackend>(self, device: B::Device) -> Self::Output {
        let started = Instant::now();
        let mut outcome = QuickstartOutcome {
            seeds: Vec::new(),
            test_examples: 0,
            label_noise: GrammarConfig::default().label_noise,
            teacher_parameters: 0,
            student_parameters: 0,
            teacher_speed: 0.0,
            student_speed: 0.0,
            seconds: 0.0,
        };
        for &seed in self.seeds {
            let task = Task::<B>::new(seed, &device)?;
            outcome.test_examples = task.test.len();
            let seed_outcome = task.compare(self.observer, &mut outcome)?;
            outcome.seeds.push(seed_outcome);
        }
        outcome.seconds = started.elapsed().as_secs_f64();
        Ok(outcome)
    }
}

/// The corpus of one seed, tokenized.
struct Task<B: AutodiffBackend> {
    seed: u64,
    corpus: Corpus,
    train: Vec<Feature>,
    test: Vec<Feature>,
    collator: Collator,
    vocab_size: usize,
    device: B::Device,
}

type Classifier<B> = SequenceClassifier<B>;

impl<B: AutodiffBackend> Task<B> {
    fn new(seed: u64, device: &B::Device) -> Result<Self, RunError> {
        let corpus = Corpus::generate(&GrammarConfig { seed, ..GrammarConfig::default() });
        let tokenizer =
            TextTokenizer::from_vocabulary(corpus.vocabulary.clone(), WordPieceOptions::default())?;
        let encode = |examples: &[Example]| tokenizer.encode_all(examples, MAX_LENGTH);
        Ok(Self {
            seed,
            train: encode(&corpus.train)?,
            test: encode(&corpus.test)?,
            collator: Collator::new(tokenizer.pad_id()),
            vocab_size: tokenizer.vocab_size(),
            device: device.clone(),
            corpus,
        })
    }

    /// The three runs and the two baselines.
    fn compare(
        &self,
        observer: &mut dyn Observer,
        all: &mut QuickstartOutcome,
    ) -> Result<SeedOutcome, RunError> {
        let gold = gold(&self.corpus.test);
        let teacher = self.train_on_labels(&TEACHER, "teacher", observer)?;
        let student = self.train_on_labels(&STUDENT, "labels only", observer)?;
        all.teacher_parameters = Module::<B::InnerBackend>::num_params(&teacher);
        all.student_parameters = Module::<B::InnerBackend>::num_params(&student);
        let distilled = self.distil(teacher.clone(), observer)?;

        let (teacher, teacher_speed) = self.accuracy(&teacher, &gold)?;
        let (student_labels, student_speed) = self.accuracy(&student, &gold)?;
        let (student_distilled, distilled_speed) = self.accuracy(&distilled, &gold)?;
        all.teacher_speed = all.teacher_speed.max(teacher_speed);
        all.student_speed = all.student_speed.max(student_speed).max(distilled_speed);
        let outcome = SeedOutcome {
            seed: self.seed,
            majority: self.majority(&gold),
            bag_of_words: self.bag_of_words(&gold)?,
            teacher,
            student_labels,
            student_distilled,
        };
        observer.note(&format!(
            "seed {}: teacher {:.1} %, student on labels {:.1} %, student distilled {:.1} %",
            self.seed,
            100.0 * teacher,
            100.0 * student_labels,
            100.0 * student_distilled
        ));
        Ok(outcome)
    }

    fn model(&self, recipe: &Recipe, purpose: &str) -> Result<Classifier<B>, RunError> {
        let config = EncoderConfig {
            vocab_size: self.vocab_size,
            hidden_size: recipe.width,
            num_hidden_layers: recipe.layers,
            num_attention_heads: 4,
            intermediate_size: 2 * recipe.width,
            max_position_embeddings: MAX_LENGTH,
            initializer_range: 0.05,
            ..EncoderConfig::default()
        }
        .with_labels(self.corpus.labels.names().to_vec());
        Ok(Classifier::try_new(&config, Key::new(self.seed).purpose(purpose), &self.device)?)
    }

    fn training(&self, recipe: &Recipe) -> TrainingConfig {
        TrainingConfig {
            num_epochs: recipe.epochs,
            max_grad_norm: 1.0,
            optimizer: OptimizerConfig { lr: recipe.lr, ..OptimizerConfig::default() },
            schedule: ScheduleConfig {
                name: ScheduleName::Linear,
                warmup_ratio: 0.1,
                ..ScheduleConfig::default()
            },
            seed: self.seed,
            log_every: 20,
            ..TrainingConfig::default()
        }
    }

    fn batches(&self) -> Result<TextBatches<B>, RunError> {
        let lengths = self.train.iter().map(Feature::len).collect();
        let sampler = BatchSampler::training(lengths, BATCH, Key::new(self.seed))?;
        Ok(TextBatches::new(self.train.clone(), sampler, self.collator, self.device.clone()))
    }

    fn train_on_labels(
        &self,
        recipe: &Recipe,
        what: &str,
        observer: &mut dyn Observer,
    ) -> Result<Classifier<B::InnerBackend>, RunError> {
        let trainer = BasicTrainer::new(self.training(recipe), ClassifierAdaptor);
        let hooks = Hooks::new().with_callback(Shown { what: self.title(what), observer });
        let trained = trainer.train(self.model(recipe, what)?, &self.batches()?, hooks)?;
        Ok(trained.trainable.student.valid())
    }

    /// The student of [`Self::train_on_labels`], same data, same steps, from the teacher instead.
    fn distil(
        &self,
        teacher: Classifier<B::InnerBackend>,
        observer: &mut dyn Observer,
    ) -> Result<Classifier<B::InnerBackend>, RunError> {
        let hidden = IntermediateMatch::hidden(TEACHER.layers, STUDENT.layers, "hidden_mse")
            .with_projection(STUDENT.width, TEACHER.width);
        let distillation = DistillationConfig {
            temperature: 2.0,
            intermediate_matches: vec![hidden],
            ..DistillationConfig::default()
        };
        let teacher = ModelTeacher::new(teacher, InnerAdaptor(ClassifierAdaptor));
        let distiller = GeneralDistiller::<B, Classifier<B>, Batch<B>>::new(
            self.training(&STUDENT),
            distillation,
            teacher,
            ClassifierAdaptor,
        )?;
        let hooks = Hooks::new().with_callback(Shown { what: self.title("distilled"), observer });
        let student = self.model(&STUDENT, "labels only")?;
        let trained = distiller.train(student, &self.batches()?, hooks)?;
        Ok(trained.trainable.student.valid())
    }

    fn title(&self, what: &str) -> String {
        format!("{what}, seed {}", self.seed)
    }

    /// Test accuracy, and sentences a second.
    fn accuracy(&self, model: &Classifier<B::InnerBackend>, gold: &[usize]) -> Result<(f64, f64), RunError> {
        let started = Instant::now();
        let logits = classify(model, &self.test, EVAL_BATCH, self.collator, &self.device)?;
        let seconds = started.elapsed().as_secs_f64();
        let predictions: Vec<usize> = logits.iter().map(|row| argmax(row)).collect();
        Ok((brew_data::metrics::accuracy(&predictions, gold)?, gold.len() as f64 / seconds))
    }

    fn majority(&self, gold: &[usize]) -> f64 {
        let train = self::gold(&self.corpus.train);
        let positive = 2 * train.iter().filter(|&&label| label == 1).count() > train.len();
        gold.iter().filter(|&&label| (label == 1) == positive).count() as f64 / gold.len() as f64
    }

    fn bag_of_words(&self, gold: &[usize]) -> Result<f64, RunError> {
        let texts = |examples: &[Example]| -> Vec<String> {
            examples.iter().map(|example| example.text.clone()).collect()
        };
        let (train, dev) = (&self.corpus.train, &self.corpus.dev);
        let model = BagOfWords::fit_best(
            (&texts(train), &self::gold(train)),
            (&texts(dev), &self::gold(dev)),
            self.corpus.labels.len(),
            &BagOfWordsConfig::default(),
            &[1e-3, 1e-2, 1e-1, 1.0],
        )?;
        Ok(brew_data::metrics::accuracy(&model.predict(&texts(&self.corpus.test)), gold)?)
    }
}

fn gold(examples: &[Example]) -> Vec<usize> {
    examples.iter().filter_map(|example| example.label).collect()
}

/// Shows one run to the observer.
struct Shown<'a> {
    what: String,
    observer: &'a mut dyn Observer,
}

impl<M> Callback<M> for Shown<'_> {
    fn on_start(&mut self, step: usize, total_steps: usize) -> Result<(), CallbackError> {
        self.observer.begin(&self.what, step, total_steps);
        Ok(())
    }

    fn on_step(&mut self, step: usize, total_steps: usize) -> Result<(), CallbackError> {
        self.observer.step(step);
        if step == total_steps {
            self.observer.end();
        }
        Ok(())
    }

    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.observer.report(report);
        Ok(())
    }
}
