//! Names in messages.

pub(super) fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// The tags of a scheme with these letters.
pub(super) fn tags_of(letters: &[char]) -> String {
    letters.iter().fold("O".to_owned(), |text, letter| format!("{text}, {letter}-TYPE"))
}

pub(super) fn listing_or_none(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { listing(names) }
}

/// The first names of a list that may be thousands long.
pub(super) fn listing(known: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = known.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if known.len() > SHOWN {
        text.push_str(&format!(" and {} more", known.len() - SHOWN));
    }
    text
}

/// The known name closest to `name` by Jaro–Winkler similarity, ignoring case, when one is close.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataError;

    #[test]
    fn nearest_ignores_case_and_refuses_what_is_far() {
        assert_eq!(nearest("Lable", ["text", "label"]), Some("label".into()));
        assert_eq!(nearest("zzz", ["text", "label"]), None);
    }

    #[test]
    fn long_listings_are_cut() {
        let known: Vec<String> = (0..25).map(|n| n.to_string()).collect();
        let text = listing(&known);
        assert!(text.ends_with("`19` and 5 more"), "{text}");
    }

    #[test]
    fn messages_say_where_and_what_to_do() {
        let error = DataError::UnknownLabel {
            path: "dev.tsv".into(),
            line: 7,
            value: "positve".into(),
            nearest: Some("positive".into()),
            known: vec!["negative".into(), "positive".into()],
        };
        assert_eq!(
            error.to_string(),
            "dev.tsv, line 7: unknown label `positve` (did you mean `positive`?); \
             the labels are `negative`, `positive`"
        );
    }
}
