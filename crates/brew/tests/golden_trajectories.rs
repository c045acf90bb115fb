//! Whole training runs against the ones the real TextBrewer made, batch by batch.
//!
//! Every folder below `trajectories/` of each golden folder is taken; what a case holds, not its
//! name, decides how it is run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use brew::classification::{ClassifierAdaptor, InnerAdaptor};
use brew_config::{
    DistillationConfig, OptimizerConfig, ProjectionGroup, ScheduleConfig, ScheduleName, TrainingConfig,
};
use brew_data::Batch;
use brew_distillers::{
    BatchRows, CachedTeacher, Counted, DistillError, Distillation, Ensemble, Hooks, LossTerms, ModelTeacher,
    Objective, Projection, Recipe, StepContext, Student, Supervised, Teacher, Trainable, fit,
};
use brew_losses::LossRegistry;
use brew_models::{
    BertForSequenceClassification, EncoderInput, LoadOptions, Mode, OutputRequest, load_pretrained,
};
use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor, TensorData};
use serde::Deserialize;
use serde_json::Value;

/// What the goldens hold and this crate does not build yet: `(field of scenario.json, value)`.
const NOT_BUILT: &[(&str, &str)] = &[("distiller", "MultiTaskDistiller"), ("task", "token_classification")];

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
    losses_per_batch: Vec<HashMap<String, f64>>,
    final_eval_logits: Value,
    final_eval_logits_shape: Vec<usize>,
    teacher_eval_logits: Value,
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
    let mut ran = 0;
    for root in brew_testkit::golden_dirs() {
        let root = root.join("trajectories");
        let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)
            .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        for folder in folders {
            if let Some(case) = read_case(&folder) {
                run(&case);
                eprintln!("reproduced {}", folder.display());
                ran += 1;
            }
        }
    }
    assert!(ran > 0, "no trajectory was run");
}

fn read_case(folder: &Path) -> Option<Case> {
    let text = std::fs::read_to_string(folder.join("scenario.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    for (field, value) in NOT_BUILT {
        if json[field] == *value {
            eprintln!("{}: {field} {value} is not built yet", folder.display());
            return None;
        }
    }
    let scenario: Scenario =
        serde_json::from_value(json).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    assert!(!scenario.shuffle, "{}: shuffled", folder.display());
    assert_eq!(scenario.task, "sequence_classification", "{}", folder.display());
    assert_eq!(scenario.optimizer.name, "adamw", "{}", folder.display());
    let data = brew_testkit::read_safetensors(folder.join("data.safetensors"));
    Some(Case { folder: folder.to_path_buf(), scenario, data })
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
            Tensor::<B, 2, burn::tensor::Int>::from_data(data, device).slice([rows.clone()])
        };
        let labels = self.data.get(&format!("{prefix}labels")).map(|data| {
            Tensor::<B, 1, burn::tensor::Int>::from_data(data.clone(), device).slice([rows.clone()])
        });
        let label_values = match &labels {
            Some(labels) => labels.to_data().iter::<i64>().map(|label| usize::try_from(label).ok()).collect(),
            None => vec![None; rows.len()],
        };
        let attention_mask = ints("attention_mask").float();
        let lengths = lengths(&attention_mask);
        Batch {
            ids: rows.clone().map(|row| row as u64).collect(),
            input_ids: ints("input_ids"),
            attention_mask,
            token_type_ids: ints("token_type_ids"),
            labels,
            label_values,
            lengths,
        }
    }

    fn model<B: Backend>(&self, name: &str, device: &B::Device) -> BertForSequenceClassification<B> {
        load_pretrained::<B>(&self.folder.join(name), &LoadOptions::default(), device)
            .unwrap_or_else(|error| panic!("{}: {error}", self.folder.display()))
            .model
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
            .map(|term| (format!("unweighted_{}", term.name), read(term.value.clone())))
            .collect();
        losses.insert("total".into(), read(terms.total().expect("a weighted term")));
        self.losses.push(losses);
        Ok(terms)
    }
}

