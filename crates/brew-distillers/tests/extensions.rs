//! What a user adds to a distiller, several tasks, layers matched many to many, and batches of their own
//! for student and teacher; on models of one linear layer.

use std::cell::RefCell;

use brew_config::{
    DistillationConfig, EmdConfig, IntermediateMatch, NotFiniteAction, OptimizerConfig, ProjectionConfig,
    ProjectionGroup, TrainingConfig, WeightScheduler,
};
use brew_distillers::{
    AdaptorOutput, BasicDistiller, BasicTrainer, Callback, CallbackError, CheckpointFolder, Counted,
    CustomMatch, DistillError, EmdDistiller, Extensions, ForwardContext, GeneralDistiller, GivenOutputs,
    Hooks, ModelTeacher, MultiTaskDistiller, ProcessedBatches, Recipe, SplitBatch, StepReport, StudentSide,
    Task, TaskBatches, TeacherSide, Trained,
};
use brew_losses::{FeatureTensor, LossInput, cross_entropy};
use brew_random::Key;
use brew_testkit::{TestAutodiffBackend as AB, TestBackend as B, assert_close};
use burn::module::{AutodiffModule, Param};
use burn::nn::Linear;
use burn::optim::SgdConfig;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

const INPUTS: usize = 6;
const SIZE: usize = 8;

#[derive(Clone, Debug)]
struct Batch<X: Backend> {
    inputs: Tensor<X, 2>,
    labels: Tensor<X, 1, Int>,
}

fn linear<X: Backend>(seed: u64, outputs: usize) -> Linear<X> {
    let device = Default::default();
    let weight = TensorData::new(Key::new(seed).normal(INPUTS * outputs, 0.5), [INPUTS, outputs]);
    Linear {
        weight: Param::from_tensor(Tensor::from_data(weight, &device)),
        bias: Some(Param::from_tensor(Tensor::zeros([outputs], &device))),
    }
}

fn batches(count: usize, seed: u64) -> Vec<Counted<Batch<AB>>> {
    let device = Default::default();
    (0..count)
        .map(|index| {
            let values = Key::new(seed).index(index as u64).normal(SIZE * INPUTS, 1.0);
            let labels: Vec<i64> = (0..SIZE as i64).map(|row| row % 3).collect();
            let batch = Batch {
                inputs: Tensor::from_data(TensorData::new(values, [SIZE, INPUTS]), &device),
                labels: Tensor::from_data(TensorData::new(labels, [SIZE]), &device),
            };
            Counted::new(batch, SIZE)
        })
        .collect()
}

/// The model's outputs as logits, as a pooled state of their own name, and as hidden states of two layers.
fn outputs<X: Backend>(model: &Linear<X>, inputs: Tensor<X, 2>) -> AdaptorOutput<X> {
    let logits = model.forward(inputs);
    let states: Tensor<X, 3> = logits.clone().unsqueeze_dim(1);
    AdaptorOutput {
        logits: vec![logits.clone().into()],
        others: [("pooled".to_owned(), FeatureTensor::from(logits))].into(),
        hidden: vec![states.clone(), states.clone(), states.mul_scalar(2.0)],
        ..AdaptorOutput::default()
    }
}

fn student(
    model: &Linear<AB>,
    batch: &Batch<AB>,
    _: ForwardContext,
) -> Result<AdaptorOutput<AB>, DistillError> {
    let output = outputs(model, batch.inputs.clone());
    let FeatureTensor::D2(logits) = output.logits[0].clone() else { unreachable!("[rows, classes]") };
    Ok(AdaptorOutput { losses: vec![cross_entropy(logits, batch.labels.clone())], ..output })
}

/// Features alone, for a teacher of another width.
fn features(
    model: &Linear<AB>,
    batch: &Batch<AB>,
    _: ForwardContext,
) -> Result<AdaptorOutput<AB>, DistillError> {
    Ok(AdaptorOutput { logits: Vec::new(), ..outputs(model, batch.inputs.clone()) })
}

type InnerAdaptor = fn(&Linear<B>, &Batch<AB>, ForwardContext) -> Result<AdaptorOutput<B>, DistillError>;

