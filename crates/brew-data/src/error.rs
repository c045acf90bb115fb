//! What can be wrong with data: the value, where it is, and what to do about it.

mod words;

use std::io;
use std::path::{Path, PathBuf};

use crate::LayoutTask;

pub(crate) use words::nearest;
use words::{listing, listing_or_none, suggestion, tags_of};

/// Everything that reading, labelling, tokenizing, sampling and judging data can find wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No file at this path.
    #[error("{}: no such file", path.display())]
    Missing {
        /// The path asked for.
        path: PathBuf,
    },
    /// A folder where a file was expected.
    #[error("{}: is a folder; name the file inside it", path.display())]
    IsFolder {
        /// The path asked for.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file without a single row of data.
    #[error("{}: holds no example; give a file with one example a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The extension says nothing about the format.
    #[error(
        "{}: the extension does not tell the format (tsv, txt, csv, jsonl, ndjson and json do); set `format`",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A file that is not UTF-8.
    #[error(
        "{}, line {line}: not valid UTF-8 at byte {offset} of the file; convert it first, \
         such as with `iconv -f ISO-8859-1 -t UTF-8`",
        path.display()
    )]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The first byte that is wrong, from 0.
        offset: usize,
    },
    /// A row that is shorter than the columns asked for.
    #[error("{}, line {line}: {found} column(s) where at least {expected} are expected", path.display())]
    TooFewColumns {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Columns in the row.
        found: usize,
        /// Columns that the specification needs.
        expected: usize,
    },
    /// A column asked for by a name that the header (or the JSON object) lacks.
    #[error(
        "{}, line {line}: no column `{name}`{}; the columns are {}",
        path.display(), suggestion(nearest), listing(known)
    )]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The line of the header or of the object, from 1.
        line: usize,
        /// The name asked for.
        name: String,
        /// The closest name there is, if one is close.
        nearest: Option<String>,
        /// The names there are.
        known: Vec<String>,
    },
    /// A column asked for by name in a file that is said to have no header.
    #[error("{}: column `{name}` is asked for by name, but `header = false`; use its index (from 0)", path.display())]
    NameWithoutHeader {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
    /// A line that is not a JSON object.
    #[error("{}, line {line}: not a JSON object on one line: {message}", path.display())]
    BadJson {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A JSON value of a kind that cannot be a text or a label.
    #[error("{}, line {line}: `{name}` is {found}, expected {expected}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        name: String,
        /// The value found.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A CSV file whose quoting is broken.
    #[error("{}, line {line}: {message}", path.display())]
    BadCsv {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the CSV reader said.
        message: String,
    },
    /// A row without the label that training or evaluating needs.
    #[error("{}, line {line}: no label; name the column with `label`, or complete the row", path.display())]
    MissingLabel {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A label that is not in the set.
    #[error(
        "{}, line {line}: unknown label `{value}`{}; the labels are {}",
        path.display(), suggestion(nearest), listing(known)
    )]
    UnknownLabel {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The label found.
        value: String,
        /// The closest label there is, if one is close.
        nearest: Option<String>,
        /// The labels there are.
        known: Vec<String>,
    },
    /// A label given twice.
    #[error("label `{value}` is given twice")]
    DuplicateLabel {
        /// The label.
        value: String,
    },
    /// A set of labels without a label.
    #[error("a set of labels needs at least one label")]
    NoLabels,
    /// A tag that its file's scheme does not have.
    #[error(
        "{}, line {line}: `{tag}` is no tag of the scheme {scheme}, whose tags are {}; set `scheme`, or `tag` \
         if another column holds the tags",
        path.display(), tags_of(letters)
    )]
    BadTag {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The tag found.
        tag: String,
        /// The scheme's name.
        scheme: &'static str,
        /// The letters of its tags beside `O`.
        letters: &'static [char],
    },
    /// A tag that a scheme does not have.
    #[error("`{tag}` is no tag of the scheme {scheme}, whose tags are {}", tags_of(letters))]
    TagOutsideScheme {
        /// The tag found.
        tag: String,
        /// The scheme's name.
        scheme: &'static str,
        /// The letters of its tags beside `O`.
        letters: &'static [char],
    },
    /// A set of tags without the one for words outside of any span.
    #[error("a set of tags needs the tag `O`, of words outside of any span")]
    NoOutsideTag,
    /// Examples to learn from of which none has a tag but `O`.
    #[error("no word has a tag but `O`; is `tag` the column of the tags?")]
    NoTags,
    /// A row of words and tags with other columns than the rest.
    #[error("{}, line {line}: {found} column(s) where {expected} are expected", path.display())]
    ColumnCount {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A sentence with tags for some of its words.
    #[error(
        "{}, line {line}: the word `{word}` has no tag, though others of its sentence have; complete the row, \
         or put a blank line between sentences",
        path.display()
    )]
    PartlyTagged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The word.
        word: String,
    },
    /// A sentence with as many tags as it should not have.
    #[error("{}, line {line}: {words} word(s) before the tab and {tags} tag(s) behind it", path.display())]
    WordsAndTags {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// How many words.
        words: usize,
        /// How many tags.
        tags: usize,
    },
    /// Predicted and correct tags of a sentence that cannot be compared.
    #[error("sentence {sentence}: {predictions} predicted tags but {labels} correct ones")]
    DifferentSentence {
        /// The sentence, from 0.
        sentence: usize,
        /// How many predicted tags.
        predictions: usize,
        /// How many correct ones.
        labels: usize,
    },
    /// An example with as many flags as there are no labels.
    #[error("example {example}: {found} flag(s) where there are {expected} label(s)")]
    FlagCount {
        /// The example, from 0.
        example: usize,
        /// How many flags it has.
        found: usize,
        /// How many labels there are.
        expected: usize,
    },
    /// A name that no layout has.
    #[error("unknown layout `{name}`{}; the layouts are {}", suggestion(nearest), listing(known))]
    UnknownLayout {
        /// The name found.
        name: String,
        /// The closest name there is, if one is close.
        nearest: Option<String>,
        /// The names there are.
        known: Vec<String>,
    },
    /// A folder without the file of a part of a data set.
    #[error(
        "{}: no {split} file of {layout}: looked for {}; the folder holds {}",
        path.display(), listing_or_none(names), listing_or_none(found)
    )]
    MissingSplit {
        /// The folder.
        path: PathBuf,
        /// The layout's name.
        layout: &'static str,
        /// The part's name.
        split: &'static str,
        /// What the file may be called.
        names: Vec<String>,
        /// What is there.
        found: Vec<String>,
    },
    /// A layout whose examples are of another kind.
    #[error(
        "the layout {layout} is one of {}, read with {}",
        match task {
            LayoutTask::Classification => "classes",
            LayoutTask::Regression => "numbers",
            LayoutTask::MultiLabel => "several labels",
            LayoutTask::Tagging => "tagged words",
        },
        match task {
            LayoutTask::Classification | LayoutTask::Regression => "`read`",
            LayoutTask::MultiLabel => "`read_multi_label`",
            LayoutTask::Tagging => "`read_tagged`",
        }
    )]
    LayoutOfOtherTask {
        /// The layout's name.
        layout: &'static str,
        /// What it is for.
        task: LayoutTask,
    },
    /// A file of which every row is left out.
    #[error("{}: {left_out}: nothing is left; are `language` and `drop_seen` as they should be?", path.display())]
    NothingLeft {
        /// The file.
        path: PathBuf,
        /// How many rows were left out why.
        left_out: String,
    },
    /// A label that is no number, where a number is wanted.
    #[error("{}, line {line}: the label `{value}` is no finite number", path.display())]
    BadNumber {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The label found.
        value: String,
    },
    /// A separator of labels that is no text.
    #[error("the separator of labels is empty; give the text that stands between them, such as `,`")]
    EmptySeparator,
    /// A number that is infinite or none at all.
    #[error("{what} {position} is {value}, which cannot be compared")]
    NotFinite {
        /// `prediction` or `value`.
        what: &'static str,
        /// Where it is in its slice.
        position: usize,
        /// The number.
        value: f64,
    },
    /// A folder without a tokenizer.
    #[error("{}: holds neither tokenizer.json nor vocab.txt", path.display())]
    NoTokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// A tokenizer file that cannot be used.
    #[error("{}: {message}", path.display())]
    BadTokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A special token that the vocabulary lacks.
    #[error("{origin}: the vocabulary has no {role} token `{token}`")]
    MissingSpecialToken {
        /// The file, or what the vocabulary is.
        origin: String,
        /// What the token is for: `unk`, `cls`, `sep`, `pad` or `mask`.
        role: &'static str,
        /// The token.
        token: String,
    },
    /// A length that leaves no place for the text.
    #[error(
        "max_length {max_length} is too small: {special} special tokens and the text need at least {least}"
    )]
    MaxLengthTooSmall {
        /// The length given.
        max_length: usize,
        /// Special tokens that are added.
        special: usize,
        /// The smallest length that works.
        least: usize,
    },
    /// A text that the tokenizer could not split.
    #[error("example {id}: the tokenizer failed: {message}")]
    Tokenize {
        /// The example.
        id: u64,
        /// What the tokenizer said.
        message: String,
    },
    /// A vocabulary too small to learn.
    #[error(
        "a vocabulary of {vocab_size} leaves no room beside the special tokens; give it at least {least}"
    )]
    VocabularyTooSmall {
        /// The size given.
        vocab_size: usize,
        /// The smallest size that works.
        least: usize,
    },
    /// Texts to learn a vocabulary from that hold none.
    #[error("the texts hold no word to learn a vocabulary from")]
    NoWords,
    /// A vocabulary that could not be learned.
    #[error("the vocabulary could not be learned: {message}")]
    Train {
        /// What the trainer said.
        message: String,
    },
    /// Augmentations with fields out of range.
    #[error("{}", problems.join("; "))]
    BadAugmentation {
        /// All of them, with field, value and allowed range.
        problems: Vec<String>,
    },
    /// Batches of nothing.
    #[error("batch_size must be at least 1")]
    ZeroBatchSize,
    /// Predictions and labels that cannot be compared.
    #[error("{predictions} predictions but {labels} labels")]
    DifferentLengths {
        /// How many predictions.
        predictions: usize,
        /// How many labels.
        labels: usize,
    },
    /// A class index outside the classes.
    #[error("class {class} at position {position} is not below the number of classes, {classes}")]
    ClassOutOfRange {
        /// The index found.
        class: usize,
        /// Where it is in its slice.
        position: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A file that does not hold questions in one of the known layouts.
    #[error(
        "{}: not a file of questions in the layout of SQuAD (`data`, `paragraphs`, `context`, `qas`, `id`, \
         `question`), CMRC 2018 or MRQA: {message}",
        path.display()
    )]
    BadQuestionFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and at which line and column or in which article.
        message: String,
    },
    /// A file, or the part of one that was asked for, without a question.
    #[error(
        "{}: no question after the first {skip_titles} of its {titles} title(s); give a file with questions, or \
         skip fewer and take more titles",
        path.display()
    )]
    NoQuestions {
        /// The file.
        path: PathBuf,
        /// How many titles were left out.
        skip_titles: usize,
        /// How many titles the file has.
        titles: usize,
    },
    /// A split by title with an empty side.
    #[error(
        "the first {titles} of {found} title(s) on one side leave a side of the split empty; take at least 1 and \
         less than all of them"
    )]
    TitleSplit {
        /// How many titles were asked for.
        titles: usize,
        /// How many there are.
        found: usize,
    },
    /// Settings of windows or of their decoding out of range.
    #[error("{}", problems.join("; "))]
    BadSpanOptions {
        /// All of them, with field, value and allowed range.
        problems: Vec<String>,
    },
    /// Logits that do not fit the features they are of.
    #[error("{message}; give the logits of every token of every feature, in the order of the features")]
    SpanLogits {
        /// What does not fit.
        message: String,
    },
}

impl DataError {
    /// The error for an I/O failure on `path`.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::IsADirectory => Self::IsFolder { path },
            _ => Self::Io { path, source },
        }
    }
}
