//! Words to word pieces, and a model's logits back to a tag for each word.

use std::fmt;

use serde::Serialize;

use super::windows::windows;
use super::{LongSentences, TagEncoding, TagSet, TaggedExample};
use crate::cores::on_every_core;
use crate::metrics::predicted_classes;
use crate::{DataError, Feature, Target, TextTokenizer};

/// Where the first piece of a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordToken {
    /// The word's place in its example.
    pub word: usize,
    /// Its first token's place in the feature.
    pub token: usize,
}

/// What a feature has of its example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagWindow {
    /// The example's place among those that were encoded.
    pub example: usize,
    /// The words that this feature decides, in order: the others it only reads.
    pub words: Vec<WordToken>,
}

/// What encoding did to the sentences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TagCounts {
    /// Sentences.
    pub examples: usize,
    /// Words in all.
    pub words: usize,
    /// Features that they became.
    pub windows: usize,
    /// Sentences that did not fit one window.
    pub long_examples: usize,
    /// Words beyond the window where long sentences are truncated.
    pub lost_words: usize,
    /// Words of more pieces than a window holds, of which only the first pieces are read.
    pub cut_words: usize,
    /// Words that the tokenizer makes nothing of, such as a lone variation selector: read as the unknown word.
    pub empty_words: usize,
}

impl fmt::Display for TagCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sentences, {} words, {} windows", self.examples, self.words, self.windows)?;
        for (count, what) in [
            (self.long_examples, "sentences longer than a window"),
            (self.lost_words, "words lost behind max_length"),
            (self.cut_words, "words cut"),
            (self.empty_words, "words without a token of their own"),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Tagged sentences as a model reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedTags {
    /// What a [`Collator`](crate::Collator) takes. [`Feature::id`] is the place in this list. A feature's target
    /// is the class of each word at the word's first piece; the other pieces, the special tokens and words that
    /// another window decides do not count.
    pub features: Vec<Feature>,
    /// For each feature what it has of its example.
    pub windows: Vec<TagWindow>,
    /// What became of the sentences.
    pub counts: TagCounts,
    /// How many words each example has.
    words: Vec<usize>,
}

/// The features of some sentences: each word cut into pieces by itself, long sentences into windows.
///
/// Words are cut as transformers does with `is_split_into_words=True` (and, where the tokenizer marks the space
/// before a word, `add_prefix_space=True`). An example without tags gives features without a target.
///
/// # Errors
/// A tag that is not in the set; a `max_length` that leaves no room for a word; a text that the tokenizer
/// refuses.
///
/// ```
/// use brew_data::{TagEncoding, TagScheme, TagSet, TaggedExample, TextTokenizer, WordPieceOptions, encode_tagged};
///
/// let pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "kim", "sing", "##s"].map(String::from).to_vec();
/// let tokenizer = TextTokenizer::from_vocabulary(pieces, WordPieceOptions::default())?;
/// let examples = [TaggedExample::new(0, ["Kim", "sings"]).with_tags(["B-PER", "O"])];
/// let tags = TagSet::from_examples(&examples, TagScheme::Iob2)?;
/// let encoded = encode_tagged(&tokenizer, &examples, &tags, &TagEncoding::default())?;
/// assert_eq!(tokenizer.tokens(&encoded.features[0].input_ids), ["[CLS]", "kim", "sing", "##s", "[SEP]"]);
///
/// // Logits of the five tokens, three tags each; the middle pieces of words are not looked at.
/// let logits = vec![9., 0., 0., 0., 7., 0., 3., 0., 0., 0., 0., 9., 9., 0., 0.];
/// assert_eq!(encoded.decode(&[logits], &tags)?, [["B-PER", "O"]]);
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn encode_tagged(
    tokenizer: &TextTokenizer,
    examples: &[TaggedExample],
    tags: &TagSet,
    encoding: &TagEncoding,
) -> Result<EncodedTags, DataError> {
    let capacity = tokenizer.room(encoding.max_length)?;
    let parts =
        on_every_core(examples, |example| Encoder { tokenizer, tags, encoding, capacity }.encode(example))?;
    let mut all = EncodedTags {
        features: Vec::new(),
        windows: Vec::new(),
        counts: TagCounts { examples: examples.len(), ..TagCounts::default() },
        words: examples.iter().map(|example| example.words.len()).collect(),
    };
    for (example, part) in parts.into_iter().enumerate() {
        all.counts.long_examples += usize::from(part.features.len() > 1 || part.lost_words > 0);
        all.counts.lost_words += part.lost_words;
        all.counts.cut_words += part.cut_words;
        all.counts.empty_words += part.empty_words;
        for (mut feature, words) in part.features {
            feature.id = all.features.len() as u64;
            all.features.push(feature);
            all.windows.push(TagWindow { example, words });
        }
    }
    all.counts.words = all.words.iter().sum();
    all.counts.windows = all.features.len();
    Ok(all)
}

/// The features of one example and what happened to its words.
#[derive(Default)]
struct Part {
    features: Vec<(Feature, Vec<WordToken>)>,
    lost_words: usize,
    cut_words: usize,
    empty_words: usize,
}

struct Encoder<'a> {
    tokenizer: &'a TextTokenizer,
    tags: &'a TagSet,
    encoding: &'a TagEncoding,
    capacity: usize,
}

