//! Text to token ids.

mod files;
mod pairs;
mod spans;
mod train;
mod words;

pub(crate) use pairs::PairTemplate;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::utils::truncation::{TruncationParams, TruncationStrategy, truncate_encodings};
use tokenizers::{AddedToken, Encoding, ModelWrapper, PostProcessor, Tokenizer};

use crate::cores::on_every_core;
use crate::{DataError, Example, Feature, Target};

/// How a vocabulary of word pieces is applied; the names are those of `tokenizer_config.json`.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `do_lower_case` | true | lower-case everything |
/// | `tokenize_chinese_chars` | true | every CJK ideograph is a word |
/// | `strip_accents` | none | drop accents; none: as `do_lower_case` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordPieceOptions {
    /// Lower-case everything.
    pub do_lower_case: bool,
    /// Make every CJK ideograph a word of its own.
    pub tokenize_chinese_chars: bool,
    /// Drop accents; `None` does what `do_lower_case` says.
    pub strip_accents: Option<bool>,
}

impl Default for WordPieceOptions {
    fn default() -> Self {
        Self { do_lower_case: true, tokenize_chinese_chars: true, strip_accents: None }
    }
}

impl WordPieceOptions {
    fn normalizer(self) -> BertNormalizer {
        BertNormalizer::new(true, self.tokenize_chinese_chars, self.strip_accents, self.do_lower_case)
    }
}

/// The special tokens of BERT, or what a configuration calls them.
#[derive(Debug, Clone)]
struct SpecialTokens {
    unk: String,
    cls: String,
    sep: String,
    pad: String,
    mask: String,
}

impl Default for SpecialTokens {
    fn default() -> Self {
        let [unk, cls, sep, pad, mask] = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"].map(String::from);
        Self { unk, cls, sep, pad, mask }
    }
}

/// Turns examples into [`Feature`]s as Hugging Face's fast tokenizers do: special tokens, token types, and
/// truncation `longest_first` from the right. Padding is the [`Collator`](crate::Collator)'s.
///
/// ```
/// use brew_data::{Example, TextTokenizer, WordPieceOptions};
///
/// let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "fair"];
/// let tokenizer = TextTokenizer::from_vocabulary(words.map(String::from).to_vec(), WordPieceOptions::default())?;
/// let feature = tokenizer.encode(&Example::new(0, "Playing").with_pair("fair!"), 16)?;
/// assert_eq!(tokenizer.tokens(&feature.input_ids), ["[CLS]", "play", "##ing", "[SEP]", "fair", "[UNK]", "[SEP]"]);
/// assert_eq!(feature.token_type_ids, [0, 0, 0, 0, 1, 1, 1]);
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    pad_id: u32,
    vocab_size: usize,
    /// The `tokenizer_config.json` that [`save`](Self::save) writes.
    config: Value,
}

impl TextTokenizer {
    /// Reads the tokenizer of a model folder: `tokenizer.json`, else `vocab.txt`, either with
    /// `tokenizer_config.json` beside it if there is one.
    ///
    /// Truncation and padding that were baked into `tokenizer.json` are off; the rest of that file is taken
    /// as it is. For `vocab.txt`, `do_lower_case`, `tokenize_chinese_chars`, `strip_accents` and the names of
    /// the special tokens come from the configuration.
    ///
    /// # Errors
    /// No such folder or neither file in it, a broken file, a vocabulary without its special tokens.
    pub fn from_folder(folder: &Path) -> Result<Self, DataError> {
        files::read(folder)
    }

    /// BERT's WordPiece over a vocabulary, whose entries are numbered as they come. It must hold `[UNK]`,
    /// `[CLS]`, `[SEP]` and `[PAD]`; of an entry that comes twice, the later number counts.
    ///
    /// # Errors
    /// A vocabulary without one of these.
    pub fn from_vocabulary(vocabulary: Vec<String>, options: WordPieceOptions) -> Result<Self, DataError> {
        Self::word_pieces(vocabulary, options, &SpecialTokens::default(), None, None)
    }

