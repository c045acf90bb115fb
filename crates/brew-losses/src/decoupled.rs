//! Decoupled knowledge distillation.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Int, Tensor};

use crate::Temperature;

/// KD with the part on the true class and the part on the others weighted apart (DKD,
/// <https://arxiv.org/abs/2203.08679>).
///
/// `alpha · KL(b_T ‖ b_S) + beta · KL(p̂_T ‖ p̂_S)`, averaged over positions with a label: `b` are the
/// softened probabilities of the true class and of all others together, `p̂` those of the others among
/// themselves. Classical KD weights the second part by the teacher's probability of the others; the paper
/// has `alpha` 1 and `beta` up to 8. Without the factor τ². Positions with a negative label (−100) do not
/// count; the loss is 0 where none does.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
/// - `labels`: `[positions]`
///
/// # Panics
/// If the shapes differ ([`check_logits`](crate::check_logits) tells beforehand), or if there is not one
/// label a position. A label must be below the number of classes: with one that is not, the loss of its
/// position means nothing.
///
/// ```
/// use brew_losses::{Temperature, dkd_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// // Both find the true class, 0, as likely as the others together, which the student holds 3 to 1.
/// let student = Tensor::<TestBackend, 2>::from_floats([[4f32.ln(), 3f32.ln(), 0.0]], &device);
/// let teacher = Tensor::from_floats([[2f32.ln(), 0.0, 0.0]], &device);
/// let labels = Tensor::from_ints([0], &device);
/// let loss = dkd_loss(student, teacher, labels, 1.0, 8.0, &Temperature::Scalar(1.0)).into_scalar();
/// assert!((loss - 8.0 * 0.5 * ((2.0f32 / 3.0).ln() + 2f32.ln())).abs() < 1e-5);
/// ```
pub fn dkd_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    labels: Tensor<B, 1, Int>,
    alpha: f64,
    beta: f64,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    assert_eq!(student.dims(), teacher.dims(), "dkd: student's and teacher's logits must have one shape");
    let [positions, classes] = student.dims();
    assert_eq!(positions, labels.dims()[0], "dkd: there must be one label for each position");
    if positions == 0 || classes < 2 {
        // Nothing to tell apart, but still a function of the student.
        return student.sum() * 0.0;
    }
    let counted = labels.clone().greater_equal_elem(0).float();
    let is_target = Tensor::<B, 1, Int>::arange(0..classes as i64, &student.device())
        .unsqueeze_dim::<2>(0)
        .expand([positions, classes])
        .equal(labels.unsqueeze_dim::<2>(1).expand([positions, classes]));

    let student = Decoupled::new(temperature.soften(student), &is_target);
    let teacher = Decoupled::new(temperature.soften(teacher.detach()), &is_target);
    let per_position =
        teacher.target_divergence(&student) * alpha + teacher.others_divergence(&student, is_target) * beta;
    let count = counted.clone().sum().clamp_min(1.0);
    (per_position.squeeze_dim::<1>(1) * counted).sum() / count
}

/// A distribution as the odds of the target and the distribution of the other classes.
struct Decoupled<B: Backend> {
    /// Logarithm of the odds of the target against all others, `[positions, 1]`.
    log_odds: Tensor<B, 2>,
    /// Logarithm of each other class's probability among the others; at the target a number without
    /// meaning, `[positions, classes]`.
    log_others: Tensor<B, 2>,
}

impl<B: Backend> Decoupled<B> {
    fn new(logits: Tensor<B, 2>, is_target: &Tensor<B, 2, Bool>) -> Self {
        let shape = logits.dims();
        let target = logits.clone().mask_fill(is_target.clone().bool_not(), 0.0).sum_dim(1);
        // The smallest logit in the target's place is none too many when the largest other one is sought,
        // and its power cannot overflow.
        let smallest = logits.clone().detach().min_dim(1).expand(shape);
        let others = logits.mask_where(is_target.clone(), smallest);
        let largest = others.clone().detach().max_dim(1);
        let powers = (others.clone() - largest.clone()).exp().mask_fill(is_target.clone(), 0.0);
        let log_sum = powers.sum_dim(1).log() + largest;
        Self { log_odds: target - log_sum.clone(), log_others: others - log_sum }
    }

    /// `KL(b ‖ b')`, `[positions, 1]`
    fn target_divergence(&self, other: &Self) -> Tensor<B, 2> {
        let part = |odds: Tensor<B, 2>, other: Tensor<B, 2>| {
            let log = log_sigmoid(odds);
            log.clone().exp() * (log - log_sigmoid(other))
        };
        part(self.log_odds.clone(), other.log_odds.clone())
            + part(self.log_odds.clone().neg(), other.log_odds.clone().neg())
    }

