//! A small text-classification task that takes context to solve, written by a seeded grammar.
//!
//! The sentences are short reviews and the label is their author's verdict:
//!
//! | rule | example | label |
//! |---|---|---|
//! | plain | the soup was really good . | positive |
//! | negation | the soup was far from good . | negative |
//! | double negation | i doubt that the soup was not good . | positive |
//! | contrast | although the soup was poor , the wine was not bad . | positive |
//! | topic | about the wine : the soup was good and the wine was poor . | negative |
//! | reference | the soup was good and the wine was poor ; only the former matters . | positive |
//! | report | my sister said that the soup was good , but i disagree . | negative |
//!
//! Views of others (", which my sister praised ,") are no verdict and mislead whoever counts words.
//!
//! **Counting words does not help much, by construction.** Every sentence has a mirror image, in which
//! praise and blame change places, with the other label; both are equally likely, and every list of
//! words is drawn from uniformly. A word such as "not" therefore goes with both labels equally often,
//! and "good" goes with positive only as far as sentences without negation or contrast outweigh the
//! others.
//!
//! **Label noise.** With probability [`GrammarConfig::label_noise`] the label of a training example
//! is the wrong one, as when an annotator slips. Development and test labels are always right.

mod derivation;
mod draw;
mod lexicon;

use std::collections::{BTreeSet, HashSet};

use brew_random::Key;
use serde::{Deserialize, Serialize};

use crate::{Example, LabelSet};

/// The special tokens that open [`Corpus::vocabulary`], in this order.
pub const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// How likely each rule is, in percent.
const RULE_SHARES: [(Rule, usize); 7] = [
    (Rule::Plain, 28),
    (Rule::Negation, 24),
    (Rule::DoubleNegation, 8),
    (Rule::Contrast, 22),
    (Rule::Topic, 4),
    (Rule::Reference, 8),
    (Rule::Report, 6),
];

/// A review's verdict; as a label, negative is 0 and positive is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Polarity {
    Negative,
    Positive,
}

impl Polarity {
    fn reversed(self) -> Self {
        match self {
            Self::Negative => Self::Positive,
            Self::Positive => Self::Negative,
        }
    }

    fn reversed_if(self, reverse: bool) -> Self {
        if reverse { self.reversed() } else { self }
    }

    fn choose<T>(self, positive: T, negative: T) -> T {
        match self {
            Self::Negative => negative,
            Self::Positive => positive,
        }
    }

    fn label(self) -> usize {
        self.choose(1, 0)
    }
}

/// What a reader must understand to label a sentence; see the [module documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// The adjective says it.
    Plain,
    /// One negation, or an opening such as "nobody doubts that", around the adjective.
    Negation,
    /// An opening that denies or affirms a negated clause.
    DoubleNegation,
    /// Two opposed clauses of which the main one decides.
    Contrast,
    /// Two opposed clauses of which the one about a named aspect decides.
    Topic,
    /// "The former", "the latter" or "it" has to be resolved.
    Reference,
    /// Somebody's view that the author shares or rejects.
    Report,
}

impl Rule {
    /// Every rule, simplest first.
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::Negation,
        Self::DoubleNegation,
        Self::Contrast,
        Self::Topic,
        Self::Reference,
        Self::Report,
    ];

    /// The rule's name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Negation => "negation",
            Self::DoubleNegation => "double negation",
            Self::Contrast => "contrast",
            Self::Topic => "topic",
            Self::Reference => "reference",
            Self::Report => "report",
        }
    }
}

/// How large a corpus to write, and from which seed.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `seed` | 0 | the corpus is a function of it |
/// | `train` | 6000 | training examples |
/// | `dev` | 1000 | development examples |
/// | `test` | 2000 | test examples |
/// | `label_noise` | 0.15 | probability, within 0 and 1, that a training label is wrong |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrammarConfig {
    /// The corpus is a function of it.
    pub seed: u64,
    /// Training examples.
    pub train: usize,
    /// Development examples.
    pub dev: usize,
    /// Test examples.
    pub test: usize,
    /// Probability that a training label is wrong; values outside 0 to 1 act as the nearer bound.
    pub label_noise: f64,
}

