//! A teacher whose outputs are computed once for each example.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use brew_config::{IntermediateMatch, MatchFeature};
use brew_losses::FeatureTensor;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::{AdaptorOutput, DistillError, MASKED_LOGIT, Teacher, Wants};

/// The rows of a batch, as a cache needs to know them.
#[derive(Debug, Clone)]
pub struct BatchRows<B: Backend> {
    /// The id of each example, in the order of the batch.
    pub ids: Vec<u64>,
    /// The padded length of the batch.
    pub length: usize,
    /// Where the batch lives.
    pub device: B::Device,
}

/// A teacher whose outputs are computed once for each example and kept in memory: `is_caching_logits`.
///
/// TextBrewer keeps whole batches, and so freezes their composition, and keeps nothing where there are
/// matches. This keeps the outputs of each example, of its real tokens only, so that shuffling goes on; and
/// it keeps features as well as logits. An example's outputs must not depend on the batch it is in, which
/// rules augmentation out.
///
/// Of each example 4 bytes a number are kept: with `h` hidden units, `n` layers and `l` real tokens that is
/// `4 · n · l · h` for hidden states. [`with_matches`](Self::with_matches) keeps only the layers needed.
/// What cannot be kept by example (tokens without a mask or with gaps in it, features of
/// [`others`](AdaptorOutput::others)) goes to the teacher every time.
pub struct CachedTeacher<Te, I> {
    teacher: Te,
    rows_of: I,
    /// Layers of each feature that are kept; all where it is `None`.
    layers: Option<HashMap<MatchFeature, BTreeSet<usize>>>,
    kept: RefCell<HashMap<u64, Kept>>,
    wants: RefCell<Wants>,
}

/// The outputs of one example.
struct Kept {
    tokens: usize,
    aligned: bool,
    logits: Vec<Piece>,
    logits_mask: Vec<Piece>,
    features: Vec<(MatchFeature, Vec<Option<Piece>>)>,
}

/// One tensor's share of an example, its tokens without padding.
struct Piece {
    kind: Kind,
    values: Vec<f32>,
}

/// What a piece is a piece of, and so where its padding goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// `[width]`
    Text { width: usize },
    /// `[tokens]`
    Mask,
    /// `[tokens]`, and [`MASKED_LOGIT`] at padding
    Places,
    /// `[tokens, width]`
    Tokens { width: usize },
    /// `[heads, tokens, tokens]`; `flat` where the tensor has no dimension for heads.
    Pairs { heads: usize, flat: bool },
}

const FEATURES: [MatchFeature; 6] = [
    MatchFeature::Hidden,
    MatchFeature::Attention,
    MatchFeature::AttentionScores,
    MatchFeature::Queries,
    MatchFeature::Keys,
    MatchFeature::Values,
];

impl<Te, I> CachedTeacher<Te, I> {
    /// Caches `teacher`, with `rows_of` describing the rows of a batch.
    pub fn new(teacher: Te, rows_of: I) -> Self {
        Self { teacher, rows_of, layers: None, kept: RefCell::default(), wants: RefCell::default() }
    }

    /// Keeps only the layers that `matches` compare of teacher `teacher`; in what the cache gives, the other
    /// layers are placeholders of shape `[batch, length, 1]`.
    #[must_use]
    pub fn with_matches(mut self, matches: &[IntermediateMatch], teacher: usize) -> Self {
        let mut layers: HashMap<MatchFeature, BTreeSet<usize>> = HashMap::new();
        for one in matches.iter().filter(|one| one.teacher == teacher) {
            layers.entry(one.feature).or_default().extend(one.layer_t.as_slice());
        }
        self.layers = Some(layers);
        self
    }

    fn keeps(&self, feature: MatchFeature, layer: usize) -> bool {
        match &self.layers {
            None => true,
            Some(layers) => layers.get(&feature).is_some_and(|layers| layers.contains(&layer)),
        }
    }
}

impl<B, T, Te, I> Teacher<B, T> for CachedTeacher<Te, I>
where
    B: Backend,
    Te: Teacher<B, T>,
    I: Fn(&T) -> BatchRows<B>,
{
    fn outputs(&self, batch: &T, wants: Wants) -> Result<AdaptorOutput<B>, DistillError> {
        if wants.others {
            return self.teacher.outputs(batch, wants);
        }
        if *self.wants.borrow() != wants {
            self.kept.borrow_mut().clear();
            *self.wants.borrow_mut() = wants;
        }
        let rows = (self.rows_of)(batch);
        if let Some(output) = self.cached(&rows) {
            return Ok(output);
        }
        let output = self.teacher.outputs(batch, wants)?;
        self.keep(&rows, &output);
        Ok(output)
    }

    fn keeps_outputs(&self) -> bool {
        true
    }

    fn recall(&self, batch: &T, wants: Wants) -> Result<(), DistillError> {
        let known = |id| self.kept.borrow().contains_key(id);
        if *self.wants.borrow() == wants && (self.rows_of)(batch).ids.iter().all(known) {
            return Ok(());
        }
        self.outputs(batch, wants).map(drop)
    }
}

