//! Secrets where others can read them: in plain variables, in ConfigMaps, in what browsers download; and Secrets that
//! hold something else than was meant. Values are looked at and never shown.

use base64::Engine;
use serde_json::Value;

use super::pods::Container;
use super::set::Set;
use crate::manifest::Document;
use crate::object::{items, text};
use crate::redact;

/// Variables with these names are compiled into what browsers download.
const FOR_BROWSERS: [&str; 8] =
    ["VITE_", "NEXT_PUBLIC_", "REACT_APP_", "NUXT_PUBLIC_", "VUE_APP_", "GATSBY_", "EXPO_PUBLIC_", "PUBLIC_"];
/// Keys that are made to be seen.
const MEANT_TO_BE_SEEN: [&str; 9] = [
    "PUBLISHABLE",
    "ANON_KEY",
    "PUBLIC_KEY",
    "SITE_KEY",
    "CLIENT_ID",
    "DSN",
    "MEASUREMENT_ID",
    "VAPID",
    "_URL",
];
/// The most that etcd takes.
const MOST: usize = 1 << 20;

pub(super) fn is_for_browsers(name: &str) -> bool {
    FOR_BROWSERS.iter().any(|p| name.starts_with(p))
}

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        for container in pods.containers() {
            variables(set, pods.doc, &container);
            for part in ["command", "args"] {
                words(set, pods.doc, &container, part);
            }
        }
    }
    for d in set.of("configmap") {
        size(set, d);
        for (key, value) in d.value["data"].as_object().into_iter().flatten() {
            if is_plain_secret(key, value.as_str().unwrap_or("")) {
                let says = format!("{key} looks like a secret, and a ConfigMap is for everybody to read");
                set.warn(
                    "secret-in-configmap",
                    d,
                    &format!("/data/{}", key.replace('/', "~1")),
                    says,
                    "Put it into a Secret",
                );
            }
        }
    }
    for d in set.of("secret") {
        size(set, d);
        contents(set, d);
    }
}

fn variables(set: &Set<'_>, d: &Document, container: &Container<'_>) {
    for (i, env) in items(container.value, "/env").iter().enumerate() {
        let name = text(env, "/name");
        let path = format!("{}/env/{i}", container.path);
        let seen = MEANT_TO_BE_SEEN.iter().any(|m| name.contains(m));
        let plain = env.get("value").and_then(Value::as_str).is_some_and(|v| is_plain_secret(name, v));
        let referred = text(env, "/valueFrom/secretKeyRef/name");
        if is_for_browsers(name) && !seen && (plain || !referred.is_empty()) {
            let from =
                if plain { "holds a secret".into() } else { format!("is filled from secret/{referred}") };
            let says = format!(
                "{name} {from}, and variables of that name end up in the files that browsers download: everybody can read it"
            );
            set.problem("secret-in-browser", d, &path, says, "Keep it on the server: give it to the backend under another name, and let the browser ask the backend");
        } else if plain {
            let says = format!(
                "{name} holds a secret in plain text: everybody who can see the workload, or this file, can read it"
            );
            set.warn(
                "secret-in-plain-text",
                d,
                &format!("{path}/value"),
                says,
                "Put it into a Secret and refer to it with valueFrom.secretKeyRef",
            );
        }
    }
}

/// Secrets on the command line.
fn words(set: &Set<'_>, d: &Document, container: &Container<'_>, part: &str) {
    let said: Vec<&str> =
        items(container.value, &format!("/{part}")).iter().map(|w| w.as_str().unwrap_or("")).collect();
    for (i, word) in said.iter().enumerate() {
        // `--password` and what follows it may be two words.
        let before = i.checked_sub(1).map_or("", |b| said[b]);
        let option = before.strip_prefix("--").filter(|o| !o.contains('='));
        let told =
            option.is_some_and(|o| !word.starts_with('-') && is_plain_secret(&o.replace('-', "_"), word));
        if told || word.lines().count() < 4 && holds_secret(word) {
            let says = format!(
                "the {part} of {} holds a secret in plain text: everybody who can see the pod can read it",
                container.name()
            );
            let path = format!("{}/{part}/{i}", container.path);
            set.warn(
                "secret-in-plain-text",
                d,
                &path,
                says,
                "Put it into a Secret and a variable, and name $(VARIABLE) here",
            );
        }
    }
}

/// Whether a text holds a secret of known shape, or an option such as `--password=...` with one.
fn holds_secret(text: &str) -> bool {
    text.split_whitespace().any(|word| match word.strip_prefix('-').and_then(|w| w.split_once('=')) {
        Some((name, value)) => is_plain_secret(&name.trim_start_matches('-').replace(['-', '.'], "_"), value),
        None => !word.contains('$') && redact::text(word) != word,
    })
}

