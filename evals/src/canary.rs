//! Secrets that are made to be looked for: realistic, worthless, different in every run.
//!
//! Tests plant them in Secrets, environments, annotations and logs, and then [`Canaries::find`] says
//! whether one turns up where none may: as it is, in base64, in hex, or URL-encoded; wrapped, or in part.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// So many characters of a secret in a row count as the secret.
const TELLING: usize = 12;
/// So many bytes in base64 or hex count as the secret.
const TELLING_ENCODED: usize = 9;

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
// With `~` and `?`: of what ASCII holds, little else differs between the two alphabets of base64.
const PASSWORD: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789!#$%^*-_=+~?";

/// One fake secret.
#[derive(Clone)]
pub struct Canary {
    /// What kind of secret, such as `github-token`.
    pub name: &'static str,
    /// What to plant.
    pub value: String,
    /// The parts of it that give it away; the rest (a header, a scheme, a user name) is no secret.
    telling: Vec<String>,
}

/// One fake secret of each kind.
#[derive(Clone, Debug)]
pub struct Canaries(Vec<Canary>);

/// How a secret was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is, perhaps wrapped or in part.
    Raw,
    /// In base64 of either alphabet, perhaps within something longer.
    Base64,
    /// In hexadecimal of either case.
    Hex,
    /// With `%XX` in place of some characters.
    Url,
}

/// A secret in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The [`Canary::name`].
    pub name: &'static str,
    pub form: Form,
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A failed assertion must not plant what another test looks for.
        write!(f, "Canary({})", self.name)
    }
}

impl Canaries {
    /// New secrets, from the randomness of the operating system.
    #[allow(clippy::new_without_default, reason = "each call makes others")]
    pub fn new() -> Canaries {
        Canaries::from_seed(RandomState::new().hash_one(std::process::id()))
    }

    /// The secrets of a seed: the same ones every time.
    pub fn from_seed(seed: u64) -> Canaries {
        let mut source = Source { seed, count: 0 };
        let mut all = Vec::new();
        let mut add = |name, value: String, telling: Vec<String>| all.push(Canary { name, value, telling });

        let text = format!("AKIA{}", source.text(UPPER, 16));
        add("aws-key-id", text.clone(), vec![text]);
        let text = source.text(BASE64, 40);
        add("aws-secret-key", text.clone(), vec![text]);
        let text = source.text(ALPHANUMERIC, 36);
        add("github-token", format!("ghp_{text}"), vec![text]);
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let subject = source.text(ALPHANUMERIC, 20);
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"canary","sub":"{subject}"}}"#));
        let signature = source.text(ALPHANUMERIC, 43);
        let jwt = format!("{header}.{claims}.{signature}");
        add("jwt", jwt, vec![signature]);
        let text = source.text(PASSWORD, 24);
        add("password", text.clone(), vec![text]);
        let lines: Vec<String> = (0..6).map(|_| source.text(BASE64, 64)).collect();
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        add("pem", format!("{begin}\n{}\n{end}\n", lines.join("\n")), lines);
        let text = source.text(ALPHANUMERIC, 22);
        add("url", format!("postgres://app:{text}@db.internal:5432/app?sslmode=require"), vec![text]);
        Canaries(all)
    }

    /// All of them.
    pub fn all(&self) -> &[Canary] {
        &self.0
    }

    /// The value of one of them, by [`Canary::name`]; `None` for a name that there is not.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|canary| canary.name == name).map(|canary| canary.value.as_str())
    }

    /// The secrets in a text, each form of each at most once.
    pub fn find(&self, text: &str) -> Vec<Hit> {
        // White space, escaped line ends and colours go, so that wrapping and highlighting hide nothing.
        let text: String = without_escapes(text).replace("\\n", "").split_whitespace().collect();
        let decoded = url_decoded(&text);
        let lower = text.to_ascii_lowercase();
        let base64 = text.replace('-', "+").replace('_', "/");
        let mut hits = Vec::new();
        for canary in &self.0 {
            let any = |found: &dyn Fn(&str) -> bool| canary.telling.iter().any(|part| found(part));
            let mut hit = |form| hits.push(Hit { name: canary.name, form });
            let raw = any(&|part| windows(part, TELLING).any(|window| text.contains(window)));
            if raw {
                hit(Form::Raw);
            }
            if any(&|part| in_base64(part).iter().any(|encoded| base64.contains(encoded))) {
                hit(Form::Base64);
            }
            if any(&|part| windows(part, TELLING_ENCODED).any(|window| lower.contains(&hex(window)))) {
                hit(Form::Hex);
            }
            if !raw && any(&|part| windows(part, TELLING).any(|window| decoded.contains(window))) {
                hit(Form::Url);
            }
        }
        hits
    }

    /// The secrets in a file, or in all files below a folder; links are not followed.
    ///
    /// # Errors
    /// When something cannot be read: what was not looked at is not clean.
    pub fn find_in(&self, path: &Path) -> io::Result<Vec<(PathBuf, Hit)>> {
        let kind = path.symlink_metadata()?.file_type();
        let mut hits = Vec::new();
        if kind.is_dir() {
            for entry in path.read_dir()? {
                hits.extend(self.find_in(&entry?.path())?);
            }
        } else if kind.is_file() {
            let bytes = std::fs::read(path)?;
            let found = self.find(&String::from_utf8_lossy(&bytes));
            hits.extend(found.into_iter().map(|hit| (path.to_owned(), hit)));
        }
        Ok(hits)
    }
}

