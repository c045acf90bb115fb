//! Losses on logits, `[positions, classes]`: positions are sequences, or the tokens of all sequences.
//!
//! TextBrewer's two, the choice between all of them, and what prepares logits for them.

use brew_config::KdLossType;
use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

use crate::divergence::mean_over_positions;
use crate::log_softmax::log_softmax;
use crate::{
    LossError, Temperature, dkd_loss, js_loss, kd_bce_loss, kl_loss, reverse_kl_loss, skew_kl_loss,
    skew_reverse_kl_loss,
};

/// Cross-entropy of the softened student with the softened teacher (TextBrewer's `kd_ce_loss`, Hinton et
/// al., <https://arxiv.org/abs/1503.02531>).
///
/// `−Σ softmax(T/τ) · log softmax(S/τ)`, averaged over positions, 0 where there are none; without the
/// factor τ².
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
///
/// # Panics
/// If the shapes differ; [`check_logits`] tells beforehand.
///
/// ```
/// use brew_losses::{Temperature, kd_ce_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let logits = Tensor::<TestBackend, 2>::zeros([3, 2], &Default::default());
/// let loss = kd_ce_loss(logits.clone(), logits, &Temperature::Scalar(8.0)).into_scalar();
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// ```
pub fn kd_ce_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    assert_eq!(student.dims(), teacher.dims(), "kd_ce: student's and teacher's logits must have one shape");
    let teacher = softmax(temperature.soften(teacher.detach()), 1);
    mean_over_positions((log_softmax(temperature.soften(student), 1) * teacher).sum_dim(1)).neg()
}

/// Mean squared error of the softened logits (TextBrewer's `kd_mse_loss`): `mean((S/τ − T/τ)²)`,
/// 0 where there are no positions.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
///
/// # Panics
/// If the shapes differ; [`check_logits`] tells beforehand.
///
/// ```
/// use brew_losses::{Temperature, kd_mse_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let student = Tensor::<TestBackend, 2>::full([3, 2], 4.0, &device);
/// let loss = kd_mse_loss(student, Tensor::zeros([3, 2], &device), &Temperature::Scalar(2.0));
/// assert_eq!(loss.into_scalar(), 4.0);
/// ```
pub fn kd_mse_loss<B: Backend>(
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    temperature: &Temperature<B>,
) -> Tensor<B, 1> {
    assert_eq!(student.dims(), teacher.dims(), "kd_mse: student's and teacher's logits must have one shape");
    let count = student.shape().num_elements().max(1) as f64;
    temperature.soften(student - teacher.detach()).square().sum() / count
}

/// The KD loss that a configuration names.
///
/// | name | loss |
/// |---|---|
/// | `ce` | [`kd_ce_loss`] |
/// | `mse` | [`kd_mse_loss`] |
/// | `kl` | [`kl_loss`] |
/// | `reverse_kl` | [`reverse_kl_loss`] |
/// | `js` | [`js_loss`] |
/// | `skew_kl` | [`skew_kl_loss`] |
/// | `skew_reverse_kl` | [`skew_reverse_kl_loss`] |
/// | `dkd` | [`dkd_loss`], which needs `labels` |
/// | `bce` | [`kd_bce_loss`] |
///
/// # Shapes
/// - `student`, `teacher`: `[positions, classes]`
/// - `labels`: `[positions]`, negative where they do not count
///
/// # Errors
/// [`LossError::MissingLabels`] where the loss needs labels.
///
/// # Panics
/// If the shapes differ ([`check_logits`] tells beforehand), or if a parameter of the loss is outside the
/// range that the configuration's `validate` checks.
pub fn kd_loss<B: Backend>(
    kind: KdLossType,
    student: Tensor<B, 2>,
    teacher: Tensor<B, 2>,
    labels: Option<Tensor<B, 1, Int>>,
    temperature: &Temperature<B>,
) -> Result<Tensor<B, 1>, LossError> {
    Ok(match kind {
        KdLossType::Ce => kd_ce_loss(student, teacher, temperature),
        KdLossType::Mse => kd_mse_loss(student, teacher, temperature),
        KdLossType::Kl => kl_loss(student, teacher, temperature),
        KdLossType::ReverseKl => reverse_kl_loss(student, teacher, temperature),
        KdLossType::Js { beta } => js_loss(student, teacher, beta, temperature),
        KdLossType::SkewKl { alpha } => skew_kl_loss(student, teacher, alpha, temperature),
        KdLossType::SkewReverseKl { alpha } => skew_reverse_kl_loss(student, teacher, alpha, temperature),
        KdLossType::Dkd { alpha, beta } => {
            let labels = labels.ok_or_else(|| LossError::MissingLabels { loss: kind.name().to_string() })?;
            dkd_loss(student, teacher, labels, alpha, beta, temperature)
        }
        KdLossType::Bce => kd_bce_loss(student, teacher, temperature),
    })
}

