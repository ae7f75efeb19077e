//! A small HTTP/1.1 server on the loopback interface: what the test doubles stand on.
//!
//! It runs on a thread of its own, so that tests with and without an async runtime can use it, and it
//! can do two things that a well-behaved server cannot: hang up without an answer, and end every open
//! connection at once when it is dropped.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::thread::JoinHandle;

use anyhow::Context;
use axum::body::Body;
use futures::future::{Either, select};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A running server; dropping it ends the server and all its connections.
pub(crate) struct Loopback {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Serves `handle` on `port` of 127.0.0.1 (0: any free port).
    ///
    /// A handler that returns `None` closes the connection without an answer.
    ///
    /// # Errors
    /// When the port is taken, or a thread cannot be started.
    pub(crate) fn start<H, F>(port: u16, handle: H) -> anyhow::Result<Loopback>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Response<Body>>> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("loopback".into()).spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    select(pin!(accept(listener, handle)), stopped).await;
                }
            });
            // A handler may still block on a thread of the pool; nobody waits for its answer any more.
            runtime.shutdown_background();
        })?;
        Ok(Loopback { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Accepts for ever. The connections belong to this future: they end when it is dropped.
async fn accept<H, F>(listener: TcpListener, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Response<Body>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let socket = match select(pin!(listener.accept()), pin!(next_ended(&mut connections))).await {
            Either::Left((Ok((socket, _)), _)) => socket,
            Either::Left((Err(_), _)) => {
                // Out of file descriptors, most likely: let some connections end first.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
            Either::Right(_) => continue,
        };
        let _ = socket.set_nodelay(true);
        let handle = handle.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = handle(request);
                async move { answer.await.ok_or(HungUp) }
            });
            // An error here is the client's hanging up, or ours: both are meant.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades()
                .await;
        });
    }
}

async fn next_ended(connections: &mut JoinSet<()>) {
    if connections.join_next().await.is_none() {
        std::future::pending().await
    }
}

/// The error that makes hyper close a connection without an answer.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up without an answer")
    }
}

impl std::error::Error for HungUp {}