fn teacher(seed: u64, width: usize) -> ModelTeacher<Linear<B>, InnerAdaptor> {
    fn adapt(
        model: &Linear<B>,
        batch: &Batch<AB>,
        _: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        let output = outputs(model, batch.inputs.clone().inner());
        let logits = if model.weight.val().dims()[1] == 3 { output.logits.clone() } else { Vec::new() };
        Ok(AdaptorOutput { logits, ..output })
    }
    ModelTeacher::new(linear(seed, width), adapt)
}

fn training(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        num_epochs: epochs,
        log_every: 1,
        optimizer: OptimizerConfig { lr: 0.05, weight_decay: 0.0, ..OptimizerConfig::default() },
        ..TrainingConfig::default()
    }
}

/// Keeps every report.
struct Reports<'a>(&'a RefCell<Vec<StepReport>>);

impl<M> Callback<M> for Reports<'_> {
    fn on_report(&mut self, report: &StepReport) -> Result<(), CallbackError> {
        self.0.borrow_mut().push(report.clone());
        Ok(())
    }
}

/// The reports of a run.
fn watched(
    run: impl FnOnce(Hooks<'_, Linear<AB>>) -> Result<Trained<AB, Linear<AB>>, DistillError>,
) -> (Vec<StepReport>, Trained<AB, Linear<AB>>) {
    let reports = RefCell::new(Vec::new());
    let trained = run(Hooks::new().with_callback(Reports(&reports))).unwrap();
    (reports.into_inner(), trained)
}

fn term(report: &StepReport, name: &str) -> f64 {
    report.terms.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no {name}: {report:?}")).value
}

fn weights(trained: &Trained<AB, Linear<AB>>) -> Vec<f32> {
    trained.trainable.student.valid().weight.val().into_data().to_vec().unwrap()
}

fn pooled(output: &AdaptorOutput<AB>) -> Option<FeatureTensor<AB>> {
    output.others.get("pooled").cloned()
}

fn l1(input: &LossInput<AB>) -> Result<Tensor<AB, 1>, brew_losses::LossError> {
    let (student, teacher) = (input.student[0].clone(), input.teacher[0].clone());
    Ok((student.into_positions() - teacher.into_positions()).abs().mean())
}

fn linear_projection(inputs: usize, outputs: usize) -> ProjectionConfig {
    let group = ProjectionGroup { lr: Some(0.1), ..ProjectionGroup::default() };
    ProjectionConfig { group, ..ProjectionConfig::linear(inputs, outputs) }
}

/// In TextBrewer a typing mistake (`match_weghts`) and tuples made of weight and loss keep every run with
/// custom matches from its first step.
#[test]
fn custom_matches_work() {
    let custom =
        CustomMatch::new("pooled_l1", pooled, l1).with_weight(0.5).with_projection(linear_projection(2, 5));
    let config = DistillationConfig { kd_loss_weight: 0.0, ..DistillationConfig::default() };
    let extensions = Extensions::new().with_custom_match(custom);
    let distiller =
        GeneralDistiller::with_extensions(training(40), config, teacher(2, 5), features, extensions).unwrap();
    let (reports, trained) = watched(|hooks| distiller.train(linear(1, 2), &batches(2, 3), hooks));
    assert!(trained.trainable.projections[0].is_some());
    let (first, last) = (term(&reports[0], "pooled_l1"), term(reports.last().unwrap(), "pooled_l1"));
    assert!((reports[0].loss - 0.5 * first).abs() < 1e-6, "{reports:?}");
    assert!(last < 0.8 * first, "{first} → {last}");
}

#[test]
fn a_custom_match_that_cannot_be_computed_says_why() {
    let run = |custom: CustomMatch<AB>| {
        let extensions = Extensions::new().with_custom_match(custom);
        GeneralDistiller::with_extensions(
            training(1),
            DistillationConfig::default(),
            teacher(2, 3),
            student,
            extensions,
        )
        .and_then(|distiller| distiller.train(linear(1, 3), &batches(1, 3), Hooks::new()))
        .unwrap_err()
        .to_string()
    };
    let absent = |output: &AdaptorOutput<AB>| output.others.get("polled").cloned();
    let error = run(CustomMatch::new("absent", absent, l1));
    assert!(error.contains("student") && error.contains("absent"), "{error}");
    let error = run(CustomMatch::new("third", pooled, l1).with_teacher(2));
    assert!(error.contains("third") && error.contains("there are 1"), "{error}");
    let error = run(CustomMatch::new("negative", pooled, l1).with_weight(-1.0));
    assert!(error.contains("negative") && error.contains("-1"), "{error}");
}

#[test]
fn a_loss_of_ones_own_is_named_by_matches_and_the_teachers_tensor_may_be_another() {
    let config = DistillationConfig {
        intermediate_matches: vec![IntermediateMatch::hidden(1, 1, "my_l1")],
        ..DistillationConfig::default()
    };
    let doubled = CustomMatch::new("doubled", pooled, l1)
        .with_teacher_feature(|output| output.hidden.get(2).cloned().map(FeatureTensor::from));
    let extensions = Extensions::new().with_loss("my_l1", l1).with_custom_match(doubled);
    let distiller =
        GeneralDistiller::with_extensions(training(1), config.clone(), teacher(1, 3), student, extensions)
            .unwrap();
    // Student and teacher are the same model: the match is 0, and to the doubled state half of it is missing.
    let data = batches(1, 3);
    let (reports, _) = watched(|hooks| distiller.train(linear(1, 3), &data, hooks));
    assert_eq!(term(&reports[0], "hidden_my_l1_1_1"), 0.0);
    let expected = linear::<B>(1, 3).forward(data[0].batch.inputs.clone().inner()).abs().mean().into_scalar();
    assert_close(&[term(&reports[0], "doubled") as f32], &[expected], 1e-5, 0.0, "doubled");
    let error = GeneralDistiller::new(training(1), config, teacher(1, 3), student).err().unwrap();
    assert!(error.to_string().contains("my_l1"), "{error}");
}

/// Plain gradient descent by hand, with a rate of one's own: w − 0.05·f(step)·∇.
#[test]
fn another_optimizer_and_learning_rate_are_followed() {
    let recipe = Recipe::new(training(2))
        .with_optimizer(|_| SgdConfig::new().init())
        .with_learning_rate(|step, steps| (1 + step) as f64 / steps as f64);
    let data = batches(1, 3);
    let (reports, trained) =
        watched(|hooks| BasicTrainer::new(recipe, student).train(linear(1, 3), &data, hooks));
    let mut model = linear::<AB>(1, 3);
    for (step, report) in reports.iter().enumerate() {
        let rate = 0.05 * (1 + step) as f64 / 2.0;
        assert!((report.lr - rate).abs() < 1e-12, "{report:?}");
        let context = ForwardContext::evaluation(Default::default());
        let loss = student(&model, &data[0].batch, context).unwrap().losses[0].clone();
        let gradients = loss.backward();
        let weight = model.weight.val().inner() - model.weight.grad(&gradients).unwrap().mul_scalar(rate);
        let bias = model.bias.unwrap();
        let bias_gradient = bias.grad(&gradients).unwrap();
        let bias = bias.val().inner() - bias_gradient.mul_scalar(rate);
        model = Linear {
            weight: Param::from_tensor(Tensor::from_inner(weight)),
            bias: Some(Param::from_tensor(Tensor::from_inner(bias))),
        };
    }
    let expected: Vec<f32> = model.weight.val().into_data().to_vec().unwrap();
    assert_close(&weights(&trained), &expected, 1e-6, 1e-7, "weights");
}

#[test]
fn weights_follow_functions_from_the_second_step_on() {
    let config =
        DistillationConfig { kd_loss_weight: 3.0, hard_label_weight: 0.25, ..DistillationConfig::default() };
    let extensions =
        Extensions::new().with_kd_loss_weight(|x| (1.0 - x).powi(2)).with_hard_label_weight(|x| x * x);
    let distiller =
        BasicDistiller::with_extensions(training(4), config, teacher(2, 3), student, extensions).unwrap();
    let (reports, _) = watched(|hooks| distiller.train(linear(1, 3), &batches(1, 3), hooks));
    for (step, report) in reports.iter().enumerate() {
        let x = step as f64 / 4.0;
        let (soft, hard) = if step == 0 { (3.0, 0.25) } else { ((1.0 - x).powi(2), x * x) };
        let expected = soft * term(report, "kd_loss") + hard * term(report, "hard_label_loss");
        assert!((report.loss - expected).abs() < 1e-5, "step {step}: {report:?}, expected {expected}");
    }
}

/// TextBrewer writes the scheduled weight into the user's configuration, so that a second run starts
/// from where the first ended.
#[test]
fn schedules_leave_the_configuration_as_it_is() {
    let config = DistillationConfig {
        kd_loss_weight_scheduler: WeightScheduler::LinearDecay,
        ..DistillationConfig::default()
    };
    let run = || {
        let distiller = BasicDistiller::new(training(3), config.clone(), teacher(2, 3), student).unwrap();
        let (reports, trained) = watched(|hooks| distiller.train(linear(1, 3), &batches(1, 3), hooks));
        (reports.iter().map(|report| report.loss).collect::<Vec<_>>(), weights(&trained))
    };
    assert_eq!(run(), run());
    assert_eq!(config.kd_loss_weight, 1.0);
}

/// `num_steps` below `ckpt_steps` leaves TextBrewer without any checkpoint to take the last of.
#[test]
fn fewer_steps_than_between_checkpoints_end_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainingConfig { num_steps: Some(2), ckpt_steps: Some(5), ..training(1) };
    let checkpoints = CheckpointFolder::new(folder.path());
    let hooks = Hooks::new().with_checkpoints(checkpoints.clone());
    let trained = BasicTrainer::new(config, student).train(linear(1, 3), &batches(1, 3), hooks).unwrap();
    assert_eq!(trained.steps, 2);
    assert!(checkpoints.last().unwrap().unwrap().ends_with("step-00000002"));
}

