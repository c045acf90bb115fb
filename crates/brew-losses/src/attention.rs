//! Losses on attention matrices, made for scores before the softmax.
//!
//! Every loss takes `[batch, heads, length, length]`, or `[batch, length, length]` as one head.

use brew_kernels::losses::{Comparison, Heads, attention_loss};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;

use crate::log_softmax::log_softmax;
use crate::masking::{checked, drop_masked_scores, pair_mean, query_mean};
use crate::{FeatureTensor, LossError, LossInput, Side};

/// Mean squared error of attention scores, head by head (TextBrewer's `att_mse_loss`).
///
/// With a mask `m`: `Σ m_q m_k (S − T)² / (heads · Σ_batch (Σ m)²)`. Without one, entries of at most
/// −0.001 are set to 0 in student and teacher each by itself, and the mean is over all entries.
///
/// # Shapes
/// - student, teacher: `[batch, heads, length, length]` or `[batch, length, length]`
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
///
/// ```
/// use brew_losses::{LossInput, attention_mse_loss};
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let scores = |value: f32| Tensor::<TestBackend, 4>::full([1, 2, 3, 3], value, &device);
/// let input = LossInput { student: vec![scores(1.0).into()], teacher: vec![scores(3.0).into()], mask: None, teacher_mask: None };
/// assert_eq!(attention_mse_loss(&input)?.into_scalar(), 4.0);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn attention_mse_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    squared_error("attention_mse", input, Heads::Keep)
}

/// Mean squared error of attention scores summed over heads (TextBrewer's `att_mse_sum_loss`).
///
/// As [`attention_mse_loss`] with one head, the sum of all; the numbers of heads may differ.
///
/// # Shapes
/// - student, teacher: `[batch, heads, length, length]` or `[batch, length, length]`
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn attention_mse_sum_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    squared_error("attention_mse_sum", input, Heads::Sum)
}

/// Cross-entropy of attention distributions, head by head (TextBrewer's `att_ce_loss`).
///
/// `−Σ_k softmax(T)_k · log softmax(S)_k`, averaged over queries and heads. With a mask, both queries
/// and keys that do not count are left out of the sums (the softmax still runs over all keys). Without
/// one, the teacher's probability is set to 0 where its score is at most −0.001.
///
/// # Shapes
/// - student, teacher: `[batch, heads, length, length]` or `[batch, length, length]`
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn attention_ce_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    cross_entropy("attention_ce", input, Heads::Keep)
}

/// Cross-entropy of attention distributions of scores averaged over heads (TextBrewer's
/// `att_ce_mean_loss`).
///
/// As [`attention_ce_loss`] with one head, the mean of all; the numbers of heads may differ.
///
/// # Shapes
/// - student, teacher: `[batch, heads, length, length]` or `[batch, length, length]`
/// - mask: `[batch, length]`
///
/// # Errors
/// The shapes do not fit the loss or each other.
pub fn attention_ce_mean_loss<B: Backend>(input: &LossInput<B>) -> Result<Tensor<B, 1>, LossError> {
    cross_entropy("attention_ce_mean", input, Heads::Mean)
}

fn squared_error<B: Backend>(
    loss: &str,
    input: &LossInput<B>,
    heads: Heads,
) -> Result<Tensor<B, 1>, LossError> {
    let scores = Scores::new(loss, input, heads)?;
    if let Some(loss) = scores.by_kernel(Comparison::SquaredError) {
        return Ok(loss);
    }
    let Scores { student, teacher, mask, .. } = scores.reduced();
    let head_count = student.dims()[1] as f64;
    Ok(match mask {
        None => {
            let student = drop_masked_scores(student.clone(), student);
            let teacher = drop_masked_scores(teacher.clone(), teacher);
            (student - teacher).square().mean()
        }
        Some(mask) => pair_mean(sum_heads((student - teacher).square()), mask) / head_count,
    })
}

fn cross_entropy<B: Backend>(
    loss: &str,
    input: &LossInput<B>,
    heads: Heads,
) -> Result<Tensor<B, 1>, LossError> {
    let scores = Scores::new(loss, input, heads)?;
    if let Some(loss) = scores.by_kernel(Comparison::CrossEntropy) {
        return Ok(loss);
    }
    let Scores { student, teacher, mask, .. } = scores.reduced();
    let [batch, head_count, queries, _] = student.dims();
    let log_student = log_softmax(student, 3);
    Ok(match mask {
        None => {
            let teacher = drop_masked_scores(softmax(teacher.clone(), 3), teacher);
            (log_student * teacher).sum() / -((batch * head_count * queries) as f64)
        }
        Some(mask) => {
            let teacher = softmax(teacher, 3);
            query_mean(sum_heads(log_student * teacher), mask) / -(head_count as f64)
        }
    })
}

