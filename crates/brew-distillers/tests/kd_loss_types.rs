//! Each `kd_loss_type` through the distillation objective, against the loss function on the rows that count.

use brew_config::{DistillationConfig, KdLossType};
use brew_distillers::{
    AdaptorOutput, DistillError, Distillation, ForwardContext, LossTerms, Objective, StepContext, Teacher,
    Trainable, Wants,
};
use brew_losses::{LossRegistry, Temperature, kd_loss};
use brew_testkit::{TestAutodiffBackend as AB, TestBackend as B, assert_close};
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

const CONTEXT: StepContext = StepContext { seed: 0, epoch: 0, step: 0, total_steps: 10, batch: 0 };

const KINDS: [KdLossType; 9] = [
    KdLossType::Ce,
    KdLossType::Mse,
    KdLossType::Kl,
    KdLossType::ReverseKl,
    KdLossType::Js { beta: 0.3 },
    KdLossType::SkewKl { alpha: 0.2 },
    KdLossType::SkewReverseKl { alpha: 0.2 },
    KdLossType::Dkd { alpha: 1.0, beta: 4.0 },
    KdLossType::Bce,
];

const STUDENT: [[f32; 3]; 3] = [[1.0, 0.5, -1.0], [0.0, 2.0, 0.3], [-0.5, 0.2, 0.9]];
const TEACHER: [[f32; 3]; 3] = [[2.0, 0.1, -0.4], [0.3, 1.0, -1.2], [0.7, -0.3, 1.1]];
const LABELS: [i32; 3] = [0, 1, 2];

/// A teacher that says the same of every batch.
struct Says(AdaptorOutput<B>);

impl<T> Teacher<B, T> for Says {
    fn outputs(&self, _: &T, _: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        Ok(self.0.clone())
    }
}

fn tokens<X: Backend>(rows: [[f32; 3]; 3]) -> Tensor<X, 3> {
    Tensor::from_floats([rows], &Default::default())
}

/// Logits of three tokens, of which the first does not count.
fn student(labels: Vec<Tensor<AB, 1, Int>>) -> AdaptorOutput<AB> {
    AdaptorOutput {
        logits_mask: vec![Tensor::from_floats([[0.0, 1.0, 1.0]], &Default::default())],
        labels,
        ..AdaptorOutput::from_logits(tokens(STUDENT))
    }
}

fn terms(kind: KdLossType, student: AdaptorOutput<AB>) -> Result<LossTerms<AB>, DistillError> {
    let config = DistillationConfig { temperature: 2.0, kd_loss_type: kind, ..Default::default() };
    let adaptor = move |_: &Linear<AB>, _: &(), _: ForwardContext| Ok(student.clone());
    let teacher = Says(AdaptorOutput::from_logits(tokens(TEACHER)));
    let mut objective =
        Distillation::<AB, Linear<AB>, ()>::new(config, &LossRegistry::default(), adaptor, teacher)?;
    let model = Linear { weight: Param::from_tensor(Tensor::ones([1, 1], &Default::default())), bias: None };
    objective.loss(&Trainable::new(model), &(), &CONTEXT)
}

#[test]
fn every_kind_is_computed_on_the_positions_that_count() {
    let device = Default::default();
    let last_two = |rows: [[f32; 3]; 3]| tokens::<B>(rows).narrow(1, 1, 2).reshape([2, 3]);
    for kind in KINDS {
        let labels = Some(Tensor::from_ints([LABELS[1], LABELS[2]], &device));
        let temperature = Temperature::Scalar(2.0);
        let expected = kd_loss(kind, last_two(STUDENT), last_two(TEACHER), labels, &temperature).unwrap();
        let terms = terms(kind, student(vec![Tensor::from_ints(LABELS, &device)])).unwrap();
        let [term] = terms.terms() else { panic!("{kind:?}: one term") };
        assert_eq!(term.name, "kd_loss");
        let found = term.value.clone().into_scalar();
        assert_close(&[found], &[expected.into_scalar()], 1e-6, 0.0, kind.name());
    }
}

#[test]
fn only_the_loss_that_compares_with_labels_needs_them_and_says_so() {
    for kind in KINDS {
        match terms(kind, student(Vec::new())) {
            Ok(_) => assert_ne!(kind.name(), "dkd"),
            Err(error) => {
                let message = error.to_string();
                assert!(
                    message.contains("kd_loss_type `dkd`") && message.contains("0 `labels`"),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn labels_of_other_positions_are_an_error_and_not_a_panic() {
    let labels = vec![Tensor::from_ints([0, 1], &Default::default())];
    let error = terms(KdLossType::Dkd { alpha: 1.0, beta: 1.0 }, student(labels)).unwrap_err().to_string();
    assert!(error.contains("`labels` 0 of 3 positions") && error.contains("gave 2"), "{error}");
}
