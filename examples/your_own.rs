//! Every piece of code that a distiller takes from its user, one short run each.
//!
//!     cargo run --example your_own
//!
//! docs/your-own.md is about these pieces, in the same order; its code is this file's.
#![allow(clippy::print_stdout, reason = "an example")]

mod shared;

use std::cell::RefCell;
use std::f64::consts::PI;

use anyhow::Result;
use brew::adaptors::ClassifierAdaptor;
use brew::config::{DistillationConfig, IntermediateMatch, ProjectionConfig, ProjectionName, TrainingConfig};
use brew::data::{Batch, Feature};
use brew::distillers::{
    Adaptor, AdaptorOutput, Callback, CallbackError, CheckpointEvent, CustomMatch, DistillError, Extensions,
    ForwardContext, GeneralDistiller, Hooks, Projection, Student, Wants,
};
use brew::losses::{FeatureTensor, LossError, LossInput, hidden_mse_loss, pkd_loss, select_positions};
use brew::random::Key;
use burn::module::{AutodiffModule, Module};
use burn::nn::{Linear, LinearConfig};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{RmsPropConfig, SimpleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::{Device, Tensor};
use burn_flex::Flex;
use shared::{B, Classifier, Language, accuracy, batches, classifier, gold, predictions, training};

const CLASSES: usize = 2;

// A loss.

/// The mean absolute difference of two hidden states, over the tokens that count.
fn my_l1(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let (student, teacher) = (input.student[0].clone(), input.teacher[0].clone());
    let difference = (student.into_positions() - teacher.into_positions()).abs();
    Ok(match &input.mask {
        Some(mask) => select_positions(difference, mask.clone().flatten(0, 1)).mean(),
        None => difference.mean(),
    })
}

fn own_loss() -> (DistillationConfig, Extensions<B, Classifier<B>>) {
    let one = IntermediateMatch::hidden(2, 1, "my_l1").with_projection(16, 32);
    let config = DistillationConfig { intermediate_matches: vec![one], ..soft_labels() };
    (config, Extensions::new().with_loss("my_l1", my_l1))
}

// A schedule of weights.

fn own_weights() -> Extensions<B, Classifier<B>> {
    Extensions::new()
        .with_kd_loss_weight(|progress| 1.0 - 0.5 * progress)
        .with_hard_label_weight(|progress| 0.5 * progress * progress)
}

// A schedule of the learning rate.

fn own_rate() -> Extensions<B, Classifier<B>> {
    Extensions::new().with_learning_rate(|step, steps| {
        let progress = step as f64 / steps as f64;
        0.5 * (1.0 + (PI * progress).cos())
    })
}

// An optimizer.

fn another_optimizer() -> Extensions<B, Classifier<B>> {
    Extensions::new().with_optimizer(|settings| {
        RmsPropConfig::new().with_momentum(0.0).with_epsilon(settings.eps as f32).init()
    })
}

/// Moves every number by the rate, to the side that lowers the loss.
#[derive(Clone)]
struct SignDescent;

impl<X: Backend> SimpleOptimizer<X> for SignDescent {
    type State<const D: usize> = ();

    fn step<const D: usize>(
        &self,
        rate: f64,
        tensor: Tensor<X, D>,
        gradient: Tensor<X, D>,
        _: Option<()>,
    ) -> (Tensor<X, D>, Option<()>) {
        (tensor - gradient.sign().mul_scalar(rate), None)
    }

    fn to_device<const D: usize>(_: (), _: &Device<X>) {}
}

fn own_optimizer() -> Extensions<B, Classifier<B>> {
    Extensions::new().with_optimizer(|_| OptimizerAdaptor::from(SignDescent))
}

// A projection.

fn own_projection() -> (DistillationConfig, Extensions<B, Classifier<B>>) {
    let one = IntermediateMatch::hidden(2, 1, "hidden_mse").with_projection(16, 32);
    let config = DistillationConfig { intermediate_matches: vec![one], ..soft_labels() };
    // At first the student's units are the teacher's first half.
    let device = Default::default();
    let weight = Tensor::cat(vec![Tensor::eye(16, &device), Tensor::zeros([16, 16], &device)], 1);
    let bias = Tensor::zeros([32], &device);
    let projection = Projection::from_tensors(ProjectionName::Linear, weight, bias);
    (config, Extensions::new().with_projections(vec![Some(projection)]))
}

/// A student and a projection of two layers, trained together.
#[derive(Module, Debug)]
struct Projected<B: Backend> {
    student: Classifier<B>,
    narrow: Linear<B>,
    wide: Linear<B>,
}

fn adapt(
    model: &Projected<B>,
    batch: &Batch<B>,
    context: ForwardContext,
) -> Result<AdaptorOutput<B>, DistillError> {
    let mut output = ClassifierAdaptor.adapt(&model.student, batch, context)?;
    let projected = model.wide.forward(relu(model.narrow.forward(output.hidden[1].clone())));
    output.others.insert("projected".into(), projected.into());
    Ok(output)
}

fn own_module() -> Extensions<B, Projected<B>> {
    let student = |output: &AdaptorOutput<B>| output.others.get("projected").cloned();
    let teacher = |output: &AdaptorOutput<B>| output.hidden.get(2).cloned().map(FeatureTensor::from);
    let one = CustomMatch::new("projected_mse", student, hidden_mse_loss)
        .with_teacher_feature(teacher)
        .with_wants(Wants { hidden: true, ..Wants::default() });
    Extensions::new().with_custom_match(one)
}

// A match.

/// The mean state of a text's tokens, `[texts, hidden]`.
fn pooled(output: &AdaptorOutput<B>, layer: usize) -> Option<FeatureTensor<B>> {
    let mask = output.inputs_mask.clone()?.unsqueeze_dim::<3>(2);
    let sum = (output.hidden.get(layer)?.clone() * mask.clone()).sum_dim(1);
    Some((sum / mask.sum_dim(1)).squeeze_dim::<2>(1).into())
}

fn own_match() -> Extensions<B, Classifier<B>> {
    let one = CustomMatch::new("pooled", |output| pooled(output, 1), pkd_loss)
        .with_weight(0.1)
        .with_teacher_feature(|output| pooled(output, 2))
        .with_wants(Wants { hidden: true, ..Wants::default() })
        .with_projection(ProjectionConfig::linear(16, 32));
    Extensions::new().with_custom_match(one)
}

// A metric.

/// The share of each class's texts that is found, averaged over the classes.
fn mean_recall(predicted: &[usize], gold: &[usize]) -> f64 {
    let recall = |class| {
        let of_class: Vec<_> = gold.iter().zip(predicted).filter(|(label, _)| **label == class).collect();
        let found = of_class.iter().filter(|(label, guess)| label == guess).count();
        found as f64 / of_class.len().max(1) as f64
    };
    (0..CLASSES).map(recall).sum::<f64>() / CLASSES as f64
}

/// Scores every checkpoint.
struct Scored<'a> {
    texts: &'a [Feature],
    scores: &'a RefCell<Vec<f64>>,
}

