//! Names that somebody may have meant.

/// The name that is most like `wanted`, when one is like enough to have been meant.
pub fn nearest<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wanted_low = wanted.to_lowercase();
    let score = |name: &str| {
        let low = name.to_lowercase();
        let contained = low.len() >= 3 && (wanted_low.contains(&low) || low.contains(&wanted_low));
        // Two letters that changed places: short names of that kind look less alike than they are.
        let swapped =
            low.len() == wanted_low.len() && low.len() >= 3 && strsim::osa_distance(&wanted_low, &low) == 1;
        let swapped = swapped && strsim::levenshtein(&wanted_low, &low) == 2;
        strsim::jaro_winkler(&wanted_low, &low).max(if contained || swapped { 0.9 } else { 0.0 })
    };
    names
        .into_iter()
        .filter(|n| *n != wanted)
        .map(|n| (score(n), n))
        .filter(|(s, _)| *s >= 0.88)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, n)| n)
}
