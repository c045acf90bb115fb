//! Augmentation as a configuration, and of features.

use std::collections::BTreeSet;
use std::fmt;

use brew_random::{Key, Stream};
use serde::{Deserialize, Serialize};

use crate::augment::{deleting, long_disorder, masking, n_gram_sampling, short_disorder};
use crate::{DataError, Feature, TextTokenizer};

/// One way to change a text; in a file a table with its `name`.
///
/// | `name` | fields and defaults | what it does |
/// |---|---|---|
/// | `masking` | `p` = 0.1 | replaces each token by the mask |
/// | `deleting` | `p` = 0.1 | leaves each token out |
/// | `n_gram_sampling` | `p_ng` = [0.2, 0.2, 0.2, 0.2, 0.2], `l_ng` = [1, 2, 3, 4, 5] | keeps one span |
/// | `short_disorder` | `p` = [0.9, 0.1, 0, 0, 0] | reorders neighbours |
/// | `long_disorder` | `p` = 0.1, `length` = 20 | swaps the halves of spans |
///
/// Probabilities are in [0, 1], those of a list have the sum 1. `l_ng` are whole numbers from 1 on. `length` is
/// at least 2 (tokens), or a share of the text in (0, 1]. Names and defaults are TextBrewer's; the functions in
/// [`augment`](crate::augment) say more.
///
/// ```
/// use brew_data::Augmentation;
///
/// let one: Augmentation = serde_json::from_str(r#"{"name": "long_disorder", "length": 0.4}"#)?;
/// assert_eq!(one, Augmentation::LongDisorder { p: 0.1, length: 0.4 });
/// let one: Augmentation = serde_json::from_str(r#"{"name": "masking", "p": 1.5}"#)?;
/// assert_eq!(one.validate()[0].to_string(), "p = 1.5: must be in [0, 1]");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Augmentation {
    /// See [`masking`].
    Masking {
        /// Probability of each token.
        #[serde(default = "tenth")]
        p: f64,
    },
    /// See [`deleting`].
    Deleting {
        /// Probability of each token.
        #[serde(default = "tenth")]
        p: f64,
    },
    /// See [`n_gram_sampling`].
    NGramSampling {
        /// Probability of each length.
        #[serde(default = "fifths")]
        p_ng: Vec<f64>,
        /// Lengths of the span, in tokens.
        #[serde(default = "one_to_five")]
        l_ng: Vec<usize>,
    },
    /// See [`short_disorder`].
    ShortDisorder {
        /// Probability of each of the five orders.
        #[serde(default = "rarely_swapped")]
        p: [f64; 5],
    },
    /// See [`long_disorder`].
    LongDisorder {
        /// Probability at each place.
        #[serde(default = "tenth")]
        p: f64,
        /// Tokens of a span, or its share of the text.
        #[serde(default = "twenty")]
        length: f64,
    },
}

fn tenth() -> f64 {
    0.1
}

fn fifths() -> Vec<f64> {
    vec![0.2; 5]
}

fn one_to_five() -> Vec<usize> {
    (1..=5).collect()
}

fn rarely_swapped() -> [f64; 5] {
    [0.9, 0.1, 0.0, 0.0, 0.0]
}

fn twenty() -> f64 {
    20.0
}

impl Augmentation {
    /// Its name in files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Masking { .. } => "masking",
            Self::Deleting { .. } => "deleting",
            Self::NGramSampling { .. } => "n_gram_sampling",
            Self::ShortDisorder { .. } => "short_disorder",
            Self::LongDisorder { .. } => "long_disorder",
        }
    }

    /// Everything out of range; empty means that it can be applied.
    pub fn validate(&self) -> Vec<AugmentationProblem> {
        let mut problems = Vec::new();
        let mut problem = |field: String, value: String, message: &str| {
            problems.push(AugmentationProblem { field, value, message: message.to_owned() });
        };
        match self {
            Self::Masking { p } | Self::Deleting { p } => check_probability(&mut problem, "p", *p),
            Self::NGramSampling { p_ng, l_ng } => {
                check_distribution(&mut problem, "p_ng", p_ng);
                if p_ng.len() != l_ng.len() || l_ng.is_empty() {
                    let message =
                        format!("must be as many lengths as probabilities in p_ng ({})", p_ng.len());
                    problem("l_ng".into(), format!("{l_ng:?}"), &message);
                }
                for (index, _) in l_ng.iter().enumerate().filter(|&(_, &length)| length == 0) {
                    problem(format!("l_ng[{index}]"), "0".into(), "must be at least 1");
                }
            }
            Self::ShortDisorder { p } => check_distribution(&mut problem, "p", p),
            Self::LongDisorder { p, length } => {
                check_probability(&mut problem, "p", *p);
                let is_share = *length > 0.0 && *length <= 1.0;
                let is_count = length.is_finite() && *length >= 2.0 && length.fract() == 0.0;
                if !is_share && !is_count {
                    let message = "must be a whole number of at least 2, or a share of the text in (0, 1]";
                    problem("length".into(), length.to_string(), message);
                }
            }
        }
        problems
    }

    /// The text changed by it; only `masking` uses `mask`.
    ///
    /// # Panics
    /// If there are not as many lengths as probabilities, which [`validate`](Self::validate) finds.
    pub fn apply<T: Clone>(&self, tokens: &[T], mask: &T, stream: &mut Stream) -> Vec<T> {
        match self {
            Self::Masking { p } => masking(tokens, *p, mask, stream),
            Self::Deleting { p } => deleting(tokens, *p, stream),
            Self::NGramSampling { p_ng, l_ng } => n_gram_sampling(tokens, p_ng, l_ng, stream),
            Self::ShortDisorder { p } => short_disorder(tokens, p, stream),
            Self::LongDisorder { p, length } => long_disorder(tokens, *p, *length, stream),
        }
    }
}

