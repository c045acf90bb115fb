//! A text as words, with their tags where they are known.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Origin;

/// A text as words, with a tag for each where these are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedExample {
    /// Identifies the example within its data set; of a file, the number of the sentence from 0.
    pub id: u64,
    /// The words; of Chinese texts usually the characters.
    pub words: Vec<String>,
    /// The tag of each word, by name, in the scheme of the data set.
    pub tags: Option<Vec<String>>,
    /// Where the sentence begins.
    pub origin: Origin,
}

impl TaggedExample {
    /// An unlabelled example that comes from no file: its origin is line `id + 1` of `<memory>`.
    pub fn new(id: u64, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let origin = Origin { path: Path::new("<memory>").into(), line: id as usize + 1 };
        Self { id, words: words.into_iter().map(Into::into).collect(), tags: None, origin }
    }

    /// An unlabelled example of a running text, to predict on.
    ///
    /// ```
    /// use brew_data::{TaggedExample, WordSplit};
    /// assert_eq!(TaggedExample::from_text(0, "EU rejects  it", WordSplit::Spaces).words, ["EU", "rejects", "it"]);
    /// assert_eq!(TaggedExample::from_text(0, "他在 北京", WordSplit::Characters).words, ["他", "在", "北", "京"]);
    /// ```
    pub fn from_text(id: u64, text: &str, split: WordSplit) -> Self {
        match split {
            WordSplit::Spaces => Self::new(id, text.split_whitespace()),
            WordSplit::Characters => {
                Self::new(id, text.chars().filter(|c| !c.is_whitespace()).map(String::from))
            }
        }
    }

    /// This example with a tag for each word.
    ///
    /// # Panics
    /// If there are not as many tags as words.
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let tags: Vec<String> = tags.into_iter().map(Into::into).collect();
        assert_eq!(tags.len(), self.words.len(), "tags and words of example {}", self.id);
        self.tags = Some(tags);
        self
    }

    /// This example without what is known of its tags.
    pub fn without_tags(mut self) -> Self {
        self.tags = None;
        self
    }
}

/// What the words of a running text are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WordSplit {
    /// What stands between white space.
    #[default]
    Spaces,
    /// Every character that is not white space, as in Chinese data sets.
    Characters,
}
