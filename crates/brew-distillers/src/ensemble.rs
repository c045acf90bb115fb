use brew_config::{ConfigError, Problem};
use brew_losses::FeatureTensor;
use burn::tensor::backend::Backend;

use crate::{AdaptorOutput, DistillError, Teacher, Wants};

/// Several teachers of one student, each with an adaptor of its own.
///
/// Their logits are averaged, raw, before temperature and softmax: `Σ wᵢ·logitsᵢ / Σ wᵢ`
/// (TextBrewer's `MultiTeacherDistiller`, where all weights are equal).
pub struct Ensemble<B: Backend, T> {
    members: Vec<Box<dyn Teacher<B, T>>>,
    weights: Vec<f64>,
}

impl<B: Backend, T> std::fmt::Debug for Ensemble<B, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ensemble").field("weights", &self.weights).finish_non_exhaustive()
    }
}

impl<B: Backend, T> Ensemble<B, T> {
    /// Teachers that count alike.
    ///
    /// # Errors
    /// [`DistillError::Config`] without any teacher.
    pub fn new(members: Vec<Box<dyn Teacher<B, T>>>) -> Result<Self, DistillError> {
        let weights = vec![1.0; members.len()];
        Self::weighted(members, weights)
    }

    /// Teachers that count by their weights.
    ///
    /// # Errors
    /// [`DistillError::Config`] without any teacher, with another number of weights, a weight that is
    /// negative or not finite, or none above 0.
    pub fn weighted(members: Vec<Box<dyn Teacher<B, T>>>, weights: Vec<f64>) -> Result<Self, DistillError> {
        let mut problems = Vec::new();
        if members.is_empty() {
            problems.push(Problem::new("teachers", "none", "give at least one"));
        } else if weights.len() != members.len() {
            let needed = format!("give one for each of the {} teachers", members.len());
            problems.push(Problem::new("teacher weights", format!("{} weights", weights.len()), needed));
        } else if weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0)
            || weights.iter().sum::<f64>() <= 0.0
        {
            let shown = format!("{weights:?}");
            problems.push(Problem::new("teacher weights", shown, "must be 0 or more, and one above 0"));
        }
        ConfigError::from_problems(problems)?;
        Ok(Self { members, weights })
    }

    /// A single teacher.
    pub(crate) fn single(teacher: impl Teacher<B, T> + 'static) -> Self {
        Self { members: vec![Box::new(teacher)], weights: vec![1.0] }
    }

    /// How many teachers there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// What each teacher says of a batch.
    pub(crate) fn outputs(&self, batch: &T, wants: Wants) -> Result<Vec<AdaptorOutput<B>>, DistillError> {
        self.members.iter().map(|member| member.outputs(batch, wants)).collect()
    }

    /// Whether a teacher keeps its outputs: see [`Teacher::keeps_outputs`].
    pub(crate) fn keeps_outputs(&self) -> bool {
        self.members.iter().any(|member| member.keeps_outputs())
    }

    /// See [`Teacher::recall`].
    pub(crate) fn recall(&self, batch: &T, wants: Wants) -> Result<(), DistillError> {
        self.members.iter().try_for_each(|member| member.recall(batch, wants))
    }

    /// See [`Teacher::rest`].
    pub(crate) fn rest(&self) {
        self.members.iter().for_each(|member| member.rest());
    }

    /// The weighted mean of the teachers' logits, one entry a prediction.
    pub(crate) fn mean_logits(
        &self,
        outputs: &[AdaptorOutput<B>],
    ) -> Result<Vec<FeatureTensor<B>>, DistillError> {
        let (first, others) = outputs.split_first().expect("an ensemble has members");
        if others.is_empty() {
            return Ok(first.logits.clone());
        }
        for (index, other) in others.iter().enumerate() {
            let dims = |output: &AdaptorOutput<B>| -> Vec<_> {
                output.logits.iter().map(FeatureTensor::dims).collect()
            };
            if dims(other) != dims(first) {
                return Err(DistillError::Adaptor {
                    side: "teacher",
                    term: format!("the mean of teachers 0 and {}", index + 1),
                    needed: format!("`logits` of equal shapes, {:?} as teacher 0 gives", dims(first)),
                    found: format!("{:?}", dims(other)),
                });
            }
        }
        let sum: f64 = self.weights.iter().sum();
        Ok((0..first.logits.len())
            .map(|at| {
                let members = outputs.iter().zip(&self.weights);
                members
                    .map(|(output, weight)| scaled(output.logits[at].clone(), weight / sum))
                    .reduce(added)
                    .expect("an ensemble has members")
            })
            .collect())
    }
}

