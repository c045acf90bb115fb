use strsim::damerau_levenshtein;

/// The known name that `name` was most likely meant to be, if any is close enough.
///
/// Close enough is a Damerau-Levenshtein distance (case ignored) of at most a third of the longer
/// name, and at least 2.
///
/// ```
/// let known = ["temperature", "kd_loss_type"];
/// assert_eq!(brew_config::nearest("temprature", known), Some("temperature"));
/// assert_eq!(brew_config::nearest("banana", known), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            let longer = wanted.chars().count().max(candidate.chars().count());
            // A distance of the whole length shares nothing: short names would match anything.
            *distance <= (longer / 3).max(2) && *distance < longer
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