impl<Te, I> CachedTeacher<Te, I> {
    /// The outputs of a batch all of whose examples are known.
    fn cached<B: Backend>(&self, rows: &BatchRows<B>) -> Option<AdaptorOutput<B>> {
        let kept = self.kept.borrow();
        let found: Vec<&Kept> = rows.ids.iter().map(|id| kept.get(id)).collect::<Option<_>>()?;
        let first = *found.first()?;
        if found.iter().any(|one| one.tokens > rows.length) {
            return None;
        }
        let join = |pieces: Vec<&Piece>| {
            let tokens: Vec<usize> = found.iter().map(|one| one.tokens).collect();
            joined::<B>(&pieces, &tokens, rows.length, &rows.device)
        };
        let mut output = AdaptorOutput::<B> { aligned: first.aligned, ..AdaptorOutput::default() };
        for at in 0..first.logits.len() {
            output.logits.push(join(found.iter().map(|one| &one.logits[at]).collect()));
        }
        for at in 0..first.logits_mask.len() {
            let FeatureTensor::D2(mask) = join(found.iter().map(|one| &one.logits_mask[at]).collect()) else {
                unreachable!("a mask is [batch, length]")
            };
            output.logits_mask.push(mask);
        }
        for (index, (feature, layers)) in first.features.iter().enumerate() {
            for (layer, piece) in layers.iter().enumerate() {
                let tensor = match piece {
                    None => Tensor::<B, 3>::zeros([found.len(), rows.length, 1], &rows.device).into(),
                    Some(_) => join(
                        found
                            .iter()
                            .map(|one| one.features[index].1[layer].as_ref().expect("kept alike"))
                            .collect(),
                    ),
                };
                push_feature(&mut output, *feature, tensor);
            }
        }
        if first.tokens > 0 {
            let ones = Piece { kind: Kind::Mask, values: vec![1.0; rows.length] };
            let FeatureTensor::D2(mask) = join(vec![&ones; found.len()]) else {
                unreachable!("a mask is [batch, length]")
            };
            output.inputs_mask = Some(mask);
        }
        Some(output)
    }

    /// Keeps the outputs of each example, if they can be told apart.
    fn keep<B: Backend>(&self, rows: &BatchRows<B>, output: &AdaptorOutput<B>) {
        let batch = rows.ids.len();
        let tokens = match &output.inputs_mask {
            None => vec![0; batch],
            Some(mask) => match token_counts(mask) {
                Some(tokens) if tokens.len() == batch => tokens,
                _ => return,
            },
        };
        let logits = output.logits.iter().enumerate();
        let logits: Option<Vec<_>> = logits
            .map(|(index, one)| match one {
                FeatureTensor::D2(places) if output.has_places(index) => {
                    split_mask(places.clone(), Kind::Places, &tokens)
                }
                _ => split(one.clone(), false, &tokens),
            })
            .collect();
        let masks = output.logits_mask.iter().map(|mask| split_mask(mask.clone(), Kind::Mask, &tokens));
        let masks: Option<Vec<_>> = masks.collect();
        let features: Option<Vec<_>> = FEATURES
            .into_iter()
            .map(|feature| {
                let layers = feature_of(output, feature).into_iter().enumerate();
                let layers: Option<Vec<Option<Vec<Piece>>>> = layers
                    .map(|(layer, tensor)| {
                        if self.keeps(feature, layer) {
                            split(tensor, !feature.is_per_token(), &tokens).map(Some)
                        } else {
                            Some(None)
                        }
                    })
                    .collect();
                Some((feature, layers?))
            })
            .collect();
        let (Some(logits), Some(masks), Some(features)) = (logits, masks, features) else { return };
        let mut logits: Vec<_> = logits.into_iter().map(Vec::into_iter).collect();
        let mut masks: Vec<_> = masks.into_iter().map(Vec::into_iter).collect();
        let mut features: Vec<(MatchFeature, Vec<Option<std::vec::IntoIter<Piece>>>)> = features
            .into_iter()
            .map(|(feature, layers)| {
                (feature, layers.into_iter().map(|layer| layer.map(Vec::into_iter)).collect())
            })
            .collect();
        let mut kept = self.kept.borrow_mut();
        for (&id, tokens) in rows.ids.iter().zip(tokens) {
            let mut next = |pieces: &mut std::vec::IntoIter<Piece>| pieces.next().expect("one an example");
            let one = Kept {
                tokens,
                aligned: output.aligned,
                logits: logits.iter_mut().map(&mut next).collect(),
                logits_mask: masks.iter_mut().map(&mut next).collect(),
                features: features
                    .iter_mut()
                    .map(|(feature, layers)| {
                        (*feature, layers.iter_mut().map(|layer| layer.as_mut().map(&mut next)).collect())
                    })
                    .collect(),
            };
            kept.insert(id, one);
        }
    }
}

