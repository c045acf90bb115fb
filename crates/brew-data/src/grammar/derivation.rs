//! What a sentence is derived from: its meaning and, from the same tree, its words.
//!
//! The label of a sentence is [`Sentence::polarity`], computed from the tree. Nothing ever reads a
//! label off the words.

use super::lexicon::{
    AFFIRMATIONS, AGREEMENT, ASPECTS, BLAME, DEGREES, DENIALS, DISAGREEMENT, NEGATORS, OCCASIONS, PEOPLE,
    PRAISE, PRAISED, SCORNED,
};
use super::{Polarity, Rule};

/// Words in the order in which they are read.
type Words = Vec<&'static str>;

/// What the author, or somebody quoted, holds of something: "not really good".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The polarity of the adjective by itself.
    pub(super) adjective: Polarity,
    /// Which adjective of that polarity.
    pub(super) word: usize,
    pub(super) negator: Option<usize>,
    pub(super) degree: Option<usize>,
}

impl Judgement {
    fn polarity(&self) -> Polarity {
        self.adjective.reversed_if(self.negator.is_some())
    }

    fn write(&self, words: &mut Words) {
        if let Some(negator) = self.negator {
            words.extend(NEGATORS[negator]);
        }
        words.extend(self.degree.map(|degree| DEGREES[degree]));
        words.push(self.adjective.choose(PRAISE, BLAME)[self.word]);
    }
}

/// Whether a clause is opened by words that deny or affirm it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Bare,
    Affirmed(usize),
    Denied(usize),
}

/// Somebody else's view in a relative clause, which never decides: ", which my sister praised ,".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) person: usize,
    pub(super) view: Polarity,
    pub(super) verb: usize,
}

/// One judgement of one aspect: "i doubt that the soup , which my sister praised , was not good".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) opening: Opening,
    pub(super) aspect: usize,
    pub(super) aside: Option<Aside>,
    pub(super) judgement: Judgement,
}

impl Clause {
    pub(super) fn polarity(&self) -> Polarity {
        self.judgement.polarity().reversed_if(matches!(self.opening, Opening::Denied(_)))
    }

    fn negations(&self) -> usize {
        usize::from(self.judgement.negator.is_some()) + usize::from(self.opening != Opening::Bare)
    }

    fn write(&self, words: &mut Words) {
        match self.opening {
            Opening::Bare => {}
            Opening::Affirmed(with) => words.extend(AFFIRMATIONS[with]),
            Opening::Denied(with) => words.extend(DENIALS[with]),
        }
        words.extend(["the", ASPECTS[self.aspect]]);
        if let Some(aside) = self.aside {
            let verb = aside.view.choose(PRAISED, SCORNED)[aside.verb];
            words.extend([",", "which", "my", PEOPLE[aside.person], verb, ","]);
        }
        words.push("was");
        self.judgement.write(words);
    }
}

/// Which of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Second,
}

impl Which {
    fn of<T>(self, first: T, second: T) -> T {
        match self {
            Self::First => first,
            Self::Second => second,
        }
    }
}

/// How two opposed clauses are joined; the main clause decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contrast {
    /// "CONCEDED , but MAIN"
    But,
    /// "although CONCEDED , MAIN"
    AlthoughFirst,
    /// "MAIN , although CONCEDED"
    AlthoughLast,
    /// "despite the poor service , MAIN"
    DespiteFirst,
    /// "MAIN despite the poor service"
    DespiteLast,
}

/// How the aspect that counts is pointed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointer {
    /// "about the wine : the soup was good and the wine was poor"
    Topic,
    /// "the soup was good and the wine was poor ; we came for the wine"
    Purpose,
    /// "the soup was good and the wine was poor ; only the latter matters"
    FormerLatter,
}

/// What a sentence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    Single(Clause),
    Contrast {
        by: Contrast,
        conceded: Clause,
        main: Clause,
    },
    Pointed {
        by: Pointer,
        counts: Which,
        first: Clause,
        second: Clause,
    },
    /// "my sister said that the soup was good , but i disagree"
    Reported {
        person: usize,
        clause: Clause,
        agrees: bool,
        with: usize,
    },
    /// "my sister praised the soup ; it was poor": "it" is the soup, its judge the author.
    Pronoun {
        aspect: usize,
        aside: Aside,
        judgement: Judgement,
    },
}

/// A sentence of the corpus before it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) occasion: Option<usize>,
    pub(super) statement: Statement,
}

impl Sentence {
    /// The author's verdict: the label.
    pub(super) fn polarity(&self) -> Polarity {
        match &self.statement {
            Statement::Single(clause) => clause.polarity(),
            Statement::Contrast { main, .. } => main.polarity(),
            Statement::Pointed { counts, first, second, .. } => counts.of(first, second).polarity(),
            Statement::Reported { clause, agrees, .. } => clause.polarity().reversed_if(!agrees),
            Statement::Pronoun { judgement, .. } => judgement.polarity(),
        }
    }