    /// WordPiece; `path` is the file that the vocabulary is from, if it is from one.
    fn word_pieces(
        vocabulary: Vec<String>,
        options: WordPieceOptions,
        special: &SpecialTokens,
        path: Option<PathBuf>,
        config: Option<Value>,
    ) -> Result<Self, DataError> {
        let origin = path.map_or_else(|| "the given list".to_owned(), |path| path.display().to_string());
        let id_of = |role: &'static str, token: &str| {
            vocabulary.iter().rposition(|entry| entry == token).map(|id| id as u32).ok_or_else(|| {
                DataError::MissingSpecialToken { origin: origin.clone(), role, token: token.to_owned() }
            })
        };
        id_of("unk", &special.unk)?;
        let cls = id_of("cls", &special.cls)?;
        let sep = id_of("sep", &special.sep)?;
        let pad_id = id_of("pad", &special.pad)?;
        let has_mask = id_of("mask", &special.mask).is_ok();
        let vocab_size = vocabulary.len();

        let broken = |error: tokenizers::Error| DataError::BadTokenizer {
            path: origin.clone().into(),
            message: error.to_string(),
        };
        // The map's hasher is a type of another crate; an empty vocabulary lets it be inferred.
        let mut entries = WordPiece::read_bytes(b"").map_err(broken)?;
        entries.extend(vocabulary.iter().enumerate().map(|(id, token)| (token.clone(), id as u32)));
        let model =
            WordPiece::builder().vocab(entries).unk_token(special.unk.clone()).build().map_err(broken)?;

        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_normalizer(Some(options.normalizer())).map_err(broken)?;
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
        tokenizer.with_post_processor(Some(BertProcessing::new(
            (special.sep.clone(), sep),
            (special.cls.clone(), cls),
        )));
        tokenizer.with_decoder(Some(WordPieceDecoder::default()));
        let mask = has_mask.then_some(&special.mask);
        let tokens = [&special.unk, &special.sep, &special.pad, &special.cls].into_iter().chain(mask);
        tokenizer
            .add_special_tokens(tokens.map(|token| AddedToken::from(token.clone(), true)))
            .map_err(broken)?;