/// Whether a value is itself a secret: by its name, and then by what it is not, or by its shape.
fn is_plain_secret(name: &str, value: &str) -> bool {
    let value = value.trim();
    if value.is_empty() || value.contains("$(") || value.contains("${") || value.lines().count() > 20 {
        return false;
    }
    // A file or a script may speak of passwords; one line with a secret in it is one.
    if value.lines().count() == 1 && holds_secret(value) {
        return true;
    }
    if !redact::is_secret_name(name) {
        return false;
    }
    let upper = name.to_uppercase();
    // The name or the age of a secret is none.
    const ABOUT: [&str; 21] = [
        "_FILE",
        "_PATH",
        "_DIR",
        "_NAME",
        "_NAMESPACE",
        "_TTL",
        "_EXPIRY",
        "_EXPIRES",
        "_EXPIRATION",
        "_EXPIRES_IN",
        "_LENGTH",
        "_MINUTES",
        "_SECONDS",
        "_HOURS",
        "_DAYS",
        "_ENABLED",
        "_TYPE",
        "_URL",
        "_ALGORITHM",
        "_HEADER",
        "_ISSUER",
    ];
    let about = ABOUT.iter().any(|a| upper.ends_with(a))
        || upper.starts_with("ALLOW_")
        || upper.starts_with("ENABLE_");
    let word = value.to_lowercase();
    let harmless = matches!(word.as_str(), "true" | "false" | "yes" | "no" | "none" | "null" | "on" | "off")
        || value.starts_with('/')
        || value.contains("://")
        || value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || is_duration(&word);
    !about && !harmless && upper != "AUTH"
}

