//! What of the student is made to resemble what of a teacher, besides the predictions.

use brew_config::{IntermediateMatch, MatchFeature, ProjectionConfig, ProjectionGroup};
use brew_losses::{FeatureTensor, LossError, LossFn, LossInput, LossRegistry};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::{AdaptorOutput, DistillError, Projection, Wants};

/// Picks one tensor of an adaptor's output.
type Select<B> = Box<dyn Fn(&AdaptorOutput<B>) -> Option<FeatureTensor<B>>>;

/// A match of any pair of tensors that the adaptors give, picked by closures.
///
/// TextBrewer's `CustomMatch` hooks into modules of the models; here the adaptors give what is to be matched,
/// such as [`AdaptorOutput::others`].
///
/// ```
/// use brew_distillers::{AdaptorOutput, CustomMatch};
/// use brew_losses::LossInput;
/// use brew_testkit::TestAutodiffBackend as B;
///
/// let pooled = |output: &AdaptorOutput<B>| output.others.get("pooled").cloned();
/// let one = CustomMatch::<B>::new("pooled_l1", pooled, |input: &LossInput<B>| {
///     let (student, teacher) = (input.student[0].clone(), input.teacher[0].clone());
///     Ok((student.into_positions() - teacher.into_positions()).abs().mean())
/// })
/// .with_weight(0.5);
/// ```
pub struct CustomMatch<B: Backend> {
    name: String,
    weight: f64,
    teacher: usize,
    wants: Wants,
    student_feature: Select<B>,
    teacher_feature: Option<Select<B>>,
    projection: Option<ProjectionConfig>,
    loss: LossFn<B>,
}

impl<B: Backend> CustomMatch<B> {
    /// A match of weight 1, logged as `name`, of what `feature` picks from the student's output and from
    /// the first teacher's. `loss` may be one of a registry.
    ///
    /// It asks the adaptors for [`AdaptorOutput::others`] only; see [`with_wants`](Self::with_wants).
    pub fn new(
        name: impl Into<String>,
        feature: impl Fn(&AdaptorOutput<B>) -> Option<FeatureTensor<B>> + 'static,
        loss: impl Fn(&LossInput<B>) -> Result<Tensor<B, 1>, LossError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            weight: 1.0,
            teacher: 0,
            wants: Wants { others: true, ..Wants::default() },
            student_feature: Box::new(feature),
            teacher_feature: None,
            projection: None,
            loss: std::sync::Arc::new(loss),
        }
    }

    /// The same with another tensor picked from the teacher's output.
    #[must_use]
    pub fn with_teacher_feature(
        mut self,
        feature: impl Fn(&AdaptorOutput<B>) -> Option<FeatureTensor<B>> + 'static,
    ) -> Self {
        self.teacher_feature = Some(Box::new(feature));
        self
    }

    /// The same with another weight in the total loss, 0 or more.
    #[must_use]
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// The same with another teacher than the first, counted from 0.
    #[must_use]
    pub fn with_teacher(mut self, teacher: usize) -> Self {
        self.teacher = teacher;
        self
    }

    /// The same with further features asked of the adaptors.
    #[must_use]
    pub fn with_wants(mut self, wants: Wants) -> Self {
        self.wants = self.wants.or(wants);
        self
    }

    /// The same with the student's tensor behind a projection, which is trained with the student.
    #[must_use]
    pub fn with_projection(mut self, projection: ProjectionConfig) -> Self {
        self.projection = Some(projection);
        self
    }
}

impl<B: Backend> std::fmt::Debug for CustomMatch<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, weight, teacher, wants, projection, .. } = self;
        f.debug_struct("CustomMatch")
            .field("name", name)
            .field("weight", weight)
            .field("teacher", teacher)
            .field("wants", wants)
            .field("projection", projection)
            .finish_non_exhaustive()
    }
}

/// A match ready to be computed, whoever described it.
pub(crate) struct Match<B: Backend> {
    pub(crate) name: String,
    pub(crate) weight: f64,
    pub(crate) teacher: usize,
    pub(crate) wants: Wants,
    pub(crate) projection: Option<ProjectionConfig>,
    features: Features<B>,
    loss: LossFn<B>,
}

/// Where the tensors of a match come from.
enum Features<B: Backend> {
    Layers(IntermediateMatch),
    Selected { student: Select<B>, teacher: Option<Select<B>> },
}

impl<B: Backend> Match<B> {
    /// A match of a configuration, its loss looked up in `losses`.
    pub(crate) fn of_layers(
        config: &IntermediateMatch,
        losses: &LossRegistry<B>,
    ) -> Result<Self, DistillError> {
        let loss = losses
            .get(&config.loss)
            .map_err(|source| DistillError::Loss { term: config.name(), source: Box::new(source) })?;
        Ok(Self {
            name: config.name(),
            weight: config.weight,
            teacher: config.teacher,
            wants: Wants::of_feature(config.feature),
            projection: config.proj.clone(),
            features: Features::Layers(config.clone()),
            loss,
        })
    }

