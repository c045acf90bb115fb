//! Words that were split before they reach the tokenizer.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{Encoding, Token};

use super::TextTokenizer;
use crate::{DataError, Feature};

impl TextTokenizer {
    /// How many tokens of one text fit `max_length` beside the special tokens; at least one.
    pub(crate) fn room(&self, max_length: usize) -> Result<usize, DataError> {
        let special = self.tokenizer.get_post_processor().map_or(0, |processor| {
            use tokenizers::PostProcessor;
            processor.added_tokens(false)
        });
        match max_length.checked_sub(special) {
            Some(room) if room > 0 => Ok(room),
            _ => Err(DataError::MaxLengthTooSmall { max_length, special, least: special + 1 }),
        }
    }

    /// The pieces of one word of example `id`; none if the tokenizer makes nothing of it.
    pub(crate) fn word_pieces_of(&self, word: &str, id: u64) -> Result<Vec<u32>, DataError> {
        let is_bare = !word.is_empty() && !word.starts_with(' ');
        let encoded = match is_bare && self.tokenizer.get_pre_tokenizer().is_some_and(needs_space) {
            true => self.tokenizer.encode_fast(format!(" {word}"), false),
            false => self.tokenizer.encode_fast(word, false),
        };
        let encoded = encoded.map_err(|error| DataError::Tokenize { id, message: error.to_string() })?;
        Ok(encoded.get_ids().to_vec())
    }

    /// The id that stands for a word without pieces: that of the unknown word, else of the mask, else of padding.
    pub(crate) fn stand_in_id(&self) -> u32 {
        let unknown = self.special_id("unk_token", ["[UNK]", "<unk>"]);
        unknown.or_else(|| self.mask_id()).unwrap_or(self.pad_id())
    }

    /// The tokens of a text between its special tokens, and where each of them went.
    pub(crate) fn surrounded(&self, ids: &[u32], id: u64) -> Result<(Feature, Vec<usize>), DataError> {
        let failed = |message: String| DataError::Tokenize { id, message };
        let tokens = ids.iter().map(|&id| Token::new(id, String::new(), (0, 0))).collect();
        let encoding = self
            .tokenizer
            .post_process(Encoding::from_tokens(tokens, 0), None, true)
            .map_err(|error| failed(error.to_string()))?;
        let mask = encoding.get_special_tokens_mask();
        let places: Vec<usize> = (0..encoding.len()).filter(|&at| mask[at] == 0).collect();
        if places.len() != ids.len() {
            return Err(failed("its special tokens cannot be told from the text's".to_owned()));
        }
        let feature = Feature {
            id,
            input_ids: encoding.get_ids().to_vec(),
            token_type_ids: encoding.get_type_ids().to_vec(),
            target: None,
        };
        Ok((feature, places))
    }
}

/// Whether a tokenizer reads the space before a word as a part of it and does not add one by itself.
fn needs_space(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(bytes) => !bytes.add_prefix_space,
        PreTokenizerWrapper::Sequence(parts) => parts.as_ref().iter().any(needs_space),
        _ => false,
    }
}
