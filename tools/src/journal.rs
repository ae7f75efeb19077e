//! What kai did: an append-only, hash-chained file that is on disk before a write leaves, and from which an undo is made.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cluster::Identity;
use crate::error::ToolError;
use crate::object::ObjectRef;

/// The journal in a folder of the user's own (0700; the file 0600).
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub seq: u64,
    pub at: jiff::Timestamp,
    pub plan: String,
    #[serde(flatten)]
    pub entry: Entry,
    /// Hash of the record before; empty in the first.
    pub prev: String,
    /// SHA-256 over this record without this field.
    #[serde(default)]
    pub hash: String,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A write is about to leave.
    Intent(Box<Intent>),
    /// What came of it.
    Outcome {
        step: usize,
        outcome: StepOutcome,
        message: String,
        /// Of the object that was written; empty when it is gone or not known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        uid: String,
    },
    /// How the workload stood at the end of the wait.
    Verdict { object: ObjectRef, verdict: String },
}

/// A write that is about to leave, with all that an undo needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    pub step: usize,
    pub steps: usize,
    pub title: String,
    /// What the person said, secrets masked.
    pub words: String,
    pub approved_by: String,
    pub context: String,
    pub identity: Identity,
    pub object: ObjectRef,
    pub group: String,
    pub uid: String,
    pub method: String,
    pub path: String,
    /// SHA-256 of the bytes sent.
    pub body_sha256: String,
    pub touched: Vec<Touched>,
    /// The object that still holds the old pod template, when the change was one of template.
    pub template: Option<ObjectRef>,
    /// How the change is taken back.
    #[serde(default, skip_serializing_if = "Back::is_fields")]
    pub undo: Back,
    /// The plan that this one takes back.
    pub undoes: Option<String>,
}

/// How a change is taken back, as the journal keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Back {
    /// The touched fields, or the template, get their old values.
    #[default]
    Fields,
    /// What was made is deleted.
    Delete,
    /// What was deleted is made anew.
    Remake {
        manifest: Value,
    },
    Never {
        why: String,
    },
}

impl Back {
    fn is_fields(&self) -> bool {
        *self == Self::Fields
    }
}

/// A field that was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Touched {
    pub path: String,
    pub before: Kept,
    pub after: Kept,
}

/// A field's value as the journal keeps it: itself, or only its hash where it may hold a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    Absent,
    Value(Value),
    Sha256(String),
}

impl Kept {
    /// Keeps a value; as a hash when its place or its shape says that it may be a secret.
    pub fn of(path: &str, value: Option<&Value>) -> Self {
        let Some(value) = value else { return Self::Absent };
        let as_text = value.to_string();
        if path.contains("/env/")
            || (path.ends_with("/env") && value.is_array())
            || path.split(['/', '=', ']']).any(crate::redact::is_secret_name)
            || crate::redact::text(&as_text) != as_text
        {
            return Self::Sha256(sha256(as_text.as_bytes()));
        }
        Self::Value(value.clone())
    }

    /// Whether a value is the one that was kept.
    pub fn is(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Absent, None) => true,
            (Self::Value(kept), Some(value)) => kept == value,
            (Self::Sha256(hash), Some(value)) => *hash == sha256(value.to_string().as_bytes()),
            _ => false,
        }
    }
}

/// What came of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    Done,
    NotDone,
    Unknown,
}

