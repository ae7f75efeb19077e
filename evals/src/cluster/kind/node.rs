//! The image of the nodes: kind's own where it can be had, else one made here, of Debian packages and
//! of the Kubernetes that we build.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::docker::Docker;
use super::oci::{self, Entry, Image, Layer};
use super::programs::PAUSE;
use super::rootfs::Rootfs;
use super::run::run;
use crate::cluster::build::{KUBERNETES, Tool, go_tool};
use crate::cluster::folder;
use crate::terminal::{Progress, Step};

/// The image that kind's makers publish for this Kubernetes.
const PUBLISHED: &str = "kindest/node:v1.34.0";
/// How long a registry may take to say that it has it.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to fetch.
const PULL_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A Debian that runs systemd and containerd inside a container.
const NODE: Rootfs = Rootfs {
    name: "node",
    variant: "minbase",
    packages: &[
        "systemd",
        "systemd-sysv",
        "dbus",
        "containerd",
        "runc",
        "containernetworking-plugins",
        "iptables",
        "nftables",
        "conntrack",
        "ethtool",
        "socat",
        "mount",
        "kmod",
        "procps",
        "hostname",
        "ebtables",
        "iproute2",
        "jq",
        "curl",
        "ca-certificates",
        "util-linux",
        "openssl",
    ],
};
/// The one program that kube-proxy runs.
const PROXY: Rootfs = Rootfs { name: "nft", variant: "extract", packages: &["nftables"] };

/// The build context, but for what is large.
const FILES: [(&str, &str); 6] = [
    ("Dockerfile", include_str!("../../../kind/node/Dockerfile")),
    ("entrypoint", include_str!("../../../kind/node/entrypoint")),
    ("containerd.toml", include_str!("../../../kind/node/containerd.toml")),
    ("containerd.service", include_str!("../../../kind/node/containerd.service")),
    ("kubelet.service", include_str!("../../../kind/node/kubelet.service")),
    ("storage.yaml", include_str!("../../../kind/node/storage.yaml")),
];

/// The parts of Kubernetes that run in containers of their own.
const PARTS: [&str; 5] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd"];

/// The image that nodes run.
pub struct NodeImage {
    /// Its name in the daemon.
    pub name: String,
    /// Whether we made it; one that we did not brings its own network.
    pub own: bool,
}

/// The programs that go into the image.
struct Programs {
    kube: PathBuf,
    coredns: PathBuf,
    metrics_server: PathBuf,
    provisioner: PathBuf,
    pause: PathBuf,
}

/// Finds the image in the daemon, fetches it, or makes it.
///
/// # Errors
/// It can be neither fetched nor made.
pub async fn image(docker: &Docker, progress: &Progress) -> Result<NodeImage> {
    let published = NodeImage { name: PUBLISHED.to_owned(), own: false };
    if docker.has_image(PUBLISHED) {
        return Ok(published);
    }
    // Cheap when cached, and what decides the name.
    let programs = Programs::build(progress).await?;
    let name = format!("kai-evals/node:{KUBERNETES}-{}", programs.id());
    if docker.has_image(&name) {
        return Ok(NodeImage { name, own: true });
    }
    if pull(docker, progress).await {
        return Ok(published);
    }
    make(docker, &name, &programs, progress).await?;
    Ok(NodeImage { name, own: true })
}

/// The metrics server as an archive for `kind load`, for nodes whose image does not hold it.
///
/// # Errors
/// It cannot be built or written.
pub async fn metrics_server(folder: &Path, progress: &Progress) -> Result<PathBuf> {
    let program = go_tool(progress, Tool::MetricsServer).await?;
    let layer = single(folder, "metrics-server", &program)?;
    let path = folder.join("metrics-server-image.tar");
    oci::archive(&path, &[(METRICS_SERVER, running(layer, "/metrics-server"))])?;
    Ok(path)
}

const METRICS_SERVER: &str = "registry.k8s.io/metrics-server/metrics-server:v0.9.0";

impl Programs {
    async fn build(progress: &Progress) -> Result<Programs> {
        Ok(Programs {
            kube: go_tool(progress, Tool::Kube).await?,
            coredns: go_tool(progress, Tool::CoreDns).await?,
            metrics_server: go_tool(progress, Tool::MetricsServer).await?,
            provisioner: go_tool(progress, Tool::LocalPathProvisioner).await?,
            pause: PAUSE.build(progress).await?,
        })
    }

    /// A hash of all that decides what the image holds. The programs' folders are named after what they
    /// were built from.
    fn id(&self) -> String {
        let mut hash = Sha256::new();
        for text in FILES.iter().flat_map(|(name, text)| [*name, *text]) {
            hash.update(text);
        }
        hash.update(include_str!("node.rs"));
        for rootfs in [NODE, PROXY] {
            hash.update(rootfs.id());
        }
        for program in [&self.kube, &self.coredns, &self.metrics_server, &self.provisioner, &self.pause] {
            let folder = program.parent().and_then(Path::file_name).unwrap_or_default();
            hash.update(folder.as_encoded_bytes());
        }
        oci::hex(&hash.finalize()[..6])
    }