fn scaled<B: Backend>(feature: FeatureTensor<B>, factor: f64) -> FeatureTensor<B> {
    match feature {
        FeatureTensor::D2(tensor) => FeatureTensor::D2(tensor.mul_scalar(factor)),
        FeatureTensor::D3(tensor) => FeatureTensor::D3(tensor.mul_scalar(factor)),
        FeatureTensor::D4(tensor) => FeatureTensor::D4(tensor.mul_scalar(factor)),
    }
}

/// The sum of two features of equal shapes.
fn added<B: Backend>(a: FeatureTensor<B>, b: FeatureTensor<B>) -> FeatureTensor<B> {
    match (a, b) {
        (FeatureTensor::D2(a), FeatureTensor::D2(b)) => FeatureTensor::D2(a + b),
        (FeatureTensor::D3(a), FeatureTensor::D3(b)) => FeatureTensor::D3(a + b),
        (FeatureTensor::D4(a), FeatureTensor::D4(b)) => FeatureTensor::D4(a + b),
        _ => unreachable!("shapes were compared"),
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::TestBackend as B;
    use burn::tensor::Tensor;

    use super::*;

    struct Says(Vec<[f32; 2]>);

    impl Teacher<B, ()> for Says {
        fn outputs(&self, _: &(), _: Wants) -> Result<AdaptorOutput<B>, DistillError> {
            let rows: Vec<f32> = self.0.iter().flatten().copied().collect();
            let logits = Tensor::<B, 1>::from_data(rows.as_slice(), &Default::default());
            Ok(AdaptorOutput::from_logits(logits.reshape([self.0.len(), 2])))
        }
    }

    fn mean(teachers: Vec<Says>, weights: &[f64]) -> Result<Vec<f32>, DistillError> {
        let members = teachers.into_iter().map(|one| Box::new(one) as Box<dyn Teacher<B, ()>>).collect();
        let ensemble = Ensemble::weighted(members, weights.to_vec())?;
        let outputs = ensemble.outputs(&(), Wants::default())?;
        let logits = ensemble.mean_logits(&outputs)?.remove(0);
        Ok(logits.into_positions().into_data().to_vec().unwrap())
    }

    #[test]
    fn logits_are_averaged_by_weight() {
        let teachers = || vec![Says(vec![[1.0, 2.0]]), Says(vec![[3.0, -2.0]])];
        assert_eq!(mean(teachers(), &[1.0, 1.0]).unwrap(), [2.0, 0.0]);
        assert_eq!(mean(teachers(), &[3.0, 1.0]).unwrap(), [1.5, 1.0]);
        assert_eq!(mean(teachers(), &[0.0, 2.0]).unwrap(), [3.0, -2.0]);
    }

    #[test]
    fn teachers_that_disagree_on_the_shape_are_named() {
        let error = mean(vec![Says(vec![[1.0, 2.0]]), Says(vec![[1.0, 2.0]; 3])], &[1.0, 1.0]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("teachers 0 and 1") && text.contains("[3, 2]"), "{text}");
    }

    #[test]
    fn weights_that_cannot_be_used_are_refused() {
        for weights in [&[][..], &[1.0], &[1.0, -1.0], &[0.0, 0.0], &[1.0, f64::NAN]] {
            let error = mean(vec![Says(vec![[1.0, 2.0]]), Says(vec![[1.0, 2.0]])], weights).unwrap_err();
            assert!(error.to_string().contains("teacher weights"), "{error}");
        }
        let error = Ensemble::<B, ()>::new(Vec::new()).unwrap_err();
        assert!(error.to_string().contains("teachers"), "{error}");
    }
}
