//! Augmentation in a run: anew in each epoch, the same when a run is continued, refused where it cannot be.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use brew::adaptors::TextBatches;
use brew::{BackendKind, Observer, OutputPolicy, Run, RunConfig, RunKind, Summary, load_run};
use brew_data::{Augmentation, Augmenter, BatchSampler, Collator, Example, TextTokenizer, WordPieceOptions};
use brew_distillers::BatchSource;
use brew_random::Key;
use brew_testkit::TestBackend;
use burn::tensor::{Int, Tensor};

const WORDS: [&str; 10] = ["good", "fine", "great", "bad", "dull", "poor", "a", "the", "film", "plot"];

fn vocabulary(mask: &str) -> Vec<String> {
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", mask].into_iter().chain(WORDS).map(str::to_owned).collect()
}

fn text(index: usize) -> String {
    format!("the {} {} a {}", WORDS[8 + index % 2], WORDS[index % 6], WORDS[8 + index % 2])
}

/// Ids, tokens and labels of the batches of an epoch.
type Epoch = Vec<(Vec<u64>, Vec<i64>, Vec<i64>)>;

fn values(tensor: Tensor<TestBackend, 1, Int>) -> Vec<i64> {
    tensor.into_data().to_vec().unwrap()
}

/// A function from epoch and batches to skip to what is left of the epoch.
fn epochs(step: Option<Augmentation>, seed: u64) -> impl Fn(usize, usize) -> Epoch {
    let tokenizer =
        TextTokenizer::from_vocabulary(vocabulary("[MASK]"), WordPieceOptions::default()).unwrap();
    let examples: Vec<Example> =
        (0..40).map(|id| Example::new(id as u64, text(id)).with_label(id % 2)).collect();
    let features = tokenizer.encode_all(&examples, 16).unwrap();
    let sampler = BatchSampler::training(vec![7; 40], 8, Key::new(1)).unwrap();
    let collator = Collator::new(tokenizer.pad_id());
    let mut batches = TextBatches::<TestBackend>::new(features, sampler, collator, Default::default());
    if let Some(step) = step {
        batches = batches.with_augmenter(Augmenter::new(vec![step], &tokenizer, Key::new(seed)).unwrap());
    }
    move |epoch, skip| {
        let batches = batches.epoch(epoch, skip).map(|batch| batch.unwrap().batch);
        batches
            .map(|batch| {
                (
                    batch.ids.clone(),
                    values(batch.input_ids.clone().flatten(0, 1)),
                    values(batch.classes().unwrap()),
                )
            })
            .collect()
    }
}

#[test]
fn epochs_differ_and_repeat_by_seed_and_number() {
    let masking = || Some(Augmentation::Masking { p: 0.5 });
    let (plain, augmented, same) = (epochs(None, 0), epochs(masking(), 1), epochs(masking(), 1));
    assert_eq!(augmented(0, 0), same(0, 0));
    assert_eq!(augmented(3, 2), same(3, 0)[2..], "an epoch taken up in the middle");
    assert_ne!(augmented(0, 0), epochs(masking(), 2)(0, 0));

    let by_id = |epoch: Epoch| {
        let mut rows: Vec<(u64, Vec<i64>)> = epoch
            .into_iter()
            .flat_map(|(ids, tokens, _)| {
                ids.into_iter().zip(tokens.chunks(7).map(<[i64]>::to_vec)).collect::<Vec<_>>()
            })
            .collect();
        rows.sort_unstable();
        rows
    };
    assert_eq!(by_id(plain(0, 0)), by_id(plain(1, 0)), "only the order differs");
    let (first, second) = (by_id(augmented(0, 0)), by_id(augmented(1, 0)));
    let alike = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    // Five words, each masked or not: 1 in 32.
    assert!(alike < 10, "{alike} of 40 texts are masked alike in both epochs");

    let (mut masked, unchanged) = (0, by_id(plain(0, 0)));
    for ((id, new), (_, old)) in first.iter().zip(&unchanged) {
        assert_eq!((new[0], new[6]), (2, 3), "[CLS] and [SEP] of example {id}");
        for (new, old) in new.iter().zip(old) {
            assert!(new == old || *new == 4);
            masked += usize::from(new != old);
        }
    }
    assert!((70..130).contains(&masked), "{masked} of 200 words");
    for ((ids, _, labels), (plain_ids, _, plain_labels)) in augmented(0, 0).iter().zip(&plain(0, 0)) {
        assert_eq!((ids, labels), (plain_ids, plain_labels));
    }
}

#[test]
fn shorter_texts_are_padded_to_the_longest_that_is_left() {
    let deleted = epochs(Some(Augmentation::Deleting { p: 1.0 }), 1)(0, 0);
    assert!(deleted.iter().all(|(ids, tokens, _)| tokens.len() == 3 * ids.len()), "{deleted:?}");
}

/// A folder with a task of a few steps on a model of one layer.
struct Task(tempfile::TempDir);

