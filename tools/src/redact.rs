//! The one place where secrets leave text and objects: everything that a model, a screen, a log or a file may see
//! passes here first.

use serde_json::{Value, json};

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";

/// An object without what nobody needs to see: Secret data become sizes, values under secret-like names are masked,
/// `managedFields` and the last-applied annotation (which repeats the whole object) go, free text is scrubbed.
pub fn object(value: &Value) -> Value {
    let mut out = value.clone();
    let is_secret = out.get("kind").and_then(Value::as_str) == Some("Secret");
    if is_secret {
        for field in ["data", "stringData"] {
            if let Some(Value::Object(map)) = out.get_mut(field) {
                for entry in map.values_mut() {
                    *entry = json!(format!("[{} bytes, not shown]", size(entry, field == "data")));
                }
            }
        }
    }
    if let Some(Value::Object(meta)) = out.get_mut("metadata") {
        meta.shift_remove("managedFields");
        if let Some(Value::Object(annotations)) = meta.get_mut("annotations") {
            annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    for (key, entry) in out.as_object_mut().into_iter().flatten() {
        if !(is_secret && matches!(key.as_str(), "data" | "stringData")) {
            mask(entry, key);
        }
    }
    // Items of a list do not say their kind; the list does.
    let of = value
        .get("kind")
        .and_then(Value::as_str)
        .and_then(|k| k.strip_suffix("List"))
        .unwrap_or("")
        .to_string();
    let original = value.get("items").and_then(Value::as_array).into_iter().flatten();
    for (item, before) in
        out.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().zip(original)
    {
        let mut before = before.clone();
        if let Some(map) = before.as_object_mut().filter(|m| !m.contains_key("kind") && !of.is_empty()) {
            map.insert("kind".into(), json!(of));
        }
        *item = object(&before);
    }
    out
}

fn size(value: &Value, encoded: bool) -> usize {
    let length = value.as_str().map_or(0, str::len);
    if encoded { length / 4 * 3 } else { length }
}

/// Masks values by the name they stand under (map keys, and `name`/`value` pairs such as env), and scrubs the rest.
fn mask(value: &mut Value, under: &str) {
    match value {
        Value::String(s) => {
            if is_secret_name(under) && !is_reference(under) && !s.is_empty() {
                *s = MASK.into();
            } else {
                *s = text(s);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| mask(v, under)),
        Value::Object(map) => {
            let name = map.get("name").and_then(Value::as_str).unwrap_or("").to_string();
            for (key, entry) in map.iter_mut() {
                let under = if key == "value" && !name.is_empty() { name.as_str() } else { key.as_str() };
                mask(entry, under);
            }
        }
        _ => {}
    }
}

/// Whether a name says that its value is a secret: `DB_PASSWORD`, `apiKey`, `client-secret`.
pub fn is_secret_name(name: &str) -> bool {
    let name: String = name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    const MARKS: [&str; 14] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "privatekey",
        "credential",
        "connectionstring",
        "authorization",
        "sessionkey",
        "signingkey",
        "encryptionkey",
    ];
    MARKS.iter().any(|m| name.contains(m)) || name == "pwd" || name == "auth" || name.ends_with("dsn")
}

/// Names that contain such a word yet hold the name of something, not a secret: `secretName`, `automountServiceAccountToken`.
fn is_reference(name: &str) -> bool {
    const REFERENCES: [&str; 8] = [
        "secretName",
        "secretRef",
        "secretKeyRef",
        "imagePullSecrets",
        "secret",
        "serviceAccountToken",
        "nodePublishSecretRef",
        "tokenExpirationSeconds",
    ];
    REFERENCES.contains(&name) || name.contains('/')
}

/// Free text (a log line, an event, an annotation, an error) with secrets of known shape masked.
pub fn text(input: &str) -> String {
    if !may_hold_secret(input) {
        return input.to_string();
    }
    let mut out = String::with_capacity(input.len());
    let mut in_pem = false;
    for (i, line) in input.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if in_pem {
            in_pem = !line.contains("-----END ");
            continue;
        }
        if let Some(at) = line.find("-----BEGIN ")
            && line.contains("PRIVATE KEY")
        {
            out.push_str(&line[..at]);
            out.push_str(MASK);
            in_pem = !line.contains("-----END ");
            continue;
        }
        scrub_line(line, &mut out);
    }
    out
}

/// Cheap look that spares ordinary text the closer one.
fn may_hold_secret(input: &str) -> bool {
    input.len() >= 8
        && (input.contains(['=', ':', '@'])
            || input.contains("-----BEGIN")
            || input.split(is_break).any(|w| w.len() >= 16))
}

fn is_break(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '`' | '|')
}

