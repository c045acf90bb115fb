//! Temperatures that follow the logits (<https://arxiv.org/abs/1911.07471>, as TextBrewer has them).

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;

/// Added to the norms by `flsw`.
const FLSW_EPSILON: f64 = 1e-4;

/// Added to the largest probability by `cwsm`.
const CWSM_EPSILON: f64 = 1e-3;

/// What logits are divided by in the KD losses.
#[derive(Debug, Clone)]
pub enum Temperature<B: Backend> {
    /// One for all.
    Scalar(f64),
    /// One a position, `[positions]`.
    PerPosition(Tensor<B, 1>),
}

impl<B: Backend> Temperature<B> {
    /// `[positions, classes]` → the same, divided.
    pub(crate) fn soften(&self, logits: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Scalar(temperature) if *temperature == 1.0 => logits,
            Self::Scalar(temperature) => logits / *temperature,
            Self::PerPosition(temperature) => {
                // Not `logits / temperature`: the gradient of a division takes `recip`.
                logits * inverse(temperature.clone()).unsqueeze_dim(1)
            }
        }
    }
}

/// Higher temperature where student and teacher agree (TextBrewer's `flsw`).
///
/// `τ = base + β (mean(w) − w)` with `w = (1 − cos(S, T))^γ`, norms having 1e-4 added. No gradient flows
/// through it.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
/// - result: `[positions]`
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use brew_losses::flsw_temperature;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let logits = Tensor::<TestBackend, 2>::from_floats([[1.0, 2.0], [1.0, 2.0]], &Default::default());
/// let tau = flsw_temperature(logits.clone(), logits, 4.0, 1.0, 2.0);
/// assert_eq!(tau.into_data().to_vec::<f32>().unwrap(), [4.0, 4.0]);
/// ```
pub fn flsw_temperature<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    base: f64,
    beta: f64,
    gamma: f64,
) -> Tensor<B, 1> {
    assert_eq!(student.dims(), teacher.dims(), "flsw: student's and teacher's logits must have one shape");
    let (student, teacher) = (student.detach(), teacher.detach());
    let norm = |logits: Tensor<B, 2>| logits.square().sum_dim(1).sqrt().add_scalar(FLSW_EPSILON);
    let norms = norm(student.clone()) * norm(teacher.clone());
    let cosine = (student * teacher).sum_dim(1) / norms;
    // Rounding may lift a cosine above 1, and a power of a negative number is not a number.
    let weight = cosine.neg().add_scalar(1.0).clamp_min(0.0);
    let weight = if gamma == 1.0 { weight } else { weight.powf_scalar(gamma) };
    around(base, weight, beta)
}

/// Higher temperature where the student is confident (TextBrewer's `cwsm`).
///
/// `τ = base + β (mean(w) − w)` with `w = 1 / (max softmax(S) + 1e-3)`. No gradient flows through it. The
/// teacher's logits do not matter; they are taken so that both schedulers are called alike.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
/// - result: `[positions]`
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use brew_losses::cwsm_temperature;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let student = Tensor::<TestBackend, 2>::from_floats([[9.0, 0.0], [0.1, 0.0]], &Default::default());
/// let tau = cwsm_temperature(student.clone(), student, 4.0, 1.0).into_data().to_vec::<f32>().unwrap();
/// assert!(tau[0] > 4.0 && tau[1] < 4.0);
/// ```
pub fn cwsm_temperature<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    base: f64,
    beta: f64,
) -> Tensor<B, 1> {
    assert_eq!(student.dims(), teacher.dims(), "cwsm: student's and teacher's logits must have one shape");
    let confidence = softmax(student.detach(), 1).max_dim(1).add_scalar(CWSM_EPSILON);
    around(base, inverse(confidence), beta)
}

/// 1 / x of a constant. Burn's `recip` is an approximation on ndarray, to four or five digits.
fn inverse<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.ones_like() / x
}

/// `base + beta · (mean(weight) − weight)`, `[positions, 1]` → `[positions]`
fn around<B: Backend>(base: f64, weight: Tensor<B, 2>, beta: f64) -> Tensor<B, 1> {
    let weight = weight.squeeze_dim::<1>(1);
    let mean = weight.clone().mean();
    (mean - weight).mul_scalar(beta).add_scalar(base)
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;

    #[test]
    fn flsw_by_hand() {
        let device = Default::default();
        let student = Tensor::<TestBackend, 2>::from_floats([[100.0, 0.0], [100.0, 0.0]], &device);
        let teacher = Tensor::<TestBackend, 2>::from_floats([[50.0, 0.0], [-50.0, 0.0]], &device);
        // Cosines 1 and −1: weights 0 and 2² = 4.
        let tau = flsw_temperature(student, teacher, 4.0, 0.5, 2.0).into_data().to_vec::<f32>().unwrap();
        assert_close(&tau, &[4.0 + 0.5 * 2.0, 4.0 - 0.5 * 2.0], 1e-4, 0.0, "temperature");
    }

    #[test]
    fn flsw_is_a_number_where_student_and_teacher_agree() {
        let logits =
            Tensor::<TestBackend, 2>::from_floats([[1e6, 3e6, 7e6], [0.0, 0.0, 0.0]], &Default::default());
        let tau =
            flsw_temperature(logits.clone(), logits, 4.0, 1.0, 0.5).into_data().to_vec::<f32>().unwrap();
        assert_close(&tau, &[4.5, 3.5], 1e-3, 0.0, "temperature");
    }

    #[test]
    fn cwsm_by_hand() {
        let student = Tensor::<TestBackend, 2>::from_floats([[0.0, 0.0], [100.0, 0.0]], &Default::default());
        let tau = cwsm_temperature(student.clone(), student, 4.0, 2.0).into_data().to_vec::<f32>().unwrap();
        let half_gap = (1.0 / 0.501 - 1.0 / 1.001) / 2.0;
        assert_close(&tau, &[4.0 - 2.0 * half_gap, 4.0 + 2.0 * half_gap], 1e-5, 0.0, "temperature");
    }

    #[test]
    fn no_gradient_flows_through_a_temperature() {
        let device = Default::default();
        let student =
            Tensor::<TestAutodiffBackend, 2>::from_floats([[1.0, -2.0], [0.5, 3.0]], &device).require_grad();
        let teacher = student.clone().detach() * 0.5;
        let tau = flsw_temperature(student.clone() * 1.0, teacher.clone(), 4.0, 1.0, 2.0)
            + cwsm_temperature(student.clone() * 1.0, teacher, 4.0, 1.0);
        let gradients = (tau.sum() + student.clone().slice([0..1, 0..1]).sum()).backward();
        let gradient = student.grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap();
        assert_eq!(gradient, [1.0, 0.0, 0.0, 0.0]);
    }
}
