//! The loss on logits of labels that exclude no other.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::backend::Backend;

use crate::Temperature;

/// Binary cross-entropy of each label's softened probability with the teacher's, for multi-label
/// classification.
///
/// `−(p log q + (1−p) log(1−q))` with `p = σ(T/τ)` and `q = σ(S/τ)`, averaged over positions and labels;
/// 0 where there are none. `torch.nn.functional.binary_cross_entropy_with_logits` with the teacher's
/// probabilities as targets; Hinton et al., <https://arxiv.org/abs/1503.02531>, for two classes a label.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, labels]`
///
/// # Panics
/// If the shapes differ; [`check_logits`](crate::check_logits) tells beforehand.
///
/// ```
/// use brew_losses::{Temperature, kd_bce_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let logits = Tensor::<TestBackend, 2>::zeros([3, 2], &Default::default());
/// let loss = kd_bce_loss(logits.clone(), logits, &Temperature::Scalar(8.0)).into_scalar();
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// ```
pub fn kd_bce_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    assert_eq!(student.dims(), teacher.dims(), "bce: student's and teacher's logits must have one shape");
    let count = student.shape().num_elements().max(1) as f64;
    let student = temperature.soften(student);
    let off = sigmoid(temperature.soften(teacher.detach()).neg());
    // log(1 − q) = log q − S/τ
    (off * student.clone() - log_sigmoid(student)).sum() / count
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::gradient_check::{assert_gradient, numbers};

    #[test]
    fn bce_by_hand() {
        let device = Default::default();
        // At temperature 2 the student says 3/4 and 1/2, the teacher 1/2 and 1/4.
        let student = Tensor::<TestBackend, 2>::from_floats([[2.0 * 3f32.ln(), 0.0]], &device);
        let teacher = Tensor::<TestBackend, 2>::from_floats([[0.0, -2.0 * 3f32.ln()]], &device);
        let loss = kd_bce_loss(student, teacher, &Temperature::Scalar(2.0)).into_scalar();
        let first = -0.5 * (0.75f32.ln() + 0.25f32.ln());
        assert_close(&[loss], &[(first + 2f32.ln()) / 2.0], 1e-6, 0.0, "loss");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([3, 4], 2), &device);
        for temperature in [
            Temperature::Scalar(2.0),
            Temperature::PerPosition(Tensor::from_floats([1.0, 2.0, 0.5], &device)),
        ] {
            assert_gradient::<2>(numbers([3, 4], 1), |student| {
                kd_bce_loss(student, teacher.clone(), &temperature)
            });
        }
    }

    #[test]
    fn certain_logits_are_finite_in_value_and_gradient_and_the_teacher_gets_none() {
        let device = Default::default();
        let student =
            Tensor::<TestAutodiffBackend, 2>::from_floats([[1e4, -1e4, 1e4]], &device).require_grad();
        let teacher =
            Tensor::<TestAutodiffBackend, 2>::from_floats([[-1e4, 1e4, 1e4]], &device).require_grad();
        let loss = kd_bce_loss(student.clone(), teacher.clone() * 1.0, &Temperature::Scalar(1.0));
        let gradients = loss.backward();
        assert_close(&[loss.into_scalar()], &[2e4 / 3.0], 1e-6, 0.0, "loss");
        let gradient = student.grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap();
        assert_close(&gradient, &[1.0 / 3.0, -1.0 / 3.0, 0.0], 1e-6, 1e-6, "gradient");
        assert!(teacher.grad(&gradients).is_none());
    }

    #[test]
    fn no_position_is_a_loss_of_zero() {
        let none = crate::select_positions(
            Tensor::<TestBackend, 2>::ones([2, 3], &Default::default()),
            Tensor::zeros([2], &Default::default()),
        );
        assert_eq!(kd_bce_loss(none.clone(), none, &Temperature::Scalar(1.0)).into_scalar(), 0.0);
    }
}
