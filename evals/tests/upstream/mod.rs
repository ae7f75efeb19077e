//! A TLS server that wants a client certificate or a token, and answers with what it saw.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use base64::Engine;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What a kubeconfig has to offer.
#[derive(Clone, Copy, PartialEq)]
pub enum Credentials {
    Certificate,
    Token,
    WrongToken,
    None,
}

/// The running server; its thread ends with it.
pub struct Upstream {
    port: u16,
    state: Arc<State>,
    authority: String,
    certificate: String,
    key: String,
    folder: tempfile::TempDir,
    _runtime: Runtime,
}

struct State {
    count: AtomicUsize,
    watches: AtomicUsize,
    events: Semaphore,
}

/// A runtime that may be dropped within another.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

impl Upstream {
    pub fn start() -> Upstream {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap(), key)
        };
        let ((server, server_key), (user, user_key)) = (signed("127.0.0.1"), signed("admin"));

        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let chain: Vec<CertificateDer> = vec![server.der().clone()];
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            .with_single_cert(chain, PrivateKeyDer::try_from(server_key.serialize_der()).unwrap())
            .unwrap();

        let state = Arc::new(State {
            count: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            events: Semaphore::new(0),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&state)));
        Upstream {
            port,
            state,
            authority: authority.pem(),
            certificate: user.pem(),
            key: user_key.serialize_pem(),
            folder: tempfile::tempdir().unwrap(),
            _runtime: Runtime(Some(runtime)),
        }
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Requests seen so far.
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::SeqCst)
    }

    /// Watches that are open.
    pub fn watches(&self) -> usize {
        self.state.watches.load(Ordering::SeqCst)
    }

    /// Lets a watch have one more event.
    pub fn next_event(&self) {
        self.state.events.add_permits(1);
    }

    /// Writes a file that lives as long as the server.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A kubeconfig: the certificate inline, its key and the authority as files beside it.
    pub fn kubeconfig(&self, credentials: Credentials) -> PathBuf {
        self.write("ca.pem", &self.authority);
        self.write("key.pem", &self.key);
        let certificate = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        let user = match credentials {
            Credentials::Certificate => {
                format!("{{client-certificate-data: {certificate}, client-key: key.pem}}")
            }
            Credentials::Token => "{token: admin-token}".to_owned(),
            Credentials::WrongToken => "{token: other-token}".to_owned(),
            Credentials::None => "{}".to_owned(),
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: real\npreferences: {{}}\n\
             clusters:\n- name: c\n  cluster: {{server: '{}', certificate-authority: ca.pem}}\n\
             contexts:\n- name: other\n  context: {{cluster: x, user: x}}\n\
             - name: real\n  context: {{cluster: c, user: u, namespace: web}}\n\
             users:\n- name: u\n  user: {user}\n",
            self.url()
        );
        self.write("kubeconfig", &text)
    }
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(socket).await else { return };
            let certificate = tls.get_ref().1.peer_certificates().is_some();
            let service = service_fn(move |request| handle(request, certificate, Arc::clone(&state)));
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

async fn handle(
    request: Request<Incoming>,
    certificate: bool,
    state: Arc<State>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let number = state.count.fetch_add(1, Ordering::SeqCst) + 1;
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
    let mut headers = BTreeMap::<&str, Vec<&str>>::new();
    for (name, value) in &parts.headers {
        headers.entry(name.as_str()).or_default().push(value.to_str().unwrap());
    }
    let token = headers.get("authorization").is_some_and(|values| *values == ["Bearer admin-token"]);
    let known = certificate || token;
    if known && parts.uri.path() == "/watch" {
        return Ok(Response::new(Body::from_stream(watch(state))));
    }
    let seen = json!({
        "number": number, "certificate": certificate, "headers": headers,
        "target": parts.uri.to_string(), "body": String::from_utf8_lossy(&body),
    });
    let response = Response::builder().status(if known { 200 } else { 401 }).header("x-upstream", "yes");
    Ok(response.body(Body::from(seen.to_string())).unwrap())
}

/// One event for each permit, for ever; counted as long as somebody listens.
fn watch(state: Arc<State>) -> impl futures::Stream<Item = Result<String, std::io::Error>> {
    struct Open(Arc<State>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.watches.fetch_sub(1, Ordering::SeqCst);
        }
    }
    state.watches.fetch_add(1, Ordering::SeqCst);
    futures::stream::unfold((Open(state), 0), |(open, number)| async move {
        open.0.events.acquire().await.unwrap().forget();
        Some((Ok(format!("event {number}\n")), (open, number + 1)))
    })
}