impl Callback<Classifier<B>> for Scored<'_> {
    fn on_checkpoint(
        &mut self,
        student: &Classifier<B>,
        _: CheckpointEvent<'_>,
    ) -> Result<Option<f64>, CallbackError> {
        let score = mean_recall(&predictions(&student.valid(), self.texts)?, &gold(self.texts));
        self.scores.borrow_mut().push(score);
        Ok(Some(score))
    }
}

// The runs.

fn soft_labels() -> DistillationConfig {
    DistillationConfig { temperature: 2.0, ..DistillationConfig::default() }
}

/// What every run has in common.
struct Setting {
    texts: Vec<Feature>,
    test: Vec<Feature>,
    teacher: Classifier<Flex>,
}

impl Setting {
    fn new() -> Result<Self> {
        let language = Language::new(CLASSES, Key::new(1));
        let many = language.texts(4000, 0.33, Key::new(2));
        Ok(Self {
            texts: language.texts(600, 0.33, Key::new(3)),
            test: language.texts(1000, 0.0, Key::new(4)),
            teacher: shared::train_on_labels(classifier(2, 32, CLASSES, Key::new(5))?, &many, 3)?,
        })
    }

    fn student(&self) -> Result<Classifier<B>> {
        classifier(1, 16, CLASSES, Key::new(6))
    }