/// The number of real tokens of each text; `None` where they do not come first.
fn token_counts<B: Backend>(mask: &Tensor<B, 2>) -> Option<Vec<usize>> {
    let [_, length] = mask.dims();
    let values: Vec<f32> = mask.clone().into_data().iter::<f32>().collect();
    values
        .chunks(length)
        .map(|row| {
            let count = row.iter().filter(|&&value| value != 0.0).count();
            row[..count].iter().all(|&value| value == 1.0).then_some(count)
        })
        .collect()
}

/// Each example's share of a tensor; `None` where it has tokens that cannot be told from padding.
fn split<B: Backend>(feature: FeatureTensor<B>, is_attention: bool, tokens: &[usize]) -> Option<Vec<Piece>> {
    let dims = feature.dims();
    let (kind, length) = match &feature {
        FeatureTensor::D2(_) => (Kind::Text { width: dims[1] }, 0),
        FeatureTensor::D3(_) if is_attention => (Kind::Pairs { heads: 1, flat: true }, dims[1]),
        FeatureTensor::D3(_) => (Kind::Tokens { width: dims[2] }, dims[1]),
        FeatureTensor::D4(_) => (Kind::Pairs { heads: dims[1], flat: false }, dims[2]),
    };
    if dims[0] != tokens.len() || (length > 0 && tokens.contains(&0)) {
        return None;
    }
    let values = values_of(feature);
    Some(cut(kind, &values, length, tokens))
}

/// The same of a tensor with one number a token.
fn split_mask<B: Backend>(mask: Tensor<B, 2>, kind: Kind, tokens: &[usize]) -> Option<Vec<Piece>> {
    let [batch, length] = mask.dims();
    if batch != tokens.len() || tokens.contains(&0) {
        return None;
    }
    Some(cut(kind, &values_of(mask.into()), length, tokens))
}

fn values_of<B: Backend>(feature: FeatureTensor<B>) -> Vec<f32> {
    let data: TensorData = match feature {
        FeatureTensor::D2(tensor) => tensor.into_data(),
        FeatureTensor::D3(tensor) => tensor.into_data(),
        FeatureTensor::D4(tensor) => tensor.into_data(),
    };
    data.convert::<f32>().into_vec().expect("converted to f32 above")
}

/// Pieces without padding of a tensor of padded length `length`.
fn cut(kind: Kind, values: &[f32], length: usize, tokens: &[usize]) -> Vec<Piece> {
    let size = kind.size(length);
    let pieces = values.chunks(size).zip(tokens).map(|(padded, &tokens)| {
        let mut values = Vec::with_capacity(kind.size(tokens));
        kind.runs(tokens, length, |from, _, run| values.extend_from_slice(&padded[from..from + run]));
        Piece { kind, values }
    });
    pieces.collect()
}

/// Pieces of the examples of a batch, padded to `length`.
fn joined<B: Backend>(
    pieces: &[&Piece],
    tokens: &[usize],
    length: usize,
    device: &B::Device,
) -> FeatureTensor<B> {
    let kind = pieces[0].kind;
    let (batch, size) = (pieces.len(), kind.size(length));
    let padding = if kind == Kind::Places { MASKED_LOGIT } else { 0.0 };
    let mut values = vec![padding; batch * size];
    for ((piece, &tokens), padded) in pieces.iter().zip(tokens).zip(values.chunks_mut(size)) {
        kind.runs(tokens, length, |to, from, run| {
            padded[to..to + run].copy_from_slice(&piece.values[from..from + run]);
        });
    }
    match kind {
        Kind::Text { width } => {
            Tensor::<B, 2>::from_data(TensorData::new(values, [batch, width]), device).into()
        }
        Kind::Mask | Kind::Places => {
            Tensor::<B, 2>::from_data(TensorData::new(values, [batch, length]), device).into()
        }
        Kind::Tokens { width } => {
            Tensor::<B, 3>::from_data(TensorData::new(values, [batch, length, width]), device).into()
        }
        Kind::Pairs { flat: true, .. } => {
            Tensor::<B, 3>::from_data(TensorData::new(values, [batch, length, length]), device).into()
        }
        Kind::Pairs { heads, flat: false } => {
            Tensor::<B, 4>::from_data(TensorData::new(values, [batch, heads, length, length]), device).into()
        }
    }
}

