//! A local port whose connections go to a port of a pod, until the person ends it or it has been open for long.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::{Licence, Step};
use super::{Event, Sent};
use crate::cluster::Cluster;
use crate::cluster::stream;
use crate::cluster::wait::{Stop, Verdict};
use crate::error::ToolError;
use crate::object::text;
use crate::plan::Does;

/// An open door is closed after this, whoever forgot it.
const LONGEST: Duration = Duration::from_secs(3600);
/// Most connections at a time.
const MOST: usize = 64;

/// Listens on this machine alone, and opens one connection into the pod for each that comes.
pub(super) async fn forward(
    cluster: &Cluster,
    step: &Step,
    stop: &mut Stop,
    show: &mut (dyn FnMut(Event) + Send),
) -> (Sent, Option<Verdict>) {
    let Does::Forward { port, local } = step.change.does else {
        return (Sent::not(ToolError::Invalid("this is no port-forward".into())), None);
    };
    let object = &step.change.object;
    let taken = |e: std::io::Error| {
        let message = format!("port {local} of this machine cannot be listened on: {e}");
        (Sent::not(ToolError::Invalid(message)), None)
    };
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, local)).await {
        Ok(listener) => listener,
        Err(e) => return taken(e),
    };
    let address = match listener.local_addr() {
        Ok(address) => address,
        Err(e) => return taken(e),
    };
    show(Event::Open(object.clone(), format!("{address} leads to its port {port}; Ctrl-C ends it")));
    let begun = std::time::Instant::now();
    let mut connections: JoinSet<Result<(), ToolError>> = JoinSet::new();
    let deadline = tokio::time::sleep(LONGEST);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            () = stop.asked() => break,
            () = &mut deadline => break,
            Some(ended) = connections.join_next() => {
                if let Ok(Err(e)) = ended {
                    show(Event::Held(object.clone(), format!("a connection ended: {e}")));
                }
            }
            accepted = listener.accept(), if connections.len() < MOST => {
                let Ok((local, _)) = accepted else { continue };
                let (cluster, request) = (cluster.clone(), step.request.clone());
                connections.spawn(async move { stream::forward(&cluster, &request, local, &Licence(())).await });
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let closed = Verdict::Reached { what: "closed".into(), seconds };
    (Sent::done(text(&step.change.live, "/metadata/uid")), Some(closed))
}
