use brew_config::{NegativesFrom, ProjectionName};
use brew_testkit::{TestAutodiffBackend as AB, TestBackend, assert_close};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::TensorData;

use super::*;
use crate::{ForwardContext, ModelTeacher};

/// Ids of the examples.
type Batch = Vec<u64>;

const CONTEXT: StepContext = StepContext { seed: 3, epoch: 0, step: 0, total_steps: 10, batch: 0 };

/// The states of the first two tokens of an example; `salt` tells student from teacher.
fn tokens(id: u64, salt: u64) -> [[f32; 3]; 2] {
    let state =
        |token: u64| -> [f32; 3] { Key::new(salt).index(id).index(token).normal(3, 1.0).try_into().unwrap() };
    [state(0), state(1)]
}

/// Outputs with an embedding of zeros and one layer, padded to `length`, where padding is not a number.
fn output<B: Backend>(batch: &Batch, salt: u64, length: usize) -> AdaptorOutput<B> {
    let device = Default::default();
    let rows = batch.iter().flat_map(|&id| {
        let padding = vec![f32::NAN; (length - 2) * 3];
        tokens(id, salt).concat().into_iter().chain(padding).collect::<Vec<_>>()
    });
    let rows: Vec<f32> = rows.collect();
    let mask =
        batch.iter().flat_map(|_| (0..length).map(|at| f32::from(u8::from(at < 2)))).collect::<Vec<_>>();
    AdaptorOutput {
        hidden: vec![
            Tensor::zeros([batch.len(), length, 3], &device),
            Tensor::from_data(TensorData::new(rows, [batch.len(), length, 3]), &device),
        ],
        inputs_mask: Some(Tensor::from_data(TensorData::new(mask, [batch.len(), length]), &device)),
        ..AdaptorOutput::default()
    }
}

const STUDENT: u64 = 1;
const TEACHER: u64 = 2;

fn objective(config: CrdConfig, count: u64) -> CrdDistillation<AB, Linear<AB>, Batch> {
    let adaptor = |_: &Linear<AB>, batch: &Batch, _: ForwardContext| Ok(output::<AB>(batch, STUDENT, 3));
    let says = |_: &(), batch: &Batch, _: ForwardContext| Ok(output::<TestBackend>(batch, TEACHER, 2));
    let inputs = CrdInputs::new([3, 3], 0..count, Batch::clone);
    let losses = LossRegistry::default();
    let teacher = ModelTeacher::new((), says);
    CrdDistillation::new(DistillationConfig::default(), config, inputs, &losses, adaptor, teacher).unwrap()
}

fn config() -> CrdConfig {
    CrdConfig { feature_dim: 3, temperature: 0.5, ..CrdConfig::default() }
}

/// Heads that leave states as they are.
fn trainable() -> Trainable<AB, Linear<AB>> {
    let device = Default::default();
    let head = || {
        let bias = Tensor::zeros([3], &device);
        Some(Projection::from_tensors(ProjectionName::Linear, Tensor::eye(3, &device), bias))
    };
    let student = LinearConfig::new(1, 1).init(&device);
    Trainable { student, projections: vec![None, head(), head()] }
}

fn value(terms: &LossTerms<AB>) -> f32 {
    terms.terms().iter().find(|term| term.name == TERM).unwrap().value.clone().into_scalar()
}

fn loss(objective: &mut CrdDistillation<AB, Linear<AB>, Batch>, ids: &[u64], batch: u64) -> f32 {
    let context = StepContext { batch, ..CONTEXT };
    value(&objective.loss(&trainable(), &ids.to_vec(), &context).unwrap())
}

fn error(objective: &mut CrdDistillation<AB, Linear<AB>, Batch>, ids: &[u64]) -> String {
    objective.loss(&trainable(), &ids.to_vec(), &CONTEXT).unwrap_err().to_string()
}

