//! Sentences with a tag for each word.

use std::path::Path;

use brew_data::{
    AlignedFeature, AlignedTokenizer, DataError, EncodedTags, Extent, LabelSet, SpanMode, SpanReport,
    Split as Part, TagFileSpec, TagScheme, TagSet, TaggedExample, TaggedFile, TextTokenizer, encode_tagged,
    read_tagged_examples,
};

use super::rows::{self, Row};
use super::{Corpus, Judge, Purpose, Split, layout_options};
use crate::{DataConfig, EntityPrediction, Prediction, RunError, TagPrediction, TaskKind, TaskReport};

#[derive(Debug, Clone)]
pub(super) struct Sentences {
    examples: Vec<TaggedExample>,
    scheme: TagScheme,
}

impl Sentences {
    pub(super) fn read(path: &Path, part: Part, data: &DataConfig, extent: Extent) -> Result<Self, RunError> {
        let TaggedFile { examples, scheme } = match data.layout {
            Some(layout) => layout.read_tagged(path, part, &layout_options(data, extent))?,
            None => read_tagged_examples(path, &TagFileSpec { extent, ..data.tags.file_spec() })?,
        };
        Ok(Self { examples, scheme })
    }
}

impl Sentences {
    /// The tags of a model. Their scheme is told by their letters; a file that is short or has no tags does not tell.
    fn tag_set(&self, labels: &LabelSet) -> Result<TagSet, DataError> {
        let schemes = [TagScheme::Iob2, TagScheme::Bioes, TagScheme::Bmes];
        let fitting = schemes.into_iter().find_map(|scheme| TagSet::new(labels.clone(), scheme).ok());
        fitting.map_or_else(|| TagSet::new(labels.clone(), self.scheme), Ok)
    }
}

impl Corpus for Sentences {
    fn len(&self) -> usize {
        self.examples.len()
    }

    fn truncate(&mut self, count: usize) {
        self.examples.truncate(count);
    }

    fn labels(&self) -> Result<Option<LabelSet>, RunError> {
        let all = self.examples.iter().all(|example| example.tags.is_some());
        let tags = all.then(|| TagSet::from_examples(&self.examples, self.scheme)).transpose()?;
        Ok(tags.map(|tags| tags.labels().clone()))
    }

    fn require_labels(&self) -> Result<(), RunError> {
        rows::require_labels(&self.examples)
    }

    fn forget_labels(&mut self) {
        self.examples.iter_mut().for_each(Row::forget);
    }

    fn add_unlabelled(&mut self, path: &Path, data: &DataConfig) -> Result<(), RunError> {
        let more = Self::read(path, Part::Train, data, Extent::Whole)?;
        rows::add_unlabelled(&mut self.examples, more.examples, data.transfer_examples);
        Ok(())
    }

    fn encode(
        &self,
        labels: &LabelSet,
        tokenizer: &TextTokenizer,
        data: &DataConfig,
        _purpose: Purpose,
    ) -> Result<Split, RunError> {
        let tags = self.tag_set(labels)?;
        let encoded = encode_tagged(
            tokenizer,
            &self.examples,
            &tags,
            &data.tags.encoding(data.length_limit(TaskKind::TokenClassification)),
        )?;
        let note = encoded.counts.to_string();
        let judge = Words { examples: self.examples.clone(), tags, mode: data.tags.mode, encoded };
        Ok(Split { note: Some(note), ..Split::new(judge.encoded.features.clone(), judge) })
    }

    fn encode_both(
        &self,
        _labels: &LabelSet,
        _both: &AlignedTokenizer,
        _lengths: [usize; 2],
    ) -> Result<Option<Vec<AlignedFeature>>, RunError> {
        Ok(None)
    }
}

#[derive(Debug)]
struct Words {
    examples: Vec<TaggedExample>,
    tags: TagSet,
    mode: SpanMode,
    encoded: EncodedTags,
}

impl Judge for Words {
    fn report(&self, outputs: &[Vec<f32>]) -> Result<TaskReport, RunError> {
        let predicted = self.encoded.decode(outputs, &self.tags)?;
        let gold: Vec<Vec<String>> =
            self.examples.iter().map(|example| example.tags.clone().unwrap_or_default()).collect();
        Ok(TaskReport::Tags(SpanReport::new(&predicted, &gold, self.tags.scheme(), self.mode)?))
    }

    fn predictions(&self, outputs: Vec<Vec<f32>>) -> Result<Vec<Prediction>, RunError> {
        let decoded = self.encoded.decode(&outputs, &self.tags)?;
        let predictions = self.examples.iter().zip(decoded).map(|(example, tags)| {
            let spans = self.tags.scheme().spans(&tags, self.mode)?;
            let entities = spans.into_iter().map(|span| EntityPrediction {
                text: joined(&example.words[span.start..span.end]),
                label: span.kind,
                start: span.start,
                end: span.end,
            });
            let entities = entities.collect();
            Ok(Prediction::Tags(TagPrediction {
                id: example.id,
                words: example.words.clone(),
                tags,
                entities,
            }))
        });
        predictions.collect()
    }
}

/// Words as a text: with spaces, but between characters that are written without.
fn joined(words: &[String]) -> String {
    let is_spaced = |word: Option<char>| word.is_some_and(|one| !is_written_without_spaces(one));
    let mut text = String::new();
    for word in words {
        if is_spaced(text.chars().next_back()) || (!text.is_empty() && is_spaced(word.chars().next())) {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Chinese characters, kana, and full-width marks.
fn is_written_without_spaces(one: char) -> bool {
    matches!(u32::from(one), 0x3000..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0xff00..=0xffef | 0x20000..=0x2fa1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_as_they_are_written() {
        let text = |words: &[&str]| joined(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(text(&["New", "York"]), "New York");
        assert_eq!(text(&["北", "京"]), "北京");
        assert_eq!(text(&["用", "iPhone", "的"]), "用 iPhone 的");
        assert_eq!(text(&[]), "");
    }
}
