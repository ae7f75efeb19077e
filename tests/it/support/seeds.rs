//! The systems of the design documents, as files: where they are, and the parts of one that are applied together.

use std::path::{Path, PathBuf};

/// A file or folder of them.
pub fn seed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("evals/seeds").join(path)
}

/// Copies the parts of santaclaude that run into a folder, for there are folders in it that are not to be applied.
pub fn copy_santaclaude(folder: &Path) {
    for part in
        ["shared", "ai-service", "browser-pool-service", "audit-sink-service", "message-queue-service"]
    {
        copy(&seed("santaclaude").join(part), &folder.join(part));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