/// A text without the control sequences of a terminal.
fn without_escapes(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // A sequence ends with its first letter; parameters are digits and punctuation.
        let end = piece.find(|c: char| ('@'..='~').contains(&c)).map_or(piece.len(), |at| at + 1);
        plain.push_str(&piece[end..]);
    }
    plain
}

/// Every run of `length` characters; the secrets are ASCII.
fn windows(text: &str, length: usize) -> impl Iterator<Item = &str> {
    (0..=text.len().saturating_sub(length)).filter_map(move |at| text.get(at..at + length))
}

/// What base64 makes of each run of bytes wherever it begins within a longer text: the characters that
/// depend on nothing but those bytes.
fn in_base64(text: &str) -> Vec<String> {
    windows(text, TELLING_ENCODED).map(|window| STANDARD.encode(window)).collect()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn url_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let value = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A stream of characters from a seed.
struct Source {
    seed: u64,
    count: u64,
}

impl Source {
    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let mut text = String::new();
        while text.len() < length {
            let block = Sha256::digest([self.seed.to_le_bytes(), self.count.to_le_bytes()].concat());
            self.count += 1;
            let left = length - text.len();
            text.extend(
                block.iter().take(left).map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(canaries: &Canaries, name: &str, text: &str) -> Vec<Form> {
        let hits = canaries.find(text);
        assert!(hits.iter().all(|hit| hit.name == name), "{hits:?} where only {name} is");
        hits.into_iter().map(|hit| hit.form).collect()
    }

    #[test]
    fn each_secret_is_found_in_each_form() {
        let canaries = Canaries::new();
        for Canary { name, value, .. } in canaries.all() {
            let found = |text: String| forms(&canaries, name, &text);
            assert_eq!(found(format!("token={value};")), [Form::Raw], "{name}");
            assert_eq!(found(format!("token: {}", hex(value).to_uppercase())), [Form::Hex], "{name}");
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            assert_eq!(found(format!("?q={escaped}&r=1")), [Form::Url], "{name}");
            for prefix in ["", "a", "ab"] {
                let encoded = STANDARD.encode(format!("{prefix}{value}"));
                assert_eq!(found(format!("data: {encoded}")), [Form::Base64], "{name}");
                let encoded = URL_SAFE_NO_PAD.encode(format!("{prefix}{value} and more"));
                assert_eq!(found(encoded), [Form::Base64], "{name}");
            }
        }
    }

    #[test]
    fn wrapped_escaped_and_partial_secrets_are_found() {
        let canaries = Canaries::from_seed(1);
        let token = canaries.get("github-token").unwrap();
        assert_eq!(forms(&canaries, "github-token", &token.replace(&token[20..], "...")), [Form::Raw]);
        let wrapped = format!("{}\n    {}", &token[..14], &token[14..]);
        assert_eq!(forms(&canaries, "github-token", &wrapped), [Form::Raw]);
        let coloured = format!("\u{1b}[32m{}\u{1b}[1;31m{}\u{1b}[0m", &token[..14], &token[14..]);
        assert_eq!(forms(&canaries, "github-token", &coloured), [Form::Raw]);
        let pem = canaries.get("pem").unwrap().replace('\n', "\\n");
        assert_eq!(forms(&canaries, "pem", &pem), [Form::Raw]);
    }

    #[test]
    fn either_alphabet_of_base64_is_found() {
        // Not every password has such a character where it tells.
        let differs = |window: &&str| STANDARD.encode(window) != URL_SAFE_NO_PAD.encode(window);
        let (canaries, differs) = (0..100)
            .map(Canaries::from_seed)
            .find_map(|canaries| {
                let password = canaries.get("password")?.to_owned();
                let window = windows(&password, TELLING_ENCODED).find(differs)?.to_owned();
                Some((canaries, window))
            })
            .unwrap();
        for encoded in [STANDARD.encode(&differs), URL_SAFE_NO_PAD.encode(&differs)] {
            assert_eq!(canaries.find(&encoded).len(), 1, "{encoded}");
        }
    }

    #[test]
    fn what_is_public_in_a_secret_and_other_secrets_are_no_hits() {
        let canaries = Canaries::from_seed(2);
        let jwt = canaries.get("jwt").unwrap().rsplit_once('.').unwrap().0;
        let text = format!("{jwt}.*** postgres://app:***@db.internal:5432/app -----BEGIN PRIVATE KEY-----");
        assert_eq!(canaries.find(&text), []);
        for other in Canaries::from_seed(3).all() {
            assert_eq!(canaries.find(&other.value), []);
        }
        assert_ne!(Canaries::new().get("password"), Canaries::new().get("password"));
    }

    #[test]
    fn secrets_are_found_in_the_files_below_a_folder() {
        let canaries = Canaries::from_seed(4);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("clean"), "nothing").unwrap();
        let leak = folder.path().join("deep/leak");
        std::fs::write(&leak, [b"\xff", canaries.get("password").unwrap().as_bytes()].concat()).unwrap();
        let hit = Hit { name: "password", form: Form::Raw };
        assert_eq!(canaries.find_in(folder.path()).unwrap(), [(leak, hit)]);
        assert!(canaries.find_in(&folder.path().join("none")).is_err());
    }
}
