//! Data sets for augmentation, written as the SQuAD 1.1 JSON that Brew's readers read.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::{DownloadError, Result};

/// Reads files in one folder, writes them into another, and says what it left out.
pub(crate) type Convert = fn(raw: &Path, folder: &Path) -> Result<String>;

/// NewsQA as its authors' tools compile it, `combined-newsqa-data-v1.json`
/// (<https://github.com/Maluuba/newsqa>), to `train.json`, `dev.json` and `test.json`.
///
/// An answer is the span that the crowd agreed on; questions without one are left out. `s` and `e` count
/// characters, as SQuAD's `answer_start` does; the white space around a span is not part of the answer.
pub(crate) fn newsqa(raw: &Path, folder: &Path) -> Result<String> {
    let input = raw.join("combined-newsqa-data-v1.json");
    let mut splits = Vec::new();
    for name in ["train", "dev", "test"] {
        splits.push((name, SquadWriter::create(&folder.join(format!("{name}.json")))?));
    }
    let mut left_out = 0usize;
    for_each(&input, Some("data"), |story: Story| {
        let (_, writer) = splits.iter_mut().find(|(name, _)| *name == story.kind).ok_or_else(|| {
            bad(
                &input,
                format!("story `{}` is of the split `{}`, not train, dev or test", story.id, story.kind),
            )
        })?;
        let text: Vec<char> = story.text.chars().collect();
        let mut questions = Vec::new();
        for (index, asked) in story.questions.iter().enumerate() {
            match asked.consensus.s.zip(asked.consensus.e).and_then(|(start, end)| span(&text, start, end)) {
                Some(answer) => questions.push(Question {
                    id: format!("{}#{index}", story.id),
                    question: asked.q.trim().to_owned(),
                    answers: vec![answer],
                }),
                None => left_out += 1,
            }
        }
        writer.article(&story.id, &story.text, questions)
    })?;
    let mut kept = 0;
    for (_, writer) in splits {
        kept += writer.finish()?;
    }
    if kept == 0 {
        return Err(bad(&input, "holds no question that has an answer"));
    }
    Ok(format!("{kept} questions; {left_out} on whose answer the crowd did not agree are left out"))
}

/// HotpotQA's `hotpot_train_v1.1.json` (<https://hotpotqa.github.io>) to `train.json` and `passages.txt`.
///
/// The context of a question is its supporting paragraphs, in their order. Questions that are answered by yes or
/// no, or whose answer does not stand in them, are left out. `passages.txt` has every paragraph once, one a line:
/// unlabelled text, with which TextBrewer augments CoNLL-2003.
pub(crate) fn hotpotqa(raw: &Path, folder: &Path) -> Result<String> {
    let input = raw.join("hotpot_train_v1.1.json");
    let passages_path = folder.join("passages.txt");
    let mut passages = create(&passages_path)?;
    let mut seen = HashSet::new();
    let mut writer = SquadWriter::create(&folder.join("train.json"))?;
    let mut left_out = 0usize;
    for_each(&input, None, |row: Hop| {
        let supporting: HashSet<&str> =
            row.supporting_facts.iter().map(|(title, _)| title.as_str()).collect();
        let mut context = String::new();
        for (title, sentences) in &row.context {
            let paragraph = sentences.concat();
            let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            if supporting.contains(title.as_str()) {
                if !context.is_empty() {
                    context.push(' ');
                }
                context.push_str(&paragraph);
            }
            if !paragraph.is_empty() && seen.insert(title.clone()) {
                writeln!(passages, "{paragraph}")
                    .map_err(|source| DownloadError::io(&passages_path, source))?;
            }
        }
        let answer = row.answer.trim();
        let found = context.find(answer).filter(|_| !answer.is_empty() && answer != "yes" && answer != "no");
        let Some(at) = found else {
            left_out += 1;
            return Ok(());
        };
        let start = context[..at].chars().count();
        let answers = vec![Answer { text: answer.to_owned(), answer_start: start }];
        let question = Question { id: row.id.clone(), question: row.question.trim().to_owned(), answers };
        writer.article(&row.id, &context, vec![question])
    })?;
    finish(passages, &passages_path)?;
    let kept = writer.finish()?;
    if kept == 0 {
        return Err(bad(&input, "holds no question whose answer stands in its paragraphs"));
    }
    Ok(format!(
        "{kept} questions, {} paragraphs; {left_out} questions answered by yes or no, or not word for word, are \
         left out",
        seen.len()
    ))
}