/// `[batch, heads, length, length]` → `[batch, length, length]`
fn sum_heads<B: Backend>(per_head: Tensor<B, 4>) -> Tensor<B, 3> {
    let has_one_head = per_head.dims()[1] == 1;
    if has_one_head { per_head.squeeze_dim(1) } else { per_head.sum_dim(1).squeeze_dim(1) }
}

/// Checked scores, `[batch, heads, length, length]`.
struct Scores<B: Backend> {
    student: Tensor<B, 4>,
    teacher: Tensor<B, 4>,
    mask: Option<Tensor<B, 2>>,
    /// What becomes of the heads before they are compared.
    heads: Heads,
}

impl<B: Backend> Scores<B> {
    fn new(loss: &str, input: &LossInput<B>, heads: Heads) -> Result<Self, LossError> {
        let (student, teacher) = input.single(loss)?;
        let (student_shape, teacher_shape) = (student.dims(), teacher.dims());
        let student = with_heads(loss, Side::Student, student)?;
        let teacher = with_heads(loss, Side::Teacher, teacher)?;
        let without_heads = |scores: &Tensor<B, 4>| [0, 2, 3].map(|dim| scores.dims()[dim]);
        let differ_in_heads = student.dims()[1] != teacher.dims()[1];
        let differ_in_more = without_heads(&student) != without_heads(&teacher);
        if differ_in_more || (differ_in_heads && heads == Heads::Keep) {
            let remedy = if !differ_in_more {
                "the numbers of heads must be equal; use `attention_mse_sum` or `attention_ce_mean`, which reduce them"
            } else {
                "batch and lengths must be equal; give both models the same batch, tokenized alike"
            };
            return Err(LossError::ShapeMismatch {
                loss: loss.to_string(),
                student: student_shape,
                teacher: teacher_shape,
                remedy: remedy.to_string(),
            });
        }
        let [batch, _, queries, keys] = student.dims();
        if input.mask.is_some() && queries != keys {
            return Err(LossError::FeatureShape {
                loss: loss.to_string(),
                side: Side::Student,
                shape: student_shape,
                expected: "square in its last two dimensions where there is a mask".to_string(),
                remedy: "use `feature = \"attention\"`, or give no mask".to_string(),
            });
        }
        let mask = checked(loss, &input.mask, &student_shape, [batch, keys])?;
        Ok(Self { student, teacher, mask, heads })
    }

    fn by_kernel(&self, comparison: Comparison) -> Option<Tensor<B, 1>> {
        attention_loss(comparison, self.heads, &self.student, &self.teacher, self.mask.as_ref())
    }

    /// With as many heads as are compared.
    fn reduced(self) -> Self {
        let [student, teacher] = [self.student, self.teacher].map(|scores| reduce_heads(scores, self.heads));
        Self { student, teacher, ..self }
    }
}

fn with_heads<B: Backend>(
    loss: &str,
    side: Side,
    feature: FeatureTensor<B>,
) -> Result<Tensor<B, 4>, LossError> {
    match feature {
        FeatureTensor::D4(scores) => Ok(scores),
        FeatureTensor::D3(scores) => Ok(scores.unsqueeze_dim(1)),
        FeatureTensor::D2(pooled) => Err(LossError::FeatureShape {
            loss: loss.to_string(),
            side,
            shape: pooled.dims().to_vec(),
            expected: "[batch, heads, length, length] or [batch, length, length]".to_string(),
            remedy: "use `feature = \"attention\"`".to_string(),
        }),
    }
}

