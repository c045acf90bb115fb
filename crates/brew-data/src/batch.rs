//! Features padded into tensors.

use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::backend::AutodiffBackend;

use crate::{Feature, Target};

/// What stands in [`Targets`] for an example or token without a class; losses skip it.
pub const IGNORED_LABEL: i64 = -100;

/// Some examples padded to one length.
///
/// # Shapes
/// `batch` is the number of examples, `length` the padded length.
#[derive(Debug, Clone)]
pub struct Batch<B: Backend> {
    /// The ids of the examples, in the order of the rows.
    pub ids: Vec<u64>,
    /// Token ids `[batch, length]`.
    pub input_ids: Tensor<B, 2, Int>,
    /// 1 on tokens and 0 on padding, `[batch, length]`.
    pub attention_mask: Tensor<B, 2>,
    /// 0 on the first text and on padding, 1 on the second text, `[batch, length]`.
    pub token_type_ids: Tensor<B, 2, Int>,
    /// What a model should say of the examples; `None` where that is unknown of all of them.
    pub targets: Option<Targets<B>>,
    /// How many tokens each example has, if they come first and `attention_mask` is 1 at them and 0
    /// after them, as [`Collator`] puts them: on the host, for models that compute no padding.
    pub lengths: Option<Vec<usize>>,
}

/// The [`Target`]s of a batch.
#[derive(Debug, Clone)]
pub enum Targets<B: Backend> {
    /// Classes of the texts `[batch]`, or of their tokens `[batch · length]`; [`IGNORED_LABEL`] where one is
    /// unknown and at padding.
    Classes(Tensor<B, 1, Int>),
    /// Labels that exclude no other.
    Flags {
        /// 1 where a label holds, `[batch, labels]`.
        flags: Tensor<B, 2>,
        /// 1 where an example's labels are known, `[batch]`.
        known: Tensor<B, 1>,
    },
    /// Numbers.
    Values {
        /// One an example, `[batch]`.
        values: Tensor<B, 1>,
        /// 1 where it is known, `[batch]`.
        known: Tensor<B, 1>,
    },
    /// Places of answers, [`IGNORED_LABEL`] where unknown.
    Spans {
        /// The first token of each answer `[batch]`.
        starts: Tensor<B, 1, Int>,
        /// The last token of each answer `[batch]`.
        ends: Tensor<B, 1, Int>,
    },
}

impl<B: Backend> Targets<B> {
    /// The targets of features padded to `length`; `None` if none has one.
    ///
    /// # Panics
    /// If the targets are of several kinds, or flags of several lengths.
    fn new(features: &[&Feature], length: usize, device: &B::Device) -> Option<Self> {
        let first = features.iter().find_map(|feature| feature.target.as_ref())?;
        let ints = |values: Vec<i64>| Tensor::from_data(TensorData::from(values.as_slice()), device);
        let targets = || features.iter().map(|feature| feature.target.as_ref());
        let known = || {
            let known: Vec<f32> = targets().map(|target| f32::from(target.is_some())).collect();
            Tensor::from_data(TensorData::from(known.as_slice()), device)
        };
        let mixed = |other: &Target| -> ! { panic!("a batch with targets {first:?} and {other:?}") };
        let class = |class: Option<usize>| class.map_or(IGNORED_LABEL, |class| class as i64);
        Some(match first {
            Target::Class(_) => Self::Classes(ints(
                targets()
                    .map(|target| match target {
                        Some(&Target::Class(index)) => index as i64,
                        Some(other) => mixed(other),
                        None => IGNORED_LABEL,
                    })
                    .collect(),
            )),
            Target::Tags(_) => {
                let mut values = vec![IGNORED_LABEL; features.len() * length];
                for (target, row) in targets().zip(values.chunks_mut(length)) {
                    match target {
                        Some(Target::Tags(tags)) => {
                            for (value, &tag) in row.iter_mut().zip(tags) {
                                *value = class(tag);
                            }
                        }
                        Some(other) => mixed(other),
                        None => {}
                    }
                }
                Self::Classes(ints(values))
            }
            Target::Flags(flags) => {
                let labels = flags.len();
                let mut values = vec![0f32; features.len() * labels];
                for (row, target) in targets().enumerate() {
                    match target {
                        Some(Target::Flags(flags)) if flags.len() == labels => {
                            for (at, &flag) in flags.iter().enumerate() {
                                values[row * labels + at] = f32::from(flag);
                            }
                        }
                        Some(other) => mixed(other),
                        None => {}
                    }
                }
                let flags = Tensor::from_data(TensorData::new(values, [features.len(), labels]), device);
                Self::Flags { flags, known: known() }
            }
            Target::Value(_) => {
                let values: Vec<f32> = targets()
                    .map(|target| match target {
                        Some(&Target::Value(value)) => value,
                        Some(other) => mixed(other),
                        None => 0.0,
                    })
                    .collect();
                let values = Tensor::from_data(TensorData::from(values.as_slice()), device);
                Self::Values { values, known: known() }
            }
            Target::Span { .. } => {
                let (starts, ends) = targets()
                    .map(|target| match target {
                        Some(&Target::Span { start, end }) => (start as i64, end as i64),
                        Some(other) => mixed(other),
                        None => (IGNORED_LABEL, IGNORED_LABEL),
                    })
                    .unzip();
                Self::Spans { starts: ints(starts), ends: ints(ends) }
            }
        })
    }
}