impl Kind {
    /// Numbers of one example of so many tokens.
    fn size(self, tokens: usize) -> usize {
        match self {
            Self::Text { width } => width,
            Self::Mask | Self::Places => tokens,
            Self::Tokens { width } => tokens * width,
            Self::Pairs { heads, .. } => heads * tokens * tokens,
        }
    }

    /// Calls `run` with each stretch of an example's numbers: where it starts with padding to `length`, where
    /// without, and how long it is.
    fn runs(self, tokens: usize, length: usize, mut run: impl FnMut(usize, usize, usize)) {
        match self {
            Self::Text { width } => run(0, 0, width),
            Self::Mask | Self::Places => run(0, 0, tokens),
            Self::Tokens { width } => run(0, 0, tokens * width),
            Self::Pairs { heads, .. } => {
                for (head, row) in (0..heads).flat_map(|head| (0..tokens).map(move |row| (head, row))) {
                    run((head * length + row) * length, (head * tokens + row) * tokens, tokens);
                }
            }
        }
    }
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
    let FeatureTensor::D3(tensor) = tensor else { unreachable!("cut from [batch, length, width]") };
    tokens.push(tensor);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use brew_testkit::TestBackend as B;

    use super::*;

    /// Examples as a batch: id and number of tokens.
    type Batch = Vec<(u64, usize)>;

    fn rows(batch: &Batch) -> BatchRows<B> {
        let length = batch.iter().map(|one| one.1).max().unwrap();
        BatchRows { ids: batch.iter().map(|one| one.0).collect(), length, device: Default::default() }
    }

    /// A teacher whose numbers tell example, token and place; padding is -1.
    fn outputs(batch: &Batch) -> AdaptorOutput<B> {
        let device = Default::default();
        let length = rows(batch).length;
        let per_token = |width: usize, salt: f32| {
            let values: Vec<f32> = batch
                .iter()
                .flat_map(|&(id, tokens)| {
                    (0..length * width).map(move |at| {
                        if at / width < tokens { salt + id as f32 * 100.0 + at as f32 } else { -1.0 }
                    })
                })
                .collect();
            Tensor::<B, 3>::from_data(TensorData::new(values, [batch.len(), length, width]), &device)
        };
        let pairs: Vec<f32> = batch
            .iter()
            .flat_map(|&(id, tokens)| {
                (0..2 * length * length).map(move |at| {
                    let (head, query, key) = (at / (length * length), at / length % length, at % length);
                    if query < tokens && key < tokens {
                        (id as usize * 1000 + head * 100 + query * 10 + key) as f32
                    } else {
                        -1.0
                    }
                })
            })
            .collect();
        let mask: Vec<f32> = batch
            .iter()
            .flat_map(|&(_, tokens)| (0..length).map(move |at| f32::from(u8::from(at < tokens))))
            .collect();
        let logits: Vec<f32> = batch.iter().flat_map(|&(id, _)| [id as f32, -(id as f32)]).collect();
        AdaptorOutput {
            logits: vec![
                Tensor::<B, 2>::from_data(TensorData::new(logits, [batch.len(), 2]), &device).into(),
            ],
            hidden: vec![per_token(3, 0.0), per_token(3, 0.5), per_token(3, 0.25)],
            attention: vec![
                Tensor::<B, 4>::from_data(TensorData::new(pairs, [batch.len(), 2, length, length]), &device)
                    .into(),
            ],
            inputs_mask: Some(Tensor::from_data(TensorData::new(mask, [batch.len(), length]), &device)),
            ..AdaptorOutput::default()
        }
    }

    fn counted() -> (impl Teacher<B, Batch>, Rc<Cell<usize>>) {
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let teacher = move |batch: &Batch, _: Wants| {
            count.set(count.get() + 1);
            Ok(outputs(batch))
        };
        (teacher, calls)
    }