#[derive(Deserialize)]
struct Story {
    #[serde(rename = "storyId")]
    id: String,
    text: String,
    #[serde(rename = "type")]
    kind: String,
    questions: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    q: String,
    #[serde(default)]
    consensus: Consensus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Consensus {
    s: Option<usize>,
    e: Option<usize>,
}

#[derive(Deserialize)]
struct Hop {
    #[serde(rename = "_id")]
    id: String,
    question: String,
    answer: String,
    supporting_facts: Vec<(String, i64)>,
    context: Vec<(String, Vec<String>)>,
}

#[derive(Serialize)]
struct Article<'a> {
    title: &'a str,
    paragraphs: [Paragraph<'a>; 1],
}

#[derive(Serialize)]
struct Paragraph<'a> {
    context: &'a str,
    qas: Vec<Question>,
}

#[derive(Serialize)]
struct Question {
    id: String,
    question: String,
    answers: Vec<Answer>,
}

#[derive(Serialize)]
struct Answer {
    text: String,
    answer_start: usize,
}

/// The characters from `start` to `end` without the white space around them, if there are any.
fn span(text: &[char], mut start: usize, mut end: usize) -> Option<Answer> {
    end = end.min(text.len());
    while start < end && text[start].is_whitespace() {
        start += 1;
    }
    while start < end && text[end - 1].is_whitespace() {
        end -= 1;
    }
    (start < end).then(|| Answer { text: text[start..end].iter().collect(), answer_start: start })
}

/// Writes a SQuAD 1.1 file article by article.
struct SquadWriter {
    path: PathBuf,
    file: BufWriter<File>,
    articles: usize,
    questions: usize,
}

impl SquadWriter {
    fn create(path: &Path) -> Result<Self> {
        let mut file = create(path)?;
        file.write_all(br#"{"version":"1.1","data":["#).map_err(|source| DownloadError::io(path, source))?;
        Ok(Self { path: path.to_path_buf(), file, articles: 0, questions: 0 })
    }

    /// One text and its questions; nothing if there are none.
    fn article(&mut self, title: &str, context: &str, qas: Vec<Question>) -> Result<()> {
        if qas.is_empty() {
            return Ok(());
        }
        let wrong = |source| DownloadError::io(&self.path, source);
        let separator: &[u8] = if self.articles == 0 { b"\n" } else { b",\n" };
        self.file.write_all(separator).map_err(wrong)?;
        self.articles += 1;
        self.questions += qas.len();
        let article = Article { title, paragraphs: [Paragraph { context, qas }] };
        serde_json::to_writer(&mut self.file, &article).map_err(|error| wrong(error.into()))
    }

    /// Completes the file; how many questions are in it.
    fn finish(mut self) -> Result<usize> {
        self.file.write_all(b"\n]}\n").map_err(|source| DownloadError::io(&self.path, source))?;
        finish(self.file, &self.path)?;
        Ok(self.questions)
    }
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new).map_err(|source| DownloadError::io(path, source))
}

fn finish(file: BufWriter<File>, path: &Path) -> Result<()> {
    let file = file.into_inner().map_err(|error| DownloadError::io(path, error.into_error()))?;
    file.sync_all().map_err(|source| DownloadError::io(path, source))
}

fn bad(path: &Path, message: impl Into<String>) -> DownloadError {
    DownloadError::BadData { path: path.to_path_buf(), message: message.into() }
}

