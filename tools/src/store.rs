//! Plans that wait for a person: kept in a private folder, approved by a sealed stamp, used once.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

use crate::error::ToolError;
use crate::journal::private_folder;
use crate::review::{TTL, View};

/// A plan on disk: the calls that made it and what a person saw. It is planned and previewed again before it is
/// applied; the digest says whether it is still the same plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// Format of this file.
    pub version: u32,
    /// When the request was made; planning again uses this moment.
    pub now: jiff::Timestamp,
    pub words: String,
    pub calls: Vec<SavedCall>,
    pub context: String,
    pub namespace: String,
    pub view: View,
}

/// One tool call of a saved plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedCall {
    pub tool: String,
    pub arguments: Value,
}

/// A person's yes to a saved plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stamp {
    digest: String,
    typed: Option<String>,
    at: jiff::Timestamp,
    seal: String,
}

/// The folder of waiting plans.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// The format that this version writes and reads.
pub const VERSION: u32 = 1;
/// A plan file larger than this is not one of ours.
const MAX_BYTES: u64 = 4 << 20;

impl Store {
    /// The store in kai's state folder.
    pub fn in_folder(state: &Path) -> Self {
        Self { folder: state.join("plans") }
    }

    /// Keeps a plan until it is approved or expires.
    ///
    /// # Errors
    /// [`ToolError::Records`] when the folder cannot be written.
    pub fn save(&self, plan: &SavedPlan) -> Result<(), ToolError> {
        private_folder(&self.folder).map_err(|e| unusable(&self.folder, &e))?;
        self.sweep();
        write_new(&self.path(&plan.view.id)?, &serde_json::to_vec_pretty(plan).unwrap_or_default())
    }

    /// The waiting plan of that id.
    ///
    /// # Errors
    /// `NotFound` when there is none (never made, used, or expired); [`ToolError::Stale`] past its time.
    pub fn load(&self, id: &str) -> Result<SavedPlan, ToolError> {
        let path = self.path(id)?;
        if !path.exists() {
            return Err(ToolError::NotFound {
                message: format!("no plan `{id}` waits: it was never made, was used, or has expired"),
                similar: Vec::new(),
            });
        }
        let plan = read_plan(&path)?;
        if expired(plan.now) {
            return Err(ToolError::Stale {
                message: format!("plan {id} is older than {} minutes", TTL.as_secs() / 60),
            });
        }
        Ok(plan)
    }

    /// Records a person's yes, sealed with this user's key.
    ///
    /// # Errors
    /// [`ToolError::Records`] when key or stamp cannot be written.
    pub fn stamp(&self, plan: &SavedPlan, typed: Option<String>) -> Result<(), ToolError> {
        let at = jiff::Timestamp::now();
        let seal = self.seal(&plan.view.digest, typed.as_deref(), at)?;
        let stamp = Stamp { digest: plan.view.digest.clone(), typed, at, seal };
        let path = self.path(&plan.view.id)?.with_extension("approved");
        let _ = fs::remove_file(&path);
        write_new(&path, &serde_json::to_vec(&stamp).unwrap_or_default())
    }

    /// What was typed with the yes to this plan: `None` when nobody said yes, or the seal or the time is wrong.
    pub fn stamped(&self, plan: &SavedPlan) -> Option<Option<String>> {
        let path = self.path(&plan.view.id).ok()?.with_extension("approved");
        let stamp: Stamp = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let seal = self.seal(&stamp.digest, stamp.typed.as_deref(), stamp.at).ok()?;
        (stamp.digest == plan.view.digest && seal == stamp.seal && !expired(stamp.at)).then_some(stamp.typed)
    }

    /// Takes a plan out of the store, for good: of two who try, one gets it.
    ///
    /// # Errors
    /// `NotFound` when it was used already.
    pub fn take(&self, id: &str) -> Result<(), ToolError> {
        let path = self.path(id)?;
        let spent = path.with_extension("spent");
        fs::rename(&path, spent).map_err(|_| ToolError::NotFound {
            message: format!("plan `{id}` was used already"),
            similar: Vec::new(),
        })?;
        let _ = fs::remove_file(path.with_extension("approved"));
        Ok(())
    }

    /// Ids of the plans that wait, newest first.
    pub fn waiting(&self) -> Vec<SavedPlan> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut plans: Vec<SavedPlan> = entries
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "json"))
            .filter_map(|p| read_plan(&p).ok())
            .filter(|p| !expired(p.now))
            .collect();
        plans.sort_by_key(|p| std::cmp::Reverse(p.now));
        plans
    }

    fn path(&self, id: &str) -> Result<PathBuf, ToolError> {
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ToolError::Invalid(format!(
                "`{}` is not the id of a plan",
                crate::sanitize::line(id)
            )));
        }
        Ok(self.folder.join(format!("{id}.json")))
    }

    /// HMAC-SHA256 with a key that only this user can read.
    fn seal(&self, digest: &str, typed: Option<&str>, at: jiff::Timestamp) -> Result<String, ToolError> {
        let path = self.folder.join("key");
        if !path.exists() {
            let mut key = [0_u8; 32];
            fs::File::open("/dev/urandom")
                .and_then(|mut f| f.read_exact(&mut key))
                .map_err(|e| unusable(&path, &e))?;
            write_new(&path, &key)?;
        }
        let mode = fs::metadata(&path).map_err(|e| unusable(&path, &e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(ToolError::Records {
                message: format!("{} can be read by others", path.display()),
                hint: "Remove it; kai makes a new one, and approvals given with the old one are void.".into(),
            });
        }
        let key = fs::read(&path).map_err(|e| unusable(&path, &e))?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)
            .map_err(|_| unusable(&path, &std::io::Error::other("empty key")))?;
        mac.update(format!("{digest}\n{typed:?}\n{at}").as_bytes());
        Ok(mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect())
    }

    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let old = entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|t| t.elapsed().is_ok_and(|age| age > TTL * 6));
            if old && entry.file_name() != "key" {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Reads a plan from a file.
///
/// # Errors
/// [`ToolError::Invalid`] naming the file, and the line and column where it stops being a plan.
pub fn read_plan(path: &Path) -> Result<SavedPlan, ToolError> {
    let invalid = |why: String| ToolError::Invalid(format!("{}: {why}", path.display()));
    let file = fs::metadata(path).map_err(|e| invalid(format!("cannot be read: {e}")))?;
    if !file.is_file() || file.len() > MAX_BYTES {
        return Err(invalid("is not a plan that kai wrote".into()));
    }
    let bytes = fs::read(path).map_err(|e| invalid(format!("cannot be read: {e}")))?;
    let plan: SavedPlan =
        serde_json::from_slice(&bytes).map_err(|e| invalid(format!("is not a plan that kai wrote: {e}")))?;
    if plan.version != VERSION {
        return Err(invalid(format!("has plan format {}; this kai reads {VERSION}", plan.version)));
    }
    Ok(plan)
}

/// Writes a file that only its owner can read, and that was not there before; through a rename, so never half.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), ToolError> {
    let partial = path.with_extension(format!("{}.part", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|e| unusable(path, &e))
}

fn expired(at: jiff::Timestamp) -> bool {
    let age = jiff::Timestamp::now().as_second() - at.as_second();
    !(-60..=TTL.as_secs() as i64).contains(&age)
}

fn unusable(path: &Path, error: &std::io::Error) -> ToolError {
    ToolError::Records { message: format!("{} cannot be used: {error}", path.display()), hint: String::new() }
}