    /// The numbers of a tensor where they are not padding.
    fn real<const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().filter(|&value| value != -1.0 && value != 0.0).collect()
    }

    const WANTS: Wants = Wants {
        hidden: true,
        attention: true,
        attention_scores: false,
        queries_keys_values: false,
        others: false,
    };

    #[test]
    fn examples_that_meet_in_another_batch_are_not_computed_again() {
        let (teacher, calls) = counted();
        let cached = CachedTeacher::new(teacher, rows);
        cached.outputs(&vec![(1, 2), (2, 4)], WANTS).unwrap();
        cached.outputs(&vec![(3, 3)], WANTS).unwrap();
        assert_eq!(calls.get(), 2);
        let batch = vec![(3, 3), (1, 2)];
        let found = cached.outputs(&batch, WANTS).unwrap();
        assert_eq!(calls.get(), 2);
        let expected = outputs(&batch);
        assert_eq!(found.inputs_mask.unwrap().into_data(), expected.inputs_mask.unwrap().into_data());
        assert_eq!(found.logits[0].dims(), [2, 2]);
        for (found, expected) in found.hidden.into_iter().zip(expected.hidden) {
            assert_eq!(found.dims(), expected.dims());
            assert_eq!(real(found), real(expected));
        }
        let (FeatureTensor::D4(found), FeatureTensor::D4(expected)) =
            (found.attention[0].clone(), expected.attention[0].clone())
        else {
            panic!("attention with heads")
        };
        assert_eq!(found.dims(), [2, 2, 3, 3]);
        assert_eq!(real(found), real(expected));
    }

    /// In TextBrewer caching is switched off without a word where there are matches.
    #[test]
    fn caching_works_with_matches_and_keeps_only_their_layers() {
        let (teacher, calls) = counted();
        let matches = [IntermediateMatch::hidden(2, 1, "hidden_mse")];
        let cached = CachedTeacher::new(teacher, rows).with_matches(&matches, 0);
        let batch = vec![(1, 2), (2, 4)];
        cached.outputs(&batch, WANTS).unwrap();
        let found = cached.outputs(&batch, WANTS).unwrap();
        assert_eq!(calls.get(), 1);
        assert_eq!(found.hidden[1].dims(), [2, 4, 1]);
        assert_eq!(real(found.hidden[2].clone()), real(outputs(&batch).hidden[2].clone()));
    }

    #[test]
    fn logits_of_places_are_kept_without_padding() {
        let places = |batch: &Batch, _: Wants| {
            let AdaptorOutput { hidden, inputs_mask, .. } = outputs(batch);
            let mask = inputs_mask.clone().unwrap();
            let logits = hidden[0].clone().narrow(2, 0, 1).squeeze_dim::<2>(2);
            let logits = logits.mask_fill(mask.clone().equal_elem(0.0), MASKED_LOGIT);
            let logits_mask = vec![mask];
            Ok(AdaptorOutput { logits_mask, inputs_mask, ..AdaptorOutput::from_logits(logits) })
        };
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let cached = CachedTeacher::new(
            move |batch: &Batch, wants: Wants| {
                count.set(count.get() + 1);
                places(batch, wants)
            },
            rows,
        );
        cached.outputs(&vec![(1, 2), (2, 4)], Wants::default()).unwrap();
        cached.outputs(&vec![(3, 3), (4, 5)], Wants::default()).unwrap();
        let batch = vec![(3, 3), (1, 2)];
        let found = cached.outputs(&batch, Wants::default()).unwrap();
        assert_eq!(calls.get(), 2);
        let FeatureTensor::D2(found) = found.logits[0].clone() else { panic!("[batch, length]") };
        let found: Vec<f32> = found.into_data().to_vec().unwrap();
        assert_eq!(found, [300.0, 303.0, 306.0, 100.0, 103.0, MASKED_LOGIT]);
    }

    #[test]
    fn other_wishes_and_gaps_in_the_mask_go_to_the_teacher() {
        let (teacher, calls) = counted();
        let cached = CachedTeacher::new(teacher, rows);
        let batch = vec![(1, 2)];
        cached.outputs(&batch, Wants::default()).unwrap();
        cached.outputs(&batch, WANTS).unwrap();
        assert_eq!(calls.get(), 2);
        cached.outputs(&batch, Wants { others: true, ..WANTS }).unwrap();
        assert_eq!(calls.get(), 3);

        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let gaps = move |batch: &Batch, _: Wants| {
            count.set(count.get() + 1);
            let mask = Tensor::from_floats([[0.0, 1.0]], &Default::default());
            Ok(AdaptorOutput { inputs_mask: Some(mask), ..outputs(batch) })
        };
        let cached = CachedTeacher::new(gaps, rows);
        cached.outputs(&batch, WANTS).unwrap();
        cached.outputs(&batch, WANTS).unwrap();
        assert_eq!(calls.get(), 2);
    }
}
