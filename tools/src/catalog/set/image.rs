//! An image as people say it: whole, a tag alone, a digest alone (pure).

use super::invalid;
use crate::catalog::deploy::objects::repository;
use crate::error::ToolError;

/// The image that is meant: what was said, or the present one with another tag or digest.
pub(super) fn meant(said: &str, present: &str) -> Result<String, ToolError> {
    let said = said.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let begins = said.trim_start_matches([':', '@']);
    if !begins.starts_with(|c: char| c.is_ascii_alphanumeric()) || !said.chars().all(plain) {
        return invalid(format!("`{said}` is not an image"));
    }
    let of = repository(present);
    Ok(if begins.starts_with("sha256:") {
        format!("{of}@{begins}")
    } else if let Some(tag) = said.strip_prefix(':') {
        format!("{of}:{tag}")
    } else if is_tag(said) && of.rsplit('/').next() != Some(said) {
        format!("{of}:{said}")
    } else {
        said.to_string()
    })
}

/// Whether a word alone is more likely a tag than the name of an image.
fn is_tag(said: &str) -> bool {
    const TAGS: [&str; 10] =
        ["latest", "stable", "main", "master", "edge", "dev", "nightly", "canary", "prod", "staging"];
    let numbered = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
    let commit = || {
        said.len() >= 7
            && said.chars().all(|c| c.is_ascii_hexdigit())
            && said.contains(|c: char| c.is_ascii_digit())
    };
    !said.contains(['/', ':', '@'])
        && (numbered(said)
            || said.strip_prefix('v').is_some_and(numbered)
            || TAGS.contains(&said)
            || commit())
}

/// Why an image's name does not fix what runs; `None` when it does.
pub(super) fn moves(image: &str) -> Option<String> {
    if image.contains('@') {
        return None;
    }
    let tag = image[repository(image).len()..].trim_start_matches(':');
    match tag {
        "" => Some(format!("{image} has no tag, which means `latest`: what runs can change without a trace")),
        "latest" => Some(format!("{image}: `latest` moves: what runs can change without a trace")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_tag_and_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (said, present, want) in [
            ("todo:v2", "nginx:1.27", "todo:v2"),
            ("1.28", "nginx:1.27", "nginx:1.28"),
            (":1.28", "r.example:5000/shop/web:1", "r.example:5000/shop/web:1.28"),
            ("v2", "r.example:5000/shop/web", "r.example:5000/shop/web:v2"),
            ("1.28-alpine", "nginx@sha256:00", "nginx:1.28-alpine"),
            ("latest", "nginx:1", "nginx:latest"),
            ("4f9c1d2", "shop/web:1", "shop/web:4f9c1d2"),
            ("redis", "nginx:1", "redis"),
            ("r.example:5000/web", "nginx:1", "r.example:5000/web"),
            (digest.as_str(), "nginx:1", &format!("nginx@{digest}")),
        ] {
            assert_eq!(meant(said, present).unwrap(), want, "{said}");
        }
        for bad in ["", " ", ":", "-x", "a b", "a:1 --rm", "a\u{202e}b"] {
            assert!(meant(bad, "nginx:1").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_that_move() {
        for image in ["nginx", "nginx:latest", "r.example:5000/web"] {
            assert!(moves(image).is_some(), "{image}");
        }
        for image in ["nginx:1", "nginx@sha256:00", "r.example:5000/web:2"] {
            assert!(moves(image).is_none(), "{image}");
        }
    }
}
