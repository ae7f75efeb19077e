//! The images that scenarios use, under their usual names, and the registry that serves them: real
//! servers from Debian packages and a small program of ours, all over the same layers.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::docker::Docker;
use super::node::go_build;
use super::oci::{self, Entry, Image, Layer, hex};
use super::rootfs::Rootfs;
use super::run::run;
use crate::cluster::{build, folder};
use crate::terminal::{Progress, Step};

const WORKLOAD: &str = include_str!("../../../kind/workload/main.go");
const REGISTRY: &str = include_str!("../../../kind/registry.yaml");
/// The site that the usual nginx image serves; Debian's is elsewhere.
const NGINX: &str = "server {\n    listen 80;\n    server_name localhost;\n    root /usr/share/nginx/html;\n    index index.html;\n}\n";

/// What runs in pods.
const WORKLOADS: Rootfs = Rootfs {
    name: "workloads",
    variant: "minbase",
    packages: &[
        "busybox-static",
        "nginx-light",
        "redis-server",
        "redis-tools",
        "python3-minimal",
        "curl",
        "ca-certificates",
        "wget",
        "stress-ng",
        "docker-registry",
        "procps",
    ],
};

/// The names of busybox that a Debian does not have anyway.
const APPLETS: [&str; 7] = ["nslookup", "nc", "ping", "telnet", "vi", "httpd", "traceroute"];

/// The program behind small images, built now or found in the cache.
///
/// # Errors
/// Go is missing, or refuses it.
pub async fn workload(progress: &Progress) -> Result<PathBuf> {
    let bin = folder::cache().join("bin");
    let place = bin.join(format!("workload-{}", hex(&Sha256::digest(WORKLOAD)[..4])));
    let binary = place.join("workload");
    if binary.exists() {
        return Ok(binary);
    }
    std::fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let _lock = build::lock(&bin.join(".workload.lock"), progress, "workload").await?;
    if binary.exists() {
        return Ok(binary);
    }
    let step = progress.step("building workload, a few seconds");
    let fresh = tempfile::Builder::new().prefix(".building-workload-").tempdir_in(&bin)?;
    let source = fresh.path().join("main.go");
    std::fs::write(&source, WORKLOAD)?;
    run("go build", go_build(&source, &fresh.path().join("workload")), &step).await?;
    std::fs::rename(fresh.keep(), &place).with_context(|| format!("cannot create {}", place.display()))?;
    step.done();
    Ok(binary)
}

/// What a registry serves, and the image it runs.
pub struct Shelf {
    storage: PathBuf,
    image: String,
}

/// Makes what the registry serves, or finds it in the cache and the daemon.
///
/// # Errors
/// It cannot be made.
pub async fn shelf(docker: &Docker, progress: &Progress) -> Result<Shelf> {
    let storage = storage(progress).await?;
    let image = format!("kai-evals/workloads:{}", WORKLOADS.id());
    if !docker.has_image(&image) {
        let debian = WORKLOADS.tar(progress).await?;
        let step = progress.step("giving Docker the registry's image");
        let mut import = docker.command(&["import"]);
        import.arg(debian).arg(&image);
        run("docker import", import, &step).await?;
        step.done();
    }
    Ok(Shelf { storage, image })
}

/// Starts the registry of a cluster on the network of its nodes, as the container `name`.
///
/// # Errors
/// It cannot be started.
pub async fn serve(docker: &Docker, name: &str, shelf: &Shelf, progress: &Progress) -> Result<()> {
    let Shelf { storage, image } = shelf;
    let step = progress.step("starting the registry");
    docker.quiet(&["rm", "-f", "-v", name]);
    let mount = format!("{}:/var/lib/registry:ro", storage.display());
    let config = storage.join("registry.yaml");
    std::fs::write(&config, REGISTRY)?;
    let start = [
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "kind",
        "--volume",
        &mount,
        image,
        "docker-registry",
        "serve",
        "/var/lib/registry/registry.yaml",
    ];
    run("docker run", docker.command(&start), &step).await?;
    step.done();
    Ok(())
}

/// What containerd is told about where images come from. With `only`, a name that the registry does
/// not know is unknown; else the registry of that name is asked next.
pub fn hosts(name: &str, only: bool) -> String {
    let url = format!("http://{name}:5000");
    let server = if only { format!("server = \"{url}\"\n") } else { String::new() };
    format!("{server}[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]")
}

