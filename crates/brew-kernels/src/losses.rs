//! Losses whose value and gradient come of one pass over memory, where there is a kernel for the tensors.
//!
//! A loss is one number. Where the student's tensor wants a gradient, the pass that sums it up writes the gradient
//! too, and going backward only multiplies by what comes in. Each function here says `None` if there is no kernel for
//! its tensors: then the caller computes its formula in Burn's operations. That is so for another backend or type
//! than flex in f32, for empty tensors, and where the teacher's tensors or the mask want gradients themselves.
//!
//! With a mask, what does not count gives nothing to value and gradient, whatever stands there.

use burn::tensor::{Tensor, backend::Backend};

/// Below this a count is taken for zero: nothing was selected, and the loss is 0 and not 0/0.
pub const SMALLEST_COUNT: f64 = 1e-6;

/// Attention scores up to this are taken for masked by the model.
pub const MASKED_SCORE: f64 = -1e-3;

/// Squared norms up to this are taken for zero.
pub const ZERO_SQUARED_NORM: f64 = 1e-30;

/// What a loss does with the heads of attention before it compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Compares head by head.
    Keep,
    /// Compares their sums.
    Sum,
    /// Compares their means.
    Mean,
}

/// What is compared of two models' attention scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `(S − T)²`
    SquaredError,
    /// `−softmax(T) · log softmax(S)`
    CrossEntropy,
}

/// A loss on attention scores before the softmax.
///
/// - Squared error, with a mask `m`: `Σ m_q m_k (S − T)² / (heads · Σ_batch (Σ m)²)`. Without one, S and T are 0 each
///   where it is itself at most [`MASKED_SCORE`], and the mean is over all entries.
/// - Cross-entropy, with a mask: `−Σ m_q m_k softmax(T)_k · log softmax(S)_k / (heads · Σ m)`, the softmax over all
///   keys. Without one, `softmax(T)` is 0 where T is at most [`MASKED_SCORE`], and the mean is over queries and heads.
///
/// `heads` is 1 where they are summed or averaged.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, heads, queries, keys]`, the heads equal where they are kept
/// - `mask`: `[batch, length]`, with queries and keys of that number
/// - output: `[1]`
///
/// # Panics
/// If the shapes do not fit.
pub fn attention_loss<B: Backend>(
    comparison: Comparison,
    heads: Heads,
    student: &Tensor<B, 4>,
    teacher: &Tensor<B, 4>,
    mask: Option<&Tensor<B, 2>>,
) -> Option<Tensor<B, 1>> {
    let ([batch, student_heads, queries, keys], [_, teacher_heads, ..]) = (student.dims(), teacher.dims());
    let differ_in_heads = student_heads != teacher_heads && heads == Heads::Keep;
    assert!(!differ_in_heads, "there are {student_heads} heads and {teacher_heads}");
    assert_eq!(teacher.dims(), [batch, teacher_heads, queries, keys], "scores of different shapes");
    if let Some(mask) = mask {
        assert_eq!([mask.dims(), [queries, queries]], [[batch, keys], [keys, keys]], "the mask does not fit");
    }
    #[cfg(feature = "flex")]
    {
        let of = crate::flex::AttentionLoss { comparison, heads, mask: crate::flex::mask(mask)? };
        crate::flex::loss(of, [student, teacher])
    }
    #[cfg(not(feature = "flex"))]
    None
}

/// Mean squared error of hidden states, with a mask over those of the tokens that count:
/// `Σ m (S − T)² / (Σ m · width)`.
///
/// # Shapes
/// - `student`, `teacher`: `[positions, width]`
/// - `mask`: of as many numbers as there are positions
/// - output: `[1]`
///
/// # Panics
/// If the shapes do not fit.
pub fn state_loss<B: Backend, const D: usize>(
    student: &Tensor<B, D>,
    teacher: &Tensor<B, D>,
    mask: Option<&Tensor<B, 2>>,
) -> Option<Tensor<B, 1>> {
    assert_eq!(student.dims(), teacher.dims(), "states of different shapes");
    if let Some(mask) = mask {
        let positions: usize = student.dims().iter().rev().skip(1).product();
        assert_eq!(mask.shape().num_elements(), positions, "the mask does not fit");
    }
    #[cfg(feature = "flex")]
    {
        crate::flex::loss(crate::flex::StateLoss { mask: crate::flex::mask(mask)? }, [student, teacher])
    }
    #[cfg(not(feature = "flex"))]
    None
}

/// Squared distance of the normalised first states, averaged over the batch: `‖S₀/‖S₀‖ − T₀/‖T₀‖‖²`. A state whose
/// squared norm is at most [`ZERO_SQUARED_NORM`] is left as it is.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, length, width]`, the lengths each its own and not 0
/// - output: `[1]`
///
/// # Panics
/// If the shapes do not fit.
pub fn first_state_loss<B: Backend>(student: &Tensor<B, 3>, teacher: &Tensor<B, 3>) -> Option<Tensor<B, 1>> {
    let ([batch, _, width], [teacher_batch, _, teacher_width]) = (student.dims(), teacher.dims());
    assert_eq!([batch, width], [teacher_batch, teacher_width], "states of different shapes");
    #[cfg(feature = "flex")]
    {
        crate::flex::loss(crate::flex::FirstStateLoss, [student, teacher])
    }
    #[cfg(not(feature = "flex"))]
    None
}

/// What the products of states are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divisor {
    /// The number of the second layer's positions.
    Length,
    /// The width of each model's states.
    Width,
}

/// Mean squared error of the similarities between the tokens of two layers: `mean((S₁S₂ᵀ/d − T₁T₂ᵀ/d)²)`, with a mask
/// over the pairs of tokens that both count.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, first length, width]` and `[batch, second length, width]`, the widths each
///   model's own
/// - `mask`: `[batch, length]`, where both lengths are that
/// - output: `[1]`
///
/// # Panics
/// If the shapes do not fit.
pub fn similarity_loss<B: Backend>(
    divisor: Divisor,
    student: [&Tensor<B, 3>; 2],
    teacher: [&Tensor<B, 3>; 2],
    mask: Option<&Tensor<B, 2>>,
) -> Option<Tensor<B, 1>> {
    let [batch, first, width] = student[0].dims();
    let [_, second, _] = student[1].dims();
    let [_, _, teacher_width] = teacher[0].dims();
    assert_eq!(student[1].dims(), [batch, second, width], "the student's layers do not fit");
    assert_eq!(teacher[0].dims(), [batch, first, teacher_width], "the models' first layers do not fit");
    assert_eq!(teacher[1].dims(), [batch, second, teacher_width], "the models' second layers do not fit");
    if let Some(mask) = mask {
        assert_eq!([mask.dims(), [first, first]], [[batch, second], [second, second]], "the mask does not fit");
    }
    #[cfg(feature = "flex")]
    {
        let of = crate::flex::SimilarityLoss { divisor, mask: crate::flex::mask(mask)? };
        crate::flex::loss_of_pairs(of, [student[0], student[1], teacher[0], teacher[1]])
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = divisor;
        None
    }
}
