//! Drawing sentences at random.

use brew_random::Stream;

use super::derivation::{Aside, Clause, Contrast, Judgement, Opening, Pointer, Sentence, Statement, Which};
use super::lexicon::{
    AFFIRMATIONS, AGREEMENT, ASPECTS, DEGREES, DENIALS, DISAGREEMENT, NEGATORS, OCCASIONS, PEOPLE, PRAISE,
    PRAISED,
};
use super::{Polarity, Rule};

/// A sentence of this rule; each label is equally likely.
pub(super) fn sentence(rule: Rule, random: &mut Stream) -> Sentence {
    let statement = match rule {
        Rule::Plain => Statement::Single(Clause {
            opening: Opening::Bare,
            aspect: random.below(ASPECTS.len()),
            aside: aside_sometimes(random),
            judgement: judgement(polarity(random), false, random),
        }),
        Rule::Negation => {
            let opened = random.chance(0.4);
            Statement::Single(Clause {
                opening: if opened { opening(random) } else { Opening::Bare },
                aspect: random.below(ASPECTS.len()),
                aside: aside_sometimes(random),
                judgement: judgement(polarity(random), !opened, random),
            })
        }
        Rule::DoubleNegation => Statement::Single(Clause {
            opening: opening(random),
            aspect: random.below(ASPECTS.len()),
            aside: None,
            judgement: judgement(polarity(random), true, random),
        }),
        Rule::Contrast => {
            let [conceded, main] = opposed(random);
            let by = *random.pick(&[
                Contrast::But,
                Contrast::But,
                Contrast::AlthoughFirst,
                Contrast::AlthoughLast,
                Contrast::DespiteFirst,
                Contrast::DespiteLast,
            ]);
            let conceded = match by {
                // "despite the not good soup" is no English: a noun takes the bare adjective.
                Contrast::DespiteFirst | Contrast::DespiteLast => {
                    Clause { judgement: judgement(conceded.polarity(), false, random), ..conceded }
                }
                _ => conceded,
            };
            Statement::Contrast { by, conceded, main }
        }
        Rule::Topic => pointed(*random.pick(&[Pointer::Topic, Pointer::Purpose]), random),
        Rule::Reference => match random.below(2) {
            0 => pointed(Pointer::FormerLatter, random),
            _ => {
                let judgement = maybe_negated(polarity(random), random);
                Statement::Pronoun { aspect: random.below(ASPECTS.len()), aside: aside(random), judgement }
            }
        },
        Rule::Report => {
            let agrees = random.chance(0.5);
            Statement::Reported {
                person: random.below(PEOPLE.len()),
                clause: Clause {
                    opening: Opening::Bare,
                    aspect: random.below(ASPECTS.len()),
                    aside: None,
                    judgement: maybe_negated(polarity(random), random),
                },
                agrees,
                with: random.below(if agrees { AGREEMENT.len() } else { DISAGREEMENT.len() }),
            }
        }
    };
    let occasion = random.chance(0.3).then(|| random.below(OCCASIONS.len()));
    Sentence { occasion, statement }
}

fn polarity(random: &mut Stream) -> Polarity {
    if random.chance(0.5) { Polarity::Positive } else { Polarity::Negative }
}

/// A judgement whose meaning is `polarity`, said directly or by negating its opposite.
fn judgement(polarity: Polarity, negated: bool, random: &mut Stream) -> Judgement {
    Judgement {
        adjective: polarity.reversed_if(negated),
        word: random.below(PRAISE.len()),
        negator: negated.then(|| random.below(NEGATORS.len())),
        degree: random.chance(0.3).then(|| random.below(DEGREES.len())),
    }
}

fn maybe_negated(polarity: Polarity, random: &mut Stream) -> Judgement {
    let negated = random.chance(0.3);
    judgement(polarity, negated, random)
}

fn opening(random: &mut Stream) -> Opening {
    if random.chance(0.5) {
        Opening::Denied(random.below(DENIALS.len()))
    } else {
        Opening::Affirmed(random.below(AFFIRMATIONS.len()))
    }
}

fn aside(random: &mut Stream) -> Aside {
    Aside { person: random.below(PEOPLE.len()), view: polarity(random), verb: random.below(PRAISED.len()) }
}

fn aside_sometimes(random: &mut Stream) -> Option<Aside> {
    random.chance(0.25).then(|| aside(random))
}

/// Two clauses about different aspects and of opposite polarity.
fn opposed(random: &mut Stream) -> [Clause; 2] {
    let first_aspect = random.below(ASPECTS.len());
    let second_aspect = (first_aspect + 1 + random.below(ASPECTS.len() - 1)) % ASPECTS.len();
    let first_polarity = polarity(random);
    [(first_aspect, first_polarity), (second_aspect, first_polarity.reversed())].map(|(aspect, polarity)| {
        Clause { opening: Opening::Bare, aspect, aside: None, judgement: maybe_negated(polarity, random) }
    })
}

fn pointed(by: Pointer, random: &mut Stream) -> Statement {
    let [first, second] = opposed(random);
    let counts = if random.chance(0.5) { Which::First } else { Which::Second };
    Statement::Pointed { by, counts, first, second }
}
