//! How good extracted answers are: exact match and F1 under the rules of SQuAD and of CMRC 2018.

mod cmrc;
mod sentences;
mod squad;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::qa::QuestionExample;

/// By whose rules an answer is compared with the ones that count as right.
///
/// | value | exact match | F1 | no answer |
/// |---|---|---|---|
/// | `squad` | equal in lower case, without ASCII punctuation, the words *a*, *an*, *the* and superfluous white space | of the words as a bag | does not occur |
/// | `squad_v2` | the same | the same; two empty answers agree | the right answer is the empty one |
/// | `cmrc` | equal in lower case, without white space at the ends and 32 marks of punctuation | of the longest run of units in common, a unit being a Chinese character or a word | does not occur |
///
/// `squad` is `evaluate-v1.1.py` of [SQuAD](https://rajpurkar.github.io/SQuAD-explorer/), `squad_v2` its
/// `evaluate-v2.0.py`, and `cmrc` is `cmrc2018_evaluate.py` of [CMRC 2018](https://github.com/ymcui/cmrc2018),
/// which DRCD is measured with as well. Words between Chinese characters are those of `word_tokenize` of
/// [NLTK](https://www.nltk.org/) 3.9.1, with its English sentence model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QaRules {
    /// SQuAD 1.1.
    #[default]
    Squad,
    /// SQuAD 2.0, where questions may have no answer.
    SquadV2,
    /// CMRC 2018 and DRCD.
    Cmrc,
}

/// How well one answer agrees with the right ones, or the means over many questions; each in `[0, 1]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct AnswerScores {
    /// 1 if it is one of them.
    pub exact_match: f64,
    /// The F1 of what it has in common with the one that it has most in common with.
    pub f1: f64,
}

impl QaRules {
    /// Scores one predicted answer against all that are right: the best of each score counts.
    ///
    /// No right answer at all is, for `squad_v2`, a question without one; elsewhere both scores are 0.
    ///
    /// ```
    /// use brew_data::metrics::QaRules;
    ///
    /// let scores = QaRules::Squad.scores("the Eiffel tower!", &["Eiffel Tower", "tower"]);
    /// assert_eq!((scores.exact_match, scores.f1), (1.0, 1.0));
    /// let scores = QaRules::Cmrc.scores("光荣公司", &["《光荣》", "ω-force"]);
    /// assert_eq!((scores.exact_match, scores.f1), (0.0, 2.0 / 3.0));
    /// ```
    pub fn scores<S: AsRef<str>>(self, prediction: &str, answers: &[S]) -> AnswerScores {
        let mut answers: Vec<&str> = answers.iter().map(AsRef::as_ref).collect();
        if self == Self::SquadV2 {
            answers.retain(|answer| !squad::normalized(answer).is_empty());
            if answers.is_empty() {
                answers.push("");
            }
        }
        let best =
            |score: &dyn Fn(&str) -> f64| answers.iter().map(|answer| score(answer)).fold(0.0, f64::max);
        match self {
            Self::Squad | Self::SquadV2 => {
                let prediction = squad::normalized(prediction);
                let empty = if self == Self::SquadV2 { 1.0 } else { 0.0 };
                AnswerScores {
                    exact_match: best(&|answer| f64::from(squad::normalized(answer) == prediction)),
                    f1: best(&|answer| squad::f1(&prediction, &squad::normalized(answer), empty)),
                }
            }
            Self::Cmrc => {
                let (bare, units) = (cmrc::without_punctuation(prediction), cmrc::units(prediction));
                AnswerScores {
                    exact_match: best(&|answer| f64::from(cmrc::without_punctuation(answer) == bare)),
                    f1: best(&|answer| cmrc::f1(&units, &cmrc::units(answer))),
                }
            }
        }
    }
}

/// The scores of some of the questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct QaGroup {
    /// How many.
    pub questions: usize,
    /// The means of their scores.
    #[serde(flatten)]
    pub scores: AnswerScores,
}

impl QaGroup {
    fn add(&mut self, scores: AnswerScores) {
        self.questions += 1;
        self.scores.exact_match += scores.exact_match;
        self.scores.f1 += scores.f1;
    }

    /// From sums to means; 0 of nothing.
    fn mean(mut self) -> Self {
        let count = self.questions.max(1) as f64;
        self.scores.exact_match /= count;
        self.scores.f1 /= count;
        self
    }
}

