//! Distils a model that Brew knows nothing of, with a loss that Brew does not have.
//!
//!     cargo run --example own_model_and_loss
//!
//! The models are two-layer perceptrons on points of the plane, any Burn module would do; what joins
//! them to a distiller is an adaptor, a closure that runs the model on a batch and names what comes
//! out. The loss compares hidden units by their absolute difference and is called `my_l1`.
#![allow(clippy::print_stdout, reason = "an example")]

use anyhow::Result;
use brew::config::{DistillationConfig, IntermediateMatch, OptimizerConfig, TrainingConfig};
use brew::distillers::{
    Adaptor, AdaptorOutput, BasicTrainer, Counted, DistillError, Extensions, ForwardContext,
    GeneralDistiller, Hooks, ModelTeacher,
};
use brew::losses::{FeatureTensor, LossInput, cross_entropy};
use brew::random::Key;
use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::tanh;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use burn_flex::Flex;

type B = Autodiff<Flex>;

const CLASSES: usize = 2;

#[derive(Module, Debug)]
struct Perceptron<B: Backend> {
    hidden: Linear<B>,
    output: Linear<B>,
}

impl<B: Backend> Perceptron<B> {
    fn new(width: usize, device: &B::Device) -> Self {
        Self {
            hidden: LinearConfig::new(2, width).init(device),
            output: LinearConfig::new(width, CLASSES).init(device),
        }
    }
}

#[derive(Clone, Debug)]
struct Points<B: Backend> {
    /// `[points, 2]`
    positions: Tensor<B, 2>,
    /// `[points]`
    labels: Tensor<B, 1, Int>,
}

/// Runs the perceptron on a batch and names what comes out.
fn adapt<B: Backend>(
    model: &Perceptron<B>,
    batch: &Points<B>,
    _: ForwardContext,
) -> Result<AdaptorOutput<B>, DistillError> {
    let hidden = tanh(model.hidden.forward(batch.positions.clone()));
    let logits = model.output.forward(hidden.clone());
    Ok(AdaptorOutput {
        losses: vec![cross_entropy(logits.clone(), batch.labels.clone())],
        logits: vec![FeatureTensor::from(logits)],
        // One "token" a point: [points, 1, width].
        hidden: vec![hidden.unsqueeze_dim(1)],
        ..AdaptorOutput::default()
    })
}

/// The teacher reads the same batches on the backend without autodiff.
fn teacher_adaptor<B: AutodiffBackend>()
-> impl Adaptor<B::InnerBackend, Perceptron<B::InnerBackend>, Points<B>> {
    |model: &Perceptron<B::InnerBackend>, batch: &Points<B>, context: ForwardContext| {
        let batch =
            Points { positions: batch.positions.clone().inner(), labels: batch.labels.clone().inner() };
        adapt(model, &batch, context)
    }
}

fn main() -> Result<()> {
    let device = Default::default();
    let train: Vec<_> = (0..40).map(|index| batch(Key::new(index), &device)).collect();
    let test = batch(Key::new(1000), &device).batch;
    let training = |epochs| TrainingConfig {
        num_epochs: epochs,
        optimizer: OptimizerConfig { lr: 1e-2, ..OptimizerConfig::default() },
        ..TrainingConfig::default()
    };

    let teacher = BasicTrainer::new(training(30), adapt::<B>)
        .train(Perceptron::<B>::new(32, &device), &train, Hooks::new())?
        .trainable
        .student
        .valid();

    // The loss: a function of the two sides' features, under a name of its own.
    let extensions = Extensions::new().with_loss("my_l1", |input: &LossInput<B>| {
        let (student, teacher) = (input.student[0].clone(), input.teacher[0].clone());
        Ok((student.into_positions() - teacher.into_positions()).abs().mean())
    });
    let distillation = DistillationConfig {
        temperature: 2.0,
        intermediate_matches: vec![IntermediateMatch::hidden(0, 0, "my_l1").with_projection(8, 32)],
        ..DistillationConfig::default()
    };
    let distiller = GeneralDistiller::with_extensions(
        training(30),
        distillation,
        ModelTeacher::new(teacher.clone(), teacher_adaptor::<B>()),
        adapt::<B>,
        extensions,
    )?;
    let student = Perceptron::<B>::new(8, &device);
    let before = accuracy(&student.valid(), &test);
    let student = distiller.train(student, &train, Hooks::new())?.trainable.student.valid();

    println!("accuracy on new points");
    println!("  teacher (32 hidden units)     {:5.1} %", accuracy(&teacher, &test));
    println!("  student (8), before           {before:5.1} %");
    println!("  student (8), distilled        {:5.1} %", accuracy(&student, &test));
    Ok(())
}

/// Points of the square from −1 to 1; the label says whether the coordinates have the same sign.
fn batch(key: Key, device: &<B as burn::tensor::backend::BackendTypes>::Device) -> Counted<Points<B>> {
    const POINTS: usize = 64;
    let mut stream = key.stream();
    let positions: Vec<f32> = (0..2 * POINTS).map(|_| 2.0 * stream.uniform() as f32 - 1.0).collect();
    let labels: Vec<i64> = positions.chunks(2).map(|point| i64::from(point[0] * point[1] > 0.0)).collect();
    let batch = Points {
        positions: Tensor::from_data(TensorData::new(positions, [POINTS, 2]), device),
        labels: Tensor::from_data(TensorData::new(labels, [POINTS]), device),
    };
    Counted::new(batch, POINTS)
}

fn accuracy(model: &Perceptron<Flex>, points: &Points<B>) -> f64 {
    let hidden = tanh(model.hidden.forward(points.positions.clone().inner()));
    let predicted: Tensor<Flex, 1, Int> = model.output.forward(hidden).argmax(1).squeeze_dim(1);
    let right = predicted.equal(points.labels.clone().inner()).int().sum().into_scalar();
    100.0 * right as f64 / points.labels.dims()[0] as f64
}
