//! Adaptors that give several predictions, masks, labels and losses, against sums worked out in
//! plain numbers; and the GeneralDistiller with features of another width.

use std::cell::RefCell;

use brew_config::{DistillationConfig, IntermediateMatch, OptimizerConfig, TrainingConfig};
use brew_distillers::{
    AdaptorOutput, BasicDistiller, BasicTrainer, Callback, CallbackError, Counted, DistillError,
    Distillation, Ensemble, ForwardContext, GeneralDistiller, Hooks, LossTerms, ModelTeacher, Objective,
    StepContext, StepReport, Teacher, Trainable, Wants,
};
use brew_losses::{FeatureTensor, LossRegistry};
use brew_random::Key;
use brew_testkit::{TestAutodiffBackend as AB, TestBackend as B};
use burn::module::{AutodiffModule, Param};
use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor, TensorData};

const CONTEXT: StepContext = StepContext { seed: 0, epoch: 0, step: 0, total_steps: 10, batch: 0 };

/// A teacher that says the same of every batch.
struct Says(AdaptorOutput<B>);

impl<T> Teacher<B, T> for Says {
    fn outputs(&self, _: &T, _: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        Ok(self.0.clone())
    }
}

/// The loss terms of a student that says `student` under a teacher that says `teacher`.
fn terms(
    config: DistillationConfig,
    student: AdaptorOutput<AB>,
    teacher: AdaptorOutput<B>,
) -> Result<LossTerms<AB>, DistillError> {
    let adaptor = move |_: &Linear<AB>, _: &(), _: ForwardContext| Ok(student.clone());
    let mut objective =
        Distillation::<AB, Linear<AB>, ()>::new(config, &LossRegistry::default(), adaptor, Says(teacher))?;
    objective.loss(&Trainable::new(linear(1, 1, 1)), &(), &CONTEXT)
}

fn value(terms: &LossTerms<AB>, name: &str) -> f64 {
    let term = terms.terms().iter().find(|term| term.name == name).unwrap();
    term.value.clone().into_scalar().elem()
}

fn linear<X: Backend>(seed: u64, inputs: usize, outputs: usize) -> Linear<X> {
    let device = Default::default();
    let weight = TensorData::new(Key::new(seed).normal(inputs * outputs, 0.5), [inputs, outputs]);
    Linear {
        weight: Param::from_tensor(Tensor::from_data(weight, &device)),
        bias: Some(Param::from_tensor(Tensor::zeros([outputs], &device))),
    }
}

fn rows<X: Backend>(values: &[[f32; 3]]) -> Tensor<X, 2> {
    let flat: Vec<f32> = values.iter().flatten().copied().collect();
    Tensor::from_data(TensorData::new(flat, [values.len(), 3]), &Default::default())
}

/// −Σ p_T · ln p_S of one row at temperature 2.
fn row_kd(student: [f32; 3], teacher: [f32; 3]) -> f64 {
    let softmax = |row: [f32; 3]| {
        let powers = row.map(|logit| (f64::from(logit) / 2.0).exp());
        powers.map(|power| power / powers.iter().sum::<f64>())
    };
    softmax(student).iter().zip(softmax(teacher)).map(|(s, t)| -t * s.ln()).sum()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn at_two() -> DistillationConfig {
    DistillationConfig { temperature: 2.0, hard_label_weight: 1.0, ..DistillationConfig::default() }
}

const START_S: [[f32; 3]; 2] = [[1.0, 0.5, -1.0], [0.0, 2.0, 0.3]];
const END_S: [[f32; 3]; 2] = [[-0.5, 0.2, 0.9], [1.5, -2.0, 0.1]];
const START_T: [[f32; 3]; 2] = [[2.0, 0.1, -0.4], [0.3, 1.0, -1.2]];
const END_T: [[f32; 3]; 2] = [[0.7, -0.3, 1.1], [0.2, 0.4, 0.6]];

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
}

/// A span task predicts a start and an end over the positions of its text.
#[test]
fn the_losses_of_several_predictions_are_summed() {
    let device = Default::default();
    let student = AdaptorOutput {
        logits: vec![rows(&START_S).into(), rows(&END_S).into()],
        losses: vec![Tensor::from_data([0.25, 0.75], &device), Tensor::from_data([2.0], &device)],
        ..AdaptorOutput::default()
    };
    let teacher = AdaptorOutput {
        logits: vec![rows(&START_T).into(), rows(&END_T).into()],
        ..AdaptorOutput::default()
    };
    let terms = terms(at_two(), student, teacher).unwrap();
    let start = mean(&[row_kd(START_S[0], START_T[0]), row_kd(START_S[1], START_T[1])]);
    let end = mean(&[row_kd(END_S[0], END_T[0]), row_kd(END_S[1], END_T[1])]);
    close(value(&terms, "kd_loss"), start + end);
    // The mean of each of the model's losses, summed.
    close(value(&terms, "hard_label_loss"), 0.5 + 2.0);
    close(terms.total().unwrap().into_scalar().elem(), start + end + 2.5);
}