impl Default for GrammarConfig {
    fn default() -> Self {
        Self { seed: 0, train: 6000, dev: 1000, test: 2000, label_noise: 0.15 }
    }
}

/// A corpus written by the grammar.
///
/// ```
/// use brew_data::grammar::{Corpus, GrammarConfig};
///
/// let config = GrammarConfig { train: 100, dev: 10, test: 10, ..GrammarConfig::default() };
/// let corpus = Corpus::generate(&config);
/// assert_eq!(corpus.train.len(), 100);
/// assert!(corpus.train[0].text.ends_with(" ."));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// Training examples; some of their labels are wrong, see [`GrammarConfig::label_noise`].
    pub train: Vec<Example>,
    /// Development examples, labelled rightly.
    pub dev: Vec<Example>,
    /// Test examples, labelled rightly.
    pub test: Vec<Example>,
    /// The rule of each test example, for a score by rule.
    pub test_rules: Vec<Rule>,
    /// "negative" and "positive".
    pub labels: LabelSet,
    /// Every word that the grammar can write, after [`SPECIAL_TOKENS`]; the same for every seed.
    /// Words in a text are separated by single spaces and punctuation marks are words.
    pub vocabulary: Vec<String>,
}

impl Corpus {
    /// Writes a corpus. No text occurs twice in it, within a split or across splits, and ids are unique.
    pub fn generate(config: &GrammarConfig) -> Self {
        let key = Key::new(config.seed).purpose("grammar");
        let mut seen = HashSet::new();
        let mut next_id = 0;
        let mut split = |name: &str, size: usize| -> Vec<(Example, Rule)> {
            let key = key.purpose(name);
            (0..size)
                .map(|at| {
                    let (text, label, rule) = new_sentence(key.index(at as u64), &mut seen);
                    let example = Example { id: next_id, text, text_pair: None, label: Some(label) };
                    next_id += 1;
                    (example, rule)
                })
                .collect()
        };
        let train = split("train", config.train);
        let dev = split("dev", config.dev);
        let test = split("test", config.test);

        let mut annotator = key.purpose("label noise").stream();
        let train = train.into_iter().map(|(mut example, _)| {
            if annotator.chance(config.label_noise) {
                example.label = example.label.map(|label| 1 - label);
            }
            example
        });
        let train = train.collect();
        let (test, test_rules) = test.into_iter().unzip();
        Self {
            train,
            dev: dev.into_iter().map(|(example, _)| example).collect(),
            test,
            test_rules,
            labels: LabelSet::new(["negative", "positive"]).expect("two different names"),
            vocabulary: vocabulary(),
        }
    }
}

/// A sentence that was not seen yet: its text, its label and its rule.
///
/// Even plain sentences number millions, so a rule is given up after some repetitions only when a
/// corpus is so large that it has used the rule up.
fn new_sentence(key: Key, seen: &mut HashSet<String>) -> (String, usize, Rule) {
    const REPETITIONS: usize = 100;
    let mut random = key.stream();
    loop {
        let rule = draw_rule(random.below(100));
        for _ in 0..REPETITIONS {
            let sentence = draw::sentence(rule, &mut random);
            let text = sentence.text();
            if seen.insert(text.clone()) {
                return (text, sentence.polarity().label(), sentence.rule());
            }
        }
    }
}

/// The rule at `percentile` (0 to 99) of [`RULE_SHARES`].
fn draw_rule(mut percentile: usize) -> Rule {
    for (rule, share) in RULE_SHARES {
        if percentile < share {
            return rule;
        }
        percentile -= share;
    }
    Rule::Plain
}

