//! Connections into a pod, opened by an approved request: what a command says, or bytes to and from a port.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Method, Request, Uri};
use kube::client::Connection;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Cluster;
use super::guard::Permit;
use super::read::transport;
use super::wait::Stop;
use super::write::NotWritten;
use crate::error::ToolError;
use crate::object::{items, text};
use crate::plan::WriteRequest;
use crate::review::Licence;
use crate::sanitize;

/// How long opening may take.
const OPENING: Duration = Duration::from_secs(10);
/// How long a command may run.
pub(crate) const LONGEST_RUN: Duration = Duration::from_secs(120);
/// Most bytes of output that are kept.
const MOST_OUTPUT: usize = 64 * 1024;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// What a command came to.
pub(crate) struct Ran {
    /// What it said on both streams, in the order in which it came; as it came.
    pub output: Vec<u8>,
    pub end: End,
}

/// How a command ended.
pub(crate) enum End {
    /// With this exit code.
    Code(i64),
    /// Without one: it could not be started, or something between here and there failed, in the server's words.
    Failed(String),
    /// It went on when kai stopped to listen: this is why.
    Left(&'static str),
}

/// Runs the command of an approved exec, and listens to the end, the limit, the deadline or the person's stop.
pub(crate) async fn exec(
    cluster: &Cluster,
    request: &WriteRequest,
    stop: &mut Stop,
    licence: &Licence,
) -> Result<Ran, NotWritten> {
    let mut stream = open(cluster, request, licence).await?.into_stream();
    let mut output: Vec<u8> = Vec::new();
    let deadline = tokio::time::sleep(LONGEST_RUN);
    tokio::pin!(deadline);
    let end = loop {
        let message = tokio::select! {
            message = stream.next() => message,
            () = &mut deadline => break End::Left("it ran for longer than kai waits"),
            () = stop.asked() => break End::Left("you stopped it"),
        };
        let data = match message {
            Some(Ok(message)) if message.is_binary() => message.into_data(),
            Some(Ok(_)) => continue,
            Some(Err(e)) => {
                let message = sanitize::line(&format!("the connection broke: {e}"));
                return Err(NotWritten::Unknown(ToolError::Unreachable { message }));
            }
            None => break End::Left("the connection ended without its exit code"),
        };
        match data.split_first() {
            Some((&(STDOUT | STDERR), said)) => {
                let room = MOST_OUTPUT - output.len();
                output.extend_from_slice(&said[..said.len().min(room)]);
                if said.len() > room {
                    break End::Left("it said more than kai keeps");
                }
            }
            Some((&STATUS, status)) => break ended(&serde_json::from_slice(status).unwrap_or_default()),
            _ => {}
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.close(None)).await;
    Ok(Ran { output, end })
}

/// How a command ended, from the `Status` that comes last.
fn ended(status: &Value) -> End {
    if text(status, "/status") == "Success" {
        return End::Code(0);
    }
    let code = items(status, "/details/causes").iter().find(|c| text(c, "/reason") == "ExitCode");
    match code.and_then(|c| text(c, "/message").parse().ok()) {
        Some(code) => End::Code(code),
        None => End::Failed(crate::redact::text(&sanitize::line(text(status, "/message")))),
    }
}

/// Carries bytes between a local connection and a port of a pod, until either side ends. Opens a connection of its own.
pub(crate) async fn forward(
    cluster: &Cluster,
    request: &WriteRequest,
    local: TcpStream,
    licence: &Licence,
) -> Result<(), ToolError> {
    let connection = open(cluster, request, licence).await.map_err(|e| match e {
        NotWritten::Refused(e) | NotWritten::Unknown(e) => e,
    })?;
    let (mut out, mut back) = connection.into_stream().split();
    let (mut read, mut write) = local.into_split();
    let broken =
        |e: &dyn std::fmt::Display| ToolError::Unreachable { message: sanitize::line(&e.to_string()) };
    let up = async {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let n = read.read(&mut piece[1..]).await.map_err(|e| broken(&e))?;
            if n == 0 {
                // The answer may still come.
                std::future::pending::<()>().await;
            }
            // Channel 0 carries the data of the first port.
            let message = Bytes::copy_from_slice(&piece[..=n]);
            out.send(message.into()).await.map_err(|e| broken(&e))?;
        }
    };
    let down = async {
        // Each of the two channels begins with the number of the port, in two bytes.
        let mut heads = [2_usize; 2];
        while let Some(message) = back.next().await {
            let message = message.map_err(|e| broken(&e))?;
            if !message.is_binary() {
                continue;
            }
            let data = message.into_data();
            let Some((&channel, mut said)) = data.split_first() else { continue };
            let Some(head) = heads.get_mut(usize::from(channel)) else { continue };
            let skipped = said.len().min(*head);
            (*head, said) = (*head - skipped, &said[skipped..]);
            match channel {
                0 => write.write_all(said).await.map_err(|e| broken(&e))?,
                _ if said.is_empty() => {}
                _ => return Err(broken(&String::from_utf8_lossy(said))),
            }
        }
        Ok(())
    };
    tokio::select! {
        result = up => result,
        result = down => result,
    }
}

/// Opens the connection that an approved request asks for, once.
async fn open(
    cluster: &Cluster,
    request: &WriteRequest,
    _licence: &Licence,
) -> Result<Connection, NotWritten> {
    let invalid = || {
        let message = format!("`{}` is not a path", sanitize::line(&request.path));
        NotWritten::Refused(ToolError::Invalid(message))
    };
    let uri: Uri = request.path.parse().map_err(|_| invalid())?;
    let mut built = Request::builder()
        .method(Method::GET)
        .uri(uri.clone())
        .header(http::header::USER_AGENT, concat!("kai/", env!("CARGO_PKG_VERSION")))
        .body(Vec::new())
        .map_err(|_| invalid())?;
    built.extensions_mut().insert(Permit::stream(uri));
    let opening = tokio::time::timeout(OPENING, cluster.0.client.connect(built));
    match opening.await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(kube::Error::Api(status))) => {
            let message = crate::redact::text(&sanitize::line(&status.message));
            Err(NotWritten::Refused(match status.code {
                403 => ToolError::Forbidden { message },
                404 => ToolError::NotFound { message, similar: Vec::new() },
                code => ToolError::Api { status: code, message },
            }))
        }
        Ok(Err(e)) => Err(match transport(&e) {
            e @ (ToolError::Refused { .. } | ToolError::Login { .. }) => NotWritten::Refused(e),
            e => NotWritten::Unknown(e),
        }),
        Err(_) => {
            let message = format!("{} did not answer within {} s", cluster.server(), OPENING.as_secs());
            Err(NotWritten::Unknown(ToolError::Unreachable { message }))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_a_command_ended() {
        assert!(matches!(ended(&json!({"status": "Success"})), End::Code(0)));
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}});
        assert!(matches!(ended(&failed), End::Code(3)));
        let missing = json!({"status": "Failure", "message": "executable file not found"});
        assert!(matches!(ended(&missing), End::Failed(why) if why.contains("not found")));
    }
}
