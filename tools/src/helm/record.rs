//! The record of one revision of a release, as Helm 3 and 4 keep it: JSON, gzipped, base64 twice, in a Secret (pure).

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::object::{number, text};

/// A record that unpacks to more than this is none that Helm wrote.
const MAX_BYTES: u64 = 64 << 20;

/// One revision of a release.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Release {
    pub name: String,
    pub namespace: String,
    pub revision: i64,
    /// In Helm's words: deployed, superseded, failed, uninstalled, pending-install ...
    pub status: String,
    /// RFC 3339.
    pub updated: String,
    pub chart: String,
    pub app_version: String,
    pub description: String,
    /// The values that a person gave.
    pub config: Value,
    /// The objects, as YAML documents, without hooks.
    pub manifest: String,
    pub notes: String,
    /// The record as Helm wrote it.
    pub record: Value,
    /// The Secret that holds it.
    pub secret: Value,
}

/// The release that a Secret holds; `None` when it holds none that can be read.
pub fn decode(secret: &Value) -> Option<Release> {
    let outer = STANDARD.decode(text(secret, "/data/release")).ok()?;
    let packed = STANDARD.decode(&outer).ok()?;
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_BYTES {
        return None;
    }
    let record: Value = serde_json::from_slice(&bytes).ok()?;
    let said = |at: &str| text(&record, at).to_string();
    // A record that says another name or revision than its Secret is not Helm's work.
    let revision = number(&record, "/version").filter(|n| (1..i64::from(i32::MAX)).contains(n))?;
    let named = text(secret, "/metadata/name");
    if !named.is_empty() && named != secret_name(text(&record, "/name"), revision) {
        return None;
    }
    let version = said("/chart/metadata/version");
    Some(Release {
        name: said("/name"),
        namespace: match said("/namespace") {
            empty if empty.is_empty() => text(secret, "/metadata/namespace").into(),
            named => named,
        },
        revision,
        status: said("/info/status"),
        updated: said("/info/last_deployed"),
        chart: format!("{}-{version}", said("/chart/metadata/name")),
        app_version: said("/chart/metadata/appVersion"),
        description: said("/info/description"),
        config: record.get("config").cloned().unwrap_or_default(),
        manifest: said("/manifest"),
        notes: said("/info/notes"),
        secret: secret.clone(),
        record,
    })
}

fn encode(record: &Value) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let _ = encoder.write_all(record.to_string().as_bytes());
    let packed = encoder.finish().unwrap_or_default();
    STANDARD.encode(STANDARD.encode(packed))
}

/// Name of the Secret of a revision.
pub fn secret_name(release: &str, revision: i64) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

/// The Secret that records a revision.
pub fn secret(record: &Value) -> Value {
    let name = text(record, "/name");
    let revision = number(record, "/version").unwrap_or(1);
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": {
            "name": secret_name(name, revision), "namespace": text(record, "/namespace"),
            "labels": {
                "name": name, "owner": "helm", "status": text(record, "/info/status"), "version": revision.to_string(),
            },
        },
        "data": {"release": encode(record)},
    })
}

/// The Secret of a revision that another takes the place of.
pub fn superseded(release: &Release) -> Value {
    let mut record = release.record.clone();
    record["info"]["status"] = json!("superseded");
    let mut after = release.secret.clone();
    after["metadata"]["labels"]["status"] = json!("superseded");
    after["data"]["release"] = json!(encode(&record));
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Value {
        json!({"name": "todo", "namespace": "dev", "version": 2, "manifest": "---\na: 1\n", "config": {"a": {"b": 1}},
            "info": {"status": "deployed", "last_deployed": "2026-11-21T08:00:00Z", "description": "Upgrade complete"},
            "chart": {"metadata": {"name": "todo-app", "version": "0.1.0", "appVersion": "1.0"}}})
    }

    #[test]
    fn what_is_written_is_read_again() {
        let secret = secret(&record());
        assert_eq!(secret["metadata"]["name"], "sh.helm.release.v1.todo.v2");
        let release = decode(&secret).unwrap();
        assert_eq!((release.chart.as_str(), release.revision), ("todo-app-0.1.0", 2));
        let mut forged = secret.clone();
        forged["metadata"]["name"] = json!("sh.helm.release.v1.todo.v3");
        assert!(decode(&forged).is_none());
        let old = superseded(&release);
        assert_eq!(old["metadata"]["labels"]["status"], "superseded");
        assert_eq!(decode(&old).unwrap().status, "superseded");
    }

    #[test]
    fn what_helm_did_not_write_is_no_release() {
        for data in ["", "%%%", "aGVsbG8="] {
            assert!(decode(&json!({"data": {"release": data}})).is_none(), "{data}");
        }
        let bomb = {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&vec![b' '; (MAX_BYTES + 10) as usize]).unwrap();
            STANDARD.encode(STANDARD.encode(encoder.finish().unwrap()))
        };
        assert!(decode(&json!({"data": {"release": bomb}})).is_none());
    }
}