    /// The settings of the projection's parameter group, if there is a projection.
    pub(crate) fn projection_group(&self) -> Option<ProjectionGroup> {
        self.projection.as_ref().map(|projection| projection.group.clone())
    }

    /// The features of both sides, not projected.
    fn features(
        &self,
        student: &AdaptorOutput<B>,
        teacher: &AdaptorOutput<B>,
    ) -> Result<[Vec<FeatureTensor<B>>; 2], DistillError> {
        match &self.features {
            Features::Layers(config) => Ok([
                layers("student", student, config.feature, config.layer_s.as_slice(), &self.name)?,
                layers("teacher", teacher, config.feature, config.layer_t.as_slice(), &self.name)?,
            ]),
            Features::Selected { student: select, teacher: other } => {
                let missing = |side| DistillError::Adaptor {
                    side,
                    term: self.name.clone(),
                    needed: "the tensor that the match picks".into(),
                    found: "none".into(),
                };
                let from_student = select(student).ok_or_else(|| missing("student"))?;
                let from_teacher =
                    other.as_ref().unwrap_or(select)(teacher).ok_or_else(|| missing("teacher"))?;
                Ok([vec![from_student], vec![from_teacher]])
            }
        }
    }

    /// The unweighted loss of this match.
    pub(crate) fn loss(
        &self,
        projection: Option<&Projection<B>>,
        student: &AdaptorOutput<B>,
        teacher: &AdaptorOutput<B>,
    ) -> Result<Tensor<B, 1>, DistillError> {
        let [mut from_student, from_teacher] = self.features(student, teacher)?;
        if let Some(projection) = projection {
            from_student = from_student.into_iter().map(|feature| projection.map(feature)).collect();
        }
        let (mask, teacher_mask) = masks(student, teacher);
        let input = LossInput { student: from_student, teacher: from_teacher, mask, teacher_mask };
        (self.loss)(&input)
            .map_err(|source| DistillError::Loss { term: self.name.clone(), source: Box::new(source) })
    }
}

impl<B: Backend> From<CustomMatch<B>> for Match<B> {
    fn from(custom: CustomMatch<B>) -> Self {
        Self {
            name: custom.name,
            weight: custom.weight,
            teacher: custom.teacher,
            wants: custom.wants,
            projection: custom.projection,
            features: Features::Selected { student: custom.student_feature, teacher: custom.teacher_feature },
            loss: custom.loss,
        }
    }
}

/// The tokens that count: on both sides where they stand at the same places, else on each side its own.
pub(crate) fn masks<B: Backend>(
    student: &AdaptorOutput<B>,
    teacher: &AdaptorOutput<B>,
) -> (Option<Tensor<B, 2>>, Option<Tensor<B, 2>>) {
    match (&student.inputs_mask, &teacher.inputs_mask) {
        (Some(own), Some(other)) if own.dims() == other.dims() => (Some(own.clone() * other.clone()), None),
        (Some(own), other) => (Some(own.clone()), other.clone()),
        // As in TextBrewer, a student without a mask counts every token.
        (None, _) => (None, None),
    }
}

/// The layers of one side that a match compares.
fn layers<B: Backend>(
    side: &'static str,
    output: &AdaptorOutput<B>,
    feature: MatchFeature,
    layers: &[usize],
    term: &str,
) -> Result<Vec<FeatureTensor<B>>, DistillError> {
    let tokens = |list: &[Tensor<B, 3>], layer: usize| list.get(layer).cloned().map(FeatureTensor::from);
    layers
        .iter()
        .map(|&layer| {
            let (found, given) = match feature {
                MatchFeature::Hidden => (tokens(&output.hidden, layer), output.hidden.len()),
                MatchFeature::Queries => (tokens(&output.queries, layer), output.queries.len()),
                MatchFeature::Keys => (tokens(&output.keys, layer), output.keys.len()),
                MatchFeature::Values => (tokens(&output.values, layer), output.values.len()),
                MatchFeature::Attention => (output.attention.get(layer).cloned(), output.attention.len()),
                MatchFeature::AttentionScores => {
                    (output.attention_scores.get(layer).cloned(), output.attention_scores.len())
                }
            };
            found.ok_or_else(|| DistillError::Adaptor {
                side,
                term: term.to_owned(),
                needed: format!("`{feature}` {layer}, counted from 0"),
                found: format!("{given} `{feature}`"),
            })
        })
        .collect()
}

/// What all matches together ask of the adaptors.
pub(crate) fn wanted<B: Backend>(matches: &[Match<B>]) -> Wants {
    matches.iter().fold(Wants::default(), |wants, one| wants.or(one.wants))
}