/// Copies a line word by word, masking words that are secrets by shape or by what stands before them.
fn scrub_line(line: &str, out: &mut String) {
    let mut masks_next = false;
    let mut rest = line;
    while !rest.is_empty() {
        let gap = rest.find(|c| !is_break(c)).unwrap_or(rest.len());
        out.push_str(&rest[..gap]);
        rest = &rest[gap..];
        let end = rest.find(is_break).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        if word.is_empty() {
            continue;
        }
        if masks_next && !is_plain_word(word) && !matches!(word, "Bearer" | "Basic" | "bearer" | "basic") {
            out.push_str(MASK);
            masks_next = false;
            continue;
        }
        masks_next =
            announces_secret(word) || (masks_next && matches!(word, "=" | ":" | "is" | "Bearer" | "Basic"));
        scrub_word(word, out);
    }
}

/// `password:`, `Authorization:`, `Bearer`: the next word is the secret.
fn announces_secret(word: &str) -> bool {
    matches!(word, "Bearer" | "bearer" | "Basic" | "--password" | "--token" | "-p")
        || word.strip_suffix([':', '=']).is_some_and(is_secret_name)
        || (is_secret_name(word) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))
}

/// Words that follow "password" in ordinary prose: masking them would hide the message ("token expired").
fn is_plain_word(word: &str) -> bool {
    word.len() < 6 || word.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b'/' | b'-' | b':'))
}

fn scrub_word(word: &str, out: &mut String) {
    // A URL with a password in it: scheme://user:password@host.
    if let Some(scheme) = word.find("://")
        && let Some(at) = word[scheme..].rfind('@').map(|a| a + scheme)
        && let Some(colon) = word[scheme + 3..at].find(':').map(|c| c + scheme + 3)
    {
        out.push_str(&word[..=colon]);
        out.push_str(MASK);
        scrub_word(&word[at..], out);
        return;
    }
    // name=value, name:value, also inside a query string.
    if let Some(split) = word.find(['=', '&', '?']) {
        let (name, value) = word.split_at(split);
        let mark = &value[..1];
        let value = &value[1..];
        scrub_word_alone(name, out);
        out.push_str(mark);
        if mark == "="
            && is_secret_name(name.rsplit([':', '.', '/']).next().unwrap_or(name))
            && !value.is_empty()
        {
            let end = value.find('&').unwrap_or(value.len());
            out.push_str(MASK);
            if end < value.len() {
                scrub_word(&value[end..], out);
            }
        } else if !value.is_empty() {
            scrub_word(value, out);
        }
        return;
    }
    if let Some((name, value)) = word.split_once(':')
        && is_secret_name(name)
        && value.len() >= 4
    {
        out.push_str(name);
        out.push(':');
        out.push_str(MASK);
        return;
    }
    scrub_word_alone(word, out);
}

fn scrub_word_alone(word: &str, out: &mut String) {
    if is_secret_shape(word) { out.push_str(MASK) } else { out.push_str(word) }
}

/// Tokens that are secrets whatever stands around them.
fn is_secret_shape(word: &str) -> bool {
    const PREFIXES: [(&str, usize); 16] = [
        ("AKIA", 20),
        ("ASIA", 20),
        ("ghp_", 30),
        ("gho_", 30),
        ("ghs_", 30),
        ("github_pat_", 40),
        ("glpat-", 20),
        ("xoxb-", 20),
        ("xoxp-", 20),
        ("sk-", 20),
        ("sk_live_", 20),
        ("rk_live_", 20),
        ("AIza", 35),
        ("npm_", 30),
        ("hvs.", 20),
        ("SG.", 40),
    ];
    if PREFIXES.iter().any(|(p, n)| word.starts_with(p) && word.len() >= *n) {
        return true;
    }
    if word.starts_with("eyJ") && word.len() > 40 && word.matches('.').count() >= 2 {
        return true;
    }
    looks_random(word)
}

