//! Whole training runs against the ones the real TextBrewer made, batch by batch.
//!
//! Every folder below `trajectories/` of each golden folder is taken; what a case holds, not its
//! name, decides how it is run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use brew::adaptors::{ClassifierAdaptor, InnerAdaptor, TokenClassifierAdaptor};
use brew_config::{
    DistillationConfig, OptimizerConfig, ProjectionGroup, ScheduleConfig, ScheduleName, TrainingConfig,
};
use brew_data::{Batch, Targets};
use brew_distillers::{
    Adaptor, AdaptorOutput, BatchRows, CachedTeacher, Counted, DistillError, Distillation, Ensemble,
    ForwardContext, Hooks, LossTerms, ModelTeacher, MultiTask, Objective, Projection, Recipe, StepContext,
    Student, Supervised, Task, TaskBatch, Teacher, Trainable, Wants, fit,
};
use brew_losses::LossRegistry;
use brew_models::{LoadOptions, PretrainedModel, SequenceClassifier, TokenClassifier, load_pretrained};
use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Int, Tensor, TensorData};
use serde::Deserialize;
use serde_json::Value;

/// Tolerances of one backend.
#[derive(Clone, Copy)]
struct Tolerance {
    /// Relative, on each loss.
    loss: f64,
    /// Absolute, on the final logits.
    logits: f64,
}

const CPU: Tolerance = Tolerance { loss: 2e-5, logits: 1e-4 };

#[test]
fn golden_trajectories_on_ndarray() {
    every_case(|case| run_case::<brew_testkit::TestAutodiffBackend>(case, CPU));
}

#[cfg(feature = "flex")]
#[test]
fn golden_trajectories_on_flex() {
    every_case(|case| run_case::<burn::backend::Autodiff<burn_flex::Flex>>(case, CPU));
}

/// Needs a Vulkan driver; `scripts/test-wgpu.sh` installs one and runs this.
#[cfg(feature = "wgpu")]
#[test]
fn golden_trajectories_on_wgpu() {
    let tolerance = Tolerance { loss: 2e-4, logits: 2e-3 };
    every_case(|case| run_case::<burn::backend::Autodiff<burn_wgpu::Wgpu<f32, i32>>>(case, tolerance));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    #[serde(rename = "source")]
    _source: Value,
    distiller: String,
    task: String,
    batch_size: usize,
    batches_per_epoch: usize,
    num_epochs: usize,
    num_steps: Option<usize>,
    shuffle: bool,
    training_config: TrainingConfig,
    distillation_config: DistillationConfig,
    optimizer: Optimizer,
    lr_schedule: Option<Schedule>,
    max_grad_norm: f64,
    num_teachers: usize,
    /// Whether the adaptors of a token task give a mask of the logits.
    #[serde(default = "yes")]
    logits_mask: bool,
    /// The names of several tasks; the n-th teacher is the n-th task's.
    #[serde(default)]
    tasks: Vec<String>,
    #[serde(rename = "tau")]
    _tau: Option<f64>,
    /// The task of each batch, as TextBrewer drew them.
    #[serde(default)]
    task_of_batch: Vec<usize>,
    losses_per_batch: Vec<HashMap<String, f64>>,
    final_eval_logits: Value,
    #[serde(rename = "final_eval_logits_shape")]
    _final_eval_logits_shape: Value,
    teacher_eval_logits: Value,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Optimizer {
    name: String,
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    name: String,
    num_warmup_steps: usize,
    num_training_steps: usize,
}

struct Case {
    folder: PathBuf,
    scenario: Scenario,
    data: BTreeMap<String, TensorData>,
}

fn every_case(run: impl Fn(&Case)) {
    // Only the cases of these names, separated by commas: a software driver is slow.
    let chosen = std::env::var("BREW_GOLDEN_CASES").ok();
    let is_chosen = |folder: &Path| {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        chosen.as_ref().is_none_or(|names| names.split(',').any(|one| one == name))
    };
    let mut ran = 0;
    for root in brew_testkit::golden_dirs() {
        let root = root.join("trajectories");
        let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)
            .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir() && is_chosen(path))
            .collect();
        folders.sort();
        for folder in folders {
            run(&read_case(&folder));
            ran += 1;
        }
    }
    assert!(ran > 0, "no trajectory was run");
}