    /// `KL(p̂ ‖ p̂')`, `[positions, 1]`
    fn others_divergence(&self, other: &Self, is_target: Tensor<B, 2, Bool>) -> Tensor<B, 2> {
        let difference = self.log_others.clone() - other.log_others.clone();
        let probability = self.log_others.clone().exp().mask_fill(is_target, 0.0);
        (probability * difference).sum_dim(1)
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;
    use crate::gradient_check::{assert_gradient, numbers};

    /// The formula in double precision, straight from the probabilities of one position.
    fn by_hand(student: &[f64], teacher: &[f64], label: usize, alpha: f64, beta: f64) -> f64 {
        let softmax = |logits: &[f64]| -> Vec<f64> {
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            logits.iter().map(|logit| logit.exp() / total).collect()
        };
        let (p, q) = (softmax(teacher), softmax(student));
        let (pt, qt) = (p[label], q[label]);
        let target = pt * (pt / qt).ln() + (1.0 - pt) * ((1.0 - pt) / (1.0 - qt)).ln();
        let others: f64 = (0..p.len())
            .filter(|class| *class != label)
            .map(|class| {
                let (p, q) = (p[class] / (1.0 - pt), q[class] / (1.0 - qt));
                p * (p / q).ln()
            })
            .sum();
        alpha * target + beta * others
    }

    #[test]
    fn values_are_the_formula_of_the_probabilities() {
        let device = Default::default();
        let rows = [[0.5f64, -1.0, 2.0], [1.5, 0.3, -0.2], [9.0, 9.0, 9.0]];
        let teacher_rows = [[1.0f64, 0.2, -0.7], [2.0, -2.0, 0.1], [1.0, 2.0, 3.0]];
        let tensor = |rows: [[f64; 3]; 3]| Tensor::<TestBackend, 2>::from_floats(rows, &device) * 2.0;
        let labels = Tensor::from_ints([2, 0, -100], &device);
        let loss = dkd_loss(tensor(rows), tensor(teacher_rows), labels, 0.7, 3.0, &Temperature::Scalar(2.0));
        let expected = (by_hand(&rows[0], &teacher_rows[0], 2, 0.7, 3.0)
            + by_hand(&rows[1], &teacher_rows[1], 0, 0.7, 3.0))
            / 2.0;
        assert_close(&[loss.into_scalar()], &[expected as f32], 1e-5, 0.0, "loss");
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
                let labels = Tensor::from_ints([3, -100, 1], &device);
                dkd_loss(student, teacher.clone(), labels, 1.0, 2.0, &temperature)
            });
        }
    }

    fn value_and_gradient(student: TensorData, teacher: TensorData, labels: &[i64]) -> (f32, Vec<f32>) {
        let device = Default::default();
        let student = Tensor::<TestAutodiffBackend, 2>::from_data(student, &device).require_grad();
        let teacher = Tensor::<TestAutodiffBackend, 2>::from_data(teacher, &device).require_grad();
        let labels = Tensor::from_data(TensorData::from(labels), &device);
        let loss =
            dkd_loss(student.clone(), teacher.clone() * 1.0, labels, 1.0, 8.0, &Temperature::Scalar(1.0));
        let gradients = loss.backward();
        assert!(teacher.grad(&gradients).is_none(), "no gradient reaches the teacher");
        let gradient = student.grad(&gradients).unwrap().into_data().to_vec().unwrap();
        (loss.into_scalar(), gradient)
    }

    #[test]
    fn certain_logits_are_finite_in_value_and_gradient() {
        let certain = TensorData::from([[1e4f32, -1e4, 0.0], [-1e4, 1e4, 0.0]]);
        let other = TensorData::from([[-1e4f32, 1e4, 0.0], [0.0, 0.0, 0.0]]);
        for labels in [[0, 0], [1, 2], [2, 1]] {
            for (student, teacher) in [(&certain, &other), (&other, &certain)] {
                let (value, gradient) = value_and_gradient(student.clone(), teacher.clone(), &labels);
                assert!(value.is_finite() && value >= 0.0, "{value}");
                assert!(gradient.iter().all(|entry| entry.is_finite()), "{gradient:?}");
            }
        }
    }

    #[test]
    fn nothing_to_compare_is_a_loss_of_zero() {
        let (value, gradient) = value_and_gradient(numbers([2, 3], 1), numbers([2, 3], 2), &[-100, -1]);
        assert_eq!((value, gradient), (0.0, vec![0.0; 6]));
        let (value, gradient) = value_and_gradient(numbers([2, 1], 1), numbers([2, 1], 2), &[0, 0]);
        assert_eq!((value, gradient), (0.0, vec![0.0; 2]));
        let (value, gradient) = value_and_gradient(numbers([2, 2], 1), numbers([2, 2], 1), &[0, 1]);
        assert_close(&[value], &[0.0], 0.0, 1e-6, "agreement");
        assert_close(&gradient, &[0.0; 4], 0.0, 1e-6, "gradient of agreement");
    }
}
