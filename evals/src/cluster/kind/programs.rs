//! The small Go programs of ours that run in pods, built into the cache from the sources beside this crate.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::oci::hex;
use super::run::run;
use crate::cluster::{build, folder};
use crate::terminal::Progress;

/// A program that needs no module.
pub struct Program {
    /// What it is called in messages and in the cache.
    name: &'static str,
    /// Its files, with their text.
    files: &'static [(&'static str, &'static str)],
}

/// What holds a pod together. It is part of the node image, which a change of it makes anew.
pub const PAUSE: Program =
    Program { name: "pause", files: &[("main.go", include_str!("../../../kind/pause/main.go"))] };

/// What stands behind the images of small systems.
pub const SERVICES: Program = Program {
    name: "services",
    files: &[
        ("main.go", include_str!("../../../kind/services/main.go")),
        ("needs.go", include_str!("../../../kind/services/needs.go")),
        ("parts.go", include_str!("../../../kind/services/parts.go")),
        ("serve.go", include_str!("../../../kind/services/serve.go")),
    ],
};

impl Program {
    /// What decides the binary, as one word.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.files.iter().flat_map(|(file, text)| [*file, *text]) {
            hash.update(part);
            hash.update([0]);
        }
        hex(&hash.finalize()[..4])
    }

    /// The binary, built now or found in the cache.
    ///
    /// # Errors
    /// Go is missing, or refuses it.
    pub async fn build(&self, progress: &Progress) -> Result<PathBuf> {
        let bin = folder::cache().join("bin");
        let place = bin.join(format!("{}-{}", self.name, self.id()));
        let binary = place.join(self.name);
        if binary.exists() {
            return Ok(binary);
        }
        std::fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
        let _lock = build::lock(&bin.join(format!(".{}.lock", self.name)), progress, self.name).await?;
        if binary.exists() {
            return Ok(binary);
        }
        let step = progress.step(format!("building {}, a few seconds", self.name));
        let fresh = tempfile::Builder::new().prefix(".building-program-").tempdir_in(&bin)?;
        let mut go = Command::new("go");
        go.env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off");
        go.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(fresh.path().join(self.name));
        for (file, text) in self.files {
            let source = fresh.path().join(file);
            std::fs::write(&source, text)?;
            go.arg(source);
        }
        run("go build", go, &step).await?;
        std::fs::rename(fresh.keep(), &place)
            .with_context(|| format!("cannot create {}", place.display()))?;
        step.done();
        Ok(binary)
    }
}