/// The folder that the registry serves, made now or found in the cache.
async fn storage(progress: &Progress) -> Result<PathBuf> {
    let root = folder::cache().join("registry");
    let mut hash = Sha256::new();
    hash.update(include_str!("fixtures.rs"));
    hash.update(include_str!("oci.rs"));
    hash.update(WORKLOADS.id());
    hash.update(WORKLOAD);
    let place = root.join(hex(&hash.finalize()[..4]));
    if place.exists() {
        return Ok(place);
    }
    std::fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    let _lock = build::lock(&root.join(".lock"), progress, "the registry's images").await?;
    if place.exists() {
        return Ok(place);
    }
    let debian = WORKLOADS.tar(progress).await?;
    let workload = workload(progress).await?;
    let step = progress.step("making the images that the registry serves");
    let fresh = tempfile::Builder::new().prefix(".building-").tempdir_in(&root)?;
    let debian = Layer::read(&debian)?;
    let applets: Vec<String> = APPLETS.iter().map(|applet| format!("usr/local/bin/{applet}")).collect();
    let mut entries = vec![
        // As the usual image: what nginx logs is what the container says, and its site is in html.
        ("var/log/nginx/access.log", Entry::Link("/dev/stdout")),
        ("var/log/nginx/error.log", Entry::Link("/dev/stderr")),
        ("etc/nginx/sites-enabled/.wh.default", Entry::Text("")),
        ("etc/nginx/conf.d/default.conf", Entry::Text(NGINX)),
        ("usr/local/bin/workload", Entry::Program(&workload)),
    ];
    entries.extend(applets.iter().map(|applet| (applet.as_str(), Entry::Link("/bin/busybox"))));
    let ours = Layer::write(&fresh.path().join("ours.tar"), &entries)?;
    oci::storage(fresh.path(), &images(&[debian, ours]))?;
    // It is a blob now.
    std::fs::remove_file(fresh.path().join("ours.tar"))?;
    std::fs::rename(fresh.keep(), &place).with_context(|| format!("cannot create {}", place.display()))?;
    step.done();
    Ok(place)
}

/// Every image with its tags.
fn images(layers: &[Layer]) -> Vec<(&'static str, Vec<&'static str>, Image)> {
    let image = |entrypoint: &[&str], arguments: &[&str], environment: &[&str]| {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Image {
            layers: layers.to_vec(),
            entrypoint: own(entrypoint),
            arguments: own(arguments),
            environment: own(environment),
        }
    };
    let shell = || image(&[], &["sh"], &[]);
    let debian = || image(&[], &["bash"], &[]);
    let backend = |version: &str| {
        let version = format!("BACKEND_VERSION={version}");
        image(&["workload"], &["backend"], &[&version])
    };
    let part = |part| image(&["workload"], &[part], &[]);
    vec![
        (
            "library/nginx",
            vec!["latest", "1.25", "1.27", "1.27-alpine", "alpine"],
            image(&[], &["nginx", "-g", "daemon off;"], &[]),
        ),
        ("library/busybox", vec!["latest", "1.36"], shell()),
        ("library/alpine", vec!["latest", "3.20"], shell()),
        ("library/debian", vec!["latest", "bookworm", "bookworm-slim", "12"], debian()),
        (
            "library/redis",
            vec!["latest", "7", "7-alpine"],
            image(&[], &["redis-server", "--protected-mode", "no"], &[]),
        ),
        ("library/python", vec!["3.12-slim", "3.12"], image(&[], &["python3"], &[])),
        ("curlimages/curl", vec!["latest"], image(&["curl"], &[], &[])),
        ("polinux/stress-ng", vec!["latest"], image(&["stress-ng"], &[], &[])),
        ("library/todo-backend", vec!["latest", "v1"], backend("v1")),
        ("library/todo-backend", vec!["v2"], backend("v2")),
        ("library/todo-frontend", vec!["latest", "v1", "v2"], part("frontend")),
        ("library/todo-worker", vec!["latest", "v1", "v2"], part("worker")),
    ]
}

/// Waits until the registry answers, as the nodes will ask it.
///
/// # Errors
/// It does not.
pub async fn wait(docker: &Docker, node: &str, name: &str, step: &Step) -> Result<()> {
    let ask = format!(
        "for i in $(seq 100); do curl -fs -m 2 http://{name}:5000/v2/ >/dev/null && exit; sleep 0.2; done; exit 1"
    );
    run("the registry", docker.command(&["exec", node, "bash", "-c", &ask]), step).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_registry_is_the_last_word_where_there_is_no_other() {
        assert!(hosts("kai-registry", true).starts_with("server = \"http://kai-registry:5000\"\n"));
        assert!(!hosts("kai-registry", false).contains("server"));
    }
}