/// SHA-256 as lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl Journal {
    /// The journal in `folder`; nothing is made or read yet.
    pub fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join("journal.jsonl") }
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record and waits until it is on disk.
    ///
    /// # Errors
    /// [`ToolError::Records`] when it cannot be written, or when the chain is broken: then nothing may be changed.
    pub fn append(&self, plan: &str, entry: Entry) -> Result<(), ToolError> {
        let unwritable = |e: std::io::Error| ToolError::Records {
            message: format!("the journal {} cannot be written: {e}", self.path.display()),
            hint: "kai changes nothing that it cannot record. Free the disk or mend the file's rights."
                .into(),
        };
        let mut file = self.open().map_err(unwritable)?;
        file.lock().map_err(unwritable)?;
        let last = self.read_from(&mut file)?.pop();
        let mut record = Record {
            seq: last.as_ref().map_or(1, |l| l.seq + 1),
            at: jiff::Timestamp::now(),
            plan: plan.into(),
            entry,
            prev: last.map(|l| l.hash).unwrap_or_default(),
            hash: String::new(),
        };
        record.hash = hash_of(&record);
        let mut line = serde_json::to_string(&record).map_err(|e| unwritable(e.into()))?;
        line.push('\n');
        file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        file.write_all(line.as_bytes()).map_err(unwritable)?;
        file.sync_all().map_err(unwritable)
    }

    /// All records, oldest first. A torn last line (a crash while writing) is left out.
    ///
    /// # Errors
    /// [`ToolError::Records`] naming the first record whose hash or chain is wrong.
    pub fn records(&self) -> Result<Vec<Record>, ToolError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let mut file = File::open(&self.path).map_err(|e| ToolError::Records {
            message: format!("the journal {} cannot be read: {e}", self.path.display()),
            hint: String::new(),
        })?;
        self.read_from(&mut file)
    }

    fn read_from(&self, file: &mut File) -> Result<Vec<Record>, ToolError> {
        let broken = |line: usize, why: &str| {
            ToolError::Records {
            message: format!("{}: record {line} {why}", self.path.display()),
            hint: "The journal was altered or damaged. Move it away to go on; kai then starts a new one and cannot undo what the old one holds.".into(),
        }
        };
        let unreadable = |e: std::io::Error| broken(0, &format!("cannot be read: {e}"));
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let mut records: Vec<Record> = Vec::new();
        let mut good = 0_u64;
        let mut reader = BufReader::new(&mut *file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            let number = records.len() + 1;
            if line.last() != Some(&b'\n') {
                tracing::warn!(record = number, "the journal's last record is torn; it is dropped");
                break;
            }
            let record: Record = serde_json::from_slice(&line)
                .map_err(|e| broken(number, &format!("is not a record: {e}")))?;
            if record.hash != hash_of(&record)
                || record.prev != records.last().map_or("", |l| l.hash.as_str())
            {
                return Err(broken(number, "does not match its hash"));
            }
            good += read as u64;
            records.push(record);
        }
        drop(reader);
        // Cut a torn tail off, so that the next record starts a line of its own. Fails on a file opened for reading
        // only, where it does not matter.
        if file.metadata().is_ok_and(|m| m.len() > good) {
            let _ = file.set_len(good);
        }
        Ok(records)
    }

    fn open(&self) -> std::io::Result<File> {
        if let Some(folder) = self.path.parent() {
            private_folder(folder)?;
        }
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&self.path)
    }
}

/// Makes a folder that only its owner can enter.
///
/// # Errors
/// As the file system says.
pub fn private_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn hash_of(record: &Record) -> String {
    let bare = Record { hash: String::new(), ..record.clone() };
    sha256(serde_json::to_string(&bare).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(message: &str) -> Entry {
        Entry::Outcome { step: 0, outcome: StepOutcome::Done, message: message.into(), uid: String::new() }
    }

    #[test]
    fn a_flipped_byte_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::in_folder(folder.path());
        for i in 0..3 {
            journal.append("p", outcome(&format!("m{i}"))).unwrap();
        }
        assert_eq!(journal.records().unwrap().len(), 3);
        let altered = std::fs::read_to_string(journal.path()).unwrap().replace("m1", "mX");
        std::fs::write(journal.path(), altered).unwrap();
        let error = journal.records().unwrap_err().to_string();
        assert!(error.contains("record 2"), "{error}");
        assert!(journal.append("p", outcome("more")).is_err(), "nothing is added to a broken chain");
    }

    #[test]
    fn a_torn_tail_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::in_folder(folder.path());
        journal.append("p", outcome("whole")).unwrap();
        let mut file = OpenOptions::new().append(true).open(journal.path()).unwrap();
        file.write_all(b"{\"seq\": 2, \"at\"").unwrap();
        assert_eq!(journal.records().unwrap().len(), 1);
        journal.append("p", outcome("next")).unwrap();
        assert_eq!(journal.records().unwrap().len(), 2);
    }

    #[test]
    fn files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::in_folder(&folder.path().join("state"));
        journal.append("p", outcome("x")).unwrap();
        assert_eq!(std::fs::metadata(journal.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::metadata(folder.path().join("state")).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn secrets_are_kept_as_hashes() {
        let kept =
            Kept::of("/spec/template/spec/containers/[name=a]/env/[name=X]/value", Some(&json!("anything")));
        assert!(
            matches!(kept, Kept::Sha256(_))
                && kept.is(Some(&json!("anything")))
                && !kept.is(Some(&json!("other")))
        );
        let list = json!([{"name": "X", "value": "anything"}]);
        let first = Kept::of("/spec/template/spec/containers/[name=a]/env", Some(&list));
        assert!(matches!(first, Kept::Sha256(_)), "the first variables come as one list");
        assert_eq!(Kept::of("/data/env", Some(&json!("a"))), Kept::Value(json!("a")));
        assert_eq!(Kept::of("/spec/replicas", Some(&json!(3))), Kept::Value(json!(3)));
    }
}
