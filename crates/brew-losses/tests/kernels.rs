//! Losses by kernels, on flex, against their formulas, on ndarray: value and gradient.

use brew_config::NstScale;
use brew_losses::{FeatureTensor, LossInput, LossRegistry};
use brew_testkit::{TestAutodiffBackend, assert_close};
use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;

const RELATIVE: f64 = 1e-5;

/// A score of a key that the model masked.
const NO_SCORE: f32 = -1e30;

/// Numbers in about [-2, 2] without a pattern.
fn numbers<const D: usize>(salt: u32, shape: [usize; D]) -> TensorData {
    let count: usize = shape.iter().product();
    let number = |at: usize| {
        let mixed = (at as u32 + 1).wrapping_mul(0x9E37_79B1) ^ salt.wrapping_mul(0x85EB_CA77);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
        ((mixed ^ (mixed >> 13)) >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    TensorData::new((0..count).map(number).collect::<Vec<f32>>(), shape)
}

/// The masks to try: none, all, some at the end, some within and a text without any, nothing, weights.
fn masks(batch: usize, length: usize) -> Vec<(&'static str, Option<TensorData>)> {
    let mask = |weight: fn(usize, usize, usize) -> f32| {
        let weights = (0..batch).flat_map(|text| (0..length).map(move |at| weight(text, at, length)));
        Some(TensorData::new(weights.collect::<Vec<f32>>(), [batch, length]))
    };
    vec![
        ("no mask", None),
        ("a mask of ones", mask(|_, _, _| 1.0)),
        ("padding", mask(|text, at, length| if at < length.saturating_sub(text) { 1.0 } else { 0.0 })),
        ("gaps", mask(|text, at, _| if text == 1 || at % 3 == 1 { 0.0 } else { 1.0 })),
        ("a mask of zeros", mask(|_, _, _| 0.0)),
        ("weights", mask(|text, at, _| 0.25 * ((text + at) % 4) as f32)),
    ]
}

/// What a loss is given.
struct Given<const D: usize> {
    student: Vec<TensorData>,
    teacher: Vec<TensorData>,
    mask: Option<TensorData>,
    scale: NstScale,
}

impl<const D: usize> Given<D> {
    /// Twice the loss, so that something other than 1 comes in, and its gradients.
    fn compute<B: AutodiffBackend>(&self, name: &str) -> Vec<Vec<f32>>
    where
        FeatureTensor<B>: From<Tensor<B, D>>,
    {
        let device = B::Device::default();
        let read = |data: &TensorData| Tensor::<B, D>::from_data(data.clone(), &device);
        let student: Vec<_> = self.student.iter().map(|data| read(data).require_grad()).collect();
        let input = LossInput {
            student: student.iter().cloned().map(FeatureTensor::from).collect(),
            teacher: self.teacher.iter().map(|data| read(data).into()).collect(),
            mask: self.mask.clone().map(|mask| Tensor::from_data(mask, &device)),
            teacher_mask: None,
        };
        let loss = LossRegistry::<B>::default().with_nst_scale(self.scale).get(name).unwrap();
        let value = loss(&input).unwrap() * 2.0;
        let gradients = value.backward();
        let floats = |data: TensorData| data.to_vec().unwrap();
        let of_student = student.iter().map(|layer| floats(layer.grad(&gradients).unwrap().into_data()));
        std::iter::once(floats(value.into_data())).chain(of_student).collect()
    }

    fn check(&self, name: &str, what: &str)
    where
        FeatureTensor<TestAutodiffBackend>: From<Tensor<TestAutodiffBackend, D>>,
        FeatureTensor<Autodiff<Flex>>: From<Tensor<Autodiff<Flex>, D>>,
    {
        let expected = self.compute::<TestAutodiffBackend>(name);
        let found = self.compute::<Autodiff<Flex>>(name);
        for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(expected.iter().all(|number| number.is_finite()), "{name}, {what}: {expected:?}");
            let largest = expected.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            let absolute = RELATIVE * f64::from(largest).max(0.1);
            assert_close(found, expected, RELATIVE, absolute, &format!("{name}, {what}, part {part}"));
        }
    }
}

/// Batch, heads and length: a length of 1, odd ones, and rows that fill several blocks.
const SCORES: [[usize; 3]; 5] = [[2, 1, 1], [3, 2, 7], [2, 3, 33], [2, 12, 64], [3, 5, 129]];

fn check_scores(name: &str, teacher_heads: impl Fn(usize) -> usize) {
    for [batch, heads, length] in SCORES {
        for (what, mask) in masks(batch, length) {
            let student = vec![numbers(1, [batch, heads, length, length])];
            let teacher = vec![numbers(2, [batch, teacher_heads(heads), length, length])];
            let given = Given::<4> { student, teacher, mask, scale: NstScale::Length };
            given.check(name, &format!("{what}, {heads} heads of length {length}"));
        }
    }
}

#[test]
fn attention_head_by_head() {
    check_scores("attention_mse", |heads| heads);
    check_scores("attention_ce", |heads| heads);
}

#[test]
fn attention_of_heads_made_one() {
    for teacher_heads in [1, 4] {
        check_scores("attention_mse_sum", |_| teacher_heads);
        check_scores("attention_ce_mean", |_| teacher_heads);
    }
}

#[test]
fn attention_without_heads() {
    for name in ["attention_mse", "attention_mse_sum", "attention_ce", "attention_ce_mean"] {
        for (what, mask) in masks(2, 9) {
            let [student, teacher] = [1, 2].map(|salt| vec![numbers(salt, [2, 9, 9])]);
            Given::<3> { student, teacher, mask, scale: NstScale::Length }.check(name, what);
        }
    }
}

/// Scores that were masked by the model, a whole row of one text among them.
#[test]
fn masked_scores_are_finite_in_value_and_gradient() {
    let masked = |salt: u32| {
        let mut scores: Vec<f32> = numbers(salt, [2, 3, 8, 8]).to_vec().unwrap();
        for (at, score) in scores.iter_mut().enumerate() {
            let (query, key) = (at / 8 % 8, at % 8);
            if key >= 5 || query == 6 {
                *score = NO_SCORE;
            }
        }
        vec![TensorData::new(scores, [2, 3, 8, 8])]
    };
    for (what, mask) in masks(2, 8) {
        let given = Given::<4> { student: masked(1), teacher: masked(2), mask, scale: NstScale::Length };
        for name in ["attention_mse", "attention_ce"] {
            given.check(name, what);
        }
        given.check("attention_mse_sum", what);
        given.check("attention_ce_mean", what);
    }
}

/// Batch, length and width.
const STATES: [[usize; 3]; 4] = [[2, 1, 5], [3, 7, 33], [2, 40, 312], [1, 19, 1]];

#[test]
fn hidden_states() {
    for [batch, length, width] in STATES {
        for (what, mask) in masks(batch, length) {
            let [student, teacher] = [1, 2].map(|salt| vec![numbers(salt, [batch, length, width])]);
            let given = Given::<3> { student, teacher, mask, scale: NstScale::Length };
            given.check("hidden_mse", &format!("{what}, length {length}, width {width}"));
        }
    }
}

#[test]
fn pooled_states() {
    let [student, teacher] = [1, 2].map(|salt| vec![numbers(salt, [5, 33])]);
    let given = Given::<2> { student, teacher, mask: None, scale: NstScale::Length };
    given.check("hidden_mse", "pooled");
    given.check("pkd", "pooled");
}

#[test]
fn first_states() {
    for [batch, length, width] in STATES {
        let student = vec![numbers(1, [batch, length, width])];
        let teacher = vec![numbers(2, [batch, length + 1, width])];
        let given = Given::<3> { student, teacher, mask: None, scale: NstScale::Length };
        given.check("pkd", &format!("length {length}, width {width}"));
    }
    let zeros = || vec![TensorData::zeros::<f32, _>([2, 3, 4])];
    let given = |student, teacher| Given::<3> { student, teacher, mask: None, scale: NstScale::Length };
    given(zeros(), vec![numbers(1, [2, 3, 4])]).check("pkd", "the student's is zero");
    given(vec![numbers(1, [2, 3, 4])], zeros()).check("pkd", "the teacher's is zero");
}

#[test]
fn similarities() {
    for [batch, length, width] in STATES {
        for (what, mask) in masks(batch, length) {
            for scale in [NstScale::Length, NstScale::Width] {
                let student = vec![numbers(1, [batch, length, width]), numbers(2, [batch, length, width])];
                let teacher = [3, 4].map(|salt| numbers(salt, [batch, length, width + 2])).to_vec();
                let given = Given::<3> { student, teacher, mask: mask.clone(), scale };
                given.check("nst", &format!("{what}, length {length}, width {width}, {scale:?}"));
            }
        }
    }
    // Lengths of two layers that differ, and the name of the repository.
    let student = vec![numbers(1, [2, 3, 4]), numbers(2, [2, 5, 4])];
    let teacher = vec![numbers(3, [2, 3, 6]), numbers(4, [2, 5, 6])];
    Given::<3> { student, teacher, mask: None, scale: NstScale::Length }.check("mmd", "two lengths");
}