impl<B: AutodiffBackend> Targets<B> {
    /// The same tensors on the backend without gradients.
    fn inner(&self) -> Targets<B::InnerBackend> {
        match self.clone() {
            Self::Classes(classes) => Targets::Classes(classes.inner()),
            Self::Flags { flags, known } => Targets::Flags { flags: flags.inner(), known: known.inner() },
            Self::Values { values, known } => {
                Targets::Values { values: values.inner(), known: known.inner() }
            }
            Self::Spans { starts, ends } => Targets::Spans { starts: starts.inner(), ends: ends.inner() },
        }
    }
}

impl<B: Backend> Batch<B> {
    /// How many examples.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no example; a [`Collator`] never makes such a batch.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The classes of the texts `[batch]` or of their tokens `[batch · length]`, where the targets are such.
    pub fn classes(&self) -> Option<Tensor<B, 1, Int>> {
        match &self.targets {
            Some(Targets::Classes(classes)) => Some(classes.clone()),
            _ => None,
        }
    }

    /// The padded length.
    pub fn length(&self) -> usize {
        self.input_ids.dims()[1]
    }
}

impl<B: AutodiffBackend> Batch<B> {
    /// The same tensors on the backend without gradients, where teachers run.
    pub fn inner(&self) -> Batch<B::InnerBackend> {
        Batch {
            ids: self.ids.clone(),
            input_ids: self.input_ids.clone().inner(),
            attention_mask: self.attention_mask.clone().inner(),
            token_type_ids: self.token_type_ids.clone().inner(),
            targets: self.targets.as_ref().map(Targets::inner),
            lengths: self.lengths.clone(),
        }
    }
}

/// Pads features to the longest of their batch.
///
/// ```
/// use brew_data::{Collator, Feature, Target};
///
/// let short = Feature { id: 0, input_ids: vec![2, 3], token_type_ids: vec![0, 0], target: Some(Target::Class(1)) };
/// let long = Feature { id: 1, input_ids: vec![2, 7, 3], token_type_ids: vec![0; 3], target: Some(Target::Class(0)) };
/// let batch = Collator::new(0).collate::<brew_testkit::TestBackend>(&[&short, &long], &Default::default());
/// assert_eq!(batch.input_ids.dims(), [2, 3]);
/// assert_eq!(batch.attention_mask.to_data().to_vec::<f32>().unwrap(), [1., 1., 0., 1., 1., 1.]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collator {
    pad_id: u32,
    multiple: usize,
}

