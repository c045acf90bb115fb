use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::{LossError, Side};

/// A feature of a model, of the rank the model gives it.
///
/// ```
/// use brew_losses::FeatureTensor;
/// use brew_testkit::TestBackend;
/// use burn::tensor::Tensor;
///
/// let hidden = FeatureTensor::from(Tensor::<TestBackend, 3>::zeros([2, 5, 8], &Default::default()));
/// assert_eq!(hidden.dims(), [2, 5, 8]);
/// assert_eq!(hidden.into_positions().dims(), [10, 8]);
/// ```
#[derive(Debug, Clone)]
pub enum FeatureTensor<B: Backend> {
    /// `[batch, width]`: a pooled state, or the logits of a sequence.
    D2(Tensor<B, 2>),
    /// `[batch, length, width]`: hidden states or logits of tokens; `[batch, length, length]`: attention
    /// without heads.
    D3(Tensor<B, 3>),
    /// `[batch, heads, length, length]`: attention.
    D4(Tensor<B, 4>),
}

impl<B: Backend> FeatureTensor<B> {
    /// The shape.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::D2(tensor) => tensor.dims().to_vec(),
            Self::D3(tensor) => tensor.dims().to_vec(),
            Self::D4(tensor) => tensor.dims().to_vec(),
        }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        match self {
            Self::D2(_) => 2,
            Self::D3(_) => 3,
            Self::D4(_) => 4,
        }
    }

    /// All dimensions but the last made one.
    ///
    /// # Shapes
    /// `[.., width]` → `[positions, width]`
    pub fn into_positions(self) -> Tensor<B, 2> {
        match self {
            Self::D2(tensor) => tensor,
            Self::D3(tensor) => tensor.flatten(0, 1),
            Self::D4(tensor) => tensor.flatten(0, 2),
        }
    }

    /// The same values outside the graph: no gradient flows through them.
    #[must_use]
    pub fn detach(self) -> Self {
        match self {
            Self::D2(tensor) => Self::D2(tensor.detach()),
            Self::D3(tensor) => Self::D3(tensor.detach()),
            Self::D4(tensor) => Self::D4(tensor.detach()),
        }
    }
}

impl<B: AutodiffBackend> FeatureTensor<B> {
    /// The same values on the backend without gradients.
    pub fn inner(self) -> FeatureTensor<B::InnerBackend> {
        match self {
            Self::D2(tensor) => FeatureTensor::D2(tensor.inner()),
            Self::D3(tensor) => FeatureTensor::D3(tensor.inner()),
            Self::D4(tensor) => FeatureTensor::D4(tensor.inner()),
        }
    }

    /// A teacher's feature, computed without gradients, on the student's backend.
    pub fn from_inner(inner: FeatureTensor<B::InnerBackend>) -> Self {
        match inner {
            FeatureTensor::D2(tensor) => Self::D2(Tensor::from_inner(tensor)),
            FeatureTensor::D3(tensor) => Self::D3(Tensor::from_inner(tensor)),
            FeatureTensor::D4(tensor) => Self::D4(Tensor::from_inner(tensor)),
        }
    }
}

impl<B: Backend> From<Tensor<B, 2>> for FeatureTensor<B> {
    fn from(tensor: Tensor<B, 2>) -> Self {
        Self::D2(tensor)
    }
}

impl<B: Backend> From<Tensor<B, 3>> for FeatureTensor<B> {
    fn from(tensor: Tensor<B, 3>) -> Self {
        Self::D3(tensor)
    }
}

impl<B: Backend> From<Tensor<B, 4>> for FeatureTensor<B> {
    fn from(tensor: Tensor<B, 4>) -> Self {
        Self::D4(tensor)
    }
}

/// What a loss on intermediate features is computed from.
#[derive(Debug, Clone)]
pub struct LossInput<B: Backend> {
    /// The student's layers, projected where the match says so: one, or two for `fsp` and `nst`.
    pub student: Vec<FeatureTensor<B>>,
    /// The teacher's layers, as many.
    pub teacher: Vec<FeatureTensor<B>>,
    /// `[batch, length]`: 1 for tokens that count, 0 for padding; `None` counts all.
    pub mask: Option<Tensor<B, 2>>,
    /// The same for a teacher that reads batches of its own, `[batch, teacher's length]`; `None` where
    /// `mask` holds for both. Only losses that compare different lengths look at it: `fsp`.
    pub teacher_mask: Option<Tensor<B, 2>>,
}

impl<B: Backend> LossInput<B> {
    /// The only layer of student and teacher, the teacher's detached.
    pub(crate) fn single(&self, loss: &str) -> Result<(FeatureTensor<B>, FeatureTensor<B>), LossError> {
        self.check_layers(loss, 1)?;
        Ok((self.student[0].clone(), self.teacher[0].clone().detach()))
    }

    /// The two layers of student and teacher, `[batch, length, hidden]` each, the teacher's detached.
    pub(crate) fn pairs(&self, loss: &str) -> Result<(LayerPair<B>, LayerPair<B>), LossError> {
        self.check_layers(loss, 2)?;
        let teacher = LayerPair::new(loss, Side::Teacher, &self.teacher)?;
        Ok((
            LayerPair::new(loss, Side::Student, &self.student)?,
            LayerPair { first: teacher.first.detach(), second: teacher.second.detach() },
        ))
    }

    fn check_layers(&self, loss: &str, expected: usize) -> Result<(), LossError> {
        for (side, found) in [(Side::Student, self.student.len()), (Side::Teacher, self.teacher.len())] {
            if found != expected {
                return Err(LossError::LayerCount { loss: loss.to_string(), side, expected, found });
            }
        }
        Ok(())
    }
}

/// Two layers of one model, for the losses of relations between layers.
pub(crate) struct LayerPair<B: Backend> {
    pub(crate) first: Tensor<B, 3>,
    pub(crate) second: Tensor<B, 3>,
}

impl<B: Backend> LayerPair<B> {
    fn new(loss: &str, side: Side, layers: &[FeatureTensor<B>]) -> Result<Self, LossError> {
        let layer = |index: usize| match &layers[index] {
            FeatureTensor::D3(tensor) => Ok(tensor.clone()),
            other => Err(LossError::FeatureShape {
                loss: loss.to_string(),
                side,
                shape: other.dims(),
                expected: "[batch, length, hidden]".to_string(),
                remedy: "use `feature = \"hidden\"`".to_string(),
            }),
        };
        Ok(Self { first: layer(0)?, second: layer(1)? })
    }
}
