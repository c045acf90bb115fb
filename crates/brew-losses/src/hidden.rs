//! Losses on hidden states, token by token.

use brew_kernels::losses::{first_state_loss, state_loss};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::masking::{checked, token_mean};
use crate::{FeatureTensor, LossError, LossInput, Side};

/// Added to the squared norms of the cosine, as `torch.nn.functional.cosine_embedding_loss` does.
const COSINE_EPSILON: f64 = 1e-12;

pub(crate) use brew_kernels::losses::ZERO_SQUARED_NORM;

pub(crate) const PROJECT: &str =
    "give the match a projection, `proj = [\"linear\", student's width, teacher's width]`";

/// Mean squared error of hidden states (TextBrewer's `hid_mse_loss`).
///
/// With a mask, the mean is over the states of the tokens that count: `Σ m (S − T)² / (Σ m · hidden)`.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]`; any equal shapes where there is no mask
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
///
/// ```
/// use brew_losses::{LossInput, hidden_mse_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let input = LossInput::<TestBackend> {
///     student: vec![Tensor::<_, 3>::from_floats([[[1.0, 2.0], [9.0, 9.0]]], &device).into()],
///     teacher: vec![Tensor::<_, 3>::from_floats([[[0.0, 0.0], [0.0, 0.0]]], &device).into()],
///     mask: Some(Tensor::from_floats([[1.0, 0.0]], &device)),
///     teacher_mask: None,
/// };
/// assert_eq!(hidden_mse_loss(&input)?.into_scalar(), 2.5);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn hidden_mse_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    Ok(match States::new("hidden_mse", input)? {
        States::All { student, teacher } => {
            let by_kernel = state_loss(&student, &teacher, None);
            by_kernel.unwrap_or_else(|| (student - teacher).square().mean())
        }
        States::Masked { student, teacher, mask } => {
            if let Some(loss) = state_loss(&student, &teacher, Some(&mask)) {
                return Ok(loss);
            }
            let width = student.dims()[2] as f64;
            token_mean((student - teacher).square().sum_dim(2), mask) / width
        }
    })
}

/// One minus the cosine of hidden states (TextBrewer's `cos_loss`, DistilBERT,
/// <https://arxiv.org/abs/1910.01108>).
///
/// `1 − S·T / √((S·S + ε)(T·T + ε))` with ε = 1e-12, averaged over the tokens that count.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]`; any equal shapes where there is no mask
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn cos_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    Ok(match States::new("cos", input)? {
        States::All { student, teacher } => one_minus_cosine(student, teacher, 1).mean(),
        States::Masked { student, teacher, mask } => token_mean(one_minus_cosine(student, teacher, 2), mask),
    })
}

/// Squared distance of the normalised first states (TextBrewer's `pkd_loss`, BERT-PKD,
/// <https://arxiv.org/abs/1908.09355>).
///
/// `‖S₀/‖S₀‖ − T₀/‖T₀‖‖²` of the state at position 0, averaged over the batch. A state of zero norm is
/// left as it is. The mask is not used.
///
/// # Shapes
/// - student, teacher: `[batch, length, hidden]` or `[batch, hidden]`, each for itself
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn pkd_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    let (student, teacher) = input.single("pkd")?;
    let (student_shape, teacher_shape) = (student.dims(), teacher.dims());
    let whole = [&student, &teacher].map(with_positions);
    let student = first_state("pkd", Side::Student, student)?;
    let teacher = first_state("pkd", Side::Teacher, teacher)?;
    if student.dims() != teacher.dims() {
        return Err(mismatch("pkd", student_shape, teacher_shape));
    }
    // The kernel takes whole layers, so that nobody has to put the gradient of the first states into one.
    if let [Some(student), Some(teacher)] = &whole
        && let Some(loss) = first_state_loss(student, teacher)
    {
        return Ok(loss);
    }
    let batch = student.dims()[0] as f64;
    Ok((normalise(student) - normalise(teacher)).square().sum() / batch)
}

