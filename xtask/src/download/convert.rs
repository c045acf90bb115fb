//! Data sets for augmentation, written as the SQuAD 1.1 JSON that Brew's readers read.

mod squad;
mod stream;
mod words;

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;

use super::error::{DownloadError, Result};
use squad::{Answer, Question, SquadWriter, create, finish};
use stream::for_each;
use words::words;

/// Reads files in one folder, writes them into another, and says what it left out.
pub(crate) type Convert = fn(raw: &Path, folder: &Path) -> Result<String>;

/// NewsQA as its authors' tools compile it, `combined-newsqa-data-v1.json`
/// (<https://github.com/Maluuba/newsqa>), to `newsqa.json`, which is the training set, `newsqa-dev.json` and `newsqa-test.json`.
///
/// An answer is the span that the crowd agreed on; questions without one are left out. `s` and `e` count
/// characters, as SQuAD's `answer_start` does; the white space around a span is not part of the answer.
pub(crate) fn newsqa(raw: &Path, folder: &Path) -> Result<String> {
    let input = raw.join("combined-newsqa-data-v1.json");
    let mut splits = Vec::new();
    for (split, file) in [("train", "newsqa.json"), ("dev", "newsqa-dev.json"), ("test", "newsqa-test.json")]
    {
        splits.push((split, SquadWriter::create(&folder.join(file))?));
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

/// HotpotQA's `hotpot_train_v1.1.json` (<https://hotpotqa.github.io>) to `hotpotqa.json` and `hotpotqa.conll`.
///
/// The context of a question is its supporting paragraphs, in their order. Questions that are answered by yes or
/// no, or whose answer does not stand in them, are left out. `hotpotqa.conll` has the sentences of every paragraph
/// once, a word a line without a tag: TextBrewer augments CoNLL-2003 with HotpotQA's texts.
pub(crate) fn hotpotqa(raw: &Path, folder: &Path) -> Result<String> {
    let input = raw.join("hotpot_train_v1.1.json");
    let sentences_path = folder.join("hotpotqa.conll");
    let mut sentences_file = create(&sentences_path)?;
    let mut seen = HashSet::new();
    let mut sentence_count = 0usize;
    let mut writer = SquadWriter::create(&folder.join("hotpotqa.json"))?;
    let mut left_out = 0usize;
    for_each(&input, None, |row: Hop| {
        let supporting: HashSet<&str> =
            row.supporting_facts.iter().map(|(title, _)| title.as_str()).collect();
        let mut context: Vec<&str> = Vec::new();
        for (title, sentences) in &row.context {
            if supporting.contains(title.as_str()) {
                context.extend(sentences.iter().flat_map(|sentence| sentence.split_whitespace()));
            }
            if seen.insert(title.clone()) {
                for sentence in sentences {
                    sentence_count +=
                        usize::from(write_words(&mut sentences_file, sentence, &sentences_path)?);
                }
            }
        }
        let context = context.join(" ");
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
    finish(sentences_file, &sentences_path)?;
    let kept = writer.finish()?;
    if kept == 0 {
        return Err(bad(&input, "holds no question whose answer stands in its paragraphs"));
    }
    Ok(format!(
        "{kept} questions, {sentence_count} sentences; {left_out} questions answered by yes or no, or not word for \
         word, are left out"
    ))
}

/// One sentence, a word a line and a blank line after it; whether there was a word in it.
fn write_words(file: &mut impl Write, sentence: &str, path: &Path) -> Result<bool> {
    let words = words(sentence);
    if words.is_empty() {
        return Ok(false);
    }
    writeln!(file, "{}\n", words.join("\n")).map_err(|source| DownloadError::io(path, source))?;
    Ok(true)
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

fn bad(path: &Path, message: impl Into<String>) -> DownloadError {
    DownloadError::BadData { path: path.to_path_buf(), message: message.into() }
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
        let train = read(&folder, "newsqa.json");
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
        assert_eq!(read(&folder, "newsqa-dev.json"), json!({"version": "1.1", "data": []}));
    }

    #[test]
    fn hotpotqa_becomes_squad_and_words() {
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
        assert!(said.starts_with("2 questions, 5 sentences; 2 questions"), "{said}");
        let train = read(&folder, "hotpotqa.json");
        assert_eq!(train["data"].as_array().unwrap().len(), 2);
        let paragraph = &train["data"][0]["paragraphs"][0];
        assert_eq!(paragraph["context"], "Élan is a word. It has an accent. First. Second is the answer.");
        assert_eq!(paragraph["qas"][0]["answers"][0], json!({"text": "Second", "answer_start": 41}));
        let words = std::fs::read_to_string(folder.path().join("out/hotpotqa.conll")).unwrap();
        let sentences: Vec<String> = words.trim_end().split("\n\n").map(|s| s.replace('\n', " ")).collect();
        let expected = [
            "Élan is a word .",
            "It has an accent .",
            "Nobody needs this .",
            "First .",
            "Second is the answer .",
        ];
        assert_eq!(sentences, expected);
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