/// Calls `f` with each element of the list that the file is, or that stands under `key` in the object that it is;
/// only one element is in memory at a time, for HotpotQA has half a gigabyte.
fn for_each<T: DeserializeOwned>(
    path: &Path,
    key: Option<&'static str>,
    f: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let file = File::open(path).map_err(|source| DownloadError::io(path, source))?;
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 18, file));
    let mut error = None;
    let each = Each { f, error: &mut error, element: PhantomData };
    let done = match key {
        None => deserializer.deserialize_seq(each),
        Some(key) => deserializer.deserialize_map(Under { key, each: Some(each) }),
    };
    let done = done.and_then(|()| deserializer.end());
    match (error, done) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(bad(path, format!("not in the layout of its data set: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

struct Each<'a, T, F> {
    f: F,
    error: &'a mut Option<DownloadError>,
    element: PhantomData<T>,
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> Result<()>> Visitor<'de> for Each<'_, T, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> std::result::Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            if let Err(error) = (self.f)(element) {
                *self.error = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> Result<()>> DeserializeSeed<'de> for Each<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

struct Under<E> {
    key: &'static str,
    each: Option<E>,
}

impl<'de, E: DeserializeSeed<'de, Value = ()>> Visitor<'de> for Under<E> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with a list under `{}`", self.key)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.each.take_if(|_| key == self.key) {
                Some(each) => map.next_value_seed(each)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match self.each {
            None => Ok(()),
            Some(_) => Err(serde::de::Error::custom(format_args!("no list under `{}`", self.key))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(convert: Convert, name: &str, content: &Value) -> (Result<String>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        (convert(folder.path(), &out), folder)
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join("out").join(name)).unwrap()).unwrap()
    }

    #[test]
    fn newsqa_becomes_squad_with_offsets_in_characters() {
        let story = |id: &str, kind: &str, questions: Value| json!({"storyId": id, "type": kind, "text": "Zoë said:\n don't steal them!", "questions": questions});
        let questions = json!([
            {"q": " What? ", "consensus": {"s": 10, "e": 22}, "isAnswerAbsent": 0.25},
            {"q": "Bad?", "consensus": {"badQuestion": true}},
            {"q": "None?", "consensus": {"noAnswer": true}},
            {"q": "Who?", "consensus": {"s": 0, "e": 4}},
            {"q": "Beyond?", "consensus": {"s": 90, "e": 95}},
        ]);
        let content = json!({
            "version": "1",
            "data": [story("./a.story", "train", questions), story("./b.story", "dev", json!([]))],
        });
        let (said, folder) = run(newsqa, "combined-newsqa-data-v1.json", &content);
        let said = said.unwrap();
        assert!(said.starts_with("2 questions; 3 on"), "{said}");
        let train = read(&folder, "train.json");
        let paragraph = &train["data"][0]["paragraphs"][0];
        let context: Vec<char> = paragraph["context"].as_str().unwrap().chars().collect();
        let qas = paragraph["qas"].as_array().unwrap();
        let expected = [("./a.story#0", "What?", "don't steal"), ("./a.story#3", "Who?", "Zoë")];
        assert_eq!(qas.len(), expected.len());
        for (qa, (id, question, text)) in qas.iter().zip(expected) {
            assert_eq!((&qa["id"], &qa["question"]), (&json!(id), &json!(question)));
            let answer = &qa["answers"][0];
            assert_eq!(answer["text"], text);
            let start = answer["answer_start"].as_u64().unwrap() as usize;
            assert_eq!(context[start..start + text.chars().count()].iter().collect::<String>(), text);
        }
        assert_eq!(read(&folder, "dev.json"), json!({"version": "1.1", "data": []}));
    }

    #[test]
    fn hotpotqa_becomes_squad_and_plain_paragraphs() {
        let row = |id: &str, answer: &str| {
            json!({
                "_id": id, "question": "Which?", "answer": answer, "level": "easy", "type": "bridge",
                "supporting_facts": [["É", 0], ["C", 1]],
                "context": [
                    ["É", ["Élan is a word.", " It has an accent."]],
                    ["B", ["Nobody needs this."]],
                    ["C", ["First.", "  Second is the answer."]],
                ],
            })
        };
        let content = json!([row("1", "Second"), row("2", "yes"), row("3", "elsewhere"), row("4", "word")]);
        let (said, folder) = run(hotpotqa, "hotpot_train_v1.1.json", &content);
        let said = said.unwrap();
        assert!(said.starts_with("2 questions, 3 paragraphs; 2 questions"), "{said}");
        let train = read(&folder, "train.json");
        assert_eq!(train["data"].as_array().unwrap().len(), 2);
        let paragraph = &train["data"][0]["paragraphs"][0];
        assert_eq!(paragraph["context"], "Élan is a word. It has an accent. First. Second is the answer.");
        assert_eq!(paragraph["qas"][0]["answers"][0], json!({"text": "Second", "answer_start": 41}));
        let passages = std::fs::read_to_string(folder.path().join("out/passages.txt")).unwrap();
        assert_eq!(
            passages,
            "Élan is a word. It has an accent.\nNobody needs this.\nFirst. Second is the answer.\n"
        );
    }

    #[test]
    fn other_layouts_are_errors_with_the_file() {
        let name = "combined-newsqa-data-v1.json";
        let story = json!({"storyId": "x", "type": "other", "text": "t", "questions": []});
        let cases = [
            (json!([]), "an object with a list under `data`"),
            (json!({"version": 1}), "no list under `data`"),
            (json!({"data": [{"text": "t"}]}), "storyId"),
            (json!({"data": [story]}), "split `other`"),
            (json!({"data": []}), "no question"),
        ];
        for (content, expected) in cases {
            let (result, _folder) = run(newsqa, name, &content);
            let message = result.unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains(name), "{message}");
        }
        let (result, _folder) = run(hotpotqa, "hotpot_train_v1.1.json", &json!({"data": []}));
        assert!(result.unwrap_err().to_string().contains("a list"));
    }
}