fn one_minus_cosine<B: Backend, const D: usize>(
    student: Tensor<B, D>,
    teacher: Tensor<B, D>,
    dim: usize,
) -> Tensor<B, D> {
    // A power, not a division, whose gradient is an approximation on ndarray.
    let inverse_norm =
        |states: Tensor<B, D>| states.square().sum_dim(dim).add_scalar(COSINE_EPSILON).powf_scalar(-0.5);
    let inverse_norms = inverse_norm(student.clone()) * inverse_norm(teacher.clone());
    ((student * teacher).sum_dim(dim) * inverse_norms).neg().add_scalar(1.0)
}

/// Rows of norm 1; a row of zero norm is left as it is.
pub(crate) fn normalise<B: Backend>(states: Tensor<B, 2>) -> Tensor<B, 2> {
    let squared = states.clone().square().sum_dim(1);
    let is_zero = squared.clone().lower_equal_elem(ZERO_SQUARED_NORM);
    states * squared.mask_fill(is_zero, 1.0).powf_scalar(-0.5)
}

/// `[batch, length, hidden]`, where a state a text is that of one position.
fn with_positions<B: Backend>(feature: &FeatureTensor<B>) -> Option<Tensor<B, 3>> {
    match feature {
        FeatureTensor::D2(states) => Some(states.clone().unsqueeze_dim(1)),
        FeatureTensor::D3(states) => Some(states.clone()),
        FeatureTensor::D4(_) => None,
    }
}

/// The state at position 0, `[batch, hidden]`.
pub(crate) fn first_state<B: Backend>(
    loss: &str,
    side: Side,
    feature: FeatureTensor<B>,
) -> Result<Tensor<B, 2>, LossError> {
    match feature {
        FeatureTensor::D2(states) => Ok(states),
        FeatureTensor::D3(states) if states.dims()[1] > 0 => Ok(states.narrow(1, 0, 1).squeeze_dim(1)),
        other => Err(LossError::FeatureShape {
            loss: loss.to_string(),
            side,
            shape: other.dims(),
            expected: "[batch, length, hidden] or [batch, hidden]".to_string(),
            remedy: "use `feature = \"hidden\"`".to_string(),
        }),
    }
}

/// Checked states of one layer of each model.
enum States<B: Backend> {
    /// `[positions, hidden]`, all of them.
    All { student: Tensor<B, 2>, teacher: Tensor<B, 2> },
    /// `[batch, length, hidden]` and `[batch, length]`.
    Masked { student: Tensor<B, 3>, teacher: Tensor<B, 3>, mask: Tensor<B, 2> },
}

impl<B: Backend> States<B> {
    fn new(loss: &str, input: &LossInput<B>) -> Result<Self, LossError> {
        let (student, teacher) = input.single(loss)?;
        let shape = student.dims();
        if shape != teacher.dims() {
            return Err(mismatch(loss, shape, teacher.dims()));
        }
        if input.mask.is_none() {
            return Ok(Self::All { student: student.into_positions(), teacher: teacher.into_positions() });
        }
        let (FeatureTensor::D3(student), FeatureTensor::D3(teacher)) = (student, teacher) else {
            return Err(LossError::FeatureShape {
                loss: loss.to_string(),
                side: Side::Student,
                shape,
                expected: "[batch, length, hidden] where there is a mask".to_string(),
                remedy: "use `feature = \"hidden\"`, or give no mask".to_string(),
            });
        };
        let tokens = [shape[0], shape[1]];
        let Some(mask) = checked(loss, &input.mask, &shape, tokens)? else {
            unreachable!("the absence of a mask is handled above")
        };
        Ok(Self::Masked { student, teacher, mask })
    }
}