fn tasks() -> Vec<Task<AB, Linear<AB>, Batch<AB>>> {
    vec![Task::new("first", teacher(2, 3), student), Task::new("second", teacher(3, 3), student)]
}

#[test]
fn multi_task_distiller_lowers_the_loss_of_every_task() {
    let source = |seed| Box::new(batches(3, seed)) as Box<dyn brew_distillers::BatchSource<Batch<AB>>>;
    let data = TaskBatches::new(vec![source(4), source(5)], 0.5, Key::new(1)).unwrap();
    let config =
        DistillationConfig { temperature: 2.0, hard_label_weight: 0.1, ..DistillationConfig::default() };
    let steps = TrainingConfig { num_steps: Some(120), ..training(1) };
    let distiller = MultiTaskDistiller::new(steps, config, tasks()).unwrap();
    let (reports, _) = watched(|hooks| distiller.train(linear(1, 3), &data, hooks));
    assert_eq!(reports.len(), 120);
    for name in ["first/kd_loss", "second/kd_loss"] {
        let values: Vec<f64> =
            reports.iter().filter_map(|report| report.term(name).map(|one| one.value)).collect();
        assert!(values.len() > 40, "{name}: {} batches", values.len());
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (early, late) = (mean(&values[..10]), mean(&values[values.len() - 10..]));
        assert!(late < early, "{name}: {early} → {late}");
    }
    let error = MultiTaskDistiller::<AB, Linear<AB>, Batch<AB>>::new(
        training(1),
        DistillationConfig::default(),
        Vec::new(),
    );
    assert!(error.err().unwrap().to_string().contains("tasks"), "no tasks");
}

