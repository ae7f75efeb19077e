//! Container images without a container tool: layers as tar files, and many names over few layers,
//! written as an OCI archive or as the folder that a registry serves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A tar file that is part of images, and its digest.
#[derive(Clone, Debug)]
pub struct Layer {
    path: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    digest: String,
    size: u64,
}

/// What a new layer holds at a path.
pub enum Entry<'a> {
    /// A file with these bytes, readable by all.
    Text(&'a str),
    /// A program with the content of a file here; the same file twice is stored once.
    Program(&'a Path),
    /// A program that is this text.
    Script(&'a str),
    /// An empty folder that all may write to, as volumes are.
    Folder,
    /// A symbolic link.
    Link(&'a str),
}

/// An image: what runs, over which layers.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// What is run; a pod's `command` replaces it.
    pub entrypoint: Vec<String>,
    /// Its arguments; a pod's `args` replace them.
    pub arguments: Vec<String>,
    /// More environment, as NAME=value.
    pub environment: Vec<String>,
    /// The folder that it runs in; the root when empty.
    pub folder: String,
}

/// Bytes by their digest.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Layer {
    /// A tar file that exists.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Layer> {
        let read = || -> Result<Layer> {
            let mut file = File::open(path)?;
            let mut hash = Sha256::new();
            let mut part = vec![0; 1 << 20];
            loop {
                match file.read(&mut part)? {
                    0 => break,
                    read => hash.update(&part[..read]),
                }
            }
            let size = file.metadata()?.len();
            Ok(Layer { path: path.to_owned(), digest: hex(&hash.finalize()), size })
        };
        read().with_context(|| format!("cannot read the layer {}", path.display()))
    }

    /// Writes a tar file with these entries, all owned by root; the same entries make the same bytes.
    ///
    /// # Errors
    /// A program cannot be read, or the file cannot be written.
    pub fn write(path: &Path, entries: &[(&str, Entry)]) -> Result<Layer> {
        let write = || -> Result<()> {
            let mut tar = tar::Builder::new(File::create(path)?);
            let mut stored: BTreeMap<&Path, &str> = BTreeMap::new();
            for (name, entry) in entries {
                let mut header = header(match entry {
                    Entry::Program(_) | Entry::Script(_) => 0o755,
                    Entry::Folder => 0o777,
                    _ => 0o644,
                });
                match entry {
                    Entry::Text(text) | Entry::Script(text) => {
                        header.set_size(text.len() as u64);
                        tar.append_data(&mut header, name, text.as_bytes())?;
                    }
                    Entry::Folder => {
                        header.set_entry_type(tar::EntryType::Directory);
                        tar.append_data(&mut header, name, std::io::empty())?;
                    }
                    Entry::Link(target) => {
                        header.set_entry_type(tar::EntryType::Symlink);
                        tar.append_link(&mut header, name, target)?;
                    }
                    Entry::Program(source) => match stored.get(source) {
                        Some(first) => {
                            header.set_entry_type(tar::EntryType::Link);
                            tar.append_link(&mut header, name, first)?;
                        }
                        None => {
                            let file = File::open(source)?;
                            header.set_size(file.metadata()?.len());
                            tar.append_data(&mut header, name, file)?;
                            stored.insert(source, name);
                        }
                    },
                }
            }
            tar.into_inner()?.flush()?;
            Ok(())
        };
        write().with_context(|| format!("cannot write the layer {}", path.display()))?;
        Layer::read(path)
    }
}

impl Image {
    /// The configuration and the manifest.
    fn blobs(&self) -> (Blob, Blob) {
        let mut environment = vec![PATH.to_owned()];
        environment.extend(self.environment.iter().cloned());
        let mut run = json!({"Env": environment});
        for (field, words) in [("Entrypoint", &self.entrypoint), ("Cmd", &self.arguments)] {
            if !words.is_empty() {
                run[field] = json!(words);
            }
        }
        if !self.folder.is_empty() {
            run["WorkingDir"] = json!(self.folder);
        }
        let digests: Vec<String> =
            self.layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
        let config = Blob::of(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": digests},
        }));
        let layers: Vec<Value> =
            self.layers.iter().map(|layer| descriptor(LAYER, &layer.digest, layer.size)).collect();
        let manifest = Blob::of(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": layers,
        }));
        (config, manifest)
    }
}

