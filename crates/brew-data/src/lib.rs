//! From text files to padded batches, and the metrics of what comes out.
//!
//! A batch flows one way: a file becomes [`RawExample`]s ([`read_examples`]), their label names become
//! indexes ([`LabelSet`], [`label_examples`]), a [`TextTokenizer`] turns each [`Example`] into a
//! [`Feature`], a [`BatchSampler`] decides which features meet in which step, and a [`Collator`] pads them
//! into a [`Batch`] of tensors. [`ClassificationReport`] judges what a model made of them.
//!
//! Tasks beyond one class a text: [`read_tagged_examples`], [`encode_tagged`] and [`SpanReport`] for a tag a word;
//! [`read_multi_label_examples`], [`flag_examples`] and [`MultiLabelReport`] for any number of labels;
//! [`value_examples`] and [`RegressionReport`] for numbers. [`Layout`] knows the files of common data sets.
//!
//! Where student and teacher have tokenizers of their own, [`AlignedTokenizer`] encodes for both, and an
//! [`AlignedBatch`] says which tokens are which.
//!
//! ```
//! use brew_data::{
//!     Batch, BatchSampler, Collator, LabelSet, TextFileSpec, TextTokenizer, WordPieceOptions, label_examples,
//!     read_examples,
//! };
//! use brew_random::Key;
//!
//! # fn main() -> Result<(), brew_data::DataError> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("train.tsv");
//! std::fs::write(&path, "a fine film\tgood\na dull film\tbad\n").unwrap();
//! let raw = read_examples(&path, &TextFileSpec::default())?;
//! let labels = LabelSet::from_examples(&raw)?;
//! let examples = label_examples(&raw, &labels)?;
//!
//! let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "dull", "film"];
//! let tokenizer = TextTokenizer::from_vocabulary(words.map(String::from).to_vec(), WordPieceOptions::default())?;
//! let features = tokenizer.encode_all(&examples, 128)?;
//!
//! let sampler = BatchSampler::training(features.iter().map(|f| f.len()).collect(), 2, Key::new(42))?;
//! let collator = Collator::new(tokenizer.pad_id());
//! for indices in sampler.epoch(0) {
//!     let batch: Batch<brew_testkit::TestBackend> = collator.collate_indices(&features, &indices, &Default::default());
//!     assert_eq!(batch.input_ids.dims(), [2, 5]);
//! }
//! # Ok(())
//! # }
//! ```

mod aligned;
mod alignment;
pub mod augment;
mod augmenter;
pub mod bag_of_words;
mod batch;
mod cores;
mod error;
mod example;
mod feature;
pub mod grammar;
mod labels;
pub mod metrics;
mod multi_label;
pub mod qa;
mod reader;
mod sampler;
mod tags;
mod targeted;
mod tokenizer;

pub use aligned::{AlignedBatch, AlignedCollator, AlignedFeature, AlignedTokenizer};
pub use alignment::{Alignment, TokenSpan, TokenSpans};
pub use augmenter::{Augmentation, AugmentationProblem, Augmenter};
pub use batch::{Batch, Collator, IGNORED_LABEL, Targets};
pub use error::DataError;
pub use example::{Example, Origin, RawExample};
pub use feature::{Feature, Target};
pub use labels::{LabelSet, label_examples, partly_label_examples, unlabelled_examples};
pub use metrics::{ClassificationReport, ConfusionMatrix, LabelReport};
pub use metrics::{MultiLabelReport, RegressionReport, SpanReport};
pub use multi_label::{
    F1Average, MultiLabelExample, MultiLabelSpec, Thresholds, flag_examples, multi_label_set,
    read_multi_label_examples,
};
pub use qa::{
    Answer, AnswerChoice, QuestionExample, QuestionFileSpec, QuestionOrigin, ReadReport, SpanCandidate,
    SpanDecoding, SpanFeature, SpanOptions, SpanPrediction, WindowReport, decode_spans, question_features,
    read_questions, split_by_title, training_features,
};
pub use reader::{Column, Extent, TextFileSpec, TextFormat, read_examples};
pub use reader::{Layout, LayoutOptions, LayoutRows, LayoutTask, Split, drop_seen};
pub use sampler::BatchSampler;
pub use tags::{
    EncodedTags, EntitySpan, LongSentences, OUTSIDE_TAG, SpanMode, TagCounts, TagEncoding, TagFileSpec,
    TagFormat, TagScheme, TagSet, TagWindow, TaggedExample, TaggedFile, WordSplit, WordToken, encode_tagged,
    read_tagged_examples,
};
pub use targeted::{TargetedExample, value_examples};
pub use tokenizer::{TextTokenizer, WordPieceOptions};