impl Task {
    fn new(mask: &str) -> Self {
        let task = Self(tempfile::tempdir().unwrap());
        fs::create_dir(task.path("vocab")).unwrap();
        fs::write(task.path("vocab/vocab.txt"), vocabulary(mask).join("\n")).unwrap();
        let config = r#"{"model_type": "bert", "vocab_size": 15, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16,
            "type_vocab_size": 2}"#;
        fs::write(task.path("config.json"), config).unwrap();
        let rows = (0..40).map(|index| format!("{}\t{}\n", text(index), ["pos", "neg"][index % 6 / 3]));
        fs::write(task.path("train.tsv"), rows.collect::<String>()).unwrap();
        task
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The run with `augmentation`, to be written into `output`.
    fn config(&self, output: &str, augmentation: &str, settings: &[&str]) -> RunConfig {
        let run = format!(
            "[data]\ntrain = {:?}\nbatch_size = 8\nmax_length = 12\naugmentation = {augmentation}\n\
             [model]\nconfig = {:?}\ntokenizer = {:?}\n\
             [training]\noutput_dir = {:?}\nnum_epochs = 4\noptimizer = {{ lr = 1e-2 }}\n",
            self.path("train.tsv"),
            self.path("config.json"),
            self.path("vocab"),
            self.path(output)
        );
        let file = self.path("run.toml");
        fs::write(&file, run).unwrap();
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        load_run(&file, &settings).unwrap()
    }

    fn weights(&self, output: &str) -> Vec<u8> {
        fs::read(self.path(output).join("model/model.safetensors")).unwrap()
    }

    fn refused(&self, augmentation: &str, settings: &[&str], kind: RunKind) -> String {
        let config = self.config("refused", augmentation, settings);
        Run::check::<TestBackend>(config, kind).unwrap_err().to_string()
    }
}

/// Stops the run after a step.
struct StopAfter(usize, Arc<AtomicBool>);

impl Observer for StopAfter {
    fn step(&mut self, step: usize) {
        self.1.store(step >= self.0, Ordering::Relaxed);
    }
}

fn run(config: RunConfig, kind: RunKind, policy: OutputPolicy, last_step: usize) -> Summary {
    let stop = Arc::new(AtomicBool::new(false));
    let backend = BackendKind::first().unwrap();
    let mut observer = StopAfter(last_step, Arc::clone(&stop));
    brew::train(backend, config, kind, policy, stop, &mut observer).unwrap()
}

const STEPS: &str = r#"[{ name = "masking", p = 0.3 }, { name = "deleting" }]"#;

#[test]
fn a_resumed_run_draws_what_the_uninterrupted_one_did() {
    let task = Task::new("[MASK]");
    let train = |output, augmentation, policy, last_step| {
        run(task.config(output, augmentation, &[]), RunKind::Train, policy, last_step)
    };
    assert_eq!(train("whole", STEPS, OutputPolicy::Fresh, usize::MAX).steps, 20);
    let stopped = train("stopped", STEPS, OutputPolicy::Fresh, 7);
    assert!(stopped.interrupted && (6..10).contains(&stopped.steps), "not in the second epoch: {stopped:?}");
    assert!(!train("stopped", STEPS, OutputPolicy::Resume, usize::MAX).interrupted);
    assert!(task.weights("whole") == task.weights("stopped"), "the resumed run ends elsewhere");
    train("plain", "[]", OutputPolicy::Fresh, usize::MAX);
    assert!(task.weights("whole") != task.weights("plain"), "nothing was augmented");

    let teacher = format!("teacher.from={}", task.path("whole").display());
    let config = task.config("student", STEPS, &[&teacher]);
    assert_eq!(run(config, RunKind::Distill, OutputPolicy::Fresh, usize::MAX).steps, 20);
}

#[test]
fn every_problem_of_augmentation_is_named_with_its_place() {
    let task = Task::new("[MASK]");
    let wrong = r#"[{ name = "masking", p = 1.5 }, { name = "long_disorder", length = 0.0 }]"#;
    let error = task.refused(wrong, &["data.batch_size=0"], RunKind::Train);
    for part in ["data.augmentation[0].p = 1.5", "data.augmentation[1].length = 0", "data.batch_size = 0"] {
        assert!(error.contains(part), "{part}: {error}");
    }

    let cached = ["distillation.is_caching_logits=true", "teacher.from=anywhere"];
    let error = task.refused(STEPS, &cached, RunKind::Distill);
    assert!(
        error.contains("distillation.is_caching_logits = true") && error.contains("unchanged"),
        "{error}"
    );
    // Without a teacher nothing is cached.
    let config = task.config("out", STEPS, &cached[..1]);
    assert!(Run::check::<TestBackend>(config, RunKind::Train).is_ok());

    let maskless = Task::new("maskless");
    let error = maskless.refused(STEPS, &[], RunKind::Train);
    assert!(
        error.contains("data.augmentation[0].name = masking") && error.contains("no mask token"),
        "{error}"
    );
    let config = maskless.config("out", r#"[{ name = "deleting" }]"#, &[]);
    assert!(Run::check::<TestBackend>(config, RunKind::Train).is_ok());
}