/// [`SPECIAL_TOKENS`] and then the words of the grammar in alphabetical order.
fn vocabulary() -> Vec<String> {
    let words: BTreeSet<&str> = lexicon::all_words().collect();
    SPECIAL_TOKENS.into_iter().chain(words).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::derivation::{
        Aside, Clause, Contrast, Judgement, Opening, Pointer, Sentence, Statement, Which,
    };
    use super::*;
    use crate::bag_of_words::{BagOfWords, BagOfWordsConfig};

    use Polarity::{Negative, Positive};

    fn small(seed: u64) -> Corpus {
        Corpus::generate(&GrammarConfig { seed, train: 2000, dev: 200, test: 1000, label_noise: 0.1 })
    }

    /// "good" or "bad", negated by "not" or not.
    fn judged(adjective: Polarity, negated: bool) -> Judgement {
        Judgement { adjective, word: 0, negator: negated.then_some(0), degree: None }
    }

    /// The soup was ...
    fn soup(judgement: Judgement) -> Clause {
        Clause { opening: Opening::Bare, aspect: 0, aside: None, judgement }
    }

    /// The wine was ...
    fn wine(judgement: Judgement) -> Clause {
        Clause { aspect: 1, ..soup(judgement) }
    }

    #[track_caller]
    fn check(statement: Statement, rule: Rule, text: &str, verdict: Polarity) {
        let sentence = Sentence { occasion: None, statement };
        assert_eq!(sentence.text(), text);
        assert_eq!(sentence.polarity(), verdict, "{text}");
        assert_eq!(sentence.rule(), rule, "{text}");
        assert_eq!(sentence.mirrored().polarity(), verdict.reversed(), "mirrored: {text}");
    }

    #[test]
    fn plain_sentences_mean_what_their_adjective_says() {
        check(Statement::Single(soup(judged(Positive, false))), Rule::Plain, "the soup was good .", Positive);
        check(Statement::Single(wine(judged(Negative, false))), Rule::Plain, "the wine was bad .", Negative);
        let really = Judgement { degree: Some(1), ..judged(Negative, false) };
        check(Statement::Single(soup(really)), Rule::Plain, "the soup was really bad .", Negative);
    }

    #[test]
    fn views_of_others_do_not_decide() {
        let aside = Aside { person: 0, view: Positive, verb: 0 };
        let clause = Clause { aside: Some(aside), ..soup(judged(Negative, false)) };
        let text = "the soup , which my sister praised , was bad .";
        check(Statement::Single(clause), Rule::Plain, text, Negative);
    }

    #[test]
    fn an_occasion_opens_a_sentence_and_changes_nothing() {
        let statement = Statement::Single(soup(judged(Positive, true)));
        let sentence = Sentence { occasion: Some(0), statement };
        assert_eq!(sentence.text(), "on monday , the soup was not good .");
        assert_eq!(sentence.polarity(), Negative);
    }

    #[test]
    fn a_negation_reverses() {
        let single = |judgement, opening| Statement::Single(Clause { opening, ..soup(judgement) });
        let (not_good, good) = (judged(Positive, true), judged(Positive, false));
        check(single(not_good, Opening::Bare), Rule::Negation, "the soup was not good .", Negative);
        let far = Judgement { negator: Some(3), ..judged(Negative, true) };
        check(single(far, Opening::Bare), Rule::Negation, "the soup was far from bad .", Positive);
        let text = "i doubt that the soup was good .";
        check(single(good, Opening::Denied(2)), Rule::Negation, text, Negative);
        let text = "i do not doubt that the soup was good .";
        check(single(good, Opening::Affirmed(2)), Rule::Negation, text, Positive);
    }

    #[test]
    fn two_negations_cancel() {
        let single = |opening| Statement::Single(Clause { opening, ..soup(judged(Positive, true)) });
        let text = "it is false that the soup was not good .";
        check(single(Opening::Denied(1)), Rule::DoubleNegation, text, Positive);
        let text = "it is not false that the soup was not good .";
        check(single(Opening::Affirmed(1)), Rule::DoubleNegation, text, Negative);
    }

    #[test]
    fn the_main_clause_of_a_contrast_decides() {
        let contrast = |by| Statement::Contrast {
            by,
            conceded: soup(judged(Positive, false)),
            main: wine(judged(Positive, true)),
        };
        for (by, text) in [
            (Contrast::But, "the soup was good , but the wine was not good ."),
            (Contrast::AlthoughFirst, "although the soup was good , the wine was not good ."),
            (Contrast::AlthoughLast, "the wine was not good , although the soup was good ."),
            (Contrast::DespiteFirst, "despite the good soup , the wine was not good ."),
            (Contrast::DespiteLast, "the wine was not good , despite the good soup ."),
        ] {
            check(contrast(by), Rule::Contrast, text, Negative);
        }
    }

    #[test]
    fn what_is_pointed_to_decides() {
        let pointed = |by, counts| Statement::Pointed {
            by,
            counts,
            first: soup(judged(Positive, false)),
            second: wine(judged(Negative, false)),
        };
        for (by, counts, rule, text, verdict) in [
            (
                Pointer::Topic,
                Which::Second,
                Rule::Topic,
                "about the wine : the soup was good and the wine was bad .",
                Negative,
            ),
            (
                Pointer::Purpose,
                Which::First,
                Rule::Topic,
                "the soup was good and the wine was bad ; we came for the soup .",
                Positive,
            ),
            (
                Pointer::FormerLatter,
                Which::First,
                Rule::Reference,
                "the soup was good and the wine was bad ; only the former matters .",
                Positive,
            ),
            (
                Pointer::FormerLatter,
                Which::Second,
                Rule::Reference,
                "the soup was good and the wine was bad ; only the latter matters .",
                Negative,
            ),
        ] {
            check(pointed(by, counts), rule, text, verdict);
        }
    }

    #[test]
    fn a_pronoun_gives_the_verdict_to_the_author() {
        let aside = Aside { person: 0, view: Negative, verb: 0 };
        let statement = Statement::Pronoun { aspect: 0, aside, judgement: judged(Positive, false) };
        check(statement, Rule::Reference, "my sister criticised the soup ; it was good .", Positive);
    }

    #[test]
    fn a_report_counts_as_far_as_the_author_agrees() {
        let report = |agrees, with| Statement::Reported {
            person: 0,
            clause: soup(judged(Positive, true)),
            agrees,
            with,
        };
        let text = "my sister said that the soup was not good , and i agree .";
        check(report(true, 0), Rule::Report, text, Negative);
        let text = "my sister said that the soup was not good , but that is wrong .";
        check(report(false, 1), Rule::Report, text, Positive);
    }

    #[test]
    fn every_sentence_drawn_has_its_rule_and_a_mirror_with_the_other_label() {
        for rule in Rule::ALL {
            let mut random = Key::new(11).purpose(rule.name()).stream();
            let mut positive = 0;
            for _ in 0..500 {
                let sentence = draw::sentence(rule, &mut random);
                assert_eq!(sentence.rule(), rule, "{}", sentence.text());
                let mirror = sentence.mirrored();
                assert_eq!(mirror.polarity(), sentence.polarity().reversed(), "{}", sentence.text());
                assert_eq!(mirror.mirrored(), sentence);
                assert_ne!(mirror.text(), sentence.text());
                positive += sentence.polarity().label();
            }
            assert!((200..=300).contains(&positive), "{}: {positive} of 500 positive", rule.name());
        }
    }

    #[test]
    fn a_corpus_is_a_function_of_its_seed() {
        assert_eq!(small(3), small(3));
        assert_ne!(small(3).train, small(4).train);
        assert_eq!(small(3).vocabulary, small(4).vocabulary);
    }

    #[test]
    fn a_split_does_not_depend_on_the_sizes_of_later_ones() {
        let one =
            Corpus::generate(&GrammarConfig { train: 50, dev: 10, test: 10, ..GrammarConfig::default() });
        let other =
            Corpus::generate(&GrammarConfig { train: 50, dev: 90, test: 0, ..GrammarConfig::default() });
        assert_eq!(one.train, other.train);
        assert_eq!(one.dev, other.dev[..10]);
    }

    #[test]
    fn no_text_and_no_id_occurs_twice() {
        let corpus = small(0);
        let all = || corpus.train.iter().chain(&corpus.dev).chain(&corpus.test);
        assert_eq!(all().map(|example| &example.text).collect::<HashSet<_>>().len(), 3200);
        assert_eq!(all().map(|example| example.id).collect::<HashSet<_>>().len(), 3200);
    }

    #[test]
    fn labels_and_rules_come_in_their_shares() {
        let corpus = small(0);
        for (split, width) in [(&corpus.train, 0.04), (&corpus.test, 0.05)] {
            let positive = split.iter().filter(|example| example.label == Some(1)).count();
            let share = positive as f64 / split.len() as f64;
            assert!((share - 0.5).abs() < width, "{share} of {} are positive", split.len());
        }
        assert_eq!(RULE_SHARES.iter().map(|(_, share)| share).sum::<usize>(), 100);
        for (rule, share) in RULE_SHARES {
            let found = corpus.test_rules.iter().filter(|&&found| found == rule).count();
            let expected = 10 * share;
            assert!(found.abs_diff(expected) < 50, "{}: {found} of 1000, expected {expected}", rule.name());
        }
    }

    #[test]
    fn noise_changes_its_share_of_the_training_labels_and_nothing_else() {
        let config = GrammarConfig { train: 2000, dev: 200, test: 200, label_noise: 0.1, seed: 5 };
        let noisy = Corpus::generate(&config);
        let clean = Corpus::generate(&GrammarConfig { label_noise: 0.0, ..config });
        let wrong = noisy.train.iter().zip(&clean.train).filter(|(a, b)| a.label != b.label).count();
        assert!((160..=240).contains(&wrong), "{wrong} of 2000 labels changed");
        assert!(noisy.train.iter().zip(&clean.train).all(|(a, b)| a.text == b.text));
        assert_eq!((&noisy.dev, &noisy.test), (&clean.dev, &clean.test));
    }

    #[test]
    fn the_vocabulary_opens_with_the_special_tokens_and_covers_every_text() {
        let corpus = small(0);
        assert_eq!(corpus.vocabulary[..5], SPECIAL_TOKENS);
        let known: HashSet<&str> = corpus.vocabulary.iter().map(String::as_str).collect();
        assert_eq!(known.len(), corpus.vocabulary.len(), "a word stands twice");
        let texts = corpus.train.iter().chain(&corpus.test).map(|example| example.text.as_str());
        let used: HashSet<&str> = texts.flat_map(|text| text.split(' ')).collect();
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let unused: BTreeSet<_> = known.difference(&used).collect();
        assert_eq!(unused, SPECIAL_TOKENS.iter().collect(), "words that no text uses");
    }

    #[test]
    fn counting_words_is_better_than_chance_and_far_from_enough() {
        let corpus = Corpus::generate(&GrammarConfig::default());
        let unzip = |split: &[Example]| -> (Vec<String>, Vec<usize>) {
            split.iter().map(|example| (example.text.clone(), example.label.unwrap())).unzip()
        };
        let (train, dev, test) = (unzip(&corpus.train), unzip(&corpus.dev), unzip(&corpus.test));
        let accuracy = |bigrams| {
            let config = BagOfWordsConfig { bigrams, max_iterations: 300, ..BagOfWordsConfig::default() };
            let (train, dev) = ((&train.0[..], &train.1[..]), (&dev.0[..], &dev.1[..]));
            let model = BagOfWords::fit_best(train, dev, 2, &config, &[1e-3, 1e-2]).unwrap();
            let right = model.predict(&test.0).iter().zip(&test.1).filter(|(a, b)| a == b).count();
            right as f64 / test.1.len() as f64
        };
        let (words, pairs) = (accuracy(false), accuracy(true));
        assert!((0.52..0.65).contains(&words), "words: {words}");
        assert!((words..0.76).contains(&pairs), "pairs of words: {pairs}");
    }
}
