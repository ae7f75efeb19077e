//! Which objects of a kind are meant: one selector as people write it, taken apart into labels and fields (pure).

/// The two selectors that the API server takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Selector {
    pub labels: Option<String>,
    pub fields: Option<String>,
}

/// What begins the path of a field; a label's key hardly ever does.
const FIELDS: [&str; 5] = ["metadata.", "spec.", "status.", "involvedObject.", "regarding."];

/// Takes a selector apart; a name becomes a field, as it may stand in several namespaces.
pub(super) fn of(said: Option<&str>, name: Option<&str>) -> Selector {
    let (mut labels, mut fields): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    fields.extend(name.map(|n| format!("metadata.name={n}")));
    for term in terms(said.unwrap_or("")) {
        match FIELDS.iter().any(|f| term.starts_with(f)) && !term.contains('/') {
            true => fields.push(term.replace(' ', "")),
            false => labels.push(term),
        }
    }
    let joined = |all: String| Some(all).filter(|a| !a.is_empty());
    Selector { labels: joined(labels.join(",")), fields: joined(fields.join(",")) }
}

/// The terms between commas, but for those in `env in (a,b)`.
fn terms(said: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    said.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
    .map(str::trim)
    .filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, labels: &str, fields: &str) {
        let some = |s: &str| Some(s.to_string()).filter(|s| !s.is_empty());
        assert_eq!(of(Some(said), None), Selector { labels: some(labels), fields: some(fields) }, "{said}");
    }

    #[test]
    fn labels_and_fields_are_told_apart() {
        check("app=web,tier!=db", "app=web,tier!=db", "");
        check(
            "app=web, spec.nodeName = n1,status.phase!=Running",
            "app=web",
            "spec.nodeName=n1,status.phase!=Running",
        );
        check("env in (a,b),!x", "env in (a,b),!x", "");
        check("app.kubernetes.io/name=web", "app.kubernetes.io/name=web", "");
        check(" , ", "", "");
        assert_eq!(of(None, Some("web")).fields.as_deref(), Some("metadata.name=web"));
    }
}
