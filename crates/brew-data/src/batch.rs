//! Features padded into tensors.

use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::backend::AutodiffBackend;

use crate::Feature;

/// What stands in [`Batch::labels`] for an example without a label; losses skip it.
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
    /// Classes of the texts `[batch]`, or of their tokens `[batch · length]`, [`IGNORED_LABEL`] where one is
    /// unknown; `None` where all are.
    pub labels: Option<Tensor<B, 1, Int>>,
    /// Classes of the texts on the host, without a transfer.
    pub label_values: Vec<Option<usize>>,
    /// How many tokens each example has, if they come first and `attention_mask` is 1 at them and 0
    /// after them, as [`Collator`] puts them: on the host, for models that compute no padding.
    pub lengths: Option<Vec<usize>>,
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
            labels: self.labels.clone().map(Tensor::inner),
            label_values: self.label_values.clone(),
            lengths: self.lengths.clone(),
        }
    }
}

/// Pads features to the longest of their batch.
///
/// ```
/// use brew_data::{Collator, Feature};
///
/// let short = Feature { id: 0, input_ids: vec![2, 3], token_type_ids: vec![0, 0], label: Some(1) };
/// let long = Feature { id: 1, input_ids: vec![2, 7, 3], token_type_ids: vec![0; 3], label: Some(0) };
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
    /// If there is no feature.
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

        let label_values: Vec<Option<usize>> = features.iter().map(|feature| feature.label).collect();
        let labels = label_values.iter().any(Option::is_some).then(|| {
            let values: Vec<i64> =
                label_values.iter().map(|label| label.map_or(IGNORED_LABEL, |label| label as i64)).collect();
            Tensor::from_data(TensorData::new(values, [rows]), device)
        });
        Batch {
            ids: features.iter().map(|feature| feature.id).collect(),
            input_ids: Tensor::from_data(TensorData::new(input_ids, [rows, length]), device),
            attention_mask: Tensor::from_data(TensorData::new(attention_mask, [rows, length]), device),
            token_type_ids: Tensor::from_data(TensorData::new(token_type_ids, [rows, length]), device),
            labels,
            label_values,
            lengths: Some(features.iter().map(|feature| feature.len()).collect()),
        }
    }

    /// Pads the features at these indices, such as one entry of
    /// [`BatchSampler::epoch`](crate::BatchSampler::epoch).
    ///
    /// # Panics
    /// If there is no index, or one is out of range.
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

    fn feature(id: u64, input_ids: &[u32], token_type_ids: &[u32], label: Option<usize>) -> Feature {
        Feature { id, input_ids: input_ids.to_vec(), token_type_ids: token_type_ids.to_vec(), label }
    }

    #[test]
    fn pads_to_the_longest() {
        let features = [
            feature(7, &[2, 9, 3], &[0, 0, 0], Some(1)),
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
        assert_eq!(batch.labels.unwrap().to_data().to_vec::<i64>().unwrap(), [IGNORED_LABEL, 1]);
        assert_eq!(batch.label_values, [None, Some(1)]);
        assert_eq!(batch.lengths, Some(vec![5, 3]));
    }

    #[test]
    fn rounds_the_length_up_and_leaves_labels_out_where_there_are_none() {
        let feature = feature(0, &[2, 9, 3], &[0, 0, 0], None);
        let batch =
            Collator::new(0).with_multiple_of(8).collate::<TestBackend>(&[&feature], &Default::default());
        assert_eq!(batch.input_ids.dims(), [1, 8]);
        assert_eq!(batch.attention_mask.sum().into_scalar(), 3.0);
        assert!(batch.labels.is_none());
        let exact =
            Collator::new(0).with_multiple_of(3).collate::<TestBackend>(&[&feature], &Default::default());
        assert_eq!(exact.length(), 3);
    }

    #[test]
    fn inner_holds_the_same_values() {
        let feature = feature(3, &[2, 9, 3], &[0, 1, 1], Some(2));
        let batch = Collator::new(0).collate::<TestAutodiffBackend>(&[&feature], &Default::default());
        let inner: Batch<TestBackend> = batch.inner();
        assert_eq!(inner.ids, [3]);
        assert_eq!(inner.lengths, Some(vec![3]));
        assert_eq!(inner.input_ids.to_data(), batch.input_ids.to_data());
        assert_eq!(inner.attention_mask.to_data(), batch.attention_mask.to_data());
        assert_eq!(inner.token_type_ids.to_data(), batch.token_type_ids.to_data());
        assert_eq!(inner.labels.unwrap().to_data().to_vec::<i64>().unwrap(), [2]);
    }

    #[test]
    #[should_panic(expected = "at least one feature")]
    fn an_empty_batch_is_a_mistake() {
        let _ = Collator::new(0).collate::<TestBackend>(&[], &Default::default());
    }
}