impl Collator {
    /// Pads with this token id, usually [`TextTokenizer::pad_id`](crate::TextTokenizer::pad_id).
    pub const fn new(pad_id: u32) -> Self {
        Self { pad_id, multiple: 1 }
    }

    /// Rounds each batch's length up to a multiple, for devices that compile or tune a kernel a shape.
    ///
    /// # Panics
    /// If `multiple` is 0.
    pub const fn with_multiple_of(mut self, multiple: usize) -> Self {
        assert!(multiple > 0, "lengths cannot be rounded to a multiple of 0");
        self.multiple = multiple;
        self
    }

    /// Pads these features into one batch.
    ///
    /// # Panics
    /// If there is no feature, or their targets are of several kinds.
    pub fn collate<B: Backend>(&self, features: &[&Feature], device: &B::Device) -> Batch<B> {
        assert!(!features.is_empty(), "a batch needs at least one feature");
        let rows = features.len();
        let longest = features.iter().map(|feature| feature.len()).max().unwrap_or(0).max(1);
        let length = longest.next_multiple_of(self.multiple);

        let mut input_ids = vec![i64::from(self.pad_id); rows * length];
        let mut attention_mask = vec![0f32; rows * length];
        let mut token_type_ids = vec![0i64; rows * length];
        for (row, feature) in features.iter().enumerate() {
            let start = row * length;
            for (at, &id) in feature.input_ids.iter().enumerate() {
                input_ids[start + at] = i64::from(id);
                attention_mask[start + at] = 1.0;
            }
            for (at, &kind) in feature.token_type_ids.iter().enumerate() {
                token_type_ids[start + at] = i64::from(kind);
            }
        }

        Batch {
            ids: features.iter().map(|feature| feature.id).collect(),
            input_ids: Tensor::from_data(TensorData::new(input_ids, [rows, length]), device),
            attention_mask: Tensor::from_data(TensorData::new(attention_mask, [rows, length]), device),
            token_type_ids: Tensor::from_data(TensorData::new(token_type_ids, [rows, length]), device),
            targets: Targets::new(features, length, device),
            lengths: Some(features.iter().map(|feature| feature.len()).collect()),
        }
    }

