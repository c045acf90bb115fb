//! Batches of their own for student and teacher: other tokenizers, or outputs computed beforehand.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use derive_new::new;

use crate::{Adaptor, AdaptorOutput, DistillError, ForwardContext, Teacher, Wants};

/// The same examples as the student and as the teacher reads them: TextBrewer's batches with the keys
/// `student` and `teacher`.
///
/// With [`AdaptorOutput`] for `T` the teacher's outputs come with the batch (TextBrewer's `teacher_cache`):
/// [`GivenOutputs`] is a teacher of such batches.
#[derive(Debug, Clone)]
pub struct SplitBatch<S, T> {
    /// The student's batch.
    pub student: S,
    /// The teacher's batch of the same examples, in the same order.
    pub teacher: T,
}

/// An adaptor of the student's batches on split ones.
#[derive(Debug, Clone, Copy, new)]
pub struct StudentSide<A>(A);

impl<B, M, S, T, A> Adaptor<B, M, SplitBatch<S, T>> for StudentSide<A>
where
    B: Backend,
    A: Adaptor<B, M, S>,
{
    fn adapt(
        &self,
        model: &M,
        batch: &SplitBatch<S, T>,
        context: ForwardContext,
    ) -> Result<AdaptorOutput<B>, DistillError> {
        self.0.adapt(model, &batch.student, context)
    }
}

/// A teacher of its own batches on split ones.
#[derive(Debug, Clone, Copy, new)]
pub struct TeacherSide<Te>(Te);

impl<B, S, T, Te> Teacher<B, SplitBatch<S, T>> for TeacherSide<Te>
where
    B: Backend,
    Te: Teacher<B, T>,
{
    fn outputs(&self, batch: &SplitBatch<S, T>, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        self.0.outputs(&batch.teacher, wants)
    }

    fn keeps_outputs(&self) -> bool {
        self.0.keeps_outputs()
    }

    fn recall(&self, batch: &SplitBatch<S, T>, wants: Wants) -> Result<(), DistillError> {
        self.0.recall(&batch.teacher, wants)
    }

    fn rest(&self) {
        self.0.rest();
    }
}

/// A teacher of batches that are its outputs already.
///
/// ```
/// use brew_distillers::{AdaptorOutput, GivenOutputs, SplitBatch, Teacher, TeacherSide, Wants};
/// use brew_testkit::TestBackend as B;
/// use burn::tensor::Tensor;
///
/// let logits = Tensor::<B, 2>::from_floats([[1.0, -1.0]], &Default::default());
/// let batch = SplitBatch { student: "the student's batch", teacher: AdaptorOutput::from_logits(logits) };
/// let outputs = TeacherSide::new(GivenOutputs).outputs(&batch, Wants::default())?;
/// assert_eq!(outputs.logits[0].dims(), [1, 2]);
/// # Ok::<(), brew_distillers::DistillError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenOutputs;

impl<B: Backend> Teacher<B, AdaptorOutput<B>> for GivenOutputs {
    fn outputs(&self, batch: &AdaptorOutput<B>, _: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        Ok(batch.clone())
    }
}

/// A teacher whose tokens are not the student's: what it says of its tokens is carried over to the
/// student's, each of which gets the mean of the teacher's tokens it is made of.
///
/// Carried over are logits and `logits_mask` of tokens, hidden states, queries, keys and values, and
/// `inputs_mask`; predictions of whole texts stay as they are. Only tokens count that count on both sides and
/// have a counterpart. Attention is between the teacher's own tokens and cannot be carried over.
#[derive(new)]
pub struct AlignedTeacher<Te, F> {
    teacher: Te,
    /// The shares of the teacher's tokens in each of the student's, `[batch, student's length, teacher's
    /// length]`; a row has the sum 1, or 0 where a token has no counterpart.
    alignment: F,
}

impl<B, T, Te, F> Teacher<B, T> for AlignedTeacher<Te, F>
where
    B: Backend,
    Te: Teacher<B, T>,
    F: Fn(&T) -> Tensor<B, 3>,
{
    fn outputs(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        if wants.attention || wants.attention_scores {
            return Err(DistillError::Adaptor {
                side: "teacher",
                term: "a match of attention".into(),
                needed: "a teacher that reads the student's tokens".into(),
                found: "outputs for tokens of its own; match hidden states, queries, keys or values".into(),
            });
        }
        let output = self.teacher.outputs(batch, wants)?;
        align(output, &(self.alignment)(batch))
    }

    fn keeps_outputs(&self) -> bool {
        self.teacher.keeps_outputs()
    }

    fn recall(&self, batch: &T, wants: Wants) -> Result<(), DistillError> {
        self.teacher.recall(batch, wants)
    }

    fn rest(&self) {
        self.teacher.rest();
    }
}