    /// All that a cluster runs before it can fetch anything, under the names that kubeadm and we ask for.
    fn preloaded(&self, folder: &Path, nft: &Path) -> Result<Vec<(&'static str, Image)>> {
        let names: Vec<String> = PARTS.iter().map(|part| format!("usr/local/bin/{part}")).collect();
        let entries: Vec<(&str, Entry)> =
            names.iter().map(|name| (name.as_str(), Entry::Program(&self.kube))).collect();
        let kube = Layer::write(&folder.join("kube.tar"), &entries)?;
        let part = || Image { layers: vec![kube.clone()], ..Image::default() };
        let mut proxy = part();
        proxy.layers.insert(0, Layer::read(nft)?);
        let pause = running(single(folder, "pause", &self.pause)?, "/pause");
        Ok(vec![
            ("registry.k8s.io/kube-apiserver:v1.34.4", part()),
            ("registry.k8s.io/kube-controller-manager:v1.34.4", part()),
            ("registry.k8s.io/kube-scheduler:v1.34.4", part()),
            ("registry.k8s.io/etcd:3.6.5-0", part()),
            ("registry.k8s.io/kube-proxy:v1.34.4", proxy),
            (
                "registry.k8s.io/coredns/coredns:v1.12.1",
                running(single(folder, "coredns", &self.coredns)?, "/coredns"),
            ),
            (
                METRICS_SERVER,
                running(single(folder, "metrics-server", &self.metrics_server)?, "/metrics-server"),
            ),
            (
                "docker.io/rancher/local-path-provisioner:v0.0.30",
                running(
                    single(folder, "local-path-provisioner", &self.provisioner)?,
                    "/local-path-provisioner",
                ),
            ),
            ("registry.k8s.io/pause:3.10.1", pause),
        ])
    }
}

/// A layer that holds one program, in its root.
fn single(folder: &Path, name: &str, program: &Path) -> Result<Layer> {
    Layer::write(&folder.join(format!("{name}.tar")), &[(name, Entry::Program(program))])
}

fn running(layer: Layer, program: &str) -> Image {
    Image { layers: vec![layer], entrypoint: vec![program.to_owned()], ..Image::default() }
}

/// Tries to fetch the published image; gives up soon where no registry answers.
async fn pull(docker: &Docker, progress: &Progress) -> bool {
    let step = progress.step(format!("looking for {PUBLISHED}"));
    let known = docker.command(&["manifest", "inspect", PUBLISHED]);
    let known = tokio::time::timeout(REGISTRY_PATIENCE, run("docker manifest inspect", known, &step)).await;
    let answer = match known {
        Ok(Ok(_)) => {
            step.detail("fetching it");
            let pull = docker.command(&["pull", "-q", PUBLISHED]);
            tokio::time::timeout(PULL_PATIENCE, run("docker pull", pull, &step)).await
        }
        other => other,
    };
    let had = matches!(answer, Ok(Ok(_)));
    step.done();
    if !had {
        progress.say("it cannot be fetched: making a node image instead");
    }
    had
}

async fn make(docker: &Docker, name: &str, programs: &Programs, progress: &Progress) -> Result<()> {
    let rootfs = NODE.tar(progress).await?;
    let nft = PROXY.tar(progress).await?;
    let step = progress.step("making the node image");
    let cache = folder::cache();
    let context = tempfile::Builder::new().prefix(".node-image-").tempdir_in(&cache)?;
    let folder = context.path();
    for (file, text) in FILES {
        std::fs::write(folder.join(file), text)?;
    }
    for (from, file) in [(&rootfs, "rootfs.tar"), (&programs.kube, "kube")] {
        std::fs::hard_link(from, folder.join(file))
            .with_context(|| format!("cannot link {}", from.display()))?;
    }
    step.detail("docker build");
    let base = format!("{name}-empty");
    let version = format!("KUBERNETES={KUBERNETES}");
    let mut build = docker.command(&["build", "-q", "-t", &base, "--build-arg", &version]);
    build.env("DOCKER_BUILDKIT", "0").arg(folder);
    run("docker build", build, &step).await?;

    let images = tempfile::Builder::new().prefix(".node-images-").tempdir_in(&cache)?;
    step.detail("packing the images that it brings");
    let archive = images.path().join("images.tar");
    oci::archive(&archive, &programs.preloaded(images.path(), &nft)?)?;
    preload(docker, &base, name, &archive, &step).await?;
    // Those that earlier versions of these files made; one in use refuses, and stays.
    for old in docker.lines(&["images", "--format", "{{.Repository}}:{{.Tag}}", "kai-evals/node"])? {
        if !old.starts_with(name) {
            docker.quiet(&["image", "rm", &old]);
        }
    }
    step.done();
    Ok(())
}

/// Puts an archive of images into the containerd of a node image.
async fn preload(docker: &Docker, base: &str, name: &str, archive: &Path, step: &Step) -> Result<()> {
    let container = format!("kai-evals-preload-{}", std::process::id());
    let _removed = Removed { docker, container: &container };
    let mount = format!("{}:/images.tar:ro", archive.display());
    let create = [
        "run",
        "-d",
        "--privileged",
        "--name",
        &container,
        "-v",
        &mount,
        "--entrypoint",
        "sleep",
        base,
        "infinity",
    ];
    run("docker run", docker.command(&create), step).await?;
    step.detail("importing the images that it brings");
    let script = "containerd >/tmp/containerd.log 2>&1 & \
        for i in $(seq 300); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done; \
        ctr -n k8s.io images import --no-unpack /images.tar && kill %1 && wait; rm -f /tmp/containerd.log";
    run("ctr images import", docker.command(&["exec", &container, "bash", "-c", script]), step).await?;
    step.detail("docker commit");
    let entrypoint = r#"ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]"#;
    run(
        "docker commit",
        docker.command(&["commit", "--change", entrypoint, "--change", "CMD []", &container, name]),
        step,
    )
    .await?;
    Ok(())
}

/// Removes a container when it is dropped.
struct Removed<'a> {
    docker: &'a Docker,
    container: &'a str,
}

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        self.docker.quiet(&["rm", "-f", "-v", self.container]);
    }
}
