use std::collections::BTreeMap;

use brew_losses::FeatureTensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor};

/// The logit of a place that cannot be chosen: its probability is 0 at any usual temperature, and it is a number
/// whose differences and products are finite.
pub const MASKED_LOGIT: f32 = -1e4;

/// What an adaptor makes of a model's outputs on one batch: TextBrewer's adaptor dictionary.
///
/// Every field may be empty; a distiller says which it needs. The lists hold one entry for each
/// prediction of the model (a span task has two `logits`, start and end) and are summed over.
///
/// # Shapes
/// With `b` sentences of padded length `l`, `c` classes and `h` hidden units:
/// - `logits`: `[b, c]` or `[b, l, c]` each; or `[b, l]`, a number for each place of which one is chosen, with
///   [`MASKED_LOGIT`] at padding
/// - `logits_mask`: `[b, l]` each, 1 where a position of the matching `[b, l, c]` logits counts; with `[b, l]`
///   logits, 1 at the places that are no padding
/// - `labels`: `[b]` or `[b, l]` each, flattened to `[positions]`; −100 is ignored
/// - `losses`: any number of `[1]` or `[n]` losses of the model itself, averaged each
/// - `hidden`: `[b, l, h]` each, 0 being the embeddings
/// - `attention`: `[b, heads, l, l]` or `[b, l, l]` each
/// - `attention_scores`: as `attention`, before the softmax
/// - `queries`, `keys`, `values`: `[b, l, h]` each, one an attention layer
/// - `others`: of any shape
/// - `inputs_mask`: `[b, l]`, 1 at real tokens
#[derive(Debug, Clone)]
pub struct AdaptorOutput<B: Backend> {
    /// Predictions before the softmax.
    pub logits: Vec<FeatureTensor<B>>,
    /// Positions of the logits that count; empty means all of them.
    pub logits_mask: Vec<Tensor<B, 2>>,
    /// Gold labels of the logits, for `probability_shift` and `kd_loss_type = "dkd"`.
    pub labels: Vec<Tensor<B, 1, Int>>,
    /// The model's own losses on the gold labels.
    pub losses: Vec<Tensor<B, 1>>,
    /// Hidden states, for `feature = "hidden"`.
    pub hidden: Vec<Tensor<B, 3>>,
    /// Attention as the model gives it (probabilities in transformers), for `feature = "attention"`.
    pub attention: Vec<FeatureTensor<B>>,
    /// Attention before the softmax, for `feature = "attention_scores"`.
    pub attention_scores: Vec<FeatureTensor<B>>,
    /// What each attention layer asks with, for `feature = "queries"`.
    pub queries: Vec<Tensor<B, 3>>,
    /// What each attention layer is asked for, for `feature = "keys"`.
    pub keys: Vec<Tensor<B, 3>>,
    /// What each attention layer passes on, for `feature = "values"`.
    pub values: Vec<Tensor<B, 3>>,
    /// Anything else by name, for a [`CustomMatch`](crate::CustomMatch).
    pub others: BTreeMap<String, FeatureTensor<B>>,
    /// Real tokens of the inputs, the mask of the intermediate matches.
    pub inputs_mask: Option<Tensor<B, 2>>,
    /// Whether a teacher's positions have been made the student's, so that only those count that count on
    /// both sides: see [`AlignedTeacher`](crate::AlignedTeacher).
    pub aligned: bool,
}

impl<B: Backend> Default for AdaptorOutput<B> {
    fn default() -> Self {
        Self {
            logits: Vec::new(),
            logits_mask: Vec::new(),
            labels: Vec::new(),
            losses: Vec::new(),
            hidden: Vec::new(),
            attention: Vec::new(),
            attention_scores: Vec::new(),
            queries: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
            others: BTreeMap::new(),
            inputs_mask: None,
            aligned: false,
        }
    }
}

impl<B: Backend> AdaptorOutput<B> {
    /// An output with one prediction and nothing else.
    pub fn from_logits(logits: impl Into<FeatureTensor<B>>) -> Self {
        Self { logits: vec![logits.into()], ..Self::default() }
    }
}

impl<B: Backend> AdaptorOutput<B> {
    /// Whether prediction `index` has a logit for each place of a text, and not for each class.
    pub(crate) fn has_places(&self, index: usize) -> bool {
        let mask =
            if self.logits_mask.len() == 1 { self.logits_mask.first() } else { self.logits_mask.get(index) };
        matches!((&self.logits[index], mask), (FeatureTensor::D2(logits), Some(mask)) if logits.dims() == mask.dims())
    }
}

impl<B: AutodiffBackend> AdaptorOutput<B> {
    /// A teacher's output as constants of the student's backend.
    pub fn from_inner(output: AdaptorOutput<B::InnerBackend>) -> Self {
        let features = |list: Vec<FeatureTensor<B::InnerBackend>>| {
            list.into_iter().map(FeatureTensor::from_inner).collect()
        };
        let tokens =
            |list: Vec<Tensor<B::InnerBackend, 3>>| list.into_iter().map(Tensor::from_inner).collect();
        Self {
            logits: features(output.logits),
            logits_mask: output.logits_mask.into_iter().map(Tensor::from_inner).collect(),
            labels: output.labels.into_iter().map(Tensor::from_inner).collect(),
            losses: output.losses.into_iter().map(Tensor::from_inner).collect(),
            hidden: tokens(output.hidden),
            attention: features(output.attention),
            attention_scores: features(output.attention_scores),
            queries: tokens(output.queries),
            keys: tokens(output.keys),
            values: tokens(output.values),
            others: output
                .others
                .into_iter()
                .map(|(name, feature)| (name, FeatureTensor::from_inner(feature)))
                .collect(),
            inputs_mask: output.inputs_mask.map(Tensor::from_inner),
            aligned: output.aligned,
        }
    }
}