fn mismatch(loss: &str, student: Vec<usize>, teacher: Vec<usize>) -> LossError {
    let remedy = if student.len() != teacher.len() && loss != "pkd" {
        "give features of the same kind"
    } else if student.last() != teacher.last() {
        PROJECT
    } else {
        "batch and length must be equal; give both models the same batch, tokenized alike"
    };
    LossError::ShapeMismatch { loss: loss.to_string(), student, teacher, remedy: remedy.to_string() }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};

    use super::*;
    use crate::gradient_check::{assert_gradient, numbers};

    fn input(
        student: impl Into<FeatureTensor<TestBackend>>,
        teacher: impl Into<FeatureTensor<TestBackend>>,
        mask: Option<Tensor<TestBackend, 2>>,
    ) -> LossInput<TestBackend> {
        LossInput { student: vec![student.into()], teacher: vec![teacher.into()], mask, teacher_mask: None }
    }

    #[test]
    fn cosine_by_hand() {
        let device = Default::default();
        let student = Tensor::<_, 3>::from_floats([[[1.0, 0.0], [2.0, 0.0]]], &device);
        let teacher = Tensor::<_, 3>::from_floats([[[0.0, 5.0], [3.0, 0.0]]], &device);
        let all = cos_loss(&input(student.clone(), teacher.clone(), None)).unwrap().into_scalar();
        assert_close(&[all], &[0.5], 0.0, 1e-6, "all tokens");
        let mask = Tensor::from_floats([[1.0, 0.0]], &device);
        let masked = cos_loss(&input(student, teacher, Some(mask))).unwrap().into_scalar();
        assert_close(&[masked], &[1.0], 0.0, 1e-6, "first token");
    }

    #[test]
    fn pkd_by_hand() {
        let device = Default::default();
        let student = Tensor::<_, 3>::from_floats([[[3.0, 4.0], [7.0, 7.0]]], &device);
        let teacher = Tensor::<_, 2>::from_floats([[0.0, 2.0]], &device);
        let loss = pkd_loss(&input(student, teacher, None)).unwrap().into_scalar();
        assert_close(&[loss], &[0.36 + 0.04], 1e-6, 0.0, "loss");
    }

    #[test]
    fn pkd_of_a_zero_state_is_finite_in_value_and_gradient() {
        let device = Default::default();
        let student = Tensor::<TestAutodiffBackend, 2>::zeros([1, 3], &device).require_grad();
        let teacher = Tensor::<TestAutodiffBackend, 2>::from_floats([[2.0, 0.0, 0.0]], &device);
        let loss = pkd_loss(&LossInput {
            student: vec![student.clone().into()],
            teacher: vec![teacher.into()],
            mask: None,
            teacher_mask: None,
        })
        .unwrap();
        assert_eq!(loss.clone().into_scalar(), 1.0);
        let gradient = student.grad(&loss.backward()).unwrap().into_data().to_vec::<f32>().unwrap();
        assert_eq!(gradient, [-2.0, 0.0, 0.0]);
    }

    #[test]
    fn a_masked_state_gets_no_gradient_and_zero_states_do_no_harm() {
        let device = Default::default();
        let student = Tensor::<TestAutodiffBackend, 3>::zeros([1, 2, 2], &device).require_grad();
        let teacher = Tensor::<TestAutodiffBackend, 3>::ones([1, 2, 2], &device);
        for loss in [hidden_mse_loss, cos_loss] {
            let value = loss(&LossInput {
                student: vec![student.clone().into()],
                teacher: vec![teacher.clone().into()],
                mask: Some(Tensor::from_floats([[1.0, 0.0]], &device)),
                teacher_mask: None,
            })
            .unwrap();
            assert_eq!(value.clone().into_scalar(), 1.0);
            let gradient = student.grad(&value.backward()).unwrap().into_data().to_vec::<f32>().unwrap();
            assert!(gradient[..2].iter().all(|entry| entry.is_finite() && *entry < 0.0), "{gradient:?}");
            assert_eq!(gradient[2..], [0.0, 0.0]);
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 3>::from_data(numbers([2, 3, 2], 5), &device);
        let mask = Tensor::<TestAutodiffBackend, 2>::from_floats([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], &device);
        for loss in [hidden_mse_loss, cos_loss, pkd_loss] {
            for mask in [None, Some(mask.clone())] {
                assert_gradient::<3>(numbers([2, 3, 2], 4), |student| {
                    loss(&LossInput {
                        student: vec![student.into()],
                        teacher: vec![teacher.clone().into()],
                        mask: mask.clone(),
                        teacher_mask: None,
                    })
                    .unwrap()
                });
            }
        }
    }
}
