//! What the text of a failed pull says: of what kind the failure is.

use crate::rules::image::parse;

/// Why a pull failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    NoSpace,
    Architecture,
    RateLimit,
    Tls,
    UnknownHost,
    Unreachable,
    Denied,
    Missing,
}

/// What a runtime's error text is about; none where it says nothing that is known.
pub fn classify(text: &str, image: &str) -> Option<Failure> {
    // Names may hold any of the words: an image called `denied` is not refused.
    let parts = parse(image);
    let mut low = text.to_lowercase();
    for name in [image, parts.repository] {
        if name.len() > 2 {
            low = low.replace(&name.to_lowercase(), "");
        }
    }
    let has = |words: &[&str]| words.iter().any(|w| low.contains(w));
    let of = |failure| Some(failure);
    if has(&["no space left on device"]) {
        of(Failure::NoSpace)
    } else if has(&["no match for platform", "no matching manifest for"]) {
        of(Failure::Architecture)
    } else if has(&["429 too many", "toomanyrequests", "too many requests", "rate limit"]) {
        of(Failure::RateLimit)
    } else if has(&[
        "x509:",
        "http response to https client",
        "tls: ",
        "certificate signed by",
        "certificate has expired",
    ]) {
        of(Failure::Tls)
    } else if has(&["no such host", "server misbehaving", "temporary failure in name resolution"]) {
        of(Failure::UnknownHost)
    } else if has(&[
        "denied",
        "unauthorized",
        "authorization failed",
        "authentication required",
        "401 ",
        "403 ",
        "no basic auth",
    ]) {
        of(Failure::Denied)
    } else if has(&[
        "connection refused",
        "i/o timeout",
        "deadline exceeded",
        "connection reset",
        "no route to host",
        "network is unreachable",
        "tls handshake timeout",
        "request canceled",
        "500 internal",
        "502 bad",
        "503 service",
        "504 gateway",
        "registry is unavailable",
        ": eof",
    ]) {
        of(Failure::Unreachable)
    } else if has(&["not found", "manifest unknown", "name unknown"]) {
        of(Failure::Missing)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_the_name_means_nothing() {
        assert_eq!(
            classify("failed to pull x.io/denied/app:1: not found", "x.io/denied/app:1"),
            Some(Failure::Missing)
        );
        assert_eq!(classify("something else", "x"), None);
    }
}
