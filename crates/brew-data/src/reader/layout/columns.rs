//! Where the texts and labels of each layout stand.

use super::Layout;

/// What the columns may be called, in lower case, and where they stand in files without a header.
pub(super) struct Columns {
    pub(super) text: &'static [&'static str],
    pub(super) text_pair: Option<&'static [&'static str]>,
    pub(super) label: &'static [&'static str],
    pub(super) language: Option<&'static str>,
    /// Places of text, second text and label in a file without a header, where there are such.
    pub(super) places: Option<(usize, Option<usize>, usize)>,
}

/// Names of one text's column.
const ONE: &[&str] = &["sentence", "text", "text_a", "review"];

impl Columns {
    const fn pair(
        text: &'static [&'static str],
        text_pair: &'static [&'static str],
        label: &'static [&'static str],
    ) -> Self {
        Self { text, text_pair: Some(text_pair), label, language: None, places: None }
    }

    const fn without_header(self, places: (usize, Option<usize>, usize)) -> Self {
        Self { places: Some(places), ..self }
    }
}

impl Layout {
    pub(super) fn columns(self) -> Columns {
        let sentences = |label| Columns::pair(&["sentence1"], &["sentence2"], label);
        match self {
            Self::Mrpc => Columns::pair(&["#1 string"], &["#2 string"], &["quality"]),
            Self::Qqp => Columns::pair(&["question1"], &["question2"], &["is_duplicate"]),
            Self::Stsb => sentences(&["score"]),
            Self::Mnli => sentences(&["gold_label"]),
            Self::Qnli => Columns::pair(&["question"], &["sentence"], &["label"]),
            Self::Rte | Self::Wnli => sentences(&["label"]),
            Self::Xnli => Columns {
                language: Some("language"),
                ..Columns::pair(
                    &["sentence1", "premise"],
                    &["sentence2", "hypo", "hypothesis"],
                    &["gold_label", "label"],
                )
            },
            Self::Lcqmc | Self::Afqmc => Columns::pair(
                &["sentence1", "text_a", "text1", "query1"],
                &["sentence2", "text_b", "text2", "query2"],
                &["label", "gold_label"],
            )
            .without_header((0, Some(1), 2)),
            Self::Cola => {
                Columns { text: ONE, text_pair: None, label: &["label"], language: None, places: None }
                    .without_header((3, None, 1))
            }
            // A text and its label, as SST-2 and ChnSentiCorp; the other tasks have readers of their own.
            _ => Columns { text: ONE, text_pair: None, label: &["label"], language: None, places: None }
                .without_header((0, None, 1)),
        }
    }
}