fn reduce_heads<B: Backend>(scores: Tensor<B, 4>, heads: Heads) -> Tensor<B, 4> {
    match heads {
        _ if scores.dims()[1] == 1 => scores,
        Heads::Keep => scores,
        Heads::Sum => scores.sum_dim(1),
        Heads::Mean => scores.mean_dim(1),
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend, assert_close};
    use burn::tensor::TensorData;

    use super::*;
    use crate::gradient_check::{assert_gradient, numbers};

    type Loss<B> = fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError>;

    fn scores<B: Backend, const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
    }

    fn value(
        loss: Loss<TestBackend>,
        student: impl Into<FeatureTensor<TestBackend>>,
        teacher: impl Into<FeatureTensor<TestBackend>>,
        mask: Option<&[f32]>,
    ) -> f32 {
        let mask = mask.map(|mask| scores(mask, [1, mask.len()]));
        let input = LossInput {
            student: vec![student.into()],
            teacher: vec![teacher.into()],
            mask,
            teacher_mask: None,
        };
        loss(&input).unwrap().into_scalar()
    }

    #[test]
    fn masked_mse_counts_pairs_of_tokens_in_every_head() {
        let student = scores::<_, 4>(&[1.0, 9.0, 9.0, 9.0, 2.0, 9.0, 9.0, 9.0], [1, 2, 2, 2]);
        let teacher = scores::<_, 4>(&[3.0, 0.0, 0.0, 0.0, 6.0, 0.0, 0.0, 0.0], [1, 2, 2, 2]);
        let loss = value(attention_mse_loss, student.clone(), teacher.clone(), Some(&[1.0, 0.0]));
        assert_close(&[loss], &[(4.0 + 16.0) / 2.0], 1e-6, 0.0, "head by head");
        let loss = value(attention_mse_sum_loss, student, teacher, Some(&[1.0, 0.0]));
        assert_close(&[loss], &[36.0], 1e-6, 0.0, "summed");
    }

    #[test]
    fn unmasked_mse_zeroes_student_and_teacher_each_where_it_is_itself_low() {
        let student = scores::<_, 3>(&[-5.0, 1.0, -0.0005, 2.0], [1, 2, 2]);
        let teacher = scores::<_, 3>(&[2.0, -5.0, 0.0, -0.001], [1, 2, 2]);
        let expected = [(4.0 + 1.0 + 0.0005f32.powi(2) + 4.0) / 4.0];
        assert_close(&[value(attention_mse_loss, student, teacher, None)], &expected, 1e-6, 0.0, "loss");
    }

    #[test]
    fn unmasked_mse_sum_zeroes_after_the_sum_over_heads() {
        let student = scores::<_, 4>(&[-0.5, 1.0], [1, 2, 1, 1]);
        let teacher = scores::<_, 4>(&[-2.0, 1.0], [1, 2, 1, 1]);
        assert_close(&[value(attention_mse_sum_loss, student, teacher, None)], &[0.25], 1e-6, 0.0, "loss");
    }

    #[test]
    fn masked_three_dimensional_attention_is_attention_of_one_head() {
        let (student, teacher) = (numbers([2, 3, 3], 1), numbers([2, 3, 3], 2));
        let device = Default::default();
        let mask = scores::<TestBackend, 2>(&[1.0, 1.0, 0.0, 1.0, 0.0, 0.0], [2, 3]);
        for loss in [attention_mse_loss, attention_mse_sum_loss, attention_ce_loss, attention_ce_mean_loss]
            as [Loss<_>; 4]
        {
            let flat = |data: &TensorData| Tensor::<TestBackend, 3>::from_data(data.clone(), &device);
            let headed = |data: &TensorData| flat(data).unsqueeze_dim::<4>(1);
            let without_heads = LossInput {
                student: vec![flat(&student).into()],
                teacher: vec![flat(&teacher).into()],
                mask: Some(mask.clone()),
                teacher_mask: None,
            };
            let with_heads = LossInput {
                student: vec![headed(&student).into()],
                teacher: vec![headed(&teacher).into()],
                mask: Some(mask.clone()),
                teacher_mask: None,
            };
            let (actual, expected) = (loss(&without_heads).unwrap(), loss(&with_heads).unwrap());
            assert_close(&[actual.into_scalar()], &[expected.into_scalar()], 1e-6, 0.0, "loss");
        }
        // Two tokens count in the first sequence and one in the second: 4 + 1 pairs.
        let (student, teacher): (Vec<f32>, Vec<f32>) = (student.iter().collect(), teacher.iter().collect());
        let squared: f32 = [0, 1, 3, 4, 9].iter().map(|pair| (student[*pair] - teacher[*pair]).powi(2)).sum();
        let input = LossInput::<TestBackend> {
            student: vec![scores::<_, 3>(&student, [2, 3, 3]).into()],
            teacher: vec![scores::<_, 3>(&teacher, [2, 3, 3]).into()],
            mask: Some(mask),
            teacher_mask: None,
        };
        let loss = attention_mse_loss(&input).unwrap().into_scalar();
        assert_close(&[loss], &[squared / 5.0], 1e-5, 0.0, "by hand");
    }

    #[test]
    fn ce_of_uniform_attention_is_the_logarithm_of_the_length() {
        let uniform = || scores::<TestBackend, 4>(&[0.0; 32], [1, 2, 4, 4]);
        for loss in [attention_ce_loss, attention_ce_mean_loss] as [Loss<_>; 2] {
            assert_close(&[value(loss, uniform(), uniform(), None)], &[4f32.ln()], 1e-6, 0.0, "all");
            // Half of each query's keys count.
            let masked = value(loss, uniform(), uniform(), Some(&[1.0, 0.0, 1.0, 0.0]));
            assert_close(&[masked], &[0.5 * 4f32.ln()], 1e-6, 0.0, "masked");
        }
    }

    #[test]
    fn unmasked_ce_drops_the_teachers_masked_scores() {
        let student = scores::<_, 3>(&[0.0, 0.0], [1, 1, 2]);
        let teacher = scores::<_, 3>(&[0.0, -10000.0], [1, 1, 2]);
        assert_close(&[value(attention_ce_loss, student, teacher, None)], &[2f32.ln()], 1e-6, 0.0, "loss");
        let student = scores::<_, 3>(&[0.0, 0.0], [1, 1, 2]);
        let teacher = scores::<_, 3>(&[-1.0, -1.0], [1, 1, 2]);
        assert_close(&[value(attention_ce_loss, student, teacher, None)], &[0.0], 0.0, 1e-7, "none left");
    }

    #[test]
    fn a_batch_of_nothing_but_padding_costs_nothing() {
        let (student, teacher) = (scores::<_, 3>(&[1.0; 4], [1, 2, 2]), scores::<_, 3>(&[2.0; 4], [1, 2, 2]));
        for loss in [attention_mse_loss, attention_ce_loss] as [Loss<_>; 2] {
            assert_eq!(value(loss, student.clone(), teacher.clone(), Some(&[0.0, 0.0])), 0.0);
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let device = Default::default();
        let teacher = Tensor::<TestAutodiffBackend, 4>::from_data(numbers([2, 2, 3, 3], 5), &device);
        let mask = scores::<TestAutodiffBackend, 2>(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [2, 3]);
        for loss in [attention_mse_loss, attention_mse_sum_loss, attention_ce_loss, attention_ce_mean_loss]
            as [Loss<_>; 4]
        {
            assert_gradient::<4>(numbers([2, 2, 3, 3], 3), |student| {
                loss(&LossInput {
                    student: vec![student.into()],
                    teacher: vec![teacher.clone().into()],
                    mask: Some(mask.clone()),
                    teacher_mask: None,
                })
                .unwrap()
            });
        }
        for loss in [attention_ce_loss, attention_ce_mean_loss] as [Loss<_>; 2] {
            assert_gradient::<4>(numbers([2, 2, 3, 3], 3), |student| {
                loss(&LossInput {
                    student: vec![student.into()],
                    teacher: vec![teacher.clone().into()],
                    mask: None,
                    teacher_mask: None,
                })
                .unwrap()
            });
        }
    }

    #[test]
    fn different_numbers_of_heads_are_summed_or_refused() {
        let (student, teacher) =
            (scores::<_, 4>(&[1.0; 8], [1, 2, 2, 2]), scores::<_, 4>(&[1.0; 16], [1, 4, 2, 2]));
        assert_eq!(value(attention_mse_sum_loss, student.clone(), teacher.clone(), None), 4.0);
        let input = LossInput::<TestBackend> {
            student: vec![student.into()],
            teacher: vec![teacher.into()],
            mask: None,
            teacher_mask: None,
        };
        let message = attention_mse_loss(&input).unwrap_err().to_string();
        assert!(message.contains("[1, 2, 2, 2]") && message.contains("[1, 4, 2, 2]"), "{message}");
        assert!(message.contains("use `attention_mse_sum`"), "{message}");
    }
}
