//! A vocabulary learned from texts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::repeat_n;

use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    AddedToken, Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Trainer,
};

use super::{TextTokenizer, WordPieceOptions};
use crate::DataError;

/// What every vocabulary begins with.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// What WordPiece makes `[UNK]` of unseen.
const LONGEST_WORD: usize = 100;
/// How often two pieces must meet to become one.
const LEAST_COUNT: u64 = 2;

impl TextTokenizer {
    /// Learns BERT's WordPiece from texts, with at most `vocab_size` entries.
    ///
    /// They are `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`, then the characters, alone and with `##`
    /// where they go on a word, then what the most frequent neighbours make together, as long as they meet
    /// twice at least; short texts give fewer entries than asked for. Where not all characters have room,
    /// the most frequent ones stay. The same texts give the same vocabulary, in whatever order.
    ///
    /// # Errors
    /// A `vocab_size` that leaves no room for a character; texts without a word.
    ///
    /// ```
    /// use brew_data::{Example, TextTokenizer, WordPieceOptions};
    ///
    /// let texts = ["a low tide", "low lands", "the lowest low"];
    /// let tokenizer = TextTokenizer::train(texts, 40, WordPieceOptions::default())?;
    /// assert_eq!(tokenizer.token_id("[PAD]"), Some(0));
    /// let feature = tokenizer.encode(&Example::new(0, "Low!"), 16)?;
    /// assert_eq!(tokenizer.tokens(&feature.input_ids), ["[CLS]", "low", "[UNK]", "[SEP]"]);
    /// # Ok::<(), brew_data::DataError>(())
    /// ```
    pub fn train<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
        vocab_size: usize,
        options: WordPieceOptions,
    ) -> Result<Self, DataError> {
        // One character alone and with `##`.
        let least = SPECIAL.len() + 2;
        if vocab_size < least {
            return Err(DataError::VocabularyTooSmall { vocab_size, least });
        }
        let failed = |error: tokenizers::Error| DataError::Train { message: error.to_string() };
        let mut words = count_words(texts, options).map_err(failed)?;
        if words.is_empty() {
            return Err(DataError::NoWords);
        }
        let alphabet = Alphabet::new(&words, vocab_size - SPECIAL.len());
        // With a character unknown, the whole word is `[UNK]`.
        words.retain(|word, _| word.chars().all(|character| alphabet.characters.contains(&character)));

        // The trainer numbers the `##` characters, and with them ties, in the random order of a hash map; given
        // to it as special tokens, they are all there before.
        let pieces = SPECIAL.into_iter().map(str::to_owned).chain(alphabet.pieces());
        let mut trainer = WordPieceTrainer::builder()
            .show_progress(false)
            .min_frequency(LEAST_COUNT)
            .vocab_size(vocab_size)
            .special_tokens(pieces.map(|piece| AddedToken::from(piece, true)).collect())
            .build();
        let occurrences = words.iter().flat_map(|(word, &count)| repeat_n(word.as_str(), count));
        trainer.feed(occurrences, |word| Ok(vec![word.to_owned()])).map_err(failed)?;
        let mut model = WordPiece::default();
        trainer.train(&mut model).map_err(failed)?;

        let mut entries: Vec<(String, u32)> = model.get_vocab().into_iter().collect();
        entries.sort_unstable_by_key(|(_, id)| *id);
        Self::from_vocabulary(entries.into_iter().map(|(entry, _)| entry).collect(), options)
    }
}

/// How often each word comes, those left out that WordPiece does not split.
fn count_words<T: AsRef<str>>(
    texts: impl IntoIterator<Item = T>,
    options: WordPieceOptions,
) -> Result<BTreeMap<String, usize>, tokenizers::Error> {
    let normalizer = options.normalizer();
    let mut words = BTreeMap::new();
    for text in texts {
        let mut normalized = NormalizedString::from(text.as_ref());
        normalizer.normalize(&mut normalized)?;
        let mut split = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut split)?;
        for (word, ..) in split.get_splits(OffsetReferential::Original, OffsetType::None) {
            match words.get_mut(word) {
                Some(count) => *count += 1,
                None if word.chars().count() > LONGEST_WORD => {}
                None => {
                    words.insert(word.to_owned(), 1);
                }
            }
        }
    }
    Ok(words)
}

/// The characters that have room in a vocabulary.
struct Alphabet {
    characters: BTreeSet<char>,
    /// Those of them that go on a word.
    continuing: BTreeSet<char>,
}

impl Alphabet {
    /// The most frequent characters of `words`, with at most `room` pieces.
    fn new(words: &BTreeMap<String, usize>, mut room: usize) -> Self {
        let mut counts: HashMap<char, usize> = HashMap::new();
        let mut continuing = BTreeSet::new();
        for (word, &count) in words {
            for (at, character) in word.chars().enumerate() {
                *counts.entry(character).or_default() += count;
                if at > 0 {
                    continuing.insert(character);
                }
            }
        }
        let mut by_count: Vec<(char, usize)> = counts.into_iter().collect();
        by_count.sort_unstable_by_key(|&(character, count)| (std::cmp::Reverse(count), character));
        let mut characters = BTreeSet::new();
        for (character, _) in by_count {
            let Some(left) = room.checked_sub(1 + usize::from(continuing.contains(&character))) else {
                break;
            };
            room = left;
            characters.insert(character);
        }
        continuing.retain(|character| characters.contains(character));
        Self { characters, continuing }
    }

