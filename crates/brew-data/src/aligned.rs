//! Batches that student and teacher read each in its own tokens.

use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::backend::AutodiffBackend;

use crate::cores::on_every_core;
use crate::{Alignment, Batch, Collator, DataError, Example, Feature, TextTokenizer, TokenSpans};

/// One example in the tokens of the student and in those of the teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignedFeature {
    /// What the student reads.
    pub student: Feature,
    /// What the teacher reads.
    pub teacher: Feature,
    /// Which teacher tokens each student token is.
    pub alignment: Alignment,
}

impl AlignedFeature {
    /// Aligns two encodings of the same example.
    pub fn new(student: (Feature, TokenSpans), teacher: (Feature, TokenSpans)) -> Self {
        let alignment = Alignment::new(&student.1, &teacher.1);
        Self { student: student.0, teacher: teacher.0, alignment }
    }
}

/// The tokenizers of a student and a teacher that differ.
///
/// ```
/// use brew_data::{AlignedTokenizer, Example, TextTokenizer, WordPieceOptions};
///
/// let tokenizer = |pieces: &[&str]| {
///     let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].iter().chain(pieces).map(|&word| word.to_owned());
///     TextTokenizer::from_vocabulary(words.collect(), WordPieceOptions::default())
/// };
/// let both = AlignedTokenizer::new(tokenizer(&["fine", "film"])?, tokenizer(&["fi", "##ne", "film"])?);
/// let examples = [Example::new(0, "fine film"), Example::new(1, "film")];
/// let features = both.encode_all(&examples, 16, 16)?;
/// let batch = both.collator().collate_indices::<brew_testkit::TestBackend>(&features, &[0, 1], &Default::default());
/// assert_eq!(batch.alignment.dims(), [2, 4, 5]);
/// let fine = batch.alignment.slice([0..1, 1..2, 0..5]).to_data().to_vec::<f32>().unwrap();
/// assert_eq!(fine, [0.0, 0.5, 0.5, 0.0, 0.0]);
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AlignedTokenizer {
    student: TextTokenizer,
    teacher: TextTokenizer,
}

impl AlignedTokenizer {
    /// Encodes each example for both.
    pub fn new(student: TextTokenizer, teacher: TextTokenizer) -> Self {
        Self { student, teacher }
    }

    /// The student's tokenizer.
    pub fn student(&self) -> &TextTokenizer {
        &self.student
    }

    /// The teacher's tokenizer.
    pub fn teacher(&self) -> &TextTokenizer {
        &self.teacher
    }

    /// Pads with the two padding tokens.
    pub fn collator(&self) -> AlignedCollator {
        AlignedCollator::new(self.student.pad_id(), self.teacher.pad_id())
    }

    /// An example in at most `student_length` tokens of the student and `teacher_length` of the teacher,
    /// special tokens included.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::encode`].
    pub fn encode(
        &self,
        example: &Example,
        student_length: usize,
        teacher_length: usize,
    ) -> Result<AlignedFeature, DataError> {
        let student = self.student.encode_with_spans(example, student_length)?;
        let teacher = self.teacher.encode_with_spans(example, teacher_length)?;
        Ok(AlignedFeature::new(student, teacher))
    }

    /// [`encode`](Self::encode) for each example, in order, on every core.
    ///
    /// # Errors
    /// The first error in the order of the examples.
    pub fn encode_all(
        &self,
        examples: &[Example],
        student_length: usize,
        teacher_length: usize,
    ) -> Result<Vec<AlignedFeature>, DataError> {
        on_every_core(examples, |example| self.encode(example, student_length, teacher_length))
    }
}

/// The same examples in the tokens of the student and in those of the teacher.
///
/// `alignment` times the teacher's `[batch, teacher length, width]` is what the teacher says of each token of
/// the student's, `[batch, student length, width]`.
#[derive(Debug, Clone)]
pub struct AlignedBatch<B: Backend> {
    /// What the student reads.
    pub student: Batch<B>,
    /// What the teacher reads, its rows the same examples.
    pub teacher: Batch<B>,
    /// Weights of the teacher's tokens in the mean that stands for each of the student's, `[batch, student
    /// length, teacher length]`: each row sums to 1, or is all 0 at padding and where nothing matches.
    pub alignment: Tensor<B, 3>,
}

impl<B: Backend> AlignedBatch<B> {
    /// How many examples.
    pub fn len(&self) -> usize {
        self.student.len()
    }

    /// Whether there is no example; an [`AlignedCollator`] never makes such a batch.
    pub fn is_empty(&self) -> bool {
        self.student.is_empty()
    }
}

impl<B: AutodiffBackend> AlignedBatch<B> {
    /// The same tensors on the backend without gradients, where teachers run.
    pub fn inner(&self) -> AlignedBatch<B::InnerBackend> {
        AlignedBatch {
            student: self.student.inner(),
            teacher: self.teacher.inner(),
            alignment: self.alignment.clone().inner(),
        }
    }
}

/// Pads features of both sides, and the alignments between them, to the longest of their batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlignedCollator {
    student: Collator,
    teacher: Collator,
}

impl AlignedCollator {
    /// Pads with these token ids, usually [`TextTokenizer::pad_id`] of the one and of the other.
    pub const fn new(student_pad_id: u32, teacher_pad_id: u32) -> Self {
        Self { student: Collator::new(student_pad_id), teacher: Collator::new(teacher_pad_id) }
    }

    /// Rounds each batch's two lengths up to a multiple, for devices that compile or tune a kernel a shape.
    ///
    /// # Panics
    /// If `multiple` is 0.
    pub const fn with_multiple_of(self, multiple: usize) -> Self {
        Self {
            student: self.student.with_multiple_of(multiple),
            teacher: self.teacher.with_multiple_of(multiple),
        }
    }

