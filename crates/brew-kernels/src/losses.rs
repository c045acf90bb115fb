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
/// - `student`, `teacher`: `[.., width]`
/// - `mask`: of as many numbers as there are states of that width
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
        assert_eq!(
            [mask.dims(), [first, first]],
            [[batch, second], [second, second]],
            "the mask does not fit"
        );
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use brew_random::Key;
    use brew_testkit::{TestAutodiffBackend, TestBackend};
    use burn::backend::Autodiff;
    use burn::tensor::TensorData;
    use burn_flex::Flex;

    use super::*;

    type B = Autodiff<Flex>;

    fn numbers<B: Backend, const D: usize>(salt: u64, shape: [usize; D]) -> Tensor<B, D> {
        let values = Key::new(salt).normal(shape.iter().product(), 1.5);
        Tensor::from_data(TensorData::new(values, shape), &B::Device::default())
    }

    fn floats<B: Backend, const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
        x.into_data().to_vec().unwrap()
    }

    fn of_scores<B: Backend>(
        [student, teacher]: [&Tensor<B, 4>; 2],
        mask: Option<&Tensor<B, 2>>,
    ) -> Option<Tensor<B, 1>> {
        attention_loss(Comparison::SquaredError, Heads::Keep, student, teacher, mask)
    }

    fn of_states<B: Backend>([first, second]: [&Tensor<B, 3>; 2]) -> [Option<Tensor<B, 1>>; 3] {
        [
            state_loss(first, second, None),
            first_state_loss(first, second),
            similarity_loss(Divisor::Width, [first, first], [second, second], None),
        ]
    }

    #[test]
    fn there_are_kernels_for_flex_alone() {
        let states = [1, 2].map(|salt| numbers::<Flex, 3>(salt, [2, 3, 4]));
        assert!(of_states(states.each_ref()).iter().all(Option::is_some));
        let states = [1, 2].map(|salt| numbers::<TestBackend, 3>(salt, [2, 3, 4]));
        assert!(of_states(states.each_ref()).iter().all(Option::is_none));
        let scores = [1, 2].map(|salt| numbers::<B, 4>(salt, [2, 3, 4, 4]));
        assert!(of_scores(scores.each_ref(), Some(&numbers(3, [2, 4]))).is_some());
        let scores = [1, 2].map(|salt| numbers::<TestAutodiffBackend, 4>(salt, [2, 3, 4, 4]));
        assert!(of_scores(scores.each_ref(), None).is_none());
        let empty = numbers::<B, 3>(1, [0, 3, 4]);
        assert!(of_states([&empty, &empty]).iter().all(Option::is_none));
    }

    #[test]
    fn a_teacher_or_a_mask_that_wants_a_gradient_has_no_kernel() {
        let [student, teacher] = [1, 2].map(|salt| numbers::<B, 3>(salt, [2, 3, 4]));
        let teacher = teacher.require_grad();
        assert!(of_states([&student, &teacher]).iter().all(Option::is_none));
        assert!(of_states([&teacher, &student]).iter().all(Option::is_some));
        let scores = [1, 2].map(|salt| numbers::<B, 4>(salt, [2, 3, 4, 4]));
        assert!(of_scores(scores.each_ref(), Some(&numbers(3, [2, 4]).require_grad())).is_none());
    }

    /// Value and gradient of what counts are finite, and it is told apart from what does not.
    #[test]
    fn what_the_mask_leaves_out_may_be_anything() {
        let device = Default::default();
        let mask = Tensor::<B, 2>::from_floats([[1.0, 0.0]], &device);
        let scores = |value: f32| {
            Tensor::<B, 4>::from_floats([[[[1.0, f32::INFINITY], [f32::NAN, value]]]], &device).require_grad()
        };
        let teacher = Tensor::<B, 4>::zeros([1, 1, 2, 2], &device);
        let student = scores(f32::NAN);
        let loss = of_scores([&student, &teacher], Some(&mask)).unwrap();
        let gradients = loss.backward();
        assert_eq!(floats(loss), [1.0]);
        assert_eq!(floats(student.grad(&gradients).unwrap()), [2.0, 0.0, 0.0, 0.0]);
        let loss = of_scores([&scores(0.0), &teacher], None).unwrap();
        assert!(floats(loss)[0].is_nan(), "what counts and is no number shows");
    }

    /// Of heads that are made one each gets the same gradient; who adds to it gets numbers of its own.
    #[test]
    fn a_shared_gradient_may_be_added_to() {
        let scores = numbers::<B, 4>(1, [2, 3, 5, 5]).require_grad();
        let teacher = numbers::<B, 4>(2, [2, 3, 5, 5]);
        let loss = || attention_loss(Comparison::CrossEntropy, Heads::Mean, &scores, &teacher, None).unwrap();
        let once = floats(scores.grad(&loss().backward()).unwrap());
        let gradients = (loss() + scores.clone().sum() + loss()).backward();
        let found = floats(scores.grad(&gradients).unwrap());
        for (found, once) in found.iter().zip(&once) {
            assert!((found - (2.0 * once + 1.0)).abs() < 1e-6, "{found} and {once}");
        }
    }

    #[test]
    fn sums_do_not_depend_on_the_number_of_threads() {
        let compute = || {
            let scores = numbers::<B, 4>(1, [3, 4, 70, 70]).require_grad();
            let states = [3, 4].map(|salt| numbers::<B, 3>(salt, [3, 70, 90]));
            let teacher = numbers::<B, 4>(2, [3, 4, 70, 70]);
            let mut all = Vec::new();
            for comparison in [Comparison::SquaredError, Comparison::CrossEntropy] {
                for heads in [Heads::Keep, Heads::Sum] {
                    let loss = attention_loss(comparison, heads, &scores, &teacher, None).unwrap();
                    all.extend(floats(scores.grad(&loss.backward()).unwrap()));
                    all.extend(floats(loss));
                }
            }
            all.extend(of_states(states.each_ref()).into_iter().flat_map(|loss| floats(loss.unwrap())));
            all
        };
        let on =
            |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(compute);
        assert_eq!(on(1), on(3));
    }

    #[test]
    #[should_panic(expected = "the mask does not fit")]
    fn a_mask_of_another_length_is_refused() {
        let scores = numbers::<B, 4>(1, [2, 3, 4, 4]);
        let _ = of_scores([&scores, &scores], Some(&numbers(2, [2, 5])));
    }
}
