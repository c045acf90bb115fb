//! Questions out of files.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::align::Alignment;
use super::{Answer, QuestionExample, QuestionOrigin};
use super::{head, json};
use crate::reader::read_text;
use crate::{DataError, Extent};

/// Which part of a file of questions to read.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `skip_titles` | 0 | leave out the questions of this many titles, the first ones of the file |
/// | `take_titles` | all | then read the questions of at most this many titles |
///
/// A file without a split of its own is divided like this into articles to train on and others to judge by:
/// `take_titles = 40` and `skip_titles = 40`. Titles count in the order in which they first occur; an article
/// whose title occurred before belongs to that one, and one without a title counts by itself.
///
/// ```
/// let spec: brew_data::QuestionFileSpec = serde_json::from_str(r#"{"skip_titles": 40}"#).unwrap();
/// assert_eq!(spec.take_titles, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionFileSpec {
    /// How many titles to leave out at the beginning.
    pub skip_titles: usize,
    /// How many titles to read at most; by default all that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_titles: Option<usize>,
    /// How much of the file is read; no matter of the file, and so in no configuration. Of a part of a file the first
    /// titles are read, whichever these fields ask for.
    #[serde(skip)]
    pub extent: Extent,
}

/// What was read, and how well the answers' places agree with their texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReadReport {
    /// Titles, or articles without one.
    pub titles: usize,
    /// Paragraphs.
    pub paragraphs: usize,
    /// Questions.
    pub questions: usize,
    /// Answers.
    pub answers: usize,
    /// Answers that do not stand where the file says, but elsewhere in the text; they are used like any other.
    pub realigned: usize,
    /// Answers that are not in the text: they serve for evaluation alone.
    pub unaligned: usize,
    /// Questions with answers of which none is in the text: they cannot be trained on.
    pub without_span: usize,
    /// Questions said to have no answer in their text.
    pub impossible: usize,
    /// Questions of which nothing is known.
    pub unlabelled: usize,
    /// Questions whose id occurred before.
    pub repeated_ids: usize,
}