fn read_case(folder: &Path) -> Case {
    let text = std::fs::read_to_string(folder.join("scenario.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let scenario: Scenario =
        serde_json::from_value(json).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    assert!(!scenario.shuffle, "{}: shuffled", folder.display());
    assert_eq!(scenario.optimizer.name, "adamw", "{}", folder.display());
    let data = brew_testkit::read_safetensors(folder.join("data.safetensors"));
    Case { folder: folder.to_path_buf(), scenario, data }
}

impl Scenario {
    fn training(&self) -> TrainingConfig {
        let schedule = match &self.lr_schedule {
            None => ScheduleConfig::default(),
            Some(schedule) => {
                assert_eq!(schedule.name, "linear_warmup_then_linear_decay_to_0");
                ScheduleConfig {
                    name: ScheduleName::Linear,
                    warmup_steps: Some(schedule.num_warmup_steps),
                    total_steps: Some(schedule.num_training_steps),
                    ..ScheduleConfig::default()
                }
            }
        };
        TrainingConfig {
            num_epochs: self.num_epochs,
            num_steps: self.num_steps,
            max_grad_norm: self.max_grad_norm,
            optimizer: OptimizerConfig {
                lr: self.optimizer.lr,
                betas: self.optimizer.betas,
                eps: self.optimizer.eps,
                weight_decay: self.optimizer.weight_decay,
                ..OptimizerConfig::default()
            },
            schedule,
            ..self.training_config.clone()
        }
    }
}

impl Case {
    /// Rows `start..end` of the data as a batch; `prefix` is `""` or `"eval_"`.
    fn batch<B: Backend>(&self, prefix: &str, rows: std::ops::Range<usize>, device: &B::Device) -> Batch<B> {
        let ints = |name: &str| {
            let data = self.data[&format!("{prefix}{name}")].clone();
            Tensor::<B, 2, Int>::from_data(data, device).slice([rows.clone()])
        };
        // One label a text, or one a token.
        let labels = self.data.get(&format!("{prefix}labels")).map(|data| match data.shape.num_dims() {
            1 => Tensor::<B, 1, Int>::from_data(data.clone(), device).slice([rows.clone()]),
            _ => Tensor::<B, 2, Int>::from_data(data.clone(), device).slice([rows.clone()]).flatten(0, 1),
        });
        let attention_mask = ints("attention_mask").float();
        // TextBrewer's runs label the padding, too, so its logits have to be the model's own.
        let labels_padding = labels.as_ref().is_some_and(|labels| labels.dims()[0] > rows.len());
        let lengths = if labels_padding { None } else { lengths(&attention_mask) };
        Batch {
            ids: rows.clone().map(|row| row as u64).collect(),
            input_ids: ints("input_ids"),
            attention_mask,
            token_type_ids: ints("token_type_ids"),
            targets: labels.map(Targets::Classes),
            lengths,
        }
    }

    fn model<M: PretrainedModel>(&self, name: &str) -> M {
        load_pretrained::<M>(&self.folder.join(name), &LoadOptions::default(), &Default::default())
            .unwrap_or_else(|error| panic!("{}: {error}", self.folder.display()))
            .model
    }

    /// The batches of a task's rows, in order, the last of which may be smaller.
    fn batches<B: Backend>(&self, prefix: &str, device: &B::Device) -> Vec<Batch<B>> {
        let rows = self.data[&format!("{prefix}input_ids")].shape[0];
        (0..rows)
            .step_by(self.scenario.batch_size)
            .map(|start| self.batch(prefix, start..(start + self.scenario.batch_size).min(rows), device))
            .collect()
    }

    /// The projections TextBrewer started from, one entry a match.
    fn projections<B: Backend>(&self, device: &B::Device) -> Vec<Option<Projection<B>>> {
        let file = self.folder.join("proj.safetensors");
        let tensors = if file.exists() { brew_testkit::read_safetensors(&file) } else { BTreeMap::new() };
        let matches = &self.scenario.distillation_config.intermediate_matches;
        matches
            .iter()
            .enumerate()
            .map(|(index, one)| {
                let projection = one.proj.as_ref()?;
                let tensor = |name: &str| tensors[&format!("{index}.{name}")].clone();
                let weight = Tensor::<B, 2>::from_data(tensor("weight"), device).transpose();
                let bias = Tensor::<B, 1>::from_data(tensor("bias"), device);
                Some(Projection::from_tensors(projection.name, weight, bias))
            })
            .collect()
    }
}

/// The number of tokens of each row of a mask; `None` where padding stands among them.
fn lengths<B: Backend>(mask: &Tensor<B, 2>) -> Option<Vec<usize>> {
    let values: Vec<f32> = mask.to_data().iter::<f32>().collect();
    let of_row = |row: &[f32]| {
        let length = row.iter().filter(|&&value| value == 1.0).count();
        row[..length].iter().all(|&value| value == 1.0).then_some(length)
    };
    values.chunks(mask.dims()[1]).map(of_row).collect()
}

/// Keeps what an objective gave, under TextBrewer's names.
struct Recorded<'a, O> {
    inner: O,
    losses: &'a mut Vec<HashMap<String, f64>>,
}

impl<B, M, T, O> Objective<B, M, T> for Recorded<'_, O>
where
    B: AutodiffBackend,
    M: Student<B>,
    O: Objective<B, M, T>,
{
    fn loss(
        &mut self,
        trainable: &Trainable<B, M>,
        batch: &T,
        context: &StepContext,
    ) -> Result<LossTerms<B>, DistillError> {
        let terms = self.inner.loss(trainable, batch, context)?;
        let read = |tensor: Tensor<B, 1>| tensor.into_scalar().elem::<f64>();
        let mut losses: HashMap<String, f64> = terms
            .terms()
            .iter()
            .map(|term| {
                // A task's terms stand below its name.
                let name = term.name.rsplit('/').next().unwrap_or_default();
                (format!("unweighted_{name}"), read(term.value.clone()))
            })
            .collect();
        losses.insert("total".into(), read(terms.total().expect("a weighted term")));
        self.losses.push(losses);
        Ok(terms)
    }
}

/// The token classifier's adaptor, with or without a mask of the logits.
#[derive(Clone, Copy)]
struct Tokens {
    logits_mask: bool,
}

impl<B: Backend> Adaptor<B, TokenClassifier<B>, Batch<B>> for Tokens {
    fn adapt(
        &self,
        model: &TokenClassifier<B>,
        batch: &Batch<B>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        let mut output = TokenClassifierAdaptor.adapt(model, batch, context)?;
        if !self.logits_mask {
            output.logits_mask.clear();
        }
        Ok(output)
    }
}

fn run_case<B: AutodiffBackend>(case: &Case, tolerance: Tolerance) {
    match case.scenario.task.as_str() {
        "sequence_classification" => {
            run::<B, SequenceClassifier<B>, _, _>(case, ClassifierAdaptor, tolerance);
        }
        "token_classification" => {
            let adaptor = Tokens { logits_mask: case.scenario.logits_mask };
            run::<B, TokenClassifier<B>, _, _>(case, adaptor, tolerance);
        }
        other => panic!("{}: unknown task {other}", case.folder.display()),
    }
}

/// Trains as the scenario says and compares losses and final logits.
fn run<B, M, I, A>(case: &Case, adaptor: A, tolerance: Tolerance)
where
    B: AutodiffBackend,
    M: PretrainedModel<Backend = B> + AutodiffModule<B, InnerModule = I> + Student<B>,
    I: PretrainedModel<Backend = B::InnerBackend> + 'static,
    A: Adaptor<B, M, Batch<B>> + Adaptor<B::InnerBackend, I, Batch<B::InnerBackend>> + Copy + 'static,
{
    let device = B::Device::default();
    let scenario = &case.scenario;
    let student: M = case.model("student");
    let teachers: Vec<_> = (0..scenario.num_teachers)
        .map(|index| {
            let teacher: I = case.model(&format!("teacher{index}"));
            let expected = numbers(&scenario.teacher_eval_logits[index]);
            check_logits::<B::InnerBackend, _, _>(case, &teacher, &adaptor, &expected, tolerance);
            ModelTeacher::new(teacher, InnerAdaptor(adaptor))
        })
        .collect();

    let mut config = scenario.distillation_config.clone();
    let registry = LossRegistry::default().with_nst_scale(config.nst_scale);
    let mut losses = Vec::new();
    let trained = if scenario.tasks.is_empty() {
        let batches: Vec<Counted<Batch<B>>> = case.batches("", &device).into_iter().map(counted).collect();
        assert_eq!(batches.len(), scenario.batches_per_epoch, "{}: batches", case.folder.display());
        if scenario.distiller == "BasicTrainer" {
            let recipe = Recipe::new(scenario.training());
            let mut objective = Recorded { inner: Supervised::new(adaptor), losses: &mut losses };
            fit(Trainable::new(student), &recipe, &mut objective, &batches, Hooks::new())
        } else {
            if scenario.distiller != "GeneralDistiller" {
                config.intermediate_matches.clear();
            }
            let cached = config.is_caching_logits;
            let members = teachers.into_iter().map(|teacher| -> Box<dyn Teacher<_, Batch<B>>> {
                let rows = |batch: &Batch<B>| BatchRows {
                    ids: batch.ids.clone(),
                    texts: Vec::new(),
                    length: batch.length(),
                    device: batch.input_ids.device(),
                };
                if cached { Box::new(CachedTeacher::new(teacher, rows)) } else { Box::new(teacher) }
            });
            let ensemble = Ensemble::new(members.collect()).unwrap();
            let inner = Distillation::with_teachers(config.clone(), &registry, adaptor, ensemble).unwrap();
            let mut objective = Recorded { inner, losses: &mut losses };
            let (trainable, recipe) = case.with_projections(student, &config, &device);
            fit(trainable, &recipe, &mut objective, &batches, Hooks::new())
        }
    } else {
        let batches = case.task_batches::<B>(&device);
        let tasks = scenario.tasks.iter().zip(teachers);
        let tasks = tasks.map(|(name, teacher)| Task::new(name, teacher, adaptor)).collect();
        let inner = MultiTask::<B, M, _>::new(config.clone(), &registry, tasks).unwrap();
        let mut objective = Recorded { inner, losses: &mut losses };
        let (trainable, recipe) = case.with_projections(student, &config, &device);
        fit(trainable, &recipe, &mut objective, &batches, Hooks::new())
    };
    let student = trained.unwrap().trainable.student.valid();

    let worst = check_losses(case, &losses, tolerance);
    eprintln!("{}: losses agree to {worst:.1e}", case.folder.display());
    let expected = numbers(&scenario.final_eval_logits);
    check_logits::<B::InnerBackend, _, _>(case, &student, &adaptor, &expected, tolerance);
}

fn counted<B: Backend>(batch: Batch<B>) -> Counted<Batch<B>> {
    let examples = batch.len();
    Counted::new(batch, examples)
}

impl Case {
    /// The student with the projections it started from, and how it is trained.
    fn with_projections<B: AutodiffBackend, M: Student<B>>(
        &self,
        student: M,
        config: &DistillationConfig,
        device: &B::Device,
    ) -> (Trainable<B, M>, Recipe<B, M>) {
        let groups: Vec<Option<ProjectionGroup>> = config
            .intermediate_matches
            .iter()
            .map(|one| one.proj.as_ref().map(|projection| projection.group.clone()))
            .collect();
        let recipe = Recipe::new(self.scenario.training()).with_projection_groups(groups);
        (Trainable { student, projections: self.projections(device) }, recipe)
    }

    /// The batches of several tasks in the order in which they were drawn, each task's own over and over.
    fn task_batches<B: Backend>(&self, device: &B::Device) -> Vec<Counted<TaskBatch<Batch<B>>>> {
        let tasks = 0..self.scenario.tasks.len();
        let mut sources: Vec<_> = tasks
            .map(|task| self.batches::<B>(&format!("task{task}."), device).into_iter().cycle())
            .collect();
        let order = self.scenario.task_of_batch.iter();
        order
            .map(|&task| {
                let batch = sources[task].next().expect("a cycle of batches");
                let examples = batch.len();
                Counted::new(TaskBatch { task, batch }, examples)
            })
            .collect()
    }
}

/// A model gives the logits on the rows for evaluation that it gave in PyTorch.
fn check_logits<B: Backend, M, A: Adaptor<B, M, Batch<B>>>(
    case: &Case,
    model: &M,
    adaptor: &A,
    expected: &[f64],
    tolerance: Tolerance,
) {
    let rows = 0..case.data["eval_input_ids"].shape[0];
    let batch = case.batch::<B>("eval_", rows, &Default::default());
    let output = adaptor.adapt(model, &batch, ForwardContext::evaluation(Wants::default())).unwrap();
    let classes = output.logits[0].dims().pop().expect("a dimension of classes");
    let found: Vec<f64> = output.logits[0].clone().into_positions().into_data().iter::<f64>().collect();
    assert_eq!(found.len(), expected.len(), "{}: logits", case.folder.display());
    // Of a text, or of each real token: what stands at padding means nothing.
    let mask: Vec<f32> = batch.attention_mask.into_data().iter::<f32>().collect();
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let counts = output.logits[0].rank() == 2 || mask[at / classes] == 1.0;
        assert!(
            !counts || (found - expected).abs() <= tolerance.logits,
            "{}: logit {at}: {found}, expected {expected}",
            case.folder.display()
        );
    }
}

/// The largest relative difference of a loss.
fn check_losses(case: &Case, losses: &[HashMap<String, f64>], tolerance: Tolerance) -> f64 {
    let folder = case.folder.display();
    let expected = &case.scenario.losses_per_batch;
    assert_eq!(losses.len(), expected.len(), "{folder}: number of batches");
    let mut differences: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (index, (got, want)) in losses.iter().zip(expected).enumerate() {
        for (name, want) in want {
            let got =
                got.get(name).unwrap_or_else(|| panic!("{folder}: batch {index} lacks {name}: {got:?}"));
            let difference = (got - want).abs() / want.abs().max(1e-6);
            differences.entry(name).or_default().push(difference);
        }
    }
    let worst = differences.values().flatten().fold(0.0, |worst: f64, &one| worst.max(one));
    // Batch by batch, for it tells a jump from a drift.
    assert!(worst <= tolerance.loss, "{folder}: losses differ, relatively, by {differences:.7?}");
    worst
}

/// A nested list of numbers, flattened.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap_or_else(|| panic!("not a number: {other}"))],
    }
}
