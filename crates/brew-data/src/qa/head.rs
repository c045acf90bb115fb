//! The beginning of a question file as a file of its own.

use std::borrow::Cow;

use super::json;

/// Where a text can be cut so that [`closed`] makes a file with questions of it; 0 where it holds none whole.
pub(super) fn whole_questions(text: &str) -> usize {
    if ends(text.trim_start_matches('\u{feff}')).is_some() { text.len() } else { 0 }
}

/// A text that was cut somewhere, without what is not whole and with the brackets that are open closed.
pub(super) fn closed(text: &str) -> Cow<'_, str> {
    match ends(text) {
        Some((end, closers)) => Cow::Owned(format!("{}{closers}", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The end of the last object after which closing the brackets leaves questions, the least deep first, and the closing
/// brackets.
fn ends(text: &str) -> Option<(usize, String)> {
    let mut open: Vec<u8> = Vec::new();
    // By depth, the end of the last object of a list there.
    let mut candidates: Vec<Option<(usize, String)>> = Vec::new();
    let (mut in_text, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if in_text && is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => open.push(byte),
            b'}' | b']' => {
                open.pop();
                if byte == b'}' && open.last().is_none_or(|&around| around == b'[') {
                    let closers = open.iter().rev().map(|&one| if one == b'[' { ']' } else { '}' });
                    candidates.resize(candidates.len().max(open.len() + 1), None);
                    candidates[open.len()] = Some((at + 1, closers.collect()));
                }
            }
            _ => {}
        }
    }
    candidates.into_iter().flatten().find(|(end, closers)| {
        let articles = json::articles(&format!("{}{closers}", &text[..*end])).unwrap_or_default();
        articles.into_iter().any(|article| {
            article.paragraphs().is_ok_and(|paragraphs| paragraphs.iter().any(|one| !one.qas.is_empty()))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::{Extent, QuestionFileSpec, read_questions};

    /// A file of each layout with eight articles, contexts before and behind the questions.
    fn layouts() -> [String; 4] {
        let list = |article: &dyn Fn(usize) -> String, between: &str| {
            (0..8).map(article).collect::<Vec<_>>().join(between)
        };
        let question = |at: usize| {
            format!(
                r#"{{"id":"{at}","question":"who \"is\" {{ it?","answers":[{{"text":"Ann","answer_start":0}}]}}"#
            )
        };
        let squad = |at: usize| {
            format!(
                r#"{{"title":"t{at}","paragraphs":[{{"context":"Ann sings.","qas":[{}]}}]}}"#,
                question(at)
            )
        };
        let squad2 = |at: usize| {
            format!(
                r#"{{"title":"t{at}","paragraphs":[{{"qas":[{}],"context":"Ann sings."}}]}}"#,
                question(at)
            )
        };
        let cmrc = |at: usize| {
            format!(
                r#"{{"context_text":"Ann sings.","title":"t","qas":[{{"query_id":"{at}","query_text":"who?","answers":["Ann"]}}]}}"#
            )
        };
        let mrqa = |at: usize| {
            format!(
                r#"{{"context":"Ann sings.","qas":[{{"qid":"{at}","question":"who?","answers":["Ann"]}}]}}"#
            )
        };
        [
            format!(r#"{{"version":"1.1","data":[{}]}}"#, list(&squad, ",")),
            format!(r#"{{"version":"2.0","data":[{}]}}"#, list(&squad2, ", ")),
            format!("[{}]", list(&cmrc, ",\n")),
            format!("{{\"header\":{{}}}}\n{}\n", list(&mrqa, "\n")),
        ]
    }

    #[test]
    fn the_first_questions_of_every_layout_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("questions.json");
        for text in layouts() {
            fs::write(&path, &text).unwrap();
            let whole = read_questions(&path, &QuestionFileSpec::default()).unwrap().0;
            assert_eq!(whole.len(), 8);
            let mut counts = Vec::new();
            for bytes in (1..text.len() as u64 + 9).step_by(11) {
                let spec =
                    QuestionFileSpec { extent: Extent::Head(bytes), skip_titles: 0, take_titles: None };
                let (questions, _) =
                    read_questions(&path, &spec).unwrap_or_else(|error| panic!("{error}\n{text}"));
                assert!(!questions.is_empty() && questions == whole[..questions.len()], "{bytes}: {text}");
                counts.push(questions.len());
            }
            assert!(counts.contains(&1) && counts.contains(&4) && counts.contains(&8), "{counts:?}");
        }
    }

    #[test]
    fn a_part_of_a_file_is_read_from_its_first_title() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("questions.json");
        fs::write(&path, &layouts()[0]).unwrap();
        let spec = QuestionFileSpec { skip_titles: 5, take_titles: Some(1), extent: Extent::Head(400) };
        assert_eq!(read_questions(&path, &spec).unwrap().0[0].id, "0");
        let spec = QuestionFileSpec { extent: Extent::Head(1 << 20), ..spec };
        assert_eq!(read_questions(&path, &spec).unwrap().0[0].id, "5");
    }
}