    /// The rule that a reader needs for this sentence.
    pub(super) fn rule(&self) -> Rule {
        match &self.statement {
            Statement::Single(clause) => match clause.negations() {
                0 => Rule::Plain,
                1 => Rule::Negation,
                _ => Rule::DoubleNegation,
            },
            Statement::Contrast { .. } => Rule::Contrast,
            Statement::Pointed { by: Pointer::Topic | Pointer::Purpose, .. } => Rule::Topic,
            Statement::Pointed { .. } | Statement::Pronoun { .. } => Rule::Reference,
            Statement::Reported { .. } => Rule::Report,
        }
    }

    /// The same sentence with each word of praise made one of blame and the reverse: its label is the
    /// other one, whatever the rule.
    #[cfg(test)]
    pub(super) fn mirrored(mut self) -> Self {
        let mirror_judgement =
            |judgement: &mut Judgement| judgement.adjective = judgement.adjective.reversed();
        let mirror_aside = |aside: &mut Aside| aside.view = aside.view.reversed();
        let mirror = |clause: &mut Clause| {
            mirror_judgement(&mut clause.judgement);
            clause.aside.as_mut().into_iter().for_each(mirror_aside);
        };
        match &mut self.statement {
            Statement::Single(clause) | Statement::Reported { clause, .. } => mirror(clause),
            Statement::Contrast { conceded: first, main: second, .. }
            | Statement::Pointed { first, second, .. } => {
                mirror(first);
                mirror(second);
            }
            Statement::Pronoun { aside, judgement, .. } => {
                mirror_aside(aside);
                mirror_judgement(judgement);
            }
        }
        self
    }

    /// The sentence in words, separated by single spaces.
    pub(super) fn text(&self) -> String {
        let mut words = Words::new();
        if let Some(occasion) = self.occasion {
            words.extend(OCCASIONS[occasion]);
            words.push(",");
        }
        self.statement.write(&mut words);
        words.push(".");
        words.join(" ")
    }
}

impl Statement {
    fn write(&self, words: &mut Words) {
        match self {
            Self::Single(clause) => clause.write(words),
            Self::Contrast { by, conceded, main } => write_contrast(*by, conceded, main, words),
            Self::Pointed { by, counts, first, second } => write_pointed(*by, *counts, first, second, words),
            Self::Reported { person, clause, agrees, with } => {
                words.extend(["my", PEOPLE[*person], "said", "that"]);
                clause.write(words);
                words.extend([",", if *agrees { "and" } else { "but" }]);
                words.extend(if *agrees { AGREEMENT[*with] } else { DISAGREEMENT[*with] });
            }
            Self::Pronoun { aspect, aside, judgement } => {
                let verb = aside.view.choose(PRAISED, SCORNED)[aside.verb];
                words.extend(["my", PEOPLE[aside.person], verb, "the", ASPECTS[*aspect], ";", "it", "was"]);
                judgement.write(words);
            }
        }
    }
}

fn write_contrast(by: Contrast, conceded: &Clause, main: &Clause, words: &mut Words) {
    let despite = |words: &mut Words| {
        words.extend(["despite", "the"]);
        conceded.judgement.write(words);
        words.push(ASPECTS[conceded.aspect]);
    };
    match by {
        Contrast::But => {
            conceded.write(words);
            words.extend([",", "but"]);
            main.write(words);
        }
        Contrast::AlthoughFirst => {
            words.push("although");
            conceded.write(words);
            words.push(",");
            main.write(words);
        }
        Contrast::AlthoughLast => {
            main.write(words);
            words.extend([",", "although"]);
            conceded.write(words);
        }
        Contrast::DespiteFirst => {
            despite(words);
            words.push(",");
            main.write(words);
        }
        Contrast::DespiteLast => {
            main.write(words);
            words.push(",");
            despite(words);
        }
    }
}

fn write_pointed(by: Pointer, counts: Which, first: &Clause, second: &Clause, words: &mut Words) {
    let aspect = ASPECTS[counts.of(first, second).aspect];
    let both = |words: &mut Words| {
        first.write(words);
        words.push("and");
        second.write(words);
    };
    match by {
        Pointer::Topic => {
            words.extend(["about", "the", aspect, ":"]);
            both(words);
        }
        Pointer::Purpose => {
            both(words);
            words.extend([";", "we", "came", "for", "the", aspect]);
        }
        Pointer::FormerLatter => {
            both(words);
            words.extend([";", "only", "the", counts.of("former", "latter"), "matters"]);
        }
    }
}
