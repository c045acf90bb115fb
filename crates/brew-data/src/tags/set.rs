//! The tags of a data set and their numbers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::scheme::{OUTSIDE_TAG, TagScheme};
use super::{SpanMode, TaggedExample};
use crate::{DataError, LabelSet};

/// The tags of a data set in the order of a model's logits, and their scheme.
///
/// In files: `{"scheme": "iob2", "tags": ["O", "B-PER", "I-PER"]}`.
///
/// ```
/// use brew_data::{TagScheme, TagSet, TaggedExample};
///
/// let examples = [TaggedExample::new(0, ["Kim", "sings"]).with_tags(["B-PER", "O"])];
/// let tags = TagSet::from_examples(&examples, TagScheme::Iob2)?;
/// assert_eq!(tags.labels().names(), ["O", "B-PER", "I-PER"]);
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct TagSet {
    labels: LabelSet,
    scheme: TagScheme,
    outside: usize,
}

impl TagSet {
    /// These tags, as those of a model that was trained before.
    ///
    /// # Errors
    /// A tag that is not of the scheme; no `O`.
    pub fn new(labels: LabelSet, scheme: TagScheme) -> Result<Self, DataError> {
        for tag in labels.names() {
            scheme.check(tag)?;
        }
        let outside = labels.index(OUTSIDE_TAG).ok_or(DataError::NoOutsideTag)?;
        Ok(Self { labels, scheme, outside })
    }

    /// `O`, then for each type of span, in alphabetical order, its tag for each letter of the scheme, whether it
    /// occurs or not: so the numbers depend on the types only, and a dev set whose types are known has no
    /// unknown tag. Examples without tags add nothing.
    ///
    /// # Errors
    /// A tag that is not of the scheme; no tag but `O` anywhere.
    pub fn from_examples(examples: &[TaggedExample], scheme: TagScheme) -> Result<Self, DataError> {
        let mut kinds = BTreeSet::new();
        for tags in examples.iter().filter_map(|example| example.tags.as_ref()) {
            kinds.extend(scheme.spans(tags, SpanMode::Lenient)?.into_iter().map(|span| span.kind));
        }
        if kinds.is_empty() {
            return Err(DataError::NoTags);
        }
        let tags =
            kinds.iter().flat_map(|kind| scheme.letters().iter().map(|&letter| TagScheme::tag(letter, kind)));
        Self::new(LabelSet::new([OUTSIDE_TAG.to_owned()].into_iter().chain(tags))?, scheme)
    }

    /// The tags by index.
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// The scheme.
    pub fn scheme(&self) -> TagScheme {
        self.scheme
    }

    /// The index of `O`.
    pub fn outside(&self) -> usize {
        self.outside
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    scheme: TagScheme,
    tags: LabelSet,
}

impl TryFrom<Written> for TagSet {
    type Error = DataError;

    fn try_from(written: Written) -> Result<Self, DataError> {
        Self::new(written.tags, written.scheme)
    }
}

impl From<TagSet> for Written {
    fn from(set: TagSet) -> Self {
        Self { scheme: set.scheme, tags: set.labels }
    }
}