/// What there is to say about the predicted answers for a data set. All scores are in `[0, 1]`; the official
/// scripts give them in percent.
///
/// ```
/// use brew_data::metrics::{QaReport, QaRules};
/// use brew_data::{Answer, QuestionExample};
///
/// let question = QuestionExample::new(0, "Who?", "Ann saw the old town.").with_answer(Answer::new("Ann"));
/// let report = QaReport::new(QaRules::Squad, &["Ann saw"], &[question])?;
/// assert_eq!((report.exact_match, report.f1), (0.0, 2.0 / 3.0));
/// println!("{report}");
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QaReport {
    /// By whose rules.
    pub rules: QaRules,
    /// How many questions were judged.
    pub questions: usize,
    /// The share answered exactly.
    pub exact_match: f64,
    /// The mean F1.
    pub f1: f64,
    /// The mean of both, which CMRC ranks by.
    pub average: f64,
    /// How many questions are known neither to have an answer nor to have none; they do not count.
    pub unlabelled: usize,
    /// With `squad_v2`, the questions that have an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answerable: Option<QaGroup>,
    /// With `squad_v2`, the questions that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswerable: Option<QaGroup>,
}

impl QaReport {
    /// Compares predicted answers with the questions' own, one a question, in their order. Every answer of a
    /// question counts, those that are not found in its text included.
    ///
    /// Except with `squad_v2`, a question without an answer is unlabelled, whether or not it is said to be
    /// impossible.
    ///
    /// # Errors
    /// [`DataError::DifferentLengths`].
    pub fn new(
        rules: QaRules,
        predictions: &[impl AsRef<str>],
        questions: &[QuestionExample],
    ) -> Result<Self, DataError> {
        if predictions.len() != questions.len() {
            return Err(DataError::DifferentLengths {
                predictions: predictions.len(),
                labels: questions.len(),
            });
        }
        let (mut answerable, mut unanswerable, mut unlabelled) = (QaGroup::default(), QaGroup::default(), 0);
        for (prediction, question) in predictions.iter().zip(questions) {
            let is_impossible = question.answers.is_empty();
            if is_impossible && !(question.is_impossible && rules == QaRules::SquadV2) {
                unlabelled += 1;
                continue;
            }
            let answers: Vec<&str> = question.answers.iter().map(|answer| answer.text.as_str()).collect();
            let scores = rules.scores(prediction.as_ref(), &answers);
            (if is_impossible { &mut unanswerable } else { &mut answerable }).add(scores);
        }
        let all = QaGroup {
            questions: answerable.questions + unanswerable.questions,
            scores: AnswerScores {
                exact_match: answerable.scores.exact_match + unanswerable.scores.exact_match,
                f1: answerable.scores.f1 + unanswerable.scores.f1,
            },
        }
        .mean();
        let AnswerScores { exact_match, f1 } = all.scores;
        let is_v2 = rules == QaRules::SquadV2;
        Ok(Self {
            rules,
            questions: all.questions,
            exact_match,
            f1,
            average: (exact_match + f1) / 2.0,
            unlabelled,
            answerable: is_v2.then(|| answerable.mean()),
            unanswerable: is_v2.then(|| unanswerable.mean()),
        })
    }
}

impl fmt::Display for QaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:12}  exact match      f1  questions", "")?;
        let mut row = |name: &str, group: QaGroup, end: &str| {
            let QaGroup { questions, scores: AnswerScores { exact_match, f1 } } = group;
            write!(f, "{name:12}  {exact_match:11.4}  {f1:6.4}  {questions:9}{end}")
        };
        let scores = AnswerScores { exact_match: self.exact_match, f1: self.f1 };
        row("all", QaGroup { questions: self.questions, scores }, "\n")?;
        for (name, group) in [("answerable", self.answerable), ("unanswerable", self.unanswerable)] {
            if let Some(group) = group {
                row(name, group, "\n")?;
            }
        }
        write!(f, "{:12}  {:11.4}", "average", self.average)
    }
}

/// White space as Python's `str.split`, `str.strip` and `\s` have it.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The text without white space at its ends, in lower case, as Python's `lower().strip()`.
fn lower(text: &str) -> String {
    text.to_lowercase().trim_matches(is_space).to_owned()
}

#[cfg(test)]
mod tests;
