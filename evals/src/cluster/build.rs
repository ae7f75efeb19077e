//! The programs of a cluster, built from the Go modules of pinned versions into the cache.
//!
//! A build is found again by a folder named after the program, its version and a hash of everything
//! that decides what comes out, so a changed pin builds anew and an old build stays usable. Builds are
//! written beside their place and renamed into it, under a lock, so that of two runs at the same
//! time one builds and the other waits.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::folder;
use super::processes::GroupGuard;
use crate::terminal::{Progress, Step};

/// The Kubernetes that clusters run.
pub const KUBERNETES: &str = "v1.34.4";
/// The oldest Go that the modules below accept, as (major, minor).
const OLDEST_GO: (u32, u32) = (1, 24);
/// How many lines of a failed build are shown.
const TAIL: usize = 15;

/// A program that a cluster needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    /// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubeadm and
    /// kubectl in one binary, chosen by the first argument or by the name it is called by.
    Kube,
    /// The `kubectl` face of [`Tool::Kube`].
    Kubectl,
    /// Simulated nodes.
    Kwok,
    /// Clusters whose nodes are containers.
    Kind,
    /// The cluster's name server.
    #[value(name = "coredns")]
    CoreDns,
    /// What `kubectl top` asks.
    MetricsServer,
    /// Helm 3.
    Helm,
    /// Helm 4, which reads the records of Helm 3.
    #[value(name = "helm4")]
    Helm4,
    /// What renders kustomizations.
    Kustomize,
    /// Volumes for the default StorageClass.
    LocalPathProvisioner,
}

/// What a tool is built from.
struct Recipe {
    name: &'static str,
    version: &'static str,
    /// The Go package that holds `main`; one of ours when it starts with "./".
    package: &'static str,
    /// Packages whose version variables are set, as Kubernetes' own build does.
    stamped: &'static [&'static str],
    /// How long it takes from nothing on a small machine; said once, when it starts.
    about: &'static str,
}

/// The sources of our own Go module, for the hash that names the build.
const SOURCES: [&str; 3] =
    [include_str!("../../go/go.mod"), include_str!("../../go/go.sum"), include_str!("../../go/kube/main.go")];
/// The names that the kube binary answers to.
const PARTS: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubeadm",
    "kubectl",
];

impl Tool {
    fn recipe(self) -> Recipe {
        let plain = |name, version, package| Recipe {
            name,
            version,
            package,
            stamped: &[],
            about: "about 3 minutes",
        };
        match self {
            Tool::Kube | Tool::Kubectl => Recipe {
                name: "kube",
                version: KUBERNETES,
                package: "./kube",
                stamped: &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
                about: "5 to 10 minutes",
            },
            Tool::Kwok => plain("kwok", "v0.7.0", "sigs.k8s.io/kwok/cmd/kwok"),
            Tool::Kind => {
                Recipe { about: "about 10 seconds", ..plain("kind", "v0.33.0", "sigs.k8s.io/kind") }
            }
            Tool::CoreDns => plain("coredns", "v1.12.4", "github.com/coredns/coredns"),
            Tool::MetricsServer => {
                plain("metrics-server", "v0.9.0", "sigs.k8s.io/metrics-server/cmd/metrics-server")
            }
            Tool::Helm => plain("helm", "v3.22.0", "helm.sh/helm/v3/cmd/helm"),
            Tool::Helm4 => plain("helm", "v4.3.1", "helm.sh/helm/v4/cmd/helm"),
            Tool::Kustomize => plain("kustomize", "v5.8.1", "sigs.k8s.io/kustomize/kustomize/v5"),
            Tool::LocalPathProvisioner => {
                plain("local-path-provisioner", "v0.0.30", "github.com/rancher/local-path-provisioner")
            }
        }
    }
}

impl Recipe {
    fn ours(&self) -> bool {
        self.package.starts_with("./")
    }

    fn ldflags(&self) -> String {
        let mut flags = String::from("-s -w");
        let mut numbers = self.version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        for package in self.stamped {
            flags += &format!(" -X {package}.gitVersion={}", self.version);
            flags += &format!(" -X {package}.gitMajor={major} -X {package}.gitMinor={minor}");
        }
        flags
    }

    /// The folder of this build, such as "kube-v1.34.4-1f0c9a2b".
    fn folder(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.package);
        hash.update(self.ldflags());
        if self.ours() {
            SOURCES.iter().for_each(|source| hash.update(source));
        }
        let short: String = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{short}", self.name, self.version)
    }

    /// The arguments for `go`; `target` is the folder that receives the binary.
    fn command(&self, target: &Path) -> Command {
        let mut command = Command::new("go");
        command.env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off");
        if self.ours() {
            command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"));
            command.arg("build").args(["-mod=readonly", "-buildvcs=false", "-o"]).arg(target.join(self.name));
        } else {
            command.env("GOBIN", target).arg("install");
        }
        command.args(["-v", "-trimpath", "-ldflags", &self.ldflags()]);
        command.arg(if self.ours() {
            self.package.to_owned()
        } else {
            format!("{}@{}", self.package, self.version)
        });
        command
    }
}