impl fmt::Display for ReadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { titles, paragraphs, questions, answers, .. } = self;
        write!(f, "{questions} questions on {paragraphs} paragraphs of {titles} titles, {answers} answers")?;
        for (count, what) in [
            (self.realigned, "answers found elsewhere than said"),
            (self.unaligned, "answers not in their text"),
            (self.without_span, "questions without an answer in their text"),
            (self.impossible, "questions said to have no answer"),
            (self.unlabelled, "unlabelled questions"),
            (self.repeated_ids, "repeated ids"),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Reads the questions of a JSON file in SQuAD's layout (1.1 and 2.0; DRCD, SquadShifts and CMRC 2018 in
/// SQuAD's style share it), in CMRC 2018's own, a list of `context_text` and `qas` with `query_text`, or of the
/// JSON lines of the [MRQA 2019 shared task](https://github.com/mrqa/MRQA-Shared-Task-2019), which hold NewsQA
/// and HotpotQA. Which one it is shows in the file.
///
/// Answers are looked for where the file says, `answer_start` counting characters (Unicode scalar values).
/// One that does not stand there is looked for in the whole text, the place closest to the one given counts;
/// one that does not stand anywhere has no [`span`](Answer::span). The report counts both. Where the file says
/// no place, the first one counts.
///
/// A question may have no answer: it is unlabelled, or impossible where the file says `is_impossible`.
///
/// # Errors
/// What cannot be read, with path, line and column, or the article: see [`DataError`]. A file, or a part of
/// one, without questions is an error.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("cmrc.json");
/// use brew_data::{QuestionFileSpec, read_questions};
///
/// std::fs::write(&path, r#"[{"context_id": "D", "context_text": "李白写诗。", "title": "李白", "qas": [
///     {"query_id": "D_0", "query_text": "谁写诗？", "answers": ["李白", "杜甫"]}]}]"#).unwrap();
/// let (questions, report) = read_questions(&path, &QuestionFileSpec::default())?;
/// assert_eq!(questions[0].answers[0].span, Some(0..2));
/// assert_eq!(questions[0].answers[1].span, None);
/// assert_eq!((report.realigned, report.unaligned), (0, 1));
/// # Ok::<(), brew_data::DataError>(())
/// ```
pub fn read_questions(
    path: &Path,
    spec: &QuestionFileSpec,
) -> Result<(Vec<QuestionExample>, ReadReport), DataError> {
    let is_part = spec.extent.is_part_of(path);
    let content = read_text(path, spec.extent, head::whole_questions)?;
    let text = content.strip_prefix('\u{feff}').unwrap_or(&content);
    let closed = if is_part { head::closed(text) } else { Cow::Borrowed(text) };
    let articles = json::articles(&closed).map_err(|error| DataError::BadQuestionFile {
        path: path.to_path_buf(),
        message: error.to_string(),
    })?;
    let (skipped, taken) = if is_part { (0, None) } else { (spec.skip_titles, spec.take_titles) };
    let last = taken.map_or(usize::MAX, |take| skipped.saturating_add(take));
    let mut titles = Titles::default();
    let mut reader = Reader::new(path);
    for (at, article) in articles.into_iter().enumerate() {
        let title: Arc<str> = article.title.as_deref().unwrap_or_default().into();
        let place = titles.place(&title);
        let paragraphs = article.paragraphs().map_err(|missing| DataError::BadQuestionFile {
            path: path.to_path_buf(),
            message: format!("data[{at}] lacks {missing}"),
        })?;
        reader.article(at, &title, paragraphs, (skipped..last).contains(&place))?;
    }
    if reader.questions.is_empty() {
        return Err(DataError::NoQuestions {
            path: path.to_path_buf(),
            skip_titles: spec.skip_titles,
            titles: titles.count,
        });
    }
    reader.report.titles = titles.count.min(last) - skipped;
    Ok((reader.questions, reader.report))
}

/// Numbers titles in the order in which they first occur.
#[derive(Default)]
struct Titles {
    places: HashMap<Arc<str>, usize>,
    count: usize,
}

impl Titles {
    fn place(&mut self, title: &Arc<str>) -> usize {
        let new = self.count;
        let place = match title.is_empty() {
            true => new,
            false => *self.places.entry(Arc::clone(title)).or_insert(new),
        };
        self.count += usize::from(place == new);
        place
    }
}

struct Reader {
    path: Arc<Path>,
    /// The number of the next question, whether or not it is taken.
    number: u64,
    questions: Vec<QuestionExample>,
    ids: HashSet<String>,
    report: ReadReport,
}

impl Reader {
    fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            number: 0,
            questions: Vec::new(),
            ids: HashSet::new(),
            report: ReadReport::default(),
        }
    }

    fn article(
        &mut self,
        article: usize,
        title: &Arc<str>,
        paragraphs: Vec<json::Paragraph>,
        is_taken: bool,
    ) -> Result<(), DataError> {
        for (paragraph, content) in paragraphs.into_iter().enumerate() {
            if !is_taken {
                self.number += content.qas.len() as u64;
                continue;
            }
            self.report.paragraphs += 1;
            let context: Arc<str> = content.context.into();
            for (question, given) in content.qas.into_iter().enumerate() {
                let path = Arc::clone(&self.path);
                let origin = QuestionOrigin { path, article, paragraph, question };
                self.question(given, &context, title, origin)?;
            }
        }
        Ok(())
    }

    fn question(
        &mut self,
        mut given: json::Question,
        context: &Arc<str>,
        title: &Arc<str>,
        origin: QuestionOrigin,
    ) -> Result<(), DataError> {
        let id = given.id().ok_or_else(|| DataError::BadQuestionFile {
            path: origin.path.to_path_buf(),
            message: format!("{} lacks `id`", origin.place()),
        })?;
        let is_impossible = given.is_impossible == Some(true);
        let answers: Vec<Answer> = match is_impossible {
            true => Vec::new(),
            false => {
                given.answers().into_iter().map(|(text, start)| self.answer(context, text, start)).collect()
            }
        };
        let report = &mut self.report;
        report.questions += 1;
        report.answers += answers.len();
        report.impossible += usize::from(is_impossible);
        report.unlabelled += usize::from(answers.is_empty() && !is_impossible);
        report.without_span +=
            usize::from(!answers.is_empty() && answers.iter().all(|answer| answer.span.is_none()));
        report.repeated_ids += usize::from(!self.ids.insert(id.clone()));
        self.questions.push(QuestionExample {
            id,
            number: self.number,
            question: given.question,
            context: Arc::clone(context),
            answers,
            is_impossible,
            title: Arc::clone(title),
            origin,
        });
        self.number += 1;
        Ok(())
    }

    fn answer(&mut self, context: &str, text: String, start: Option<i64>) -> Answer {
        let alignment = Alignment::of(context, &text, start);
        match alignment {
            Alignment::Found(_) if start.is_some() => self.report.realigned += 1,
            Alignment::AsGiven(_) | Alignment::Found(_) => {}
            Alignment::Nowhere => self.report.unaligned += 1,
        }
        Answer { text, span: alignment.span() }
    }
}

/// Divides questions into those of the first `titles` titles and the rest, both in their order: a split that
/// needs no seed and in which no article stands on both sides. Titles count as in [`QuestionFileSpec`].
///
/// # Errors
/// [`DataError::TitleSplit`] where one side would be empty.
pub fn split_by_title(
    questions: Vec<QuestionExample>,
    titles: usize,
) -> Result<(Vec<QuestionExample>, Vec<QuestionExample>), DataError> {
    let mut seen = Titles::default();
    let mut article = None;
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    let mut place = 0;
    for question in questions {
        let here = (Arc::clone(&question.origin.path), question.origin.article);
        if article.as_ref() != Some(&here) {
            place = seen.place(&question.title);
            article = Some(here);
        }
        if place < titles { first.push(question) } else { rest.push(question) }
    }
    match first.is_empty() || rest.is_empty() {
        true => Err(DataError::TitleSplit { titles, found: seen.count }),
        false => Ok((first, rest)),
    }
}