/// A teacher's output for the student's tokens.
fn align<B: Backend>(
    output: AdaptorOutput<B>,
    alignment: &Tensor<B, 3>,
) -> Result<AdaptorOutput<B>, DistillError> {
    let [batch, _, length] = alignment.dims();
    let fits = |dims: &[usize], what: &str| {
        if dims[..2] == [batch, length] {
            return Ok(());
        }
        Err(DistillError::Adaptor {
            side: "teacher",
            term: format!("the alignment of `{what}` with the student's tokens"),
            needed: format!("{batch} texts of {length} tokens"),
            found: format!("shape {dims:?}"),
        })
    };
    let carry = |states: Vec<Tensor<B, 3>>, what: &str| -> Result<Vec<Tensor<B, 3>>, DistillError> {
        states
            .into_iter()
            .map(|state| {
                fits(&state.dims(), what)?;
                Ok(alignment.clone().matmul(state))
            })
            .collect()
    };

    let mut aligned = AdaptorOutput { aligned: true, ..AdaptorOutput::default() };
    for (index, logits) in output.logits.iter().enumerate() {
        let brew_losses::FeatureTensor::D3(logits) = logits else {
            aligned.logits.push(logits.clone());
            continue;
        };
        let mask = match output.logits_mask.len() {
            0 => None,
            1 => Some(&output.logits_mask[0]),
            _ => output.logits_mask.get(index),
        };
        if let Some(mask) = mask {
            fits(&mask.dims(), "logits_mask")?;
        }
        fits(&logits.dims(), "logits")?;
        // The mean is over those of the teacher's tokens that count.
        let shares = match mask {
            Some(mask) => renormalised(alignment.clone() * mask.clone().unsqueeze_dim(1)),
            None => alignment.clone(),
        };
        aligned.logits.push(shares.clone().matmul(logits.clone()).into());
        aligned.logits_mask.push(has_counterpart(shares));
    }
    aligned.hidden = carry(output.hidden, "hidden")?;
    aligned.queries = carry(output.queries, "queries")?;
    aligned.keys = carry(output.keys, "keys")?;
    aligned.values = carry(output.values, "values")?;
    aligned.others = output.others;
    aligned.inputs_mask = Some(match output.inputs_mask {
        Some(mask) => {
            fits(&mask.dims(), "inputs_mask")?;
            has_counterpart(alignment.clone() * mask.unsqueeze_dim(1))
        }
        None => has_counterpart(alignment.clone()),
    });
    Ok(aligned)
}

/// Each row divided by its sum, rows of zeros left as they are.
fn renormalised<B: Backend>(shares: Tensor<B, 3>) -> Tensor<B, 3> {
    let sums = shares.clone().sum_dim(2);
    let empty = sums.clone().equal_elem(0.0);
    shares / sums.mask_fill(empty, 1.0)
}

/// 1 for each of the student's tokens that has a counterpart, `[batch, student's length]`.
fn has_counterpart<B: Backend>(shares: Tensor<B, 3>) -> Tensor<B, 2> {
    shares.sum_dim(2).greater_elem(0.0).float().squeeze_dim(2)
}

#[cfg(test)]
mod tests {
    use brew_testkit::TestBackend as B;

    use super::*;

    fn values<const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
        tensor.into_data().to_vec().unwrap()
    }

    /// A student of three tokens over a teacher of four: the first is made of the teacher's first two, the
    /// second of its third, the last of none.
    fn alignment() -> Tensor<B, 3> {
        Tensor::from_floats(
            [[[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]],
            &Default::default(),
        )
    }

    fn output() -> AdaptorOutput<B> {
        let device = Default::default();
        let tokens = Tensor::<B, 3>::from_floats([[[1.0, 0.0], [3.0, 2.0], [5.0, 6.0], [9.0, 9.0]]], &device);
        AdaptorOutput {
            logits: vec![tokens.clone().into()],
            hidden: vec![tokens],
            inputs_mask: Some(Tensor::ones([1, 4], &device)),
            ..AdaptorOutput::default()
        }
    }

    fn aligned(output: AdaptorOutput<B>, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        let says = move |_: &(), _: Wants| Ok(output.clone());
        AlignedTeacher::new(says, |_: &()| alignment()).outputs(&(), wants)
    }

    #[test]
    fn a_token_gets_the_mean_of_those_it_is_made_of() {
        let found = aligned(output(), Wants::default()).unwrap();
        assert_eq!(values(found.hidden[0].clone()), [2.0, 1.0, 5.0, 6.0, 0.0, 0.0]);
        assert_eq!(values(found.logits[0].clone().into_positions()), [2.0, 1.0, 5.0, 6.0, 0.0, 0.0]);
        assert_eq!(values(found.logits_mask[0].clone()), [1.0, 1.0, 0.0]);
        assert_eq!(values(found.inputs_mask.unwrap()), [1.0, 1.0, 0.0]);
    }

    #[test]
    fn tokens_whose_logits_do_not_count_are_left_out_of_the_mean() {
        let mask = Tensor::from_floats([[0.0, 1.0, 0.0, 1.0]], &Default::default());
        let found = aligned(AdaptorOutput { logits_mask: vec![mask], ..output() }, Wants::default()).unwrap();
        assert_eq!(values(found.logits[0].clone().into_positions()), [3.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(values(found.logits_mask[0].clone()), [1.0, 0.0, 0.0]);
        // The hidden states do not know of the mask of the logits.
        assert_eq!(values(found.hidden[0].clone()), [2.0, 1.0, 5.0, 6.0, 0.0, 0.0]);
    }

    #[test]
    fn attention_and_wrong_lengths_are_errors() {
        let wants = Wants { attention: true, ..Wants::default() };
        let error = aligned(output(), wants).unwrap_err().to_string();
        assert!(error.contains("attention") && error.contains("hidden states"), "{error}");
        let short = AdaptorOutput { hidden: vec![Tensor::zeros([1, 3, 2], &Default::default())], ..output() };
        let error = aligned(short, Wants::default()).unwrap_err().to_string();
        assert!(error.contains("`hidden`") && error.contains("4 tokens"), "{error}");
    }
}