    /// The entries that they are.
    fn pieces(&self) -> impl Iterator<Item = String> {
        let alone = self.characters.iter().map(char::to_string);
        alone.chain(self.continuing.iter().map(|character| format!("##{character}")))
    }
}

#[cfg(test)]
mod tests {
    use brew_random::Key;

    use super::*;
    use crate::Example;

    fn entries(tokenizer: &TextTokenizer) -> Vec<String> {
        tokenizer.tokens(&(0..tokenizer.vocab_size() as u32).collect::<Vec<_>>())
    }

    fn learned(texts: &[&str], size: usize) -> Vec<String> {
        entries(&TextTokenizer::train(texts, size, WordPieceOptions::default()).unwrap())
    }

    /// Sentences of made-up words, some common, some rare.
    fn corpus(seed: u64) -> Vec<String> {
        let mut stream = Key::new(seed).purpose("corpus").stream();
        let words: Vec<String> = (0..400)
            .map(|_| {
                (0..1 + stream.below(4)).map(|_| *stream.pick(&["ba", "ko", "ré", "st", "u", "中"])).collect()
            })
            .collect();
        let sentence = |_| {
            let words: Vec<&str> = (0..8)
                .map(|_| words[(stream.uniform() * stream.uniform() * 400.0) as usize].as_str())
                .collect();
            words.join(" ")
        };
        (0..500).map(sentence).collect()
    }

    #[test]
    fn merges_are_those_worked_by_hand() {
        // Pairs: l+##o 4 (with ##o+##w 4, later in the order), lo+##w 4, low+##e 2.
        let texts = ["low low lower lowest", "x"];
        let expected = [
            "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "e", "l", "o", "r", "s", "t", "w", "x", "##e",
            "##o", "##r", "##s", "##t", "##w", "lo", "low", "lowe",
        ];
        assert_eq!(learned(&texts, 100), expected);
        assert_eq!(learned(&texts, 20), expected[..20]);
    }

    #[test]
    fn training_twice_gives_the_same_vocabulary_in_whatever_order_the_texts_come() {
        let mut texts = corpus(1);
        let train = |texts: &[String], size| {
            entries(&TextTokenizer::train(texts, size, WordPieceOptions::default()).unwrap())
        };
        let (first, all) = (train(&texts, 150), train(&texts, 10_000));
        assert_eq!(first.len(), 150);
        assert_eq!(all[..150], first, "a larger vocabulary begins with the smaller one");
        for _ in 0..4 {
            texts.reverse();
            assert_eq!(train(&texts, 150), first);
            assert_eq!(train(&texts, 10_000), all);
        }
        assert_ne!(train(&corpus(2), 150), first);
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn the_folder_loads_back_and_encodes_alike() {
        let texts = corpus(3);
        for do_lower_case in [true, false] {
            let options = WordPieceOptions { do_lower_case, ..WordPieceOptions::default() };
            let tokenizer = TextTokenizer::train(&texts, 200, options).unwrap();
            let folder = tempfile::tempdir().unwrap();
            tokenizer.save(folder.path()).unwrap();
            let loaded = TextTokenizer::from_folder(folder.path()).unwrap();
            std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
            let from_vocabulary = TextTokenizer::from_folder(folder.path()).unwrap();
            for (id, text) in texts.iter().enumerate() {
                let example = Example::new(id as u64, text.to_uppercase()).with_pair(text.as_str());
                let feature = tokenizer.encode(&example, 64).unwrap();
                assert_eq!(loaded.encode(&example, 64).unwrap(), feature);
                assert_eq!(from_vocabulary.encode(&example, 64).unwrap(), feature);
                let plain = tokenizer.encode(&Example::new(0, text.as_str()), 200).unwrap();
                assert!(!plain.input_ids.contains(&1), "a word of the corpus is unknown: {text}");
            }
        }
    }

    #[test]
    fn options_decide_on_case_accents_and_ideographs() {
        let with = |do_lower_case, tokenize_chinese_chars| {
            let options = WordPieceOptions { do_lower_case, tokenize_chinese_chars, strip_accents: None };
            entries(&TextTokenizer::train(["Été 北京 Été 北京"], 60, options).unwrap())
        };
        let has = |entries: &[String], entry: &str| entries.iter().any(|one| one == entry);
        let lower = with(true, true);
        assert!(has(&lower, "ete") && has(&lower, "京") && !has(&lower, "##京"), "{lower:?}");
        let cased = with(false, false);
        assert!(has(&cased, "Été") && has(&cased, "北京") && !has(&cased, "ete"), "{cased:?}");
    }

    #[test]
    fn rare_characters_give_way_where_there_is_no_room() {
        // a: 4, b: 3, c: 2, q: 1; `ab` with a, b, ##b is all that fits.
        let vocabulary = learned(&["ab ab ab ac", "c q"], 9);
        assert_eq!(vocabulary[5..], ["a", "b", "##b", "ab"]);
    }

    #[test]
    fn what_gives_no_vocabulary_says_so() {
        let train = |texts: &[&str], size| TextTokenizer::train(texts, size, WordPieceOptions::default());
        let error = train(&["a"], 6).unwrap_err();
        assert!(matches!(error, DataError::VocabularyTooSmall { vocab_size: 6, least: 7 }), "{error}");
        assert!(error.to_string().contains("at least 7"), "{error}");
        for texts in [&[][..], &["", " \t"], &["x".repeat(101).as_str()]] {
            assert!(matches!(train(texts, 100), Err(DataError::NoWords)), "{texts:?}");
        }
        assert_eq!(entries(&train(&["a"], 7).unwrap())[5..], ["a"]);
    }
}