/// Whether logits of these shapes can be compared by a KD loss.
///
/// ```
/// assert!(brew_losses::check_logits(&[8, 2], &[8, 3]).unwrap_err().to_string().contains("number of labels"));
/// ```
///
/// # Errors
/// [`LossError::ShapeMismatch`] where they differ.
pub fn check_logits(student: &[usize], teacher: &[usize]) -> Result<(), LossError> {
    if student == teacher {
        return Ok(());
    }
    let remedy = if student.last() != teacher.last() {
        "both models must have the same number of labels, in the same order"
    } else {
        "both models must give logits for the same batch, tokenized alike"
    };
    Err(LossError::ShapeMismatch {
        loss: "kd".to_string(),
        student: student.to_vec(),
        teacher: teacher.to_vec(),
        remedy: remedy.to_string(),
    })
}

/// The teacher's logits with the largest and the true label's swapped, so that the true label's is the
/// largest (TextBrewer's `probability_shift_`).
///
/// Rows with a negative label (−100: ignored) stay as they are.
///
/// # Shapes
/// - `teacher`: `[positions, classes]`
/// - `labels`: `[positions]`
/// - result: `[positions, classes]`
///
/// # Panics
/// If there is not one label a position. A label must be below the number of classes: what happens to
/// one that is not is the backend's matter.
///
/// ```
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let teacher = Tensor::<TestBackend, 2>::from_floats([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]], &device);
/// let shifted = brew_losses::probability_shift(teacher, Tensor::from_ints([1, -100], &device));
/// assert_eq!(shifted.into_data().to_vec::<f32>().unwrap(), [1.0, 3.0, 2.0, 3.0, 1.0, 2.0]);
/// ```
pub fn probability_shift<B: Backend>(teacher: Tensor<B, 2>, labels: Tensor<B, 1, Int>) -> Tensor<B, 2> {
    let [positions, classes] = teacher.dims();
    assert_eq!(positions, labels.dims()[0], "probability_shift: there must be one label for each position");
    let largest = teacher.clone().argmax(1);
    let labels = labels.unsqueeze_dim::<2>(1);
    let ignored = labels.clone().lower_elem(0);
    let labels = labels.mask_where(ignored, largest.clone());

    let largest_logit = teacher.clone().gather(1, largest.clone()).expand([positions, classes]);
    let label_logit = teacher.clone().gather(1, labels.clone()).expand([positions, classes]);
    let columns = Tensor::<B, 1, Int>::arange(0..classes as i64, &teacher.device())
        .unsqueeze_dim::<2>(0)
        .expand([positions, classes]);
    let at_largest = columns.clone().equal(largest.expand([positions, classes]));
    let at_label = columns.equal(labels.expand([positions, classes]));
    teacher.mask_where(at_largest, label_logit).mask_where(at_label, largest_logit)
}