/// The vectors of the examples in double precision.
fn unit(salt: u64, count: u64, pool: impl Fn([[f32; 3]; 2]) -> [f64; 3]) -> Vec<[f64; 3]> {
    (0..count)
        .map(|id| {
            let state = pool(tokens(id, salt));
            let norm = state.iter().map(|x| x * x).sum::<f64>().sqrt();
            state.map(|x| x / norm)
        })
        .collect()
}

/// The loss of all examples in one batch, each told from all others, all of them met for the first time.
fn of_everyone(student: &[[f64; 3]], teacher: &[[f64; 3]], temperature: f64) -> f64 {
    let count = student.len();
    let n = count as f64;
    let side = |anchors: &[[f64; 3]], others: &[[f64; 3]]| -> f64 {
        let score = |i: usize, j: usize| -> f64 {
            (anchors[i].iter().zip(&others[j]).map(|(a, b)| a * b).sum::<f64>() / temperature).exp()
        };
        let pairs = || (0..count).flat_map(|i| (0..count).map(move |j| (i, j)));
        let z = n * pairs().map(|(i, j)| score(i, j)).sum::<f64>() / (n * n);
        let h = |i, j| score(i, j) / z / (score(i, j) / z + (n - 1.0) / n);
        pairs().map(|(i, j)| if i == j { -f64::ln(h(i, j)) } else { -f64::ln(1.0 - h(i, j)) }).sum::<f64>()
            / n
    };
    side(student, teacher) + side(teacher, student)
}

#[test]
fn the_first_batch_costs_what_the_formula_says_by_either_pooling() {
    let first = |tokens: [[f32; 3]; 2]| tokens[0].map(f64::from);
    let mean = |tokens: [[f32; 3]; 2]| {
        [0, 1, 2].map(|at| (f64::from(tokens[0][at]) + f64::from(tokens[1][at])) / 2.0)
    };
    for (pooling, expected) in [
        (CrdPooling::First, of_everyone(&unit(STUDENT, 4, first), &unit(TEACHER, 4, first), 0.5)),
        (CrdPooling::Mean, of_everyone(&unit(STUDENT, 4, mean), &unit(TEACHER, 4, mean), 0.5)),
    ] {
        let mut objective = objective(CrdConfig { pooling, ..config() }, 4);
        assert_eq!(objective.state(), None);
        let terms = objective.loss(&trainable(), &vec![2, 0, 1, 3], &CONTEXT).unwrap();
        assert_eq!(terms.terms()[0].weight, 0.8);
        assert_close(&[value(&terms)], &[expected as f32], 1e-5, 0.0, &format!("{pooling:?}"));
        // The states have not changed, and so has the memory not: the next batch costs the same.
        assert_close(&[loss(&mut objective, &[0, 1, 2, 3], 1)], &[expected as f32], 1e-5, 0.0, "again");
    }
}

#[test]
fn both_heads_get_gradients_and_the_memory_none() {
    let mut objective = objective(config(), 6);
    let trainable = trainable();
    let terms = objective.loss(&trainable, &vec![1, 4], &CONTEXT).unwrap();
    let gradients = burn::optim::GradientsParams::from_grads(terms.total().unwrap().backward(), &trainable);
    // Weight and bias of either head.
    assert_eq!(gradients.len(), 4);
}

#[test]
fn few_negatives_are_drawn_anew_for_each_batch_and_repeat_with_the_seed() {
    let few = || objective(CrdConfig { negatives: 2, ..config() }, 40);
    let draws = |seed: u64, batch: u64| {
        let key = Key::new(seed).purpose("crd negatives").index(batch);
        few().crd.drawn(&[7, 9], key)
    };
    let one = draws(3, 0);
    assert_eq!((one.len(), one[0], one[3]), (6, 7, 9), "each example's own row comes first");
    assert_eq!(one, draws(3, 0));
    assert_ne!(one, draws(3, 1));
    assert_ne!(one, draws(4, 0));
    // Never more than there are.
    assert_eq!(objective(CrdConfig { negatives: 1024, ..config() }, 5).crd.negatives, 4);
}