impl Encoder<'_> {
    fn encode(&self, example: &TaggedExample) -> Result<Part, DataError> {
        let classes = self.classes(example)?;
        let mut part = Part::default();
        let mut pieces = Vec::with_capacity(example.words.len());
        for word in &example.words {
            let mut ids = self.tokenizer.word_pieces_of(word, example.id)?;
            if ids.is_empty() {
                part.empty_words += 1;
                ids.push(self.tokenizer.stand_in_id());
            }
            if ids.len() > self.capacity {
                part.cut_words += 1;
                ids.truncate(self.capacity);
            }
            pieces.push(ids);
        }
        let lengths: Vec<usize> = pieces.iter().map(Vec::len).collect();
        let windows = windows(&lengths, self.capacity, self.encoding);
        if self.encoding.long_sentences == LongSentences::Truncate {
            part.lost_words = pieces.len() - windows.last().map_or(0, |window| window.words.end);
        }
        for window in windows {
            let ids: Vec<u32> = pieces[window.words.clone()].concat();
            let (mut feature, places) = self.tokenizer.surrounded(&ids, example.id)?;
            let mut words = Vec::with_capacity(window.decides.len());
            let mut at = 0;
            for word in window.words {
                if window.decides.contains(&word) {
                    words.push(WordToken { word, token: places[at] });
                }
                at += lengths[word];
            }
            feature.target = classes.as_ref().map(|classes| {
                let mut target = vec![None; feature.len()];
                for WordToken { word, token } in &words {
                    target[*token] = Some(classes[*word]);
                }
                Target::Tags(target)
            });
            part.features.push((feature, words));
        }
        Ok(part)
    }

    fn classes(&self, example: &TaggedExample) -> Result<Option<Vec<usize>>, DataError> {
        let Some(names) = &example.tags else { return Ok(None) };
        let labels = self.tags.labels();
        let class = |name: &String| {
            labels.index(name).ok_or_else(|| DataError::UnknownLabel {
                path: example.origin.path_buf(),
                line: example.origin.line,
                value: name.clone(),
                nearest: labels.nearest(name),
                known: labels.names().to_vec(),
            })
        };
        names.iter().map(class).collect::<Result<_, _>>().map(Some)
    }
}

impl EncodedTags {
    /// How many words each example has.
    pub fn word_counts(&self) -> &[usize] {
        &self.words
    }

    /// The tag of each word of each example, from a model's logits: `logits[i]` are those of the i-th feature,
    /// token by token, `tags` numbers a token. They may go on behind the feature's tokens, as padding does.
    /// Words that no feature decides, lost by truncation, are `O`.
    ///
    /// # Errors
    /// Not as many rows as features; a row shorter than its feature.
    ///
    /// # Panics
    /// If a row's length is no multiple of the number of tags.
    pub fn decode(&self, logits: &[impl AsRef<[f32]>], tags: &TagSet) -> Result<Vec<Vec<String>>, DataError> {
        let classes: Vec<Vec<usize>> =
            logits.iter().map(|row| predicted_classes(row.as_ref(), tags.labels().len())).collect();
        self.decode_classes(&classes, tags)
    }

    /// [`decode`](Self::decode), from the class of each token.
    ///
    /// # Errors
    /// Not as many rows as features; a row shorter than its feature; a class that is not in the set.
    pub fn decode_classes(
        &self,
        classes: &[impl AsRef<[usize]>],
        tags: &TagSet,
    ) -> Result<Vec<Vec<String>>, DataError> {
        let names = tags.labels();
        let outside = &names.names()[tags.outside()];
        if classes.len() != self.features.len() {
            return Err(DataError::DifferentLengths {
                predictions: classes.len(),
                labels: self.features.len(),
            });
        }
        let mut decoded: Vec<Vec<String>> =
            self.words.iter().map(|&count| vec![outside.clone(); count]).collect();
        for ((row, feature), window) in classes.iter().zip(&self.features).zip(&self.windows) {
            let row = row.as_ref();
            if row.len() < feature.len() {
                return Err(DataError::DifferentLengths { predictions: row.len(), labels: feature.len() });
            }
            for &WordToken { word, token } in &window.words {
                let class = row[token];
                let name = names.name(class).ok_or(DataError::ClassOutOfRange {
                    class,
                    position: token,
                    classes: names.len(),
                })?;
                name.clone_into(&mut decoded[window.example][word]);
            }
        }
        Ok(decoded)
    }
}