        let config = config.unwrap_or_else(|| {
            json!({
                "tokenizer_class": "BertTokenizer",
                "do_lower_case": options.do_lower_case,
                "tokenize_chinese_chars": options.tokenize_chinese_chars,
                "strip_accents": options.strip_accents,
                "model_max_length": 512,
                "unk_token": special.unk,
                "cls_token": special.cls,
                "sep_token": special.sep,
                "pad_token": special.pad,
                "mask_token": special.mask,
            })
        });
        Ok(Self { tokenizer, pad_id, vocab_size, config })
    }

    /// The id that padding has.
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }

    /// The id of the mask, if the vocabulary holds one.
    pub fn mask_id(&self) -> Option<u32> {
        self.special_id("mask_token", ["[MASK]", "<mask>"])
    }

    /// The ids of the tokens that give a text its structure, such as `[CLS]`, `[SEP]` and `[PAD]`, in
    /// ascending order: all special tokens but the mask and the unknown word, which stand for words.
    pub fn structural_ids(&self) -> Vec<u32> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let mut ids: Vec<u32> =
            added.into_iter().filter_map(|(id, token)| token.special.then_some(id)).collect();
        // A tokenizer.json need not list them: what stands around two empty texts.
        ids.extend(self.tokenizer.encode_fast(("", ""), true).iter().flat_map(Encoding::get_ids));
        ids.push(self.pad_id);
        let words = [self.mask_id(), self.special_id("unk_token", ["[UNK]", "<unk>"])];
        ids.retain(|id| !words.contains(&Some(*id)));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The id of the token that the configuration names, else of the first usual one there is.
    fn special_id(&self, key: &str, usual: [&str; 2]) -> Option<u32> {
        let named = files::token(Some(&self.config), key);
        named.into_iter().chain(usual).find_map(|token| self.token_id(token))
    }

    /// One more than the highest token id: the least number of rows of a model's word embeddings.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id of a token, if the vocabulary holds it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Whether both map the same tokens to the same ids, so that one batch can serve two models.
    pub fn same_vocabulary(&self, other: &Self) -> bool {
        self.tokenizer.get_vocab(true) == other.tokenizer.get_vocab(true)
    }

    /// The tokens of some ids; an id that is not in the vocabulary gives an empty string.
    pub fn tokens(&self, ids: &[u32]) -> Vec<String> {
        ids.iter().map(|&id| self.tokenizer.id_to_token(id).unwrap_or_default()).collect()
    }

    /// The token ids of an example, at most `max_length` of them, special tokens included.
    ///
    /// # Errors
    /// A `max_length` that leaves less than one token for each text; a text that the tokenizer refuses.
    pub fn encode(&self, example: &Example, max_length: usize) -> Result<Feature, DataError> {
        let (first, second) =
            self.truncated(example, max_length, |text| self.tokenizer.encode_fast(text, false))?;
        let encoding = self.tokenizer.post_process(first, second, true).map_err(failed(example))?;
        Ok(feature(example, &encoding))
    }

    /// The one or two texts of an example without special tokens, cut so that these have room.
    fn truncated(
        &self,
        example: &Example,
        max_length: usize,
        encode: impl Fn(&str) -> Result<Encoding, tokenizers::Error>,
    ) -> Result<(Encoding, Option<Encoding>), DataError> {
        // As transformers: an empty second text is none.
        let text_pair = example.text_pair.as_deref().filter(|text| !text.is_empty());
        let is_pair = text_pair.is_some();
        let special =
            self.tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(is_pair));
        let least = special + 1 + usize::from(is_pair);
        if max_length < least {
            return Err(DataError::MaxLengthTooSmall { max_length, special, least });
        }
        let first = encode(&example.text).map_err(failed(example))?;
        let second = text_pair.map(encode).transpose().map_err(failed(example))?;
        let limit = TruncationParams {
            max_length: max_length - special,
            strategy: TruncationStrategy::LongestFirst,
            ..TruncationParams::default()
        };
        truncate_encodings(first, second, &limit).map_err(failed(example))
    }

    /// [`encode`](Self::encode) for each example, in order, on every core.
    ///
    /// # Errors
    /// The first error in the order of the examples.
    pub fn encode_all(&self, examples: &[Example], max_length: usize) -> Result<Vec<Feature>, DataError> {
        on_every_core(examples, |example| self.encode(example, max_length))
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and, for word pieces, `vocab.txt` into a folder, which
    /// is made if it does not exist, so that transformers' `AutoTokenizer` reads it.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn save(&self, folder: &Path) -> Result<(), DataError> {
        files::write(self, folder)
    }

    /// The vocabulary by id, if this is a WordPiece tokenizer.
    fn word_piece_vocabulary(&self) -> Option<Vec<String>> {
        matches!(self.tokenizer.get_model(), ModelWrapper::WordPiece(_)).then(|| {
            (0..self.vocab_size as u32).map(|id| self.tokenizer.id_to_token(id).unwrap_or_default()).collect()
        })
    }
}

/// What the tokenizer says of an example.
fn failed(example: &Example) -> impl Fn(tokenizers::Error) -> DataError {
    let id = example.id;
    move |error| DataError::Tokenize { id, message: error.to_string() }
}

fn feature(example: &Example, encoding: &Encoding) -> Feature {
    Feature {
        id: example.id,
        input_ids: encoding.get_ids().to_vec(),
        token_type_ids: encoding.get_type_ids().to_vec(),
        target: example.label.map(Target::Class),
    }
}

#[cfg(test)]
mod tests;
