use brew_config::{EmdConfig, IntermediateMatch, MatchFeature};
use brew_random::Key;
use burn::tensor::backend::Backend;

use crate::{AdaptorOutput, DistillError};

/// Which intermediate features a distiller will look at, so that a model computes no others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Hidden states.
    pub hidden: bool,
    /// Attention as the model gives it.
    pub attention: bool,
    /// Attention before the softmax.
    pub attention_scores: bool,
    /// Queries, keys and values of each attention layer.
    pub queries_keys_values: bool,
    /// What the adaptor gives by name, for custom matches.
    pub others: bool,
}

impl Wants {
    /// What a match of a feature asks for.
    pub fn of_feature(feature: MatchFeature) -> Self {
        let mut wants = Self::default();
        match feature {
            MatchFeature::Hidden => wants.hidden = true,
            MatchFeature::Attention => wants.attention = true,
            MatchFeature::AttentionScores => wants.attention_scores = true,
            MatchFeature::Queries | MatchFeature::Keys | MatchFeature::Values => {
                wants.queries_keys_values = true;
            }
        }
        wants
    }

    /// What all matches of a configuration ask for together.
    ///
    /// ```
    /// use brew_config::IntermediateMatch;
    /// use brew_distillers::Wants;
    ///
    /// let matches = [IntermediateMatch::hidden(4, 2, "hidden_mse")];
    /// assert_eq!(Wants::of_matches(&matches), Wants { hidden: true, ..Wants::default() });
    /// ```
    pub fn of_matches(matches: &[IntermediateMatch]) -> Self {
        matches.iter().fold(Self::default(), |wants, one| wants.or(Self::of_feature(one.feature)))
    }

    /// What layers matched many to many ask for.
    pub fn of_emd(emd: &EmdConfig) -> Self {
        let hidden = Self { hidden: emd.hidden_weight > 0.0, ..Self::default() };
        if emd.attention_weight > 0.0 { hidden.or(Self::of_feature(emd.attention)) } else { hidden }
    }

    /// What either of two asks for.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            hidden: self.hidden || other.hidden,
            attention: self.attention || other.attention,
            attention_scores: self.attention_scores || other.attention_scores,
            queries_keys_values: self.queries_keys_values || other.queries_keys_values,
            others: self.others || other.others,
        }
    }
}

/// How a model is to be run on a batch.
#[derive(Debug, Clone, Copy)]
pub struct ForwardContext {
    /// The key of this forward's dropout masks; `None` for evaluation, without dropout.
    pub dropout: Option<Key>,
    /// The features asked for.
    pub wants: Wants,
}

impl ForwardContext {
    /// Evaluation, with the features asked for.
    pub const fn evaluation(wants: Wants) -> Self {
        Self { dropout: None, wants }
    }
}

/// Runs a model on a batch and names what comes out: the model call and the adaptor of TextBrewer
/// in one, over the user's own model `M` and batch `T`.
///
/// Any closure of the right shape is one:
///
/// ```
/// use brew_distillers::{Adaptor, AdaptorOutput, DistillError, ForwardContext};
/// use burn::nn::Linear;
/// use burn::tensor::{Tensor, backend::Backend};
///
/// fn adaptor<B: Backend>() -> impl Adaptor<B, Linear<B>, Tensor<B, 2>> {
///     |model: &Linear<B>, batch: &Tensor<B, 2>, _: ForwardContext| {
///         Ok::<_, DistillError>(AdaptorOutput::from_logits(model.forward(batch.clone())))
///     }
/// }
/// ```
pub trait Adaptor<B: Backend, M, T> {
    /// The model's outputs on a batch.
    ///
    /// # Errors
    /// Whatever keeps the model from being run, as [`DistillError::batch`].
    fn adapt(&self, model: &M, batch: &T, context: ForwardContext) -> Result<AdaptorOutput<B>, DistillError>;
}

impl<B, M, T, F> Adaptor<B, M, T> for F
where
    B: Backend,
    F: Fn(&M, &T, ForwardContext) -> Result<AdaptorOutput<B>, DistillError>,
{
    fn adapt(&self, model: &M, batch: &T, context: ForwardContext) -> Result<AdaptorOutput<B>, DistillError> {
        self(model, batch, context)
    }
}