    /// Pads these features into one batch.
    ///
    /// # Panics
    /// If there is no feature, or an alignment is of other lengths than its features.
    pub fn collate<B: Backend>(&self, features: &[&AlignedFeature], device: &B::Device) -> AlignedBatch<B> {
        let side = |pick: fn(&AlignedFeature) -> &Feature| -> Vec<&Feature> {
            features.iter().map(|&feature| pick(feature)).collect()
        };
        let student: Batch<B> = self.student.collate(&side(|feature| &feature.student), device);
        let teacher: Batch<B> = self.teacher.collate(&side(|feature| &feature.teacher), device);

        let shape = [features.len(), student.length(), teacher.length()];
        let mut weights = vec![0f32; shape.iter().product()];
        for (AlignedFeature { student, teacher, alignment }, rows) in
            features.iter().zip(weights.chunks_mut(shape[1] * shape[2]))
        {
            assert_eq!(
                (alignment.student_length(), alignment.teacher_length()),
                (student.len(), teacher.len()),
                "the alignment of example {} is of other features",
                student.id
            );
            alignment.write_weights(rows, shape[2]);
        }
        let alignment = Tensor::from_data(TensorData::new(weights, shape), device);
        AlignedBatch { student, teacher, alignment }
    }

    /// Pads the features at these indices, such as one entry of
    /// [`BatchSampler::epoch`](crate::BatchSampler::epoch).
    ///
    /// # Panics
    /// As [`collate`](Self::collate), or if an index is out of range.
    pub fn collate_indices<B: Backend>(
        &self,
        features: &[AlignedFeature],
        indices: &[usize],
        device: &B::Device,
    ) -> AlignedBatch<B> {
        let chosen: Vec<&AlignedFeature> = indices.iter().map(|&index| &features[index]).collect();
        self.collate(&chosen, device)
    }
}

#[cfg(test)]
mod tests {
    use brew_testkit::{TestAutodiffBackend, TestBackend};

    use super::*;
    use crate::WordPieceOptions;

    fn both() -> AlignedTokenizer {
        let tokenizer = |words: &[&str]| {
            let words = words.iter().map(|&word| word.to_owned()).collect();
            TextTokenizer::from_vocabulary(words, WordPieceOptions::default()).unwrap()
        };
        AlignedTokenizer::new(
            tokenizer(&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##able", "a"]),
            tokenizer(&["[UNK]", "[CLS]", "[SEP]", "[PAD]", "una", "##ble", "a"]),
        )
    }

    fn features() -> Vec<AlignedFeature> {
        let examples = [Example::new(7, "a").with_label(1), Example::new(8, "unable a a").with_label(0)];
        // The student reads [CLS] un ##able [SEP], the teacher all.
        both().encode_all(&examples, 4, 9).unwrap()
    }

    #[test]
    fn both_sides_are_padded_and_padding_matches_nothing() {
        let batch: AlignedBatch<TestBackend> =
            both().collator().collate_indices(&features(), &[1, 0], &Default::default());
        assert_eq!((batch.len(), batch.is_empty()), (2, false));
        assert_eq!((batch.student.ids.as_slice(), batch.teacher.ids.as_slice()), (&[8, 7][..], &[8, 7][..]));
        assert_eq!(batch.student.input_ids.to_data().to_vec::<i64>().unwrap(), [2, 4, 5, 3, 2, 6, 3, 0]);
        assert_eq!(
            batch.teacher.input_ids.to_data().to_vec::<i64>().unwrap(),
            [1, 4, 5, 6, 6, 2, 1, 6, 2, 3, 3, 3]
        );
        #[rustfmt::skip]
        let expected = [
            1.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 1.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 0.5, 0.5, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.0, 1.0,

            1.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 1.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 1.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ];
        assert_eq!(batch.alignment.dims(), [2, 4, 6]);
        assert_eq!(batch.alignment.to_data().to_vec::<f32>().unwrap(), expected);
    }

    #[test]
    fn lengths_are_rounded_up_on_both_sides() {
        let features = features();
        let batch: AlignedBatch<TestBackend> =
            both().collator().with_multiple_of(8).collate(&[&features[1]], &Default::default());
        assert_eq!(batch.alignment.dims(), [1, 8, 8]);
        assert_eq!(batch.alignment.sum().into_scalar(), 4.0);
    }

    #[test]
    fn inner_holds_the_same_values() {
        let features = features();
        let batch: AlignedBatch<TestAutodiffBackend> =
            both().collator().collate(&[&features[1]], &Default::default());
        let inner: AlignedBatch<TestBackend> = batch.inner();
        assert_eq!(inner.student.input_ids.to_data(), batch.student.input_ids.to_data());
        assert_eq!(inner.teacher.input_ids.to_data(), batch.teacher.input_ids.to_data());
        assert_eq!(inner.alignment.to_data(), batch.alignment.to_data());
    }

    #[test]
    #[should_panic(expected = "example 7 is of other features")]
    fn an_alignment_of_another_example_is_a_mistake() {
        let mut features = features();
        features[0].alignment = features[1].alignment.clone();
        let _ = both().collator().collate::<TestBackend>(&[&features[0]], &Default::default());
    }

    #[test]
    fn a_length_that_is_too_small_is_an_error_on_either_side() {
        let example = Example::new(0, "a");
        assert!(both().encode(&example, 2, 9).is_err());
        assert!(both().encode(&example, 9, 2).is_err());
    }
}
