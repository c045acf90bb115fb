//! Divergences between the teacher's and the student's softened distributions, `[positions, classes]`.
//!
//! `p = softmax(T/τ)` and `q = softmax(S/τ)`; a loss is its mean over positions, 0 where there are none,
//! without the factor τ². Everything is computed from logarithms, so that no probability can underflow.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::Temperature;
use crate::log_softmax::log_softmax;

/// Kullback-Leibler divergence of the student from the teacher: `KL(p‖q) = Σ p (log p − log q)` (Hinton et
/// al., <https://arxiv.org/abs/1503.02531>).
///
/// [`kd_ce_loss`](crate::kd_ce_loss) less the teacher's entropy: the same gradient, and 0 where both agree.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
///
/// # Panics
/// If the shapes differ; [`check_logits`](crate::check_logits) tells beforehand.
///
/// ```
/// use brew_losses::{Temperature, kl_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let logits = Tensor::<TestBackend, 2>::from_floats([[1.0, 2.0]], &Default::default());
/// assert_eq!(kl_loss(logits.clone(), logits, &Temperature::Scalar(2.0)).into_scalar(), 0.0);
/// ```
pub fn kl_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    let Softened { student, teacher } = Softened::new("kl", student, teacher, temperature);
    mean_over_positions(divergence(teacher, student))
}

/// Reverse Kullback-Leibler divergence: `KL(q‖p) = Σ q (log q − log p)`, which seeks the teacher's modes
/// instead of covering them (MiniLLM, <https://arxiv.org/abs/2306.08543>).
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
///
/// # Panics
/// If the shapes differ; [`check_logits`](crate::check_logits) tells beforehand.
///
/// ```
/// use brew_losses::{Temperature, reverse_kl_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// // The student says 3/4 and 1/4, the teacher 1/2 and 1/2.
/// let student = Tensor::<TestBackend, 2>::from_floats([[3f32.ln(), 0.0]], &device);
/// let loss = reverse_kl_loss(student, Tensor::zeros([1, 2], &device), &Temperature::Scalar(1.0));
/// let expected = 0.75 * 1.5f32.ln() + 0.25 * 0.5f32.ln();
/// assert!((loss.into_scalar() - expected).abs() < 1e-6);
/// ```
pub fn reverse_kl_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    let Softened { student, teacher } = Softened::new("reverse_kl", student, teacher, temperature);
    mean_over_positions(divergence(student, teacher))
}

/// Generalised Jensen-Shannon divergence: `β KL(p‖m) + (1−β) KL(q‖m)` with `m = βp + (1−β)q` (GKD,
/// <https://arxiv.org/abs/2306.13649>).
///
/// `beta` = ½ is the Jensen-Shannon divergence. Divided by `beta` it tends to `KL(p‖q)` for `beta` → 0,
/// divided by `1 − beta` to `KL(q‖p)` for `beta` → 1.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
///
/// # Panics
/// If the shapes differ ([`check_logits`](crate::check_logits) tells beforehand), or if `beta` is not
/// between 0 and 1.
///
/// ```
/// use brew_losses::{Temperature, js_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let student = Tensor::<TestBackend, 2>::from_floats([[1e4, 0.0]], &device);
/// let teacher = Tensor::<TestBackend, 2>::from_floats([[0.0, 1e4]], &device);
/// // Distributions without overlap: ln 2, however far apart the logits are.
/// let loss = js_loss(student, teacher, 0.5, &Temperature::Scalar(1.0)).into_scalar();
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// ```
pub fn js_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    beta: f64,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    let Softened { student, teacher } = Softened::new("js", student, teacher, temperature);
    let mixture = log_mixture(teacher.clone(), student.clone(), beta);
    mean_over_positions(
        divergence(teacher, mixture.clone()) * beta + divergence(student, mixture) * (1.0 - beta),
    )
}

/// Skewed Kullback-Leibler divergence: `KL(p ‖ αp + (1−α)q)` (DistiLLM, <https://arxiv.org/abs/2402.03898>).
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
///
/// # Panics
/// If the shapes differ ([`check_logits`](crate::check_logits) tells beforehand), or if `alpha` is not
/// between 0 and 1.
///
/// ```
/// use brew_losses::{Temperature, skew_kl_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let student = Tensor::<TestBackend, 2>::from_floats([[1e4, 0.0]], &device);
/// let teacher = Tensor::<TestBackend, 2>::from_floats([[0.0, 1e4]], &device);
/// // At most −ln α.
/// let loss = skew_kl_loss(student, teacher, 0.1, &Temperature::Scalar(1.0)).into_scalar();
/// assert!((loss - 10f32.ln()).abs() < 1e-6);
/// ```
pub fn skew_kl_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    alpha: f64,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    let Softened { student, teacher } = Softened::new("skew_kl", student, teacher, temperature);
    let mixture = log_mixture(teacher.clone(), student, alpha);
    mean_over_positions(divergence(teacher, mixture))
}

