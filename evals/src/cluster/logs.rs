//! What the pods of a `local` cluster say: nothing runs in them, so a test writes their logs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Cluster, Provider};

/// How long the simulated kubelet may take to serve a log that was written.
const PATIENCE: Duration = Duration::from_secs(30);

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How long ago it was written.
    pub ago: Duration,
    /// What it says, without a newline.
    pub text: String,
}

impl Cluster {
    /// Replaces what `logs` answers for one container of a pod of a `local` cluster, and waits until
    /// that is what it answers. With `previous` it is the log of the container before its restart.
    ///
    /// # Errors
    /// The cluster is not a `local` one, or there is no such pod or container.
    pub async fn write_log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
        lines: &[Line],
    ) -> Result<()> {
        if self.state().provider != Provider::Local {
            bail!("only the logs of a local cluster can be written: in others containers run");
        }
        let folder = self.folder().join("pod-logs").join(namespace).join(pod);
        std::fs::create_dir_all(&folder)?;
        let kind = if previous { "previous" } else { "now" };
        std::fs::write(folder.join(format!("{container}.{kind}.log")), cri(lines))?;

        let admin = self.admin()?;
        let client = admin.client()?;
        let object = json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {"name": pod, "namespace": namespace},
            "spec": {"logs": entries(&folder)?},
        });
        let url = format!("{}/apis/kwok.x-k8s.io/v1alpha1/namespaces/{namespace}/logs/{pod}", admin.server);
        let answer = client
            .patch(format!("{url}?fieldManager=kai-evals&force=true"))
            .header("content-type", "application/apply-patch+yaml")
            .body(object.to_string())
            .send()
            .await?;
        let status = answer.status();
        ensure!(status.is_success(), "the log of {pod} was refused ({status}): {}", answer.text().await?);

        let text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
        let url = format!("{}/api/v1/namespaces/{namespace}/pods/{pod}/log", admin.server);
        let url = format!("{url}?container={container}&previous={previous}");
        let since = Instant::now();
        loop {
            let answer = client.get(&url).send().await?;
            let status = answer.status();
            let said = answer.text().await?;
            if status.is_success() && said == text {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                bail!("the log of {namespace}/{pod}/{container} still says ({status}): {said}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The containers whose logs are in a pod's folder, as KWOK wants them named.
fn entries(folder: &Path) -> Result<Vec<serde_json::Value>> {
    let mut containers: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if let Some((container, _)) = file.split_once('.') {
            containers.push(container.to_owned());
        }
    }
    containers.sort();
    containers.dedup();
    let path = |container: &str, kind: &str| folder.join(format!("{container}.{kind}.log"));
    let entry = |container: &String| {
        json!({
            "containers": [container],
            "logsFile": path(container, "now"),
            "previousLogsFile": path(container, "previous"),
        })
    };
    Ok(containers.iter().map(entry).collect())
}

/// Lines as a container runtime writes them: time, stream, whether the line is whole, text.
pub(super) fn cri(lines: &[Line]) -> String {
    let now = Timestamp::now();
    let at = |line: &Line| now - SignedDuration::try_from(line.ago).unwrap_or_default();
    lines.iter().map(|line| format!("{:.9} stdout F {}\n", at(line), line.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_stream_and_text() {
        let text = cri(&[Line { ago: Duration::from_secs(60), text: "connection refused".into() }]);
        let mut words = text.splitn(4, ' ');
        let at: Timestamp = words.next().unwrap().parse().unwrap();
        let ago = Timestamp::now().duration_since(at).as_secs();
        assert!((60..120).contains(&ago), "{text}");
        assert_eq!(words.collect::<Vec<_>>(), ["stdout", "F", "connection refused\n"]);
    }

    #[test]
    fn every_container_of_a_pod_is_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["web.now.log", "web.previous.log", "proxy.now.log"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let entries = entries(folder.path()).unwrap();
        let names: Vec<&str> = entries.iter().filter_map(|entry| entry["containers"][0].as_str()).collect();
        assert_eq!(names, ["proxy", "web"]);
    }
}
