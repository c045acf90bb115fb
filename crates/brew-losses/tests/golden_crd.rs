//! Every case of the golden `crd.json` on two CPU backends: heads, scores, constants, losses, gradients and the memory
//! after each batch, against the paper's formulas written out in PyTorch.

use std::path::Path;

use brew_losses::{contrast_scores, crd_nce_loss, log_normaliser, renewed, unit_rows};
use brew_testkit::{GoldenTensor, TestAutodiffBackend, assert_close, read_json};
use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, IndexingUpdateOp, Int, Tensor, TensorData};
use serde::Deserialize;

const RELATIVE: f64 = 1e-5;
const ABSOLUTE: f64 = 2e-6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Goldens {
    #[serde(rename = "source")]
    _source: serde::de::IgnoredAny,
    cases: Vec<Case>,
}

/// The student first, then the teacher.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    examples: usize,
    temperature: f64,
    momentum: f64,
    heads: [Head; 2],
    memories: [GoldenTensor; 2],
    log_constants: [f64; 2],
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    weight: GoldenTensor,
    bias: GoldenTensor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    rows: Vec<Vec<i64>>,
    states: [GoldenTensor; 2],
    losses: [f32; 2],
    grad_states: [GoldenTensor; 2],
    grad_weights: [GoldenTensor; 2],
    grad_biases: [GoldenTensor; 2],
    memories: [GoldenTensor; 2],
}

fn tensor<B: Backend, const D: usize>(golden: &GoldenTensor) -> Tensor<B, D> {
    Tensor::from_data(golden.to_data(), &Default::default())
}

fn indices<B: Backend>(rows: Vec<i64>) -> Tensor<B, 1, Int> {
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), &Default::default())
}

fn close<B: Backend, const D: usize>(found: Tensor<B, D>, golden: &GoldenTensor, what: &str) {
    let found: Vec<f32> = found.into_data().iter::<f32>().collect();
    assert_close(&found, &golden.data, RELATIVE, ABSOLUTE, what);
}

fn check<B: AutodiffBackend>(case: &Case, what: &str) {
    let mut memories = [0, 1].map(|side| tensor::<B, 2>(&case.memories[side]));
    for (number, step) in case.steps.iter().enumerate() {
        let what = format!("{what}, batch {number}");
        let states = [0, 1].map(|side| tensor::<B, 2>(&step.states[side]).require_grad());
        let weights = [0, 1].map(|side| tensor::<B, 2>(&case.heads[side].weight).require_grad());
        let biases = [0, 1].map(|side| tensor::<B, 1>(&case.heads[side].bias).require_grad());
        let vectors = [0, 1].map(|side| {
            let mapped = states[side].clone().matmul(weights[side].clone());
            unit_rows(mapped + biases[side].clone().unsqueeze_dim(0))
        });
        let [batch, count] = [step.rows.len(), step.rows[0].len()];
        let losses = [0, 1].map(|side| {
            let rows = indices(step.rows.concat()).reshape([batch, count]);
            let memory = memories[1 - side].clone();
            let scores = contrast_scores(vectors[side].clone(), memory, rows, case.temperature);
            if number == 0 {
                let found = log_normaliser(scores.clone(), case.examples);
                let expected = case.log_constants[side];
                assert!((found - expected).abs() < 1e-5, "{what}: ln Z is {found}, expected {expected}");
            }
            crd_nce_loss(scores, case.log_constants[side], case.examples)
        });
        for (side, loss) in losses.iter().enumerate() {
            let what = format!("{what}, loss of side {side}");
            assert_close(
                &[loss.clone().into_scalar().elem()],
                &[step.losses[side]],
                RELATIVE,
                ABSOLUTE,
                &what,
            );
        }
        let [student, teacher] = losses;
        let gradients = (student + teacher).backward();
        for side in [0, 1] {
            let what = format!("{what}, gradient of side {side}'s");
            close(states[side].grad(&gradients).unwrap(), &step.grad_states[side], &format!("{what} states"));
            close(
                weights[side].grad(&gradients).unwrap(),
                &step.grad_weights[side],
                &format!("{what} weight"),
            );
            close(biases[side].grad(&gradients).unwrap(), &step.grad_biases[side], &format!("{what} bias"));
        }
        for (side, vectors) in vectors.into_iter().enumerate() {
            let own = indices::<B>(step.rows.iter().map(|row| row[0]).collect());
            let old = memories[side].clone().select(0, own.clone());
            let new = renewed(old.clone(), vectors.detach(), case.momentum);
            memories[side] = memories[side].clone().select_assign(0, own, new - old, IndexingUpdateOp::Add);
            close(memories[side].clone(), &step.memories[side], &format!("{what}, memory of side {side}"));
        }
    }
}

fn check_all<B: AutodiffBackend>() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../brew-testkit/golden/crd.json");
    let goldens: Goldens = read_json(path);
    assert_eq!(goldens.cases.len(), 4);
    for (index, case) in goldens.cases.iter().enumerate() {
        assert!(case.steps.len() > 1, "a memory that moves is compared");
        check::<B>(case, &format!("cases[{index}]"));
    }
}

#[test]
fn golden_crd_on_ndarray() {
    check_all::<TestAutodiffBackend>();
}

#[test]
fn golden_crd_on_flex() {
    check_all::<Autodiff<burn_flex::Flex>>();
}