/// Skewed reverse Kullback-Leibler divergence: `KL(q ‖ (1−α)p + αq)` (DistiLLM,
/// <https://arxiv.org/abs/2402.03898>).
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
///
/// # Panics
/// If the shapes differ ([`check_logits`](crate::check_logits) tells beforehand), or if `alpha` is not
/// between 0 and 1.
pub fn skew_reverse_kl_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    alpha: f64,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    let Softened { student, teacher } = Softened::new("skew_reverse_kl", student, teacher, temperature);
    let mixture = log_mixture(student.clone(), teacher, alpha);
    mean_over_positions(divergence(student, mixture))
}

/// Logarithms of both distributions, the teacher's detached.
struct Softened<B: Backend> {
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
}

impl<B: Backend> Softened<B> {
    fn new(loss: &str, student: Tensor<B, 2>, teacher: Tensor<B, 2>, temperature: &Temperature<B>) -> Self {
        assert_eq!(
            student.dims(),
            teacher.dims(),
            "{loss}: student's and teacher's logits must have one shape"
        );
        Self {
            student: log_softmax(temperature.soften(student), 1),
            teacher: log_softmax(temperature.soften(teacher.detach()), 1),
        }
    }
}

/// `Σ p (log p − log q)` of each position, `[positions, 1]`, from the logarithms.
fn divergence<B: Backend>(log_p: Tensor<B, 2>, log_q: Tensor<B, 2>) -> Tensor<B, 2> {
    (log_p.clone().exp() * (log_p - log_q)).sum_dim(1)
}

/// `log(w p + (1−w) q)` from the logarithms.
fn log_mixture<B: Backend>(log_p: Tensor<B, 2>, log_q: Tensor<B, 2>, weight: f64) -> Tensor<B, 2> {
    assert!(weight > 0.0 && weight < 1.0, "the weight of a mixture must be between 0 and 1, found {weight}");
    let log_p = log_p + weight.ln();
    let log_q = log_q + (1.0 - weight).ln();
    // A constant: its gradient cancels.
    let largest = log_p.clone().detach().max_pair(log_q.clone().detach());
    ((log_p - largest.clone()).exp() + (log_q - largest.clone()).exp()).log() + largest
}