    fn distil<M: Student<B>>(
        &self,
        student: M,
        adaptor: impl Adaptor<B, M, Batch<B>> + 'static,
        config: DistillationConfig,
        extensions: Extensions<B, M>,
        hooks: Hooks<'_, M>,
    ) -> Result<M::InnerModule> {
        let steps = TrainingConfig { ckpt_epoch_frequency: 4, ..training(16) };
        let teacher = shared::teacher(&self.teacher);
        let distiller = GeneralDistiller::with_extensions(steps, config, teacher, adaptor, extensions)?;
        Ok(distiller.train(student, &batches(&self.texts)?, hooks)?.trainable.student.valid())
    }

    /// Distils into the shipped model and says how well it does.
    fn show(
        &self,
        what: &str,
        config: DistillationConfig,
        extensions: Extensions<B, Classifier<B>>,
    ) -> Result<()> {
        let student = self.distil(self.student()?, ClassifierAdaptor, config, extensions, Hooks::new())?;
        println!("  {what:<28}{:5.1} %", accuracy(&student, &self.test)?);
        Ok(())
    }
}

fn main() -> Result<()> {
    let setting = Setting::new()?;
    println!("accuracy on new texts of {CLASSES} classes");
    println!("  {:<28}{:5.1} %", "the teacher", accuracy(&setting.teacher, &setting.test)?);
    setting.show("nothing of one's own", soft_labels(), Extensions::new())?;
    let (config, extensions) = own_loss();
    setting.show("a loss", config, extensions)?;
    setting.show("a schedule of weights", soft_labels(), own_weights())?;
    setting.show("a learning rate", soft_labels(), own_rate())?;
    setting.show("an optimizer of Burn's", soft_labels(), another_optimizer())?;
    setting.show("an optimizer", soft_labels(), own_optimizer())?;
    let (config, extensions) = own_projection();
    setting.show("a projection", config, extensions)?;

    let device = Default::default();
    B::seed(&device, 7);
    let projected = Projected {
        student: setting.student()?,
        narrow: LinearConfig::new(16, 8).init(&device),
        wide: LinearConfig::new(8, 32).init(&device),
    };
    let student = setting.distil(projected, adapt, soft_labels(), own_module(), Hooks::new())?.student;
    println!("  {:<28}{:5.1} %", "a projection's module", accuracy(&student, &setting.test)?);
    setting.show("a match", soft_labels(), own_match())?;

    let scores = RefCell::new(Vec::new());
    let hooks = Hooks::new().with_callback(Scored { texts: &setting.test, scores: &scores });
    setting.distil(setting.student()?, ClassifierAdaptor, soft_labels(), Extensions::new(), hooks)?;
    let scores: Vec<String> = scores.borrow().iter().map(|score| format!("{:.1} %", 100.0 * score)).collect();
    println!("a metric: mean recall every fourth epoch {}", scores.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_piece_runs() {
        super::main().unwrap();
    }

    #[test]
    fn the_page_quotes_this_file() {
        let (page, code) = (include_str!("../docs/your-own.md"), include_str!("your_own.rs"));
        let blocks = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
        let blocks: Vec<&str> = blocks.collect();
        assert!(blocks.len() >= 9, "{} blocks", blocks.len());
        for block in blocks {
            assert!(code.contains(block), "docs/your-own.md, but not examples/your_own.rs, has\n{block}");
        }
    }
}