#[test]
fn a_multi_task_run_stopped_and_resumed_ends_where_an_uninterrupted_one_does() {
    let source = |seed| Box::new(batches(3, seed)) as Box<dyn brew_distillers::BatchSource<Batch<AB>>>;
    let data = TaskBatches::new(vec![source(4), source(5)], 0.5, Key::new(1)).unwrap();
    let run = |steps: usize, total: usize, hooks: Hooks<'_, Linear<AB>>| {
        let steps = TrainingConfig { num_steps: Some(total), ckpt_steps: Some(steps), ..training(1) };
        let distiller = MultiTaskDistiller::new(steps, DistillationConfig::default(), tasks()).unwrap();
        distiller.train(linear(1, 3), &data, hooks).unwrap()
    };
    let whole = weights(&run(100, 20, Hooks::new()));
    let folder = tempfile::tempdir().unwrap();
    let hooks = || Hooks::new().with_checkpoints(CheckpointFolder::new(folder.path()));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let stopped = run(100, 20, hooks().with_stop(stop));
    assert!(stopped.interrupted && stopped.steps == 1);
    assert_eq!(weights(&run(100, 20, hooks().resuming(true))), whole);
}

fn emd() -> EmdConfig {
    EmdConfig { attention_weight: 0.0, proj: Some(linear_projection(2, 5)), ..EmdConfig::default() }
}