    /// Pads the features at these indices, such as one entry of
    /// [`BatchSampler::epoch`](crate::BatchSampler::epoch).
    ///
    /// # Panics
    /// If there is no index, or one is out of range, or the targets are of several kinds.
    pub fn collate_indices<B: Backend>(
        &self,
        features: &[Feature],
        indices: &[usize],
        device: &B::Device,
    ) -> Batch<B> {
        let chosen: Vec<&Feature> = indices.iter().map(|&index| &features[index]).collect();
        self.collate(&chosen, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brew_testkit::{TestAutodiffBackend, TestBackend};

    fn feature(id: u64, input_ids: &[u32], token_type_ids: &[u32], target: Option<Target>) -> Feature {
        Feature { id, input_ids: input_ids.to_vec(), token_type_ids: token_type_ids.to_vec(), target }
    }

    #[test]
    fn pads_to_the_longest() {
        let features = [
            feature(7, &[2, 9, 3], &[0, 0, 0], Some(Target::Class(1))),
            feature(8, &[2, 4, 3, 5, 3], &[0, 0, 0, 1, 1], None),
        ];
        let batch: Batch<TestBackend> =
            Collator::new(6).collate_indices(&features, &[1, 0], &Default::default());
        assert_eq!((batch.len(), batch.length()), (2, 5));
        assert_eq!(batch.ids, [8, 7]);
        assert_eq!(batch.input_ids.to_data().to_vec::<i64>().unwrap(), [2, 4, 3, 5, 3, 2, 9, 3, 6, 6]);
        assert_eq!(batch.token_type_ids.to_data().to_vec::<i64>().unwrap(), [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(
            batch.attention_mask.to_data().to_vec::<f32>().unwrap(),
            [1., 1., 1., 1., 1., 1., 1., 1., 0., 0.]
        );
        assert_eq!(batch.classes().unwrap().to_data().to_vec::<i64>().unwrap(), [IGNORED_LABEL, 1]);
        assert_eq!(batch.lengths, Some(vec![5, 3]));
    }

    #[test]
    fn rounds_the_length_up_and_leaves_labels_out_where_there_are_none() {
        let feature = feature(0, &[2, 9, 3], &[0, 0, 0], None);
        let batch =
            Collator::new(0).with_multiple_of(8).collate::<TestBackend>(&[&feature], &Default::default());
        assert_eq!(batch.input_ids.dims(), [1, 8]);
        assert_eq!(batch.attention_mask.sum().into_scalar(), 3.0);
        assert!(batch.targets.is_none());
        let exact =
            Collator::new(0).with_multiple_of(3).collate::<TestBackend>(&[&feature], &Default::default());
        assert_eq!(exact.length(), 3);
    }

    #[test]
    fn inner_holds_the_same_values() {
        let feature = feature(3, &[2, 9, 3], &[0, 1, 1], Some(Target::Class(2)));
        let batch = Collator::new(0).collate::<TestAutodiffBackend>(&[&feature], &Default::default());
        let inner: Batch<TestBackend> = batch.inner();
        assert_eq!(inner.ids, [3]);
        assert_eq!(inner.lengths, Some(vec![3]));
        assert_eq!(inner.input_ids.to_data(), batch.input_ids.to_data());
        assert_eq!(inner.attention_mask.to_data(), batch.attention_mask.to_data());
        assert_eq!(inner.token_type_ids.to_data(), batch.token_type_ids.to_data());
        assert_eq!(inner.classes().unwrap().to_data().to_vec::<i64>().unwrap(), [2]);
    }

    fn ints(tensor: Tensor<TestBackend, 1, Int>) -> Vec<i64> {
        tensor.into_data().to_vec().unwrap()
    }

    /// A batch of an unlabelled example of two tokens and one of three with this target.
    fn targets(target: Target) -> Targets<TestBackend> {
        let features = [feature(0, &[2, 3], &[0, 0], None), feature(1, &[2, 9, 3], &[0; 3], Some(target))];
        Collator::new(0)
            .with_multiple_of(4)
            .collate_indices(&features, &[0, 1], &Default::default())
            .targets
            .unwrap()
    }

    #[test]
    fn targets_of_every_kind_say_where_they_are_unknown() {
        let Targets::Classes(tags) = targets(Target::Tags(vec![None, Some(2), None])) else { panic!() };
        assert_eq!(ints(tags), [-100, -100, -100, -100, -100, 2, -100, -100]);

        let Targets::Flags { flags, known } = targets(Target::Flags(vec![true, false, true])) else {
            panic!()
        };
        assert_eq!(flags.dims(), [2, 3]);
        assert_eq!(flags.into_data().to_vec::<f32>().unwrap(), [0., 0., 0., 1., 0., 1.]);
        assert_eq!(known.into_data().to_vec::<f32>().unwrap(), [0., 1.]);

        let Targets::Values { values, known } = targets(Target::Value(2.5)) else { panic!() };
        assert_eq!(values.into_data().to_vec::<f32>().unwrap(), [0., 2.5]);
        assert_eq!(known.into_data().to_vec::<f32>().unwrap(), [0., 1.]);

        let Targets::Spans { starts, ends } = targets(Target::Span { start: 1, end: 2 }) else { panic!() };
        assert_eq!((ints(starts), ints(ends)), (vec![-100, 1], vec![-100, 2]));
    }

    #[test]
    #[should_panic(expected = "Class(1) and Value(0.5)")]
    fn a_batch_of_two_tasks_is_a_mistake() {
        let features =
            [Target::Class(1), Target::Value(0.5)].map(|target| feature(0, &[2], &[0], Some(target)));
        let _ = Collator::new(0).collate_indices::<TestBackend>(&features, &[0, 1], &Default::default());
    }

    #[test]
    #[should_panic(expected = "at least one feature")]
    fn an_empty_batch_is_a_mistake() {
        let _ = Collator::new(0).collate::<TestBackend>(&[], &Default::default());
    }
}
