//! Debian root file systems as tar files, made of packages, kept in the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::oci::hex;
use super::run::{install, run};
use crate::cluster::{build, folder};
use crate::terminal::Progress;

/// The Debian that all are made of.
const SUITE: &str = "bookworm";
/// What nobody reads in a container.
const LEFT_OUT: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// What a root file system holds.
pub struct Rootfs {
    /// What it is called in messages and in the cache.
    pub name: &'static str,
    /// How much there is besides: "minbase" for a Debian, "extract" for the packages' files alone.
    pub variant: &'static str,
    /// Debian packages; those they need come with them.
    pub packages: &'static [&'static str],
}

impl Rootfs {
    /// What decides the content, as one word.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [SUITE, self.name, self.variant].iter().chain(self.packages) {
            hash.update(part);
            hash.update([0]);
        }
        hex(&hash.finalize()[..4])
    }

    /// The tar file, made now or found in the cache.
    ///
    /// # Errors
    /// mmdebstrap is missing and cannot be installed, or fails.
    pub async fn tar(&self, progress: &Progress) -> Result<PathBuf> {
        let cache = folder::cache().join("rootfs");
        let place = cache.join(format!("{}-{}.tar", self.name, self.id()));
        if place.exists() {
            return Ok(place);
        }
        std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let lock = cache.join(format!(".{}.lock", self.name));
        let _lock = build::lock(&lock, progress, self.name).await?;
        if place.exists() {
            return Ok(place);
        }
        let step = progress.step(format!("making the file system of {} from Debian packages", self.name));
        let needs = ["mmdebstrap", "debian-archive-keyring"];
        install(&["mmdebstrap"], &needs, "a container image that is made here", &step).await?;
        let fresh = cache.join(format!(".{}.tar", self.name));
        let mut command = Command::new("mmdebstrap");
        command.arg(format!("--variant={}", self.variant));
        command.arg(format!("--include={}", self.packages.join(",")));
        for path in LEFT_OUT {
            command.arg(format!("--dpkgopt=path-exclude={path}"));
        }
        command.arg(SUITE).arg(&fresh);
        run("mmdebstrap", command, &step).await?;
        std::fs::rename(&fresh, &place).with_context(|| format!("cannot create {}", place.display()))?;
        step.done();
        Ok(place)
    }
}