fn run_case<B: AutodiffBackend>(case: &Case, tolerance: Tolerance) {
    let device = B::Device::default();
    let scenario = &case.scenario;
    let student = case.model::<B>("student", &device);
    let teachers: Vec<_> = (0..scenario.num_teachers)
        .map(|index| {
            let teacher = case.model::<B::InnerBackend>(&format!("teacher{index}"), &device);
            check_teacher::<B::InnerBackend>(case, index, &teacher, tolerance, &device);
            ModelTeacher::new(teacher, InnerAdaptor(ClassifierAdaptor))
        })
        .collect();

    let batches: Vec<Counted<Batch<B>>> = (0..scenario.batches_per_epoch)
        .map(|index| {
            // The last batch may be smaller.
            let end = ((index + 1) * scenario.batch_size).min(case.data["input_ids"].shape[0]);
            let rows = index * scenario.batch_size..end;
            Counted { examples: rows.len(), batch: case.batch::<B>("", rows, &device) }
        })
        .collect();
    let mut config = scenario.distillation_config.clone();
    let training = scenario.training();
    let mut losses = Vec::new();
    let (trainable, groups, mut objective): (_, _, Box<dyn Objective<B, _, _>>) =
        match scenario.distiller.as_str() {
            "BasicTrainer" => {
                let inner = Supervised::new(ClassifierAdaptor);
                (Trainable::new(student), Vec::new(), Box::new(Recorded { inner, losses: &mut losses }))
            }
            "BasicDistiller" | "GeneralDistiller" | "MultiTeacherDistiller" => {
                if scenario.distiller != "GeneralDistiller" {
                    config.intermediate_matches.clear();
                }
                let cached = config.is_caching_logits;
                let members = teachers.into_iter().map(|teacher| -> Box<dyn Teacher<_, Batch<B>>> {
                    let rows = |batch: &Batch<B>| BatchRows {
                        ids: batch.ids.clone(),
                        length: batch.input_ids.dims()[1],
                        device: batch.input_ids.device(),
                    };
                    if cached { Box::new(CachedTeacher::new(teacher, rows)) } else { Box::new(teacher) }
                });
                let ensemble = Ensemble::new(members.collect()).unwrap();
                let registry = LossRegistry::default().with_nst_scale(config.nst_scale);
                let inner =
                    Distillation::with_teachers(config.clone(), &registry, ClassifierAdaptor, ensemble)
                        .unwrap();
                let groups: Vec<Option<ProjectionGroup>> = config
                    .intermediate_matches
                    .iter()
                    .map(|one| one.proj.as_ref().map(|projection| projection.group.clone()))
                    .collect();
                let trainable = Trainable { student, projections: case.projections(&device) };
                (trainable, groups, Box::new(Recorded { inner, losses: &mut losses }))
            }
            other => panic!("{}: unknown distiller {other}", case.folder.display()),
        };
    let recipe = Recipe::new(training).with_projection_groups(groups);
    let trained = fit(trainable, &recipe, objective.as_mut(), &batches, Hooks::new()).unwrap();
    drop(objective);

    check_losses(case, &losses, tolerance);
    let rows = 0..scenario.final_eval_logits_shape[0];
    let batch = case.batch::<B::InnerBackend>("eval_", rows, &device);
    let logits = eval_logits(&trained.trainable.student.valid(), batch);
    let expected = numbers(&scenario.final_eval_logits);
    assert_close(&logits, &expected, tolerance.logits, &format!("{}: final logits", case.folder.display()));
}

/// The teacher as loaded gives the logits it gave in PyTorch.
fn check_teacher<B: Backend>(
    case: &Case,
    index: usize,
    teacher: &BertForSequenceClassification<B>,
    tolerance: Tolerance,
    device: &B::Device,
) {
    let rows = 0..case.data["eval_input_ids"].shape[0];
    let logits = eval_logits(teacher, case.batch::<B>("eval_", rows, device));
    let expected = numbers(&case.scenario.teacher_eval_logits[index]);
    assert_close(
        &logits,
        &expected,
        tolerance.logits,
        &format!("{}: logits of teacher {index}", case.folder.display()),
    );
}

fn check_losses(case: &Case, losses: &[HashMap<String, f64>], tolerance: Tolerance) {
    let folder = case.folder.display();
    let expected = &case.scenario.losses_per_batch;
    assert_eq!(losses.len(), expected.len(), "{folder}: number of batches");
    for (index, (got, want)) in losses.iter().zip(expected).enumerate() {
        for (name, want) in want {
            let got =
                got.get(name).unwrap_or_else(|| panic!("{folder}: batch {index} lacks {name}: {got:?}"));
            let difference = (got - want).abs() / want.abs().max(1e-6);
            assert!(difference <= tolerance.loss, "{folder}: batch {index}, {name}: {got}, expected {want}");
        }
    }
}

fn eval_logits<B: Backend>(model: &BertForSequenceClassification<B>, batch: Batch<B>) -> Vec<f64> {
    let input = EncoderInput {
        input_ids: batch.input_ids,
        attention_mask: batch.attention_mask,
        token_type_ids: batch.token_type_ids,
        lengths: batch.lengths,
    };
    model.forward(input, OutputRequest::default(), Mode::Eval).logits.into_data().iter::<f64>().collect()
}

/// A nested list of numbers, flattened.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap_or_else(|| panic!("not a number: {other}"))],
    }
}

fn assert_close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance, "{what} {index}: {got}, expected {want}");
    }
}