/// `[positions, 1]` → `[1]`, 0 where there is no position.
pub(crate) fn mean_over_positions<B: Backend>(per_position: Tensor<B, 2>) -> Tensor<B, 1> {
    let positions = per_position.dims()[0].max(1) as f64;
    per_position.sum() / positions
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::gradient_check::{assert_gradient, numbers};

    type Loss<B> = fn(Tensor<B, 2>, Tensor<B, 2>, &Temperature<B>) -> Tensor<B, 1>;

    fn losses<B: Backend>() -> [(&'static str, Loss<B>); 5] {
        [
            ("kl", kl_loss),
            ("reverse_kl", reverse_kl_loss),
            ("js", |student, teacher, temperature| js_loss(student, teacher, 0.3, temperature)),
            ("skew_kl", |student, teacher, temperature| skew_kl_loss(student, teacher, 0.2, temperature)),
            ("skew_reverse_kl", |student, teacher, temperature| {
                skew_reverse_kl_loss(student, teacher, 0.2, temperature)
            }),
        ]
    }

    /// The formulas in double precision, straight from the probabilities.
    fn by_hand(name: &str, p: &[f64], q: &[f64]) -> f64 {
        let kl = |p: &[f64], q: &[f64]| p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum::<f64>();
        let mix = |weight: f64| -> Vec<f64> {
            p.iter().zip(q).map(|(p, q)| weight * p + (1.0 - weight) * q).collect()
        };
        match name {
            "kl" => kl(p, q),
            "reverse_kl" => kl(q, p),
            "js" => 0.3 * kl(p, &mix(0.3)) + 0.7 * kl(q, &mix(0.3)),
            "skew_kl" => kl(p, &mix(0.2)),
            "skew_reverse_kl" => kl(q, &mix(0.8)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn values_are_the_formulas_of_the_probabilities() {
        let device = Default::default();
        let (p, q) = ([0.5f64, 0.3, 0.2], [0.1f64, 0.6, 0.3]);
        // Logits of the third power's logarithm, so that temperature 3 gives p and q back.
        let logits =
            |row: [f64; 3]| Tensor::<TestBackend, 2>::from_floats([row.map(|p| 3.0 * p.ln())], &device);
        for (name, loss) in losses::<TestBackend>() {
            let found = loss(logits(q), logits(p), &Temperature::Scalar(3.0)).into_scalar();
            assert_close(&[found], &[by_hand(name, &p, &q) as f32], 1e-5, 1e-7, name);
        }
    }

    #[test]
    fn a_temperature_for_each_position_equals_each_position_by_itself() {
        let device = Default::default();
        let student = Tensor::<TestBackend, 2>::from_data(numbers([2, 3], 1), &device);
        let teacher = Tensor::<TestBackend, 2>::from_data(numbers([2, 3], 2), &device);
        let temperature = Temperature::PerPosition(Tensor::from_floats([2.0, 5.0], &device));
        for (name, loss) in losses::<TestBackend>() {
            let both = loss(student.clone(), teacher.clone(), &temperature).into_scalar();
            let alone = |row: usize, temperature: f64| {
                let row = |logits: &Tensor<TestBackend, 2>| logits.clone().narrow(0, row, 1);
                loss(row(&student), row(&teacher), &Temperature::Scalar(temperature)).into_scalar()
            };
            assert_close(&[both], &[(alone(0, 2.0) + alone(1, 5.0)) / 2.0], 1e-5, 1e-7, name);
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([3, 4], 2), &device);
        for temperature in [
            Temperature::Scalar(2.0),
            Temperature::PerPosition(Tensor::from_floats([1.0, 2.0, 0.5], &device)),
        ] {
            for (_, loss) in losses::<TestAutodiffBackend>() {
                assert_gradient::<2>(numbers([3, 4], 1), |student| {
                    loss(student, teacher.clone(), &temperature)
                });
            }
        }
    }

    /// Value and the student's gradient.
    fn value_and_gradient(
        loss: Loss<TestAutodiffBackend>,
        student: Tensor<TestAutodiffBackend, 2>,
        teacher: Tensor<TestAutodiffBackend, 2>,
    ) -> (f32, Vec<f32>) {
        let student = student.detach().require_grad();
        let teacher = teacher.detach().require_grad();
        let value = loss(student.clone(), teacher.clone() * 1.0, &Temperature::Scalar(1.0));
        let gradients = value.backward();
        assert!(teacher.grad(&gradients).is_none(), "no gradient reaches the teacher");
        let gradient = student.grad(&gradients).unwrap().into_data().to_vec().unwrap();
        (value.into_scalar(), gradient)
    }

    #[test]
    fn logits_far_apart_give_finite_values_and_gradients() {
        let device = Default::default();
        for (name, loss) in losses::<TestAutodiffBackend>() {
            for (student, teacher) in
                [([1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]), ([0.0, 0.0, 0.0], [1e4, 1e4, -1e4])]
            {
                let (value, gradient) = value_and_gradient(
                    loss,
                    Tensor::from_floats([student], &device),
                    Tensor::from_floats([teacher], &device),
                );
                assert!(value.is_finite() && value >= 0.0, "{name}: {value}");
                assert!(gradient.iter().all(|entry| entry.is_finite()), "{name}: {gradient:?}");
            }
        }
    }

    #[test]
    fn no_position_is_a_loss_of_zero() {
        let device = Default::default();
        for (name, loss) in losses::<TestAutodiffBackend>() {
            let rows = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([2, 3], 1), &device);
            let none = crate::select_positions(rows, Tensor::zeros([2], &device));
            let (value, gradient) = value_and_gradient(loss, none.clone(), none);
            assert_eq!((value, gradient.len()), (0.0, 0), "{name}");
        }
    }

    #[test]
    #[should_panic(expected = "between 0 and 1, found 1")]
    fn a_mixture_of_one_alone_is_refused() {
        let logits = Tensor::<TestBackend, 2>::zeros([1, 2], &Default::default());
        js_loss(logits.clone(), logits, 1.0, &Temperature::Scalar(1.0));
    }
}
