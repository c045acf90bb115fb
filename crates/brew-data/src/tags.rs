//! Sequence labelling: words with a tag each, such as named entities.
//!
//! [`read_tagged_examples`] reads files into [`TaggedExample`]s, a [`TagSet`] numbers their tags,
//! [`encode_tagged`] cuts the words into pieces and long sentences into windows, and the [`EncodedTags`] it
//! gives lead back from a model's logits to a tag for each word. [`SpanReport`](crate::SpanReport) judges these.

mod encode;
mod example;
mod reader;
mod scheme;
mod set;
mod spans;
mod windows;

pub use encode::{EncodedTags, TagCounts, TagWindow, WordToken, encode_tagged};
pub use example::{TaggedExample, WordSplit};
pub use reader::{TagFileSpec, TagFormat, TaggedFile, read_tagged_examples};
pub use scheme::{OUTSIDE_TAG, TagScheme};
pub use set::TagSet;
pub use spans::{EntitySpan, SpanMode};
pub use windows::{LongSentences, TagEncoding};

#[cfg(test)]
mod tests;
