//! Goes into a pod, as was approved: one command, or the connections to one port.

use super::super::{Licence, Step};
use super::{Event, Sent};
use crate::cluster::Cluster;
use crate::cluster::stream::{self, End, Ran};
use crate::cluster::wait::{Stop, Verdict};
use crate::cluster::write::NotWritten;
use crate::error::ToolError;
use crate::journal::StepOutcome;
use crate::object::text;
use crate::plan::Does;
use crate::sanitize;

/// Most lines of a command's output that are shown.
const LINES: usize = 400;

/// Does it; what came of it, and how it ended.
pub(super) async fn enter(
    cluster: &Cluster,
    step: &Step,
    stop: &mut Stop,
    show: &mut (dyn FnMut(Event) + Send),
) -> (Sent, Option<Verdict>) {
    let change = &step.change;
    // The address names the pod and not its uid: another of that name is not what was agreed to.
    let now = cluster.find(&change.kind, &change.object.namespace, &change.object.name).await;
    match now {
        Ok(Some(now)) if text(&now, "/metadata/uid") == text(&change.live, "/metadata/uid") => {}
        Ok(_) => {
            let message = format!("{} is gone, or another pod has its name", change.object);
            return (Sent::not(ToolError::Stale { message }), None);
        }
        Err(e) => return (Sent::not(e), None),
    }
    match &change.does {
        Does::Exec { .. } => match stream::exec(cluster, &step.request, stop, &Licence(())).await {
            Ok(ran) => (Sent::done(text(&change.live, "/metadata/uid")), Some(verdict(ran))),
            Err(NotWritten::Refused(e)) => (Sent::not(e), None),
            Err(NotWritten::Unknown(e)) => {
                (Sent { outcome: StepOutcome::Unknown, uid: String::new(), error: Some(e) }, None)
            }
        },
        _ => super::forward::forward(cluster, step, stop, show).await,
    }
}

fn verdict(ran: Ran) -> Verdict {
    let said = String::from_utf8_lossy(&ran.output);
    let clean = crate::redact::text(&said);
    let mut output: Vec<String> = clean.lines().take(LINES).map(sanitize::line).collect();
    let more = clean.lines().count().saturating_sub(LINES);
    if more > 0 {
        output.push(format!("... {more} more lines"));
    }
    match ran.end {
        End::Code(code) => Verdict::Ran { code: Some(code), output, left: String::new() },
        End::Left(why) => Verdict::Ran { code: None, output, left: format!("it may go on: {why}") },
        // Nobody says whether it was begun.
        End::Failed(why) => {
            Verdict::Ran { code: None, output, left: format!("no exit code came back: {why}") }
        }
    }
}