fn check_probability(problem: &mut impl FnMut(String, String, &str), field: &str, p: f64) {
    if !(0.0..=1.0).contains(&p) {
        problem(field.to_owned(), p.to_string(), "must be in [0, 1]");
    }
}

fn check_distribution(problem: &mut impl FnMut(String, String, &str), field: &str, p: &[f64]) {
    for (index, &probability) in p.iter().enumerate() {
        check_probability(problem, &format!("{field}[{index}]"), probability);
    }
    let sum: f64 = p.iter().sum();
    if !(1.0 - 1e-6..=1.0 + 1e-6).contains(&sum) {
        problem(field.to_owned(), format!("{p:?}"), &format!("must have the sum 1, not {sum}"));
    }
}

/// One thing wrong with an [`Augmentation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AugmentationProblem {
    /// The field, such as `p_ng[2]`.
    pub field: String,
    /// What it holds.
    pub value: String,
    /// What is allowed.
    pub message: String,
}

impl fmt::Display for AugmentationProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.field, self.value, self.message)
    }
}

/// Augments features: the text between special tokens, which keep their order.
///
/// The texts of a pair are changed each by itself, and where nothing would be left of one, a token of it
/// stays. What becomes of an example depends on the key, the epoch and its id alone.
///
/// ```
/// use brew_data::{Augmentation, Augmenter, Example, TextTokenizer, WordPieceOptions};
/// use brew_random::Key;
///
/// let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "film"].map(String::from);
/// let tokenizer = TextTokenizer::from_vocabulary(words.to_vec(), WordPieceOptions::default())?;
/// let feature = tokenizer.encode(&Example::new(0, "fine film"), 16)?;
///
/// let augmenter = Augmenter::new(vec![Augmentation::Masking { p: 1.0 }], &tokenizer, Key::new(42))?;
/// let masked = augmenter.augment(&feature, 0);
/// assert_eq!(tokenizer.tokens(&masked.input_ids), ["[CLS]", "[MASK]", "[MASK]", "[SEP]"]);
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Augmenter {
    steps: Vec<Augmentation>,
    fixed: BTreeSet<u32>,
    mask: u32,
    key: Key,
}

impl Augmenter {
    /// Applies `steps` one after the other, drawn from `key.purpose("augmentation")`.
    ///
    /// # Errors
    /// A step with a field out of range; `masking` with a vocabulary that has no mask.
    pub fn new(steps: Vec<Augmentation>, tokenizer: &TextTokenizer, key: Key) -> Result<Self, DataError> {
        let problems: Vec<String> = steps
            .iter()
            .enumerate()
            .flat_map(|(index, step)| step.validate().into_iter().map(move |problem| (index, step, problem)))
            .map(|(index, step, problem)| format!("augmentation {index} ({}): {problem}", step.name()))
            .collect();
        if !problems.is_empty() {
            return Err(DataError::BadAugmentation { problems });
        }
        let masks = steps.iter().any(|step| matches!(step, Augmentation::Masking { .. }));
        let mask = match tokenizer.mask_id() {
            Some(id) => id,
            None if masks => {
                return Err(DataError::MissingSpecialToken {
                    origin: "masking".to_owned(),
                    role: "mask",
                    token: "[MASK]".to_owned(),
                });
            }
            None => tokenizer.pad_id(),
        };
        let fixed = tokenizer.structural_ids().into_iter().collect();
        Ok(Self { steps, fixed, mask, key: key.purpose("augmentation") })
    }

