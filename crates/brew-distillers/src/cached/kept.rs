//! What is kept of one example, and how a batch's outputs become that and come out of it again.

use std::vec::IntoIter;

use brew_config::MatchFeature;
use brew_losses::FeatureTensor;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::BatchRows;
use super::piece::{Kind, Piece, joined, split, split_mask, token_counts};
use crate::AdaptorOutput;

/// The features an output may have, in the order of a record.
pub(super) const FEATURES: [MatchFeature; 6] = [
    MatchFeature::Hidden,
    MatchFeature::Attention,
    MatchFeature::AttentionScores,
    MatchFeature::Queries,
    MatchFeature::Keys,
    MatchFeature::Values,
];

/// The outputs of one example.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) tokens: usize,
    pub(super) aligned: bool,
    pub(super) logits: Vec<Piece>,
    pub(super) logits_mask: Vec<Piece>,
    /// The layers of each of the [`FEATURES`]; `None` for one that is left out.
    pub(super) features: [Vec<Option<Piece>>; 6],
}

impl Kept {
    /// Whether the pieces of two examples are of one kind, so that they make a batch.
    fn is_like(&self, other: &Self) -> bool {
        let alike =
            |a: &[Piece], b: &[Piece]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.kind == b.kind);
        let features = self.features.iter().flatten().zip(other.features.iter().flatten());
        (self.tokens == 0, self.aligned) == (other.tokens == 0, other.aligned)
            && alike(&self.logits, &other.logits)
            && alike(&self.logits_mask, &other.logits_mask)
            && self.features.iter().zip(&other.features).all(|(a, b)| a.len() == b.len())
            && features
                .map(|(a, b)| (a.as_ref().map(|piece| piece.kind), b.as_ref().map(|piece| piece.kind)))
                .all(|(a, b)| a == b)
    }
}

/// The outputs of each example of a batch, if they can be told apart; `keeps` says which layers count.
pub(super) fn split_outputs<B: Backend>(
    batch: usize,
    output: &AdaptorOutput<B>,
    keeps: impl Fn(MatchFeature, usize) -> bool,
) -> Option<Vec<Kept>> {
    let tokens = match &output.inputs_mask {
        None => vec![0; batch],
        Some(mask) => token_counts(mask).filter(|tokens| tokens.len() == batch)?,
    };
    let logits = output.logits.iter().enumerate().map(|(index, one)| match one {
        FeatureTensor::D2(places) if output.has_places(index) => {
            split_mask(places.clone(), Kind::Places, &tokens)
        }
        _ => split(one.clone(), false, &tokens),
    });
    let mut logits = columns(logits)?;
    let masks = output.logits_mask.iter().map(|mask| split_mask(mask.clone(), Kind::Mask, &tokens));
    let mut masks = columns(masks)?;
    let mut features: [Vec<Option<IntoIter<Piece>>>; 6] = Default::default();
    for (feature, into) in FEATURES.into_iter().zip(&mut features) {
        for (layer, tensor) in feature_of(output, feature).into_iter().enumerate() {
            into.push(match keeps(feature, layer) {
                true => Some(split(tensor, !feature.is_per_token(), &tokens)?.into_iter()),
                false => None,
            });
        }
    }
    let next = |pieces: &mut IntoIter<Piece>| pieces.next().expect("one an example");
    let kept = tokens.into_iter().map(|tokens| Kept {
        tokens,
        aligned: output.aligned,
        logits: logits.iter_mut().map(next).collect(),
        logits_mask: masks.iter_mut().map(next).collect(),
        features: features
            .each_mut()
            .map(|layers| layers.iter_mut().map(|layer| layer.as_mut().map(next)).collect()),
    });
    Some(kept.collect())
}

fn columns(tensors: impl Iterator<Item = Option<Vec<Piece>>>) -> Option<Vec<IntoIter<Piece>>> {
    tensors.map(|pieces| Some(pieces?.into_iter())).collect()
}

/// The outputs of a batch of these examples; `None` where they make no batch.
pub(super) fn join_outputs<B: Backend>(kept: &[Kept], rows: &BatchRows<B>) -> Option<AdaptorOutput<B>> {
    let first = kept.first()?;
    if kept.iter().any(|one| one.tokens > rows.length || !one.is_like(first)) {
        return None;
    }
    let tokens: Vec<usize> = kept.iter().map(|one| one.tokens).collect();
    let join = |pieces: Vec<&Piece>| joined::<B>(&pieces, &tokens, rows.length, &rows.device);
    let mask = |pieces: Vec<&Piece>| match join(pieces) {
        FeatureTensor::D2(mask) => mask,
        _ => unreachable!("a mask is [batch, length]"),
    };
    let mut output = AdaptorOutput::<B> { aligned: first.aligned, ..AdaptorOutput::default() };
    for at in 0..first.logits.len() {
        output.logits.push(join(kept.iter().map(|one| &one.logits[at]).collect()));
    }
    for at in 0..first.logits_mask.len() {
        output.logits_mask.push(mask(kept.iter().map(|one| &one.logits_mask[at]).collect()));
    }
    for (index, feature) in FEATURES.into_iter().enumerate() {
        for layer in 0..first.features[index].len() {
            let pieces: Option<Vec<&Piece>> =
                kept.iter().map(|one| one.features[index][layer].as_ref()).collect();
            let tensor = match pieces {
                None => Tensor::<B, 3>::zeros([kept.len(), rows.length, 1], &rows.device).into(),
                Some(pieces) => join(pieces),
            };
            push_feature(&mut output, feature, tensor);
        }
    }
    if first.tokens > 0 {
        let ones = Piece { kind: Kind::Mask, values: vec![1.0; rows.length] };
        output.inputs_mask = Some(mask(vec![&ones; kept.len()]));
    }
    Some(output)
}

/// The layers of one feature.
fn feature_of<B: Backend>(output: &AdaptorOutput<B>, feature: MatchFeature) -> Vec<FeatureTensor<B>> {
    let tokens = |list: &[Tensor<B, 3>]| list.iter().cloned().map(FeatureTensor::from).collect();
    match feature {
        MatchFeature::Hidden => tokens(&output.hidden),
        MatchFeature::Queries => tokens(&output.queries),
        MatchFeature::Keys => tokens(&output.keys),
        MatchFeature::Values => tokens(&output.values),
        MatchFeature::Attention => output.attention.clone(),
        MatchFeature::AttentionScores => output.attention_scores.clone(),
    }
}

fn push_feature<B: Backend>(output: &mut AdaptorOutput<B>, feature: MatchFeature, tensor: FeatureTensor<B>) {
    let tokens = match feature {
        MatchFeature::Attention => return output.attention.push(tensor),
        MatchFeature::AttentionScores => return output.attention_scores.push(tensor),
        MatchFeature::Hidden => &mut output.hidden,
        MatchFeature::Queries => &mut output.queries,
        MatchFeature::Keys => &mut output.keys,
        MatchFeature::Values => &mut output.values,
    };
    // A record that is not what it should be is left out of the batch.
    if let FeatureTensor::D3(tensor) = tensor {
        tokens.push(tensor);
    }
}