/// Mean cross-entropy of logits with labels, over positions whose label is not negative.
///
/// `torch.nn.functional.cross_entropy` with `ignore_index = −100`, except that every negative label is
/// ignored, and that the loss is 0 where all are.
///
/// # Shapes
/// - `logits`: `[positions, classes]`
/// - `labels`: `[positions]`
///
/// # Panics
/// If there is not one label a position. A label must be below the number of classes: what happens to
/// one that is not is the backend's matter.
///
/// ```
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let logits = Tensor::<TestBackend, 2>::from_floats([[0.0, 0.0], [9.0, 0.0]], &device);
/// let loss = brew_losses::cross_entropy(logits, Tensor::from_ints([1, -100], &device)).into_scalar();
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// ```
pub fn cross_entropy<B: Backend>(logits: Tensor<B, 2>, labels: Tensor<B, 1, Int>) -> Tensor<B, 1> {
    let [positions, _] = logits.dims();
    assert_eq!(positions, labels.dims()[0], "cross_entropy: there must be one label for each position");
    let ignored = labels.clone().lower_elem(0);
    let counted = ignored.clone().bool_not().float();
    let count = counted.clone().sum().clamp_min(1.0);
    let labels = labels.mask_fill(ignored, 0).unsqueeze_dim::<2>(1);
    let log_probability = log_softmax(logits, 1).gather(1, labels).squeeze_dim::<1>(1);
    (log_probability * counted).sum().neg() / count
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::gradient_check::{assert_gradient, numbers};
    use crate::select_positions;

    const KINDS: [KdLossType; 9] = [
        KdLossType::Ce,
        KdLossType::Mse,
        KdLossType::Kl,
        KdLossType::ReverseKl,
        KdLossType::Js { beta: 0.3 },
        KdLossType::SkewKl { alpha: 0.2 },
        KdLossType::SkewReverseKl { alpha: 0.2 },
        KdLossType::Dkd { alpha: 0.7, beta: 2.0 },
        KdLossType::Bce,
    ];

    fn vector(tensor: Tensor<TestBackend, 2>) -> Vec<f32> {
        tensor.into_data().to_vec().unwrap()
    }

    #[test]
    fn ce_by_hand() {
        let device = Default::default();
        // At temperature 2 the student's odds are 3 to 1, the teacher's 1 to 1.
        let student = Tensor::<TestBackend, 2>::from_floats([[2.0 * 3f32.ln(), 0.0]], &device);
        let teacher = Tensor::<TestBackend, 2>::from_floats([[1.0, 1.0]], &device);
        let loss = kd_ce_loss(student, teacher, &Temperature::Scalar(2.0)).into_scalar();
        assert_close(&[loss], &[-0.5 * (0.75f32.ln() + 0.25f32.ln())], 1e-6, 0.0, "loss");
    }

    #[test]
    fn a_temperature_for_each_position_equals_each_position_by_itself() {
        let device = Default::default();
        let student = Tensor::<TestBackend, 2>::from_data(numbers([2, 3], 1), &device);
        let teacher = Tensor::<TestBackend, 2>::from_data(numbers([2, 3], 2), &device);
        let temperature = Temperature::PerPosition(Tensor::from_floats([2.0, 5.0], &device));
        for loss in [kd_ce_loss, kd_mse_loss] {
            let both = loss(student.clone(), teacher.clone(), &temperature).into_scalar();
            let alone = |row: usize, temperature: f64| {
                let row = |logits: &Tensor<TestBackend, 2>| logits.clone().narrow(0, row, 1);
                loss(row(&student), row(&teacher), &Temperature::Scalar(temperature)).into_scalar()
            };
            assert_close(&[both], &[(alone(0, 2.0) + alone(1, 5.0)) / 2.0], 1e-6, 0.0, "loss");
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
            for loss in [kd_ce_loss, kd_mse_loss] {
                assert_gradient::<2>(numbers([3, 4], 1), |student| {
                    loss(student, teacher.clone(), &temperature)
                });
            }
        }
        assert_gradient::<2>(numbers([3, 4], 1), |logits| {
            cross_entropy(logits, Tensor::from_ints([2, -100, 0], &device))
        });
    }

    #[test]
    fn the_teachers_logits_get_no_gradient() {
        let device = Default::default();
        let student = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([2, 3], 1), &device).require_grad();
        let teacher = Tensor::<TestAutodiffBackend, 2>::from_data(numbers([2, 3], 2), &device).require_grad();
        for kind in KINDS {
            let labels = Some(Tensor::from_ints([0, 2], &device));
            let temperature = Temperature::Scalar(2.0);
            let loss = kd_loss(kind, student.clone(), teacher.clone() * 2.0, labels, &temperature).unwrap();
            let gradients = loss.backward();
            assert!(student.grad(&gradients).is_some(), "{kind:?}");
            assert!(teacher.grad(&gradients).is_none(), "{kind:?}");
        }
    }

    #[test]
    fn every_kind_is_the_loss_of_its_name() {
        let device = Default::default();
        let logits = |salt: u32| Tensor::<TestBackend, 2>::from_data(numbers([2, 3], salt), &device);
        let (student, teacher) = (logits(1), logits(2));
        let labels = Tensor::<TestBackend, 1, Int>::from_ints([0, 2], &device);
        let temperature = Temperature::Scalar(2.0);
        for kind in KINDS {
            let (s, t, at) = (student.clone(), teacher.clone(), &temperature);
            let expected = match kind.name() {
                "ce" => kd_ce_loss(s, t, at),
                "mse" => kd_mse_loss(s, t, at),
                "kl" => kl_loss(s, t, at),
                "reverse_kl" => reverse_kl_loss(s, t, at),
                "js" => js_loss(s, t, 0.3, at),
                "skew_kl" => skew_kl_loss(s, t, 0.2, at),
                "skew_reverse_kl" => skew_reverse_kl_loss(s, t, 0.2, at),
                "dkd" => dkd_loss(s, t, labels.clone(), 0.7, 2.0, at),
                "bce" => kd_bce_loss(s, t, at),
                other => panic!("{other}"),
            };
            let found = kd_loss(kind, student.clone(), teacher.clone(), Some(labels.clone()), at).unwrap();
            assert_eq!(found.into_scalar(), expected.into_scalar(), "{kind:?}");
        }
    }

    #[test]
    fn the_loss_that_needs_labels_says_so() {
        let logits = Tensor::<TestBackend, 2>::zeros([1, 2], &Default::default());
        for kind in KINDS {
            match kd_loss(kind, logits.clone(), logits.clone(), None, &Temperature::Scalar(1.0)) {
                Ok(_) => assert_ne!(kind.name(), "dkd"),
                Err(error) => assert!(error.to_string().contains("`dkd` needs the labels"), "{error}"),
            }
        }
    }

    #[test]
    fn no_position_is_a_loss_of_zero() {
        let device = Default::default();
        for kind in KINDS {
            let logits = Tensor::<TestAutodiffBackend, 2>::ones([2, 3], &device).require_grad();
            let none = select_positions(logits.clone(), Tensor::zeros([2], &device));
            let labels = select_positions(Tensor::from_ints([0, 1], &device), Tensor::zeros([2], &device));
            let temperature = Temperature::Scalar(2.0);
            let loss = kd_loss(kind, none.clone(), none, Some(labels), &temperature).unwrap();
            assert_eq!(loss.clone().into_scalar(), 0.0, "{kind:?}");
            let gradient = logits.grad(&loss.backward()).unwrap();
            assert_eq!(gradient.into_data().to_vec::<f32>().unwrap(), [0.0; 6], "{kind:?}");
        }
    }

    #[test]
    fn ignored_labels_do_not_count() {
        let device = Default::default();
        let logits =
            Tensor::<TestBackend, 2>::from_floats([[0.0, 3f32.ln()], [50.0, 0.0], [0.0, 0.0]], &device);
        let loss = cross_entropy(logits.clone(), Tensor::from_ints([1, -100, 0], &device)).into_scalar();
        assert_close(&[loss], &[-(0.75f32.ln() + 0.5f32.ln()) / 2.0], 1e-6, 0.0, "loss");
        let none = cross_entropy(logits, Tensor::from_ints([-100, -100, -100], &device)).into_scalar();
        assert_eq!(none, 0.0);
    }

    #[test]
    fn the_shift_swaps_exactly_and_leaves_right_and_ignored_rows() {
        let device = Default::default();
        let rows = [[0.1, 0.7, 0.3], [0.1, 0.7, 0.3], [0.1, 0.7, 0.3]];
        let shifted =
            probability_shift(Tensor::from_floats(rows, &device), Tensor::from_ints([2, 1, -100], &device));
        assert_eq!(vector(shifted), [0.1, 0.3, 0.7, 0.1, 0.7, 0.3, 0.1, 0.7, 0.3]);
    }
}