/// `15m`, `24h`, `3600s`.
fn is_duration(word: &str) -> bool {
    word.strip_suffix(['s', 'm', 'h', 'd', 'w'])
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn size(set: &Set<'_>, d: &Document) {
    let mut bytes = 0;
    for field in ["data", "stringData", "binaryData"] {
        for (key, value) in d.value.get(field).and_then(Value::as_object).into_iter().flatten() {
            let encoded = field == "binaryData" || (field == "data" && d.kind() == "Secret");
            let length = value.as_str().map_or(0, str::len);
            bytes += key.len() + if encoded { length / 4 * 3 } else { length };
        }
    }
    if bytes > MOST {
        let says = format!("holds {} KiB: the API server takes at most 1024 KiB", bytes / 1024);
        set.problem("too-large", d, "/data", says, "Divide it, or put large files into an image or a volume");
    }
}

fn contents(set: &Set<'_>, d: &Document) {
    for (field, encoded) in [("data", true), ("stringData", false)] {
        for (key, value) in d.value.get(field).and_then(Value::as_object).into_iter().flatten() {
            let path = format!("/{field}/{}", key.replace('/', "~1"));
            let Some(said) = value.as_str() else { continue };
            let decoded = if encoded {
                let compact: String = said.chars().filter(|c| !c.is_whitespace()).collect();
                let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(compact) else {
                    let says = format!("{key} is not base64: the API server refuses it");
                    set.problem(
                        "not-base64",
                        d,
                        &path,
                        says,
                        "Write the plain value under stringData instead of data",
                    );
                    continue;
                };
                bytes
            } else {
                said.as_bytes().to_vec()
            };
            let Ok(plain) = String::from_utf8(decoded) else { continue };
            if plain.ends_with('\n')
                && plain.trim_end().lines().count() == 1
                && plain.len() < 200
                && !plain.starts_with(['{', '[', '-'])
            {
                let says = format!(
                    "{key} ends with a line break: programs take it as a part of the value, and logins fail"
                );
                set.warn(
                    "secret-line-break",
                    d,
                    &path,
                    says,
                    "Encode it anew without one (echo -n), or write it under stringData",
                );
            }
            if is_placeholder(plain.trim()) {
                let says = format!("{key} still holds a placeholder");
                set.warn(
                    "placeholder-secret",
                    d,
                    &path,
                    says,
                    "Fill in the value, or make the Secret apart from these files",
                );
            }
        }
    }
}

fn is_placeholder(value: &str) -> bool {
    let word = value.to_lowercase().replace(['_', ' '], "-");
    let marks =
        ["your-", "<your", "replace-", "change-me", "changeme", "insert-", "todo", "fixme", "fill-in"];
    marks.iter().any(|m| word.starts_with(m))
        || (word.starts_with('<') && word.ends_with('>'))
        || matches!(
            word.as_str(),
            "..." | "xxx" | "xxxx" | "xxxxxx" | "placeholder" | "redacted" | "secret-here"
        )
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet, run};

    fn pod(container: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers: [{{name: c, image: 'x:1', {container}}}]\n"
        )
    }

    fn env(name: &str, value: &str) -> String {
        pod(&format!("env: [{{name: {name}, value: '{value}'}}]"))
    }

    #[test]
    fn plain_variables() {
        for (name, value) in [
            ("DB_PASSWORD", "hunter2x"),
            ("DATABASE_URL", "postgres://app:s3cr3t@db:5432/x"),
            ("K", "AKIAIOSFODNN7EXAMPLE"),
        ] {
            finds(&env(name, value), "", "secret-in-plain-text", &[name, "secretKeyRef"]);
            for finding in run(&env(name, value), "").findings {
                assert!(!finding.to_string().contains(value), "{finding}");
            }
        }
        for (name, value) in [
            ("DB_PASSWORD_FILE", "/run/secrets/db"),
            ("TOKEN_TTL", "15m"),
            ("PASSWORD_MIN_LENGTH", "8"),
            ("ALLOW_EMPTY_PASSWORD", "yes"),
            ("DB_PASSWORD", "$(OTHER)"),
            ("TOKEN_URL", "https://x.y/token"),
            ("LOG_LEVEL", "info"),
            ("DATABASE_URL", "postgres://db:5432/x"),
            ("DB_PASSWORD", ""),
        ] {
            quiet(&env(name, value), "", "secret-in-plain-text");
        }
        finds(&pod("args: ['--password=Tr0ub4dor3x']"), "", "secret-in-plain-text", &["the args of c"]);
        finds(&pod("args: [--password, Tr0ub4dor3x]"), "", "secret-in-plain-text", &["args[1]"]);
        finds(
            &env("JAVA_OPTS", "-Xmx1g -Djavax.net.ssl.trustStorePassword=Tr0ub4dor3x"),
            "",
            "secret-in-plain-text",
            &["JAVA_OPTS"],
        );
        for good in [
            "'--port=80', --verbose",
            "--tls-private-key-file=/tls/key.pem",
            "--password-file, /x",
            "--token=$(TOKEN)",
            "--enable-token, 'true'",
        ] {
            quiet(&pod(&format!("args: [{good}]")), "", "secret-in-plain-text");
        }
    }

    #[test]
    fn browsers() {
        let from = |name: &str| {
            pod(&format!("env: [{{name: {name}, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}]"))
        };
        finds(
            &from("VITE_OPENAI_API_KEY"),
            "",
            "secret-in-browser",
            &["filled from secret/s", "browsers download"],
        );
        finds(&env("NEXT_PUBLIC_API_TOKEN", "abcdef12345"), "", "secret-in-browser", &["holds a secret"]);
        for good in [from("OPENAI_API_KEY"), from("VITE_STRIPE_PUBLISHABLE_KEY"), env("VITE_TITLE", "Shop")] {
            quiet(&good, "", "secret-in-browser");
        }
    }

    #[test]
    fn config_maps() {
        let map = |data: &str| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{{data}}}\n")
        };
        finds(&map("DB_PASSWORD: hunter2x"), "", "secret-in-configmap", &["DB_PASSWORD"]);
        quiet(&map("mode: fast, TOKEN_TTL: 1h"), "", "secret-in-configmap");
        finds(&map(&format!("big: '{}'", "x".repeat(1_100_000))), "", "too-large", &["1074 KiB"]);
        quiet(&map("mode: fast"), "", "too-large");
    }

    #[test]
    fn what_secrets_hold() {
        let secret =
            |fields: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{fields}\n");
        finds(&secret("data: {password: hunter2!}"), "", "not-base64", &["stringData"]);
        finds(
            &secret("data: {password: aHVudGVyMgo=}"),
            "",
            "secret-line-break",
            &["ends with a line break"],
        );
        finds(&secret("stringData: {key: your-openai-key}"), "", "placeholder-secret", &["key still holds"]);
        finds(&secret("data: {key: PHlvdXIta2V5Pg==}"), "", "placeholder-secret", &["placeholder"]);
        for check in ["not-base64", "secret-line-break", "placeholder-secret"] {
            quiet(&secret("data: {password: aHVudGVyMg==}"), "", check);
            quiet(&secret("stringData: {cert: \"-----BEGIN X-----\\nabc\\n-----END X-----\\n\"}"), "", check);
        }
    }
}