fn positions<X: Backend>(values: &[[f32; 3]; 2]) -> FeatureTensor<X> {
    rows::<X>(values).reshape([1, 2, 3]).into()
}

fn mask<X: Backend>(values: [f32; 2]) -> Tensor<X, 2> {
    Tensor::from_data([values], &Default::default())
}

#[test]
fn each_prediction_has_the_mask_of_its_place() {
    let student = AdaptorOutput {
        logits: vec![positions(&START_S), positions(&END_S)],
        logits_mask: vec![mask([1.0, 0.0]), mask([0.0, 1.0])],
        ..AdaptorOutput::default()
    };
    let teacher =
        AdaptorOutput { logits: vec![positions(&START_T), positions(&END_T)], ..AdaptorOutput::default() };
    let config = DistillationConfig { hard_label_weight: 0.0, ..at_two() };
    let terms = terms(config, student, teacher).unwrap();
    close(value(&terms, "kd_loss"), row_kd(START_S[0], START_T[0]) + row_kd(END_S[1], END_T[1]));
}

/// TextBrewer drops the teacher's own mask.
#[test]
fn a_teacher_that_pads_otherwise_is_read_through_its_own_mask() {
    let student = AdaptorOutput {
        logits: vec![positions(&START_S)],
        logits_mask: vec![mask([1.0, 0.0])],
        ..AdaptorOutput::default()
    };
    let teacher = AdaptorOutput {
        logits: vec![positions(&START_T)],
        logits_mask: vec![mask([0.0, 1.0])],
        ..AdaptorOutput::default()
    };
    let config = DistillationConfig { hard_label_weight: 0.0, ..at_two() };
    let terms = terms(config, student, teacher).unwrap();
    close(value(&terms, "kd_loss"), row_kd(START_S[0], START_T[1]));
}

#[test]
fn each_prediction_is_shifted_by_the_labels_of_its_place() {
    let device = Default::default();
    let student = AdaptorOutput {
        logits: vec![rows(&START_S).into(), rows(&END_S).into()],
        labels: vec![Tensor::from_data([1, 1], &device), Tensor::from_data([0, -100], &device)],
        ..AdaptorOutput::default()
    };
    let teacher = AdaptorOutput {
        logits: vec![rows(&START_T).into(), rows(&END_T).into()],
        ..AdaptorOutput::default()
    };
    let config = DistillationConfig { hard_label_weight: 0.0, probability_shift: true, ..at_two() };
    let terms = terms(config, student, teacher).unwrap();
    // The largest logit changes places with that of the label; a label of −100 shifts nothing.
    let start = mean(&[row_kd(START_S[0], [0.1, 2.0, -0.4]), row_kd(START_S[1], START_T[1])]);
    let end = mean(&[row_kd(END_S[0], [1.1, -0.3, 0.7]), row_kd(END_S[1], END_T[1])]);
    close(value(&terms, "kd_loss"), start + end);
}

#[test]
fn a_side_that_gives_fewer_predictions_is_named() {
    let student = AdaptorOutput {
        logits: vec![rows(&START_S).into(), rows(&END_S).into()],
        ..AdaptorOutput::default()
    };
    let config = DistillationConfig { hard_label_weight: 0.0, ..at_two() };
    let error = terms(config, student, AdaptorOutput::from_logits(rows(&START_T))).unwrap_err().to_string();
    assert!(error.contains("teacher") && error.contains("2 `logits`"), "{error}");

    let error = terms(at_two(), AdaptorOutput::from_logits(rows(&START_S)), AdaptorOutput::default());
    assert!(error.unwrap_err().to_string().contains("teacher"));

    let no_losses = terms(
        at_two(),
        AdaptorOutput::from_logits(rows(&START_S)),
        AdaptorOutput::from_logits(rows(&START_T)),
    );
    let error = no_losses.unwrap_err().to_string();
    assert!(error.contains("hard_label_weight = 1") && error.contains("`losses`"), "{error}");
}