#[test]
fn emd_distiller_lowers_the_distance_between_widths_and_resumes_with_its_masses() {
    let run = |epochs: usize, hooks: Hooks<'_, Linear<AB>>| {
        let distiller = EmdDistiller::new(
            training(epochs),
            DistillationConfig::default(),
            emd(),
            teacher(2, 5),
            features,
        )
        .unwrap();
        distiller.train(linear(1, 2), &batches(2, 3), hooks)
    };
    let (reports, trained) = watched(|hooks| run(30, hooks));
    assert_eq!(trained.trainable.projections.len(), 1);
    let (first, last) = (term(&reports[0], "emd_hidden"), term(reports.last().unwrap(), "emd_hidden"));
    assert!(last < 0.6 * first, "{first} → {last}");

    let folder = tempfile::tempdir().unwrap();
    let hooks = || Hooks::new().with_checkpoints(CheckpointFolder::new(folder.path()));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    assert!(run(30, hooks().with_stop(stop)).unwrap().interrupted);
    assert_eq!(weights(&run(30, hooks().resuming(true)).unwrap()), weights(&trained));

    let wrong = EmdConfig { hidden_loss: "hiden_mse".into(), ..emd() };
    let error = EmdDistiller::<AB, Linear<AB>, Batch<AB>>::new(
        training(1),
        DistillationConfig::default(),
        wrong,
        teacher(2, 5),
        features,
    );
    let error = error.err().unwrap().to_string();
    assert!(error.contains("emd.hidden_loss") && error.contains("`hidden_mse`"), "{error}");
}

/// TextBrewer keeps the data of split batches on the device and caches nothing of them; here the teacher's
/// outputs may come with the batch, whoever computed them.
#[test]
fn outputs_that_come_with_the_batch_teach_as_the_teacher_does() {
    let data = batches(3, 4);
    let config = DistillationConfig { temperature: 2.0, ..DistillationConfig::default() };
    let with_teacher = BasicDistiller::new(training(5), config.clone(), teacher(2, 3), student).unwrap();
    let expected = weights(&with_teacher.train(linear(1, 3), &data, Hooks::new()).unwrap());

    let model = linear::<B>(2, 3);
    let split = ProcessedBatches::new(data, move |batch: Batch<AB>| {
        let teacher = outputs(&model, batch.inputs.clone().inner());
        Ok(SplitBatch { student: batch, teacher })
    });
    let given =
        BasicDistiller::new(training(5), config, TeacherSide::new(GivenOutputs), StudentSide::new(student))
            .unwrap();
    assert_eq!(weights(&given.train(linear(1, 3), &split, Hooks::new()).unwrap()), expected);
}

#[test]
fn student_and_teacher_may_read_different_batches() {
    // The teacher reads the same rows from its own batch, where they are stored upside down.
    let split = ProcessedBatches::new(batches(3, 4), |batch: Batch<AB>| {
        let teacher = batch.inputs.clone().inner().flip([0]);
        Ok(SplitBatch { student: batch, teacher })
    });
    let reads = |model: &Linear<B>, batch: &Tensor<B, 2>, _: ForwardContext| {
        Ok(outputs(model, batch.clone().flip([0])))
    };
    let config = DistillationConfig::default();
    let own = TeacherSide::new(ModelTeacher::new(linear::<B>(2, 3), reads));
    let distiller = BasicDistiller::new(training(5), config.clone(), own, StudentSide::new(student)).unwrap();
    let found = weights(&distiller.train(linear(1, 3), &split, Hooks::new()).unwrap());
    let same = BasicDistiller::new(training(5), config, teacher(2, 3), student).unwrap();
    assert_eq!(found, weights(&same.train(linear(1, 3), &batches(3, 4), Hooks::new()).unwrap()));
}