#[test]
fn a_restored_memory_goes_on_where_it_was() {
    let small = CrdConfig { negatives: 3, ..config() };
    let mut whole = objective(small.clone(), 12);
    let batches: [&[u64]; 4] = [&[0, 5, 7], &[2, 3, 5], &[0, 11], &[7, 1, 9, 2]];
    let losses: Vec<f32> =
        batches.iter().enumerate().map(|(at, ids)| loss(&mut whole, ids, at as u64)).collect();

    let mut before = objective(small.clone(), 12);
    loss(&mut before, batches[0], 0);
    loss(&mut before, batches[1], 1);
    let state = before.state().unwrap();
    let mut after = objective(small.clone(), 12);
    after.restore(state.clone()).unwrap();
    assert_eq!(after.state(), Some(state.clone()), "before the first batch as well");
    assert_eq!([loss(&mut after, batches[2], 2), loss(&mut after, batches[3], 3)], losses[2..]);
    assert_eq!(after.state(), whole.state());

    let refused = |count: u64, config: CrdConfig, state: ObjectiveState| {
        objective(config, count).restore(state).unwrap_err()
    };
    assert!(refused(13, small.clone(), state.clone()).contains("other training examples"));
    let wide = CrdConfig { feature_dim: 4, ..small.clone() };
    let reason = refused(12, wide, state.clone());
    assert!(reason.contains("crd_student") && reason.contains("[12, 4]"), "{reason}");
    let mut damaged = state;
    damaged.tensors.remove("crd_teacher");
    let reason = refused(12, small, damaged);
    assert!(reason.contains("crd_teacher") && reason.contains("missing"), "{reason}");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let message = error(&mut objective(config(), 4), &[1, 9]);
    assert!(message.contains("example 9") && message.contains("CrdInputs"), "{message}");
    let message = error(&mut objective(CrdConfig { layer_t: Some(2), ..config() }, 4), &[1]);
    assert!(
        message.contains("teacher") && message.contains("`hidden` 2") && message.contains("2 `hidden`"),
        "{message}"
    );
    let mut headless = objective(config(), 4);
    let student = LinearConfig::new(1, 1).init(&Default::default());
    let message = headless.loss(&Trainable::new(student), &vec![1], &CONTEXT).unwrap_err().to_string();
    assert!(message.contains("CrdConfig::heads"), "{message}");

    let adaptor = |_: &Linear<AB>, batch: &Batch, _: ForwardContext| Ok(output::<AB>(batch, STUDENT, 3));
    let says = |_: &(), batch: &Batch, _: ForwardContext| Ok(output::<TestBackend>(batch, TEACHER, 2));
    let with = |config: CrdConfig, inputs: CrdInputs<Batch>| {
        let losses = LossRegistry::default();
        let teacher = ModelTeacher::new((), says);
        CrdDistillation::new(DistillationConfig::default(), config, inputs, &losses, adaptor, teacher)
    };
    let mut wide = with(config(), CrdInputs::new([3, 5], 0..4, Batch::clone)).unwrap();
    let message = error(&mut wide, &[1]);
    assert!(message.contains("teacher") && message.contains("width 5"), "{message}");
    let mut short =
        with(config(), CrdInputs::new([3, 3], 0..4, |batch: &Batch| batch[1..].to_vec())).unwrap();
    let message = error(&mut short, &[1, 2]);
    assert!(message.contains("1 states, one for each id") && message.contains("gave 2"), "{message}");
    let bad = CrdConfig { temperature: 0.0, negatives_from: NegativesFrom::DifferentClass, ..config() };
    let message = with(bad, CrdInputs::new([3, 3], [1, 1], Batch::clone)).err().unwrap().to_string();
    for part in ["crd.temperature", "crd.examples[1]", "crd.negatives_from"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}