#[test]
fn a_match_names_its_teacher_and_logits_are_averaged_over_all() {
    let hidden = |value: f32| Tensor::<B, 3>::full([1, 2, 3], value, &Default::default());
    let says = |logits: &[[f32; 3]; 2], value: f32| {
        let logits = vec![rows::<B>(logits).into()];
        Box::new(Says(AdaptorOutput { logits, hidden: vec![hidden(value)], ..AdaptorOutput::default() }))
            as Box<dyn Teacher<B, ()>>
    };
    let config = DistillationConfig {
        hard_label_weight: 0.0,
        intermediate_matches: vec![
            IntermediateMatch::hidden(0, 0, "hidden_mse"),
            IntermediateMatch::hidden(0, 0, "hidden_mse").with_teacher(1),
        ],
        ..at_two()
    };
    let adaptor = |_: &Linear<AB>, _: &(), _: ForwardContext| {
        let hidden = vec![Tensor::<AB, 3>::zeros([1, 2, 3], &Default::default())];
        Ok(AdaptorOutput { hidden, ..AdaptorOutput::from_logits(rows::<AB>(&START_S)) })
    };
    let teachers = Ensemble::new(vec![says(&START_T, 2.0), says(&END_T, 3.0)]).unwrap();
    let losses = LossRegistry::default();
    let mut objective =
        Distillation::<AB, Linear<AB>, ()>::with_teachers(config.clone(), &losses, adaptor, teachers)
            .unwrap();
    let terms = objective.loss(&Trainable::new(linear(1, 1, 1)), &(), &CONTEXT).unwrap();
    close(value(&terms, "hidden_hidden_mse_0_0"), 4.0);
    close(value(&terms, "hidden_hidden_mse_0_0_teacher1"), 9.0);
    let half = |row: usize| std::array::from_fn(|at| (START_T[row][at] + END_T[row][at]) / 2.0);
    close(value(&terms, "kd_loss"), mean(&[row_kd(START_S[0], half(0)), row_kd(START_S[1], half(1))]));

    let alone = Ensemble::new(vec![says(&START_T, 2.0)]).unwrap();
    let error = Distillation::<AB, Linear<AB>, ()>::with_teachers(config, &losses, adaptor, alone)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("intermediate_matches[1].teacher"), "{error}");
}

/// Texts of three tokens and one of padding.
#[derive(Clone, Debug)]
struct Texts {
    tokens: Tensor<AB, 3>,
    mask: Tensor<AB, 2>,
}

const LENGTH: usize = 4;
const WIDTH: usize = 4;

/// `count` batches of `size` texts, the same texts in the same order for every `size`.
fn texts(count: usize, size: usize) -> Vec<Counted<Texts>> {
    let device = Default::default();
    let values = Key::new(9).normal(count * size * LENGTH * WIDTH, 1.0);
    (0..count)
        .map(|index| {
            let part = size * LENGTH * WIDTH;
            let tokens =
                TensorData::new(values[index * part..(index + 1) * part].to_vec(), [size, LENGTH, WIDTH]);
            let batch = Texts {
                tokens: Tensor::from_data(tokens, &device),
                mask: Tensor::<AB, 2>::from_data([[1.0, 1.0, 1.0, 0.0]], &device).repeat(&[size, 1]),
            };
            Counted::new(batch, size)
        })
        .collect()
}

/// Token-level logits under the mask, and the tokens' states as features.
fn token_output<X: Backend>(model: &Linear<X>, tokens: Tensor<X, 3>, mask: Tensor<X, 2>) -> AdaptorOutput<X> {
    let [size, length, width] = tokens.dims();
    let states = model.forward(tokens.reshape([size * length, width]));
    let states: Tensor<X, 3> = states.reshape([size as i64, length as i64, -1]);
    AdaptorOutput {
        logits: vec![FeatureTensor::from(states.clone())],
        logits_mask: vec![mask.clone()],
        hidden: vec![states],
        inputs_mask: Some(mask),
        ..AdaptorOutput::default()
    }
}

fn student_adaptor(
    model: &Linear<AB>,
    batch: &Texts,
    _: ForwardContext,
) -> Result<AdaptorOutput<AB>, DistillError> {
    Ok(token_output(model, batch.tokens.clone(), batch.mask.clone()))
}

fn teacher(outputs: usize) -> impl Teacher<B, Texts> + 'static {
    ModelTeacher::new(linear(2, WIDTH, outputs), |model: &Linear<B>, batch: &Texts, _: ForwardContext| {
        Ok(token_output(model, batch.tokens.clone().inner(), batch.mask.clone().inner()))
    })
}

fn training(epochs: usize, accumulation: usize) -> TrainingConfig {
    TrainingConfig {
        num_epochs: epochs,
        gradient_accumulation_steps: accumulation,
        log_every: 1,
        optimizer: OptimizerConfig { lr: 0.05, ..OptimizerConfig::default() },
        ..TrainingConfig::default()
    }
}

