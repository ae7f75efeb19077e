//! Manifests that other programs make: Helm's templates and kustomizations. The only place that starts a child process,
//! and only to render: never through a shell, with no access to the cluster, with an end to time and output.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::error::ToolError;
use crate::sanitize;

/// How long a program may take to render.
const DEADLINE: Duration = Duration::from_secs(60);
/// More output than this is no manifest.
const MAX_BYTES: u64 = 16 << 20;
/// How many lines of a program's own error are shown.
const SAID_LINES: usize = 6;

/// What `helm template` is told.
#[derive(Clone, Debug)]
pub struct Template<'a> {
    pub chart: &'a Path,
    pub release: &'a str,
    pub namespace: &'a str,
    pub values: &'a [String],
    pub set: &'a [String],
    /// Version of the cluster, and the group versions that it serves, for charts that look.
    pub kube_version: &'a str,
    pub api_versions: &'a [String],
    pub is_upgrade: bool,
}

/// The manifests of a chart.
///
/// # Errors
/// When helm is missing, fails (in its own words), or does not come to an end.
pub async fn helm_template(template: &Template<'_>) -> Result<String, ToolError> {
    let mut arguments: Vec<String> = vec![
        "template".into(),
        template.release.into(),
        path_argument(template.chart),
        "--namespace".into(),
        template.namespace.into(),
        "--include-crds".into(),
        "--kube-version".into(),
        template.kube_version.into(),
    ];
    for version in template.api_versions {
        arguments.extend(["--api-versions".into(), version.clone()]);
    }
    for file in template.values {
        arguments.extend(["--values".into(), path_argument(Path::new(file))]);
    }
    for value in template.set {
        arguments.extend(["--set".into(), value.clone()]);
    }
    if template.is_upgrade {
        arguments.push("--is-upgrade".into());
    }
    run("helm", &arguments, "install Helm 3 or 4 and put it on the PATH").await
}

/// The manifests of a kustomization, by kustomize or, where that is missing, by kubectl's own.
///
/// # Errors
/// As [`helm_template`].
pub async fn kustomize(folder: &Path) -> Result<String, ToolError> {
    let folder = path_argument(folder);
    let missing = "install kustomize or kubectl and put it on the PATH";
    match run("kustomize", &["build".into(), folder.clone()], missing).await {
        Err(ToolError::NotFound { .. }) => run("kubectl", &["kustomize".into(), folder], missing).await,
        other => other,
    }
}

/// A path that no program can take for an option.
fn path_argument(path: &Path) -> String {
    let said = path.display().to_string();
    if said.starts_with('-') { format!("./{said}") } else { said }
}

/// Whether a program that renders gets this variable: where things are, and helm's own settings but those of the cluster.
fn handed_on(name: &str) -> bool {
    matches!(name, "PATH" | "HOME" | "TMPDIR")
        || name.starts_with("XDG_")
        || name.starts_with("HELM_") && !name.starts_with("HELM_KUBE") && name != "HELM_DEBUG"
}

async fn run(program: &str, arguments: &[String], missing: &str) -> Result<String, ToolError> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(handed_on)))
        // It renders; it has no business with the cluster.
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ToolError::NotFound {
            message: format!("{program} is needed to render this and is not there: {missing}"),
            similar: Vec::new(),
        },
        _ => ToolError::Invalid(format!("{program} cannot be run: {e}")),
    })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read_out = async {
            match stdout {
                Some(pipe) => pipe.take(MAX_BYTES + 1).read_to_end(&mut out).await.map(|_| ()),
                None => Ok(()),
            }
        };
        let read_err = async {
            match stderr {
                Some(pipe) => pipe.take(64 << 10).read_to_end(&mut err).await.map(|_| ()),
                None => Ok(()),
            }
        };
        let (a, b) = tokio::join!(read_out, read_err);
        a.and(b)?;
        if out.len() as u64 > MAX_BYTES {
            return Err(std::io::Error::other("its output does not end"));
        }
        let status = child.wait().await?;
        Ok((status, out, err))
    };
    let failed = |why: String| ToolError::Invalid(format!("{program}: {why}"));
    let (status, out, err) = match tokio::time::timeout(DEADLINE, read).await {
        Ok(Ok(done)) => done,
        Ok(Err(e)) => return Err(failed(e.to_string())),
        Err(_) => return Err(failed(format!("did not come to an end within {} s", DEADLINE.as_secs()))),
    };
    if !status.success() {
        return Err(failed(said(&String::from_utf8_lossy(&err))));
    }
    String::from_utf8(out).map_err(|_| failed("its output is not UTF-8 text".into()))
}

/// A program's own error, its first lines, without what is only for its developers.
fn said(stderr: &str) -> String {
    let lines: Vec<String> = stderr
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("Use --debug") && !l.starts_with("WARNING:"))
        .take(SAID_LINES)
        .map(|l| sanitize::line(&crate::redact::text(l.trim_start_matches("Error: "))))
        .collect();
    if lines.is_empty() { "failed without a word".into() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_or_fails_is_told() {
        let error = run("kai-no-such-program", &[], "install it").await.unwrap_err();
        assert!(
            matches!(&error, ToolError::NotFound { message, .. } if message.contains("install it")),
            "{error}"
        );
        let error = run("ls", &["/nonexistent/x".into()], "").await.unwrap_err().to_string();
        assert!(error.contains("ls: ") && error.contains("/nonexistent/x"), "{error}");
        assert_eq!(path_argument(Path::new("--help")), "./--help");
    }

    #[test]
    fn keys_of_the_session_are_not_handed_on() {
        for name in ["AWS_SECRET_ACCESS_KEY", "KAI_API_KEY", "HELM_KUBETOKEN", "KUBERNETES_SERVICE_HOST"] {
            assert!(!handed_on(name), "{name}");
        }
        for name in ["PATH", "HOME", "XDG_CACHE_HOME", "HELM_PLUGINS"] {
            assert!(handed_on(name), "{name}");
        }
    }
}