/// Writes all images with their full names, such as "registry.k8s.io/pause:3.10.1", as one OCI archive.
///
/// # Errors
/// A layer cannot be read, or the archive cannot be written.
pub fn archive(path: &Path, images: &[(&str, Image)]) -> Result<()> {
    let mut small = BTreeMap::new();
    let mut layers = BTreeMap::new();
    let mut manifests = Vec::new();
    for (name, image) in images {
        let (config, manifest) = image.blobs();
        let mut entry = manifest.descriptor(MANIFEST);
        entry["annotations"] =
            json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
        manifests.push(entry);
        small.insert(config.digest, config.bytes);
        small.insert(manifest.digest, manifest.bytes);
        layers.extend(image.layers.iter().map(|layer| (layer.digest.clone(), &layer.path)));
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string();
    let write = || -> Result<()> {
        let mut tar = tar::Builder::new(File::create(path)?);
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = header(0o644);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes)
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add("index.json", index.as_bytes())?;
        for (digest, bytes) in &small {
            add(&format!("blobs/sha256/{digest}"), bytes)?;
        }
        for (digest, layer) in layers {
            tar.append_path_with_name(layer, format!("blobs/sha256/{digest}"))?;
        }
        tar.into_inner()?.flush()?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes all images, such as ("library/nginx", ["1.25", "latest"], ...), as the storage folder of a
/// registry; layers become hard links where the file system allows.
///
/// # Errors
/// A layer cannot be read, or the folder cannot be written.
pub fn storage(folder: &Path, images: &[(&str, Vec<&str>, Image)]) -> Result<()> {
    let root = folder.join("docker/registry/v2");
    let write = || -> Result<()> {
        for (name, tags, image) in images {
            let (config, manifest) = image.blobs();
            let repository = root.join("repositories").join(name);
            for blob in [&config, &manifest] {
                put(&blob_path(&root, &blob.digest), &blob.bytes)?;
            }
            for layer in &image.layers {
                let place = blob_path(&root, &layer.digest);
                if !place.exists() {
                    std::fs::create_dir_all(place.parent().unwrap_or(&root))?;
                    if std::fs::hard_link(&layer.path, &place).is_err() {
                        std::fs::copy(&layer.path, &place)?;
                    }
                }
                link(&repository.join("_layers"), &layer.digest)?;
            }
            link(&repository.join("_layers"), &config.digest)?;
            let manifests = repository.join("_manifests");
            link(&manifests.join("revisions"), &manifest.digest)?;
            for tag in tags {
                let tag = manifests.join("tags").join(tag);
                put(&tag.join("current/link"), format!("sha256:{}", manifest.digest).as_bytes())?;
                link(&tag.join("index"), &manifest.digest)?;
            }
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", folder.display()))
}

fn blob_path(root: &Path, digest: &str) -> PathBuf {
    root.join("blobs/sha256").join(&digest[..2]).join(digest).join("data")
}

/// Says in a registry's way that `digest` is part of what the folder holds.
fn link(folder: &Path, digest: &str) -> Result<()> {
    put(&folder.join("sha256").join(digest).join("link"), format!("sha256:{digest}").as_bytes())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)?;
    Ok(())
}

impl Blob {
    fn of(value: &Value) -> Blob {
        let bytes = value.to_string().into_bytes();
        Blob { digest: hex(&Sha256::digest(&bytes)), bytes }
    }

    fn descriptor(&self, kind: &str) -> Value {
        descriptor(kind, &self.digest, self.bytes.len() as u64)
    }
}

fn descriptor(kind: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size})
}

fn header(mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// This machine's architecture as images call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(folder: &Path) -> Image {
        let program = folder.join("program");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let entries = [
            ("bin/a", Entry::Program(&program)),
            ("bin/b", Entry::Program(&program)),
            ("etc/text", Entry::Text("text")),
            ("log", Entry::Link("/dev/stdout")),
            ("run", Entry::Script("#!/bin/sh\n")),
            ("data", Entry::Folder),
        ];
        let layer = Layer::write(&folder.join("layer.tar"), &entries).unwrap();
        Image { layers: vec![layer], entrypoint: vec!["/bin/a".into()], ..Image::default() }
    }

    fn json(path: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn a_layer_holds_each_program_once_and_is_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = image(folder.path()).layers.remove(0);
        assert_eq!(first.digest, image(folder.path()).layers[0].digest);
        let mut tar = tar::Archive::new(File::open(&first.path).unwrap());
        let kinds: Vec<(String, tar::EntryType)> = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path().unwrap().display().to_string(), entry.header().entry_type()))
            .collect();
        let expected = [
            ("bin/a", tar::EntryType::Regular),
            ("bin/b", tar::EntryType::Link),
            ("etc/text", tar::EntryType::Regular),
            ("log", tar::EntryType::Symlink),
            ("run", tar::EntryType::Regular),
            ("data", tar::EntryType::Directory),
        ];
        assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
    }

    #[test]
    fn in_an_archive_every_digest_is_that_of_the_bytes_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.tar");
        archive(&path, &[("example.test/a:1", image(folder.path()))]).unwrap();
        let out = folder.path().join("out");
        tar::Archive::new(File::open(&path).unwrap()).unpack(&out).unwrap();
        let index = json(&out.join("index.json"));
        let entry = &index["manifests"][0];
        assert_eq!(entry["annotations"]["io.containerd.image.name"], "example.test/a:1");
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
            let path = out.join("blobs/sha256").join(&digest);
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(hex(&Sha256::digest(&bytes)), digest);
            assert_eq!(descriptor["size"], bytes.len());
            path
        };
        let manifest = json(&blob(entry));
        let config = json(&blob(&manifest["config"]));
        blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["config"]["Entrypoint"][0], "/bin/a");
    }

    #[test]
    fn a_tag_in_a_registry_leads_to_all_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("storage");
        storage(&root, &[("library/a", vec!["1", "latest"], image(folder.path()))]).unwrap();
        let root = root.join("docker/registry/v2");
        let repository = root.join("repositories/library/a");
        let linked = |path: PathBuf| {
            std::fs::read_to_string(path).unwrap().strip_prefix("sha256:").unwrap().to_owned()
        };
        let digests: Vec<String> = ["1", "latest"]
            .map(|tag| linked(repository.join("_manifests/tags").join(tag).join("current/link")))
            .to_vec();
        assert_eq!(digests[0], digests[1]);
        let revision = repository.join("_manifests/revisions/sha256").join(&digests[0]).join("link");
        assert_eq!(linked(revision), digests[0]);
        let manifest = json(&blob_path(&root, &digests[0]));
        for descriptor in [&manifest["config"], &manifest["layers"][0]] {
            let digest = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:");
            assert!(blob_path(&root, digest).exists());
            assert_eq!(linked(repository.join("_layers/sha256").join(digest).join("link")), digest);
        }
        assert!(!repository.join("_manifests/tags/2").exists());
    }
}