    /// The feature as it is seen in one epoch.
    pub fn augment(&self, feature: &Feature, epoch: u64) -> Feature {
        let mut stream = self.key.index(epoch).index(feature.id).stream();
        let types = feature.token_type_ids.iter().copied().chain(std::iter::repeat(0));
        let mut tokens: Vec<(u32, u32)> = feature.input_ids.iter().copied().zip(types).collect();
        for step in &self.steps {
            tokens = self.apply(step, &tokens, &mut stream);
        }
        let (input_ids, token_type_ids) = tokens.into_iter().unzip();
        Feature { input_ids, token_type_ids, ..feature.clone() }
    }

    fn apply(&self, step: &Augmentation, tokens: &[(u32, u32)], stream: &mut Stream) -> Vec<(u32, u32)> {
        let is_fixed = |token: &(u32, u32)| self.fixed.contains(&token.0);
        let texts = tokens.chunk_by(|a, b| !is_fixed(a) && !is_fixed(b) && a.1 == b.1);
        texts
            .flat_map(|text| {
                if is_fixed(&text[0]) {
                    return text.to_vec();
                }
                let changed = step.apply(text, &(self.mask, text[0].1), stream);
                if changed.is_empty() { vec![*stream.pick(text)] } else { changed }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Example, WordPieceOptions};

    fn tokenizer() -> TextTokenizer {
        let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "e"];
        TextTokenizer::from_vocabulary(words.map(String::from).to_vec(), WordPieceOptions::default()).unwrap()
    }

    fn augmented(steps: Vec<Augmentation>, text: &str, pair: Option<&str>, epoch: u64) -> (String, Vec<u32>) {
        let tokenizer = tokenizer();
        let mut example = Example::new(3, text).with_label(1);
        example.text_pair = pair.map(str::to_owned);
        let feature = tokenizer.encode(&example, 64).unwrap();
        let new = Augmenter::new(steps, &tokenizer, Key::new(1)).unwrap().augment(&feature, epoch);
        assert_eq!((new.id, new.class()), (3, Some(1)));
        assert_eq!(new.input_ids.len(), new.token_type_ids.len());
        (tokenizer.tokens(&new.input_ids).join(" "), new.token_type_ids)
    }

    fn every() -> [Augmentation; 5] {
        [
            Augmentation::Masking { p: 0.1 },
            Augmentation::Deleting { p: 0.1 },
            Augmentation::NGramSampling { p_ng: fifths(), l_ng: one_to_five() },
            Augmentation::ShortDisorder { p: rarely_swapped() },
            Augmentation::LongDisorder { p: 0.1, length: 20.0 },
        ]
    }

    #[test]
    fn special_tokens_stay_in_place_and_texts_apart() {
        let certain = [
            (Augmentation::Masking { p: 1.0 }, "[CLS] [MASK] [MASK] [MASK] [SEP] [MASK] [MASK] [SEP]"),
            (Augmentation::ShortDisorder { p: [0.0, 0.0, 1.0, 0.0, 0.0] }, "[CLS] c b a [SEP] e d [SEP]"),
            (Augmentation::LongDisorder { p: 1.0, length: 2.0 }, "[CLS] b a c [SEP] e d [SEP]"),
            (Augmentation::NGramSampling { p_ng: vec![1.0], l_ng: vec![9] }, "[CLS] a b c [SEP] d e [SEP]"),
        ];
        for (step, expected) in certain {
            let (tokens, types) = augmented(vec![step], "a b c", Some("d e"), 0);
            assert_eq!((tokens.as_str(), types), (expected, vec![0, 0, 0, 0, 0, 1, 1, 1]));
        }
    }

    #[test]
    fn a_text_is_never_emptied() {
        let (tokens, types) = augmented(vec![Augmentation::Deleting { p: 1.0 }], "a b c", Some("d"), 0);
        assert!(
            ["a", "b", "c"].iter().any(|kept| tokens == format!("[CLS] {kept} [SEP] d [SEP]")),
            "{tokens}"
        );
        assert_eq!(types, [0, 0, 0, 1, 1]);
    }

    #[test]
    fn steps_follow_each_other_and_unknown_words_and_masks_are_text() {
        let steps = vec![
            Augmentation::Masking { p: 1.0 },
            Augmentation::NGramSampling { p_ng: vec![1.0], l_ng: vec![2] },
        ];
        assert_eq!(augmented(steps, "a b c d", None, 0).0, "[CLS] [MASK] [MASK] [SEP]");
        let swap = Augmentation::ShortDisorder { p: [0.0, 1.0, 0.0, 0.0, 0.0] };
        assert_eq!(augmented(vec![swap], "a zebra b", None, 0).0, "[CLS] [UNK] a b [SEP]");
    }

    #[test]
    fn what_becomes_of_an_example_depends_on_key_epoch_and_id_alone() {
        let text = "a b c d e ".repeat(5);
        let at = |epoch| augmented(vec![Augmentation::Deleting { p: 0.5 }], &text, None, epoch);
        assert_eq!(at(0), at(0));
        assert_ne!(at(0), at(1));
    }

    #[test]
    fn short_and_empty_features_are_safe() {
        let augmenter = Augmenter::new(every().to_vec(), &tokenizer(), Key::new(2)).unwrap();
        for input_ids in [vec![], vec![2], vec![2, 3], vec![5], vec![2, 5, 3], vec![2, 5, 3, 3], vec![5, 6]] {
            for epoch in 0..200 {
                let types = vec![0; input_ids.len()];
                let feature =
                    Feature { id: 0, input_ids: input_ids.clone(), token_type_ids: types, target: None };
                let new = augmenter.augment(&feature, epoch);
                let fixed =
                    |ids: &[u32]| ids.iter().copied().filter(|&id| id == 2 || id == 3).collect::<Vec<_>>();
                assert_eq!(fixed(&new.input_ids), fixed(&input_ids));
                assert_eq!(new.is_empty(), input_ids.is_empty());
            }
        }
    }

    #[test]
    fn defaults_are_textbrewers_and_files_come_back_as_they_went() {
        for augmentation in every() {
            let bare = format!(r#"{{"name": "{}"}}"#, augmentation.name());
            assert_eq!(serde_json::from_str::<Augmentation>(&bare).unwrap(), augmentation);
            let text = serde_json::to_string(&augmentation).unwrap();
            assert_eq!(serde_json::from_str::<Augmentation>(&text).unwrap(), augmentation);
            assert_eq!(augmentation.validate(), []);
        }
        let error = |text: &str| serde_json::from_str::<Augmentation>(text).unwrap_err().to_string();
        assert!(error(r#"{"name": "masking", "q": 0.1}"#).contains("unknown field `q`"));
        assert!(error(r#"{"name": "masked"}"#).contains("unknown variant `masked`"));
    }

    #[test]
    fn every_field_out_of_range_is_named() {
        let problems = |augmentation: Augmentation| {
            augmentation.validate().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(problems(Augmentation::Deleting { p: f64::NAN }), ["p = NaN: must be in [0, 1]"]);
        assert_eq!(
            problems(Augmentation::NGramSampling { p_ng: vec![0.5, 0.6], l_ng: vec![1, 0, 2] }),
            [
                "p_ng = [0.5, 0.6]: must have the sum 1, not 1.1",
                "l_ng = [1, 0, 2]: must be as many lengths as probabilities in p_ng (2)",
                "l_ng[1] = 0: must be at least 1",
            ]
        );
        assert_eq!(problems(Augmentation::NGramSampling { p_ng: vec![], l_ng: vec![] }).len(), 2);
        assert_eq!(
            problems(Augmentation::ShortDisorder { p: [1.5, -0.5, 0.0, 0.0, 0.0] }),
            ["p[0] = 1.5: must be in [0, 1]", "p[1] = -0.5: must be in [0, 1]"]
        );
        for length in [0.0, -1.0, 1.5, 20.5, f64::INFINITY] {
            let found = problems(Augmentation::LongDisorder { p: 0.1, length });
            assert_eq!(found.len(), 1, "{length}");
            assert!(found[0].starts_with(&format!("length = {length}: must be a whole number")), "{found:?}");
        }
    }

    #[test]
    fn a_wrong_step_and_a_vocabulary_without_a_mask_are_refused() {
        let steps = vec![every()[1].clone(), Augmentation::Masking { p: 2.0 }];
        let error = Augmenter::new(steps, &tokenizer(), Key::new(1)).unwrap_err().to_string();
        assert!(error.contains("augmentation 1 (masking): p = 2: must be in [0, 1]"), "{error}");
        let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"].map(String::from).to_vec();
        let maskless = TextTokenizer::from_vocabulary(words, WordPieceOptions::default()).unwrap();
        let error = Augmenter::new(every().to_vec(), &maskless, Key::new(1)).unwrap_err().to_string();
        assert!(error.contains("no mask token `[MASK]`"), "{error}");
        assert!(Augmenter::new(vec![every()[1].clone()], &maskless, Key::new(1)).is_ok());
    }
}