/// Long, mixed and without structure: most likely key material. Hex digests, UUIDs, image digests and the generated
/// names of Kubernetes are not (they are lower-case or carry separators).
fn looks_random(word: &str) -> bool {
    let word = word.trim_end_matches('=');
    if word.len() < 24
        || !word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'_' | b'-'))
    {
        return false;
    }
    let count = |f: fn(&u8) -> bool| word.bytes().filter(f).count();
    let (upper, lower, digit) =
        (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase), count(u8::is_ascii_digit));
    // A path or a CamelCase sentence has few digits, and its parts are words.
    let longest_run = word.split(['/', '-', '_']).map(str::len).max().unwrap_or(0);
    let mixed = digit >= 2 || (digit == 1 && upper * 4 >= word.len());
    upper >= 3 && lower >= 3 && mixed && longest_run >= 16 && entropy(word) > 3.6
}

/// Bits per character of the word's own distribution of characters.
fn entropy(word: &str) -> f64 {
    let mut counts = [0_u32; 128];
    word.bytes().for_each(|b| counts[usize::from(b & 127)] += 1);
    let n = word.len() as f64;
    counts.iter().filter(|c| **c > 0).map(|c| f64::from(*c) / n).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_known_shape_go() {
        for (input, secret) in [
            ("password=Tr0ub4dor&x=1", "Tr0ub4dor"),
            ("Authorization: Bearer abc.DEF-123456", "abc.DEF-123456"),
            ("connecting to postgres://app:s3cr3t@db:5432/x", "s3cr3t"),
            ("key AKIAIOSFODNN7EXAMPLE found", "AKIAIOSFODNN7EXAMPLE"),
            ("using ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_"),
            ("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl", "eyJhbGci"),
            ("aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
            (r#"{"api_key": "Zx81-abc"}"#, "Zx81-abc"),
            ("DB_PASSWORD: hunter2X", "hunter2X"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----", "MIIEabc"),
        ] {
            let out = text(input);
            assert!(!out.contains(secret), "{input} -> {out}");
            assert!(out.contains(MASK), "{input} -> {out}");
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for input in [
            "2026-11-21T04:19:54.219Z INFO listening on 0.0.0.0:8080",
            "Back-off pulling image \"docker.io/library/todo-backend:v2\"",
            "backend-7d9f8c6b54-x2x8z started container",
            "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
            "uid 8e6f1e0a-9e0f-4b0e-8d43-1f1f9b1c7a10",
            "token expired, please log in",
            "secret \"db-pass\" not found",
            "MountVolume.SetUp failed for volume \"config\" : configmap \"app-config\" not found",
            "GET /api/v1/namespaces/todo/pods?limit=500 200 OK",
        ] {
            assert_eq!(text(input), input);
        }
    }

    #[test]
    fn objects() {
        let secret = object(&json!({"kind": "Secret", "metadata": {"name": "s", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"p\":\"Y2FuYXJ5\"}}"}}, "data": {"p": "Y2FuYXJ5"}}));
        assert!(!secret.to_string().contains("Y2FuYXJ5"));
        assert_eq!(secret["data"]["p"], "[6 bytes, not shown]");
        let pod = object(
            &json!({"kind": "Pod", "spec": {"imagePullSecrets": [{"name": "regcred"}], "containers": [
            {"name": "a", "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "LOG_LEVEL", "value": "info"},
             {"name": "T", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}]}}),
        );
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], MASK);
        assert_eq!(pod["spec"]["containers"][0]["env"][1]["value"], "info");
        assert_eq!(pod["spec"]["imagePullSecrets"][0]["name"], "regcred");
        assert_eq!(pod["spec"]["containers"][0]["env"][2]["valueFrom"]["secretKeyRef"]["name"], "db");
    }
}