/// Builds a tool, or finds it in the cache, and answers the path of its binary.
///
/// # Errors
/// Go is missing or too old, a module cannot be fetched, or the build fails; the error ends with the
/// last lines of what Go said.
pub async fn go_tool(progress: &Progress, tool: Tool) -> Result<PathBuf> {
    let recipe = tool.recipe();
    let bin = folder::cache().join("bin");
    let place = bin.join(recipe.folder());
    let binary = place.join(if tool == Tool::Kubectl { "kubectl" } else { recipe.name });
    if binary.exists() {
        return Ok(binary);
    }
    std::fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let _lock = lock(&bin.join(format!(".{}.lock", recipe.name)), progress, recipe.name).await?;
    if binary.exists() {
        return Ok(binary);
    }
    require_go(recipe.name).await?;
    let step = progress.step(format!("building {} {}, {}", recipe.name, recipe.version, recipe.about));
    let prefix = format!(".building-{}-", recipe.name);
    // The lock is ours: what is there under this name was left by a run that was killed.
    for left in std::fs::read_dir(&bin)?.flatten() {
        if left.file_name().to_string_lossy().starts_with(&prefix) {
            std::fs::remove_dir_all(left.path())?;
        }
    }
    let fresh = tempfile::Builder::new().prefix(&prefix).tempdir_in(&bin)?;
    build(&recipe, fresh.path(), &step).await?;
    if recipe.name == "kube" {
        for part in PARTS {
            std::os::unix::fs::symlink("kube", fresh.path().join(part))?;
        }
    }
    std::fs::rename(fresh.keep(), &place).with_context(|| format!("cannot create {}", place.display()))?;
    step.done();
    Ok(binary)
}

/// Waits for the lock on `path`, which ends with the file that is answered.
pub(crate) async fn lock(path: &Path, progress: &Progress, what: &str) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    wait_for_lock(&file, progress, &format!("waiting for another run that builds {what}")).await?;
    Ok(file)
}

/// Waits until the lock on an open file or folder is ours; says so when it has to wait.
pub(crate) async fn wait_for_lock(file: &File, progress: &Progress, waiting: &str) -> Result<()> {
    let mut step = None;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(std::fs::TryLockError::WouldBlock) => {
                step.get_or_insert_with(|| progress.step(waiting));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error).context("cannot lock"),
        }
    }
    step.into_iter().for_each(Step::done);
    Ok(())
}

async fn build(recipe: &Recipe, target: &Path, step: &Step) -> Result<()> {
    let mut command = recipe.command(target);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().context("cannot run go")?;
    // Go's compilers are children of its own: ending the group ends them too.
    let _group = child.id().map(GroupGuard::new);
    let mut said: Vec<String> = Vec::new();
    let mut packages = 0;
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("go: downloading ") {
                step.detail(line.trim_start_matches("go: ").to_owned());
            } else if line.contains([' ', '#']) {
                said.push(line);
            } else {
                packages += 1;
                step.detail(format!("{packages} packages compiled"));
            }
        }
    }
    let status = child.wait().await?;
    if !status.success() {
        let tail = said[said.len().saturating_sub(TAIL)..].join("\n");
        bail!("building {} {} failed ({status}):\n{tail}", recipe.name, recipe.version);
    }
    Ok(())
}

/// Refuses in one sentence when Go is missing or too old.
async fn require_go(what: &str) -> Result<()> {
    let (major, minor) = OLDEST_GO;
    let install = format!("install Go {major}.{minor} or newer (package `golang`, or from go.dev/dl)");
    let Ok(said) = Command::new("go").arg("version").stdin(Stdio::null()).output().await else {
        bail!("{what} is built from source and needs Go, which is not on the PATH: {install}");
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    match go_version(&said) {
        Some(version) if version < OLDEST_GO => {
            bail!("{what} needs a newer Go than {}.{}: {install}", version.0, version.1)
        }
        // A development build names no version: let it try.
        _ => Ok(()),
    }
}

/// The version in what `go version` prints.
fn go_version(said: &str) -> Option<(u32, u32)> {
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
    let minor: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((1, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Tool; 10] = [
        Tool::Kube,
        Tool::Kubectl,
        Tool::Kwok,
        Tool::Kind,
        Tool::CoreDns,
        Tool::MetricsServer,
        Tool::Helm,
        Tool::Helm4,
        Tool::Kustomize,
        Tool::LocalPathProvisioner,
    ];

    #[test]
    fn the_version_of_go_is_read_from_what_it_prints() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(go_version("go version go1.19 linux/amd64"), Some((1, 19)));
        assert_eq!(go_version("go version devel +abc linux/amd64"), None);
    }

    #[test]
    fn a_build_is_named_after_what_decides_it() {
        for tool in ALL {
            let recipe = tool.recipe();
            let folder = recipe.folder();
            assert!(folder.starts_with(&format!("{}-{}-", recipe.name, recipe.version)), "{folder}");
            let repinned = Recipe { package: "./other", ..tool.recipe() };
            assert_ne!(folder, repinned.folder());
        }
        assert_eq!(Tool::Kube.recipe().folder(), Tool::Kubectl.recipe().folder());
    }

    #[test]
    fn kubernetes_says_the_version_it_was_built_from() {
        let flags = Tool::Kube.recipe().ldflags();
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.34.4"), "{flags}");
        assert!(flags.contains("-X k8s.io/component-base/version.gitMinor=34"), "{flags}");
        assert!(SOURCES[0].contains(&format!("k8s.io/kubernetes {KUBERNETES}")));
    }
}
