//! Losses on attention matrices, made for scores before the softmax.
//!
//! Every loss takes `[batch, heads, length, length]`, or `[batch, length, length]` as one head.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::backend::Backend;

use crate::masking::{checked, drop_masked_scores, pair_mean, query_mean};
use crate::{FeatureTensor, LossError, LossInput, Side};

/// What a loss does with the heads before it compares.
#[derive(Clone, Copy)]
enum Heads {
    Keep,
    Sum,
    Mean,
}

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
/// let input = LossInput { student: vec![scores(1.0).into()], teacher: vec![scores(3.0).into()], mask: None };
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
    let Scores { student, teacher, mask } = Scores::new(loss, input, heads)?;
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
    let Scores { student, teacher, mask } = Scores::new(loss, input, heads)?;
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

/// Checked scores, `[batch, heads, length, length]`, heads reduced as the loss wants them.
struct Scores<B: Backend> {
    student: Tensor<B, 4>,
    teacher: Tensor<B, 4>,
    mask: Option<Tensor<B, 2>>,
}

impl<B: Backend> Scores<B> {
    fn new(loss: &str, input: &LossInput<B>, heads: Heads) -> Result<Self, LossError> {
        let (student, teacher) = input.single(loss)?;
        let (student_shape, teacher_shape) = (student.dims(), teacher.dims());
        let student = reduce_heads(with_heads(loss, Side::Student, student)?, heads);
        let teacher = reduce_heads(with_heads(loss, Side::Teacher, teacher)?, heads);
        if student.dims() != teacher.dims() {
            let differ_in_heads_only =
                student.dims()[0] == teacher.dims()[0] && student.dims()[2..] == teacher.dims()[2..];
            let remedy = if differ_in_heads_only {
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
        Ok(Self { student, teacher, mask })
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