#[test]
fn a_mask_has_no_effect_on_predictions_of_whole_texts_and_one_serves_them_all() {
    let device = Default::default();
    let mask = Tensor::<AB, 2>::from_floats([[1.0, 0.0, 1.0]], &device).repeat(&[8, 1]);
    let run = |masked: bool| {
        let mask = mask.clone();
        let adaptor = move |model: &Linear<AB>, batch: &Batch<AB>, context: ForwardContext| {
            let output = student(model, batch, context)?;
            let logits_mask = if masked { vec![mask.clone()] } else { Vec::new() };
            let logits = vec![output.logits[0].clone(), output.logits[0].clone()];
            Ok(AdaptorOutput { logits, logits_mask, ..output })
        };
        let twice = |model: &Linear<B>, batch: &Batch<AB>, _: ForwardContext| {
            let output = outputs(model, batch.inputs.clone().inner());
            Ok(AdaptorOutput { logits: vec![output.logits[0].clone(); 2], ..output })
        };
        let teacher = ModelTeacher::new(linear::<B>(2, 3), twice);
        let distiller =
            BasicDistiller::new(training(2), DistillationConfig::default(), teacher, adaptor).unwrap();
        weights(&distiller.train(linear(1, 3), &batches(1, 3), Hooks::new()).unwrap())
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_report_holds_each_term_weighted_and_not_with_temperature_tokens_and_norm() {
    let run = |training: TrainingConfig, config: DistillationConfig| {
        let extensions = Extensions::new().with_kd_loss_weight(|x| (1.0 - x).powi(2));
        let distiller =
            BasicDistiller::with_extensions(training, config, teacher(2, 3), student, extensions).unwrap();
        let mut batches = batches(1, 3);
        batches[0].tokens = 40;
        watched(|hooks| distiller.train(linear(1, 3), &batches, hooks)).0
    };
    let config =
        DistillationConfig { temperature: 4.0, hard_label_weight: 0.5, ..DistillationConfig::default() };
    let single = run(TrainingConfig { log_every: 1, ..training(4) }, config.clone());
    let whole = run(TrainingConfig { log_every: 4, ..training(4) }, config.clone());
    let [whole] = whole.as_slice() else { panic!("one report: {whole:?}") };
    let mean = |of: &dyn Fn(&StepReport) -> f64| single.iter().map(of).sum::<f64>() / 4.0;
    let soft = whole.term("kd_loss").unwrap();
    let close =
        |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    close(soft.value, mean(&|one| term(one, "kd_loss")));
    close(soft.weight, (1.0 + 9.0 / 16.0 + 4.0 / 16.0 + 1.0 / 16.0) / 4.0);
    close(soft.weighted, mean(&|one| one.term("kd_loss").unwrap().weight * term(one, "kd_loss")));
    close(whole.loss, whole.terms.iter().map(|term| term.weighted).sum());
    assert_eq!((whole.temperature, whole.tokens, whole.examples), (Some(4.0), 160, 4 * SIZE));

    let measured = run(TrainingConfig { max_grad_norm: -1.0, log_every: 1, ..training(2) }, config.clone());
    let known = run(TrainingConfig { max_grad_norm: 1e9, log_every: 1, ..training(2) }, config.clone());
    for (measured, known) in measured.iter().zip(&known) {
        assert!(measured.grad_norm > 0.0);
        assert_eq!(measured.grad_norm, known.grad_norm, "norms are the same whether they are needed or not");
    }
}

#[test]
fn a_batch_that_is_left_out_leaves_no_trace_in_the_masses_of_emd() {
    let run = |batches: &Vec<Counted<Batch<AB>>>| {
        let training = TrainingConfig { on_not_finite: NotFiniteAction::Skip, ..training(1) };
        let distillation = DistillationConfig::default();
        let distiller = EmdDistiller::new(training, distillation, emd(), teacher(2, 5), features).unwrap();
        weights(&distiller.train(linear(1, 2), batches, Hooks::new()).unwrap())
    };
    let good = batches(4, 3);
    let mut with_bad = good.clone();
    let mut bad = good[1].clone();
    bad.batch.inputs = bad.batch.inputs.mul_scalar(f32::NAN);
    with_bad.insert(2, bad);
    assert_eq!(run(&with_bad), run(&good));
}
