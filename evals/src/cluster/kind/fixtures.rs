//! The images that scenarios use, under their usual names, and the registry that serves them: real
//! servers from Debian packages and a small program of ours, all over the same layers.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::docker::Docker;
use super::images::images;
use super::oci::{self, Entry, Layer, hex};
use super::programs::SERVICES;
use super::rootfs::Rootfs;
use super::run::run;
use crate::cluster::{build, folder};
use crate::terminal::{Progress, Step};

const REGISTRY: &str = include_str!("../../../kind/registry.yaml");
/// The site that the usual nginx image serves; Debian's is elsewhere.
const NGINX: &str = "server {\n    listen 80;\n    server_name localhost;\n    root /usr/share/nginx/html;\n    index index.html;\n}\n";

/// The usual redis image answers other pods without a password; Debian's has to be told to.
const REDIS: &str = "#!/bin/sh\nexec /usr/bin/redis-server \"$@\" --protected-mode no\n";

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
    hash.update(include_str!("images.rs"));
    hash.update(include_str!("oci.rs"));
    hash.update(WORKLOADS.id());
    hash.update(SERVICES.id());
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
    let services = SERVICES.build(progress).await?;
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
        ("usr/local/bin/service", Entry::Program(&services)),
        ("usr/local/bin/clickhouse-client", Entry::Program(&services)),
        ("usr/local/bin/redis-server", Entry::Script(REDIS)),
        ("data", Entry::Folder),
        ("var/lib/clickhouse", Entry::Folder),
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