/// Masked losses are means over the tokens of a micro-batch, so that groups agree where the texts are
/// of equal length.
#[test]
fn accumulating_masked_losses_on_texts_of_equal_length_is_one_larger_batch() {
    let run = |accumulation: usize, batches: &Vec<Counted<Texts>>| {
        let distillation = DistillationConfig {
            temperature: 2.0,
            intermediate_matches: vec![IntermediateMatch::hidden(0, 0, "hidden_mse")],
            ..DistillationConfig::default()
        };
        let distiller =
            GeneralDistiller::new(training(3, accumulation), distillation, teacher(3), student_adaptor)
                .unwrap();
        let trained = distiller.train(linear::<AB>(1, WIDTH, 3), batches, Hooks::new()).unwrap();
        (trained.trainable.student.valid().weight.val().into_data().to_vec::<f32>().unwrap(), trained.steps)
    };
    let (whole, steps) = run(1, &texts(4, 8));
    let (halves, steps_of_halves) = run(2, &texts(8, 4));
    assert_eq!((steps, steps_of_halves), (12, 12));
    brew_testkit::assert_close(&whole, &halves, 1e-5, 1e-6, "weights");
}

/// Collects the reports.
struct Reports<'a>(&'a RefCell<Vec<StepReport>>);

impl<M> Callback<M> for Reports<'_> {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.0.borrow_mut().push(report.clone());
        Ok(())
    }
}

#[test]
fn general_distiller_lowers_a_match_between_widths_and_trains_its_projection() {
    let reports = RefCell::new(Vec::new());
    let distillation = DistillationConfig {
        kd_loss_weight: 0.0,
        intermediate_matches: vec![IntermediateMatch::hidden(0, 0, "hidden_mse").with_projection(3, 7)],
        ..DistillationConfig::default()
    };
    // Logits of 7 classes cannot be compared with 3, so the teacher gives none.
    let silent =
        ModelTeacher::new(linear(2, WIDTH, 7), |model: &Linear<B>, batch: &Texts, _: ForwardContext| {
            let output = token_output(model, batch.tokens.clone().inner(), batch.mask.clone().inner());
            Ok(AdaptorOutput { logits: Vec::new(), ..output })
        });
    let student = |model: &Linear<AB>, batch: &Texts, context: ForwardContext| {
        student_adaptor(model, batch, context).map(|output| AdaptorOutput { logits: Vec::new(), ..output })
    };
    let distiller = GeneralDistiller::new(training(60, 1), distillation, silent, student).unwrap();
    let hooks = Hooks::new().with_callback(Reports(&reports));
    let trained = distiller.train(linear::<AB>(1, WIDTH, 3), &texts(4, 8), hooks).unwrap();
    assert!(trained.trainable.projections[0].is_some());
    let reports = reports.into_inner();
    let (first, last) = (reports[0].loss, reports.last().unwrap().loss);
    // Three units cannot span four, so something is left.
    assert!(last < 0.5 * first, "{first} → {last}");
    assert_eq!(reports[0].terms[0].name, "hidden_hidden_mse_0_0");
}

#[test]
fn basic_distiller_leaves_the_matches_out() {
    let distillation = DistillationConfig {
        intermediate_matches: vec![IntermediateMatch::hidden(5, 5, "hidden_mse")],
        ..DistillationConfig::default()
    };
    let reports = RefCell::new(Vec::new());
    let distiller = BasicDistiller::new(training(1, 1), distillation, teacher(3), student_adaptor).unwrap();
    let hooks = Hooks::new().with_callback(Reports(&reports));
    distiller.train(linear::<AB>(1, WIDTH, 3), &texts(1, 4), hooks).unwrap();
    let names: Vec<String> = reports.borrow()[0].terms.iter().map(|term| term.name.clone()).collect();
    assert_eq!(names, ["kd_loss"]);
}

#[test]
fn a_layer_that_the_adaptor_does_not_give_is_named_at_the_first_batch() {
    let distillation = DistillationConfig {
        intermediate_matches: vec![IntermediateMatch::hidden(5, 0, "hidden_mse")],
        ..DistillationConfig::default()
    };
    let distiller = GeneralDistiller::new(training(1, 1), distillation, teacher(3), student_adaptor).unwrap();
    let error =
        distiller.train(linear::<AB>(1, WIDTH, 3), &texts(1, 4), Hooks::new()).unwrap_err().to_string();
    assert!(
        error.contains("teacher") && error.contains("`hidden` 5") && error.contains("1 `hidden`"),
        "{error}"
    );
}

#[test]
fn a_trainer_without_losses_says_what_it_needs() {
    let error = BasicTrainer::new(training(1, 1), student_adaptor)
        .train(linear::<AB>(1, WIDTH, 3), &texts(1, 4), Hooks::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("`losses`"), "{error}");
}
