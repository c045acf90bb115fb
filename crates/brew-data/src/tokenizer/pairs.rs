//! Pairs put together from the tokens of their texts, for windows over a long second text.

use tokenizers::{Encoding, Token};

use super::TextTokenizer;
use super::spans::text_spans;
use crate::{DataError, TokenSpan};

/// The tokens of one text without special tokens.
pub(crate) struct TextTokens {
    /// Token ids.
    pub(crate) ids: Vec<u32>,
    /// The characters of the text that each one is: from, and one more than the last.
    pub(crate) spans: Vec<(usize, usize)>,
}

/// What stands around the two texts of a pair, such as `[CLS]` first `[SEP]` second `[SEP]`.
pub(crate) struct PairTemplate {
    parts: Vec<Part>,
}

enum Part {
    Special { id: u32, kind: u32 },
    Text { text: usize, kind: u32 },
}

impl PairTemplate {
    /// The number of special tokens.
    pub(crate) fn special_tokens(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Special { .. })).count()
    }

    /// Token ids, token types, and where the second text begins among them.
    pub(crate) fn join(&self, first: &[u32], second: &[u32]) -> (Vec<u32>, Vec<u32>, usize) {
        let length = first.len() + second.len() + self.parts.len();
        let (mut ids, mut kinds) = (Vec::with_capacity(length), Vec::with_capacity(length));
        let mut begin = 0;
        for part in &self.parts {
            match *part {
                Part::Special { id, kind } => {
                    ids.push(id);
                    kinds.push(kind);
                }
                Part::Text { text, kind } => {
                    if text == 1 {
                        begin = ids.len();
                    }
                    ids.extend_from_slice([first, second][text.min(1)]);
                    kinds.resize(ids.len(), kind);
                }
            }
        }
        (ids, kinds, begin)
    }
}

impl TextTokenizer {
    /// How pairs are put together, learned from a pair of one token each.
    pub(crate) fn pair_template(&self) -> Result<PairTemplate, DataError> {
        let failed = |message: String| DataError::Tokenize { id: 0, message };
        let text = |kind| Encoding::from_tokens(vec![Token::new(0, "a".to_owned(), (0, 1))], kind);
        let encoding = self
            .tokenizer
            .post_process(text(0), Some(text(1)), true)
            .map_err(|error| failed(error.to_string()))?;
        let special = encoding.get_special_tokens_mask();
        let parts: Vec<Part> = (0..encoding.len())
            .map(|at| {
                let kind = encoding.get_type_ids()[at];
                match encoding.token_to_sequence(at).filter(|_| special[at] == 0) {
                    Some(text) => Part::Text { text, kind },
                    None => Part::Special { id: encoding.get_ids()[at], kind },
                }
            })
            .collect();
        let texts: Vec<usize> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Text { text, .. } => Some(*text),
                Part::Special { .. } => None,
            })
            .collect();
        match texts.as_slice() {
            [0, 1] | [1, 0] => Ok(PairTemplate { parts }),
            _ => Err(failed("it does not put both texts of a pair into one feature".to_owned())),
        }
    }

    /// The tokens of a text without special tokens; `id` is what an error calls the example.
    pub(crate) fn text_tokens(&self, id: u64, text: &str) -> Result<TextTokens, DataError> {
        let encoding = self
            .tokenizer
            .encode_char_offsets(text, false)
            .map_err(|error| DataError::Tokenize { id, message: error.to_string() })?;
        let spans = text_spans(0, text, &encoding)
            .into_iter()
            .map(|span| match span {
                TokenSpan::Text { start, end, .. } => (start, end),
                TokenSpan::Special { .. } => (0, 0),
            })
            .collect();
        Ok(TextTokens { ids: encoding.get_ids().to_vec(), spans })
    }
}
