//! An endpoint that answers the same bytes to whoever connects: for what no HTTP server library would send.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Raw {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    pub fn start(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        // Ends with the process: nothing is left to do once the test is over.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                // Everything that was sent is read first; an answer to unread bytes would be a reset.
                connection.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
                let mut sent = Vec::new();
                let _ = connection.read_to_end(&mut sent);
                seen.lock().unwrap().push(String::from_utf8_lossy(&sent).into_owned());
                // The other side may hang up in the middle of it.
                let _ = connection.write_all(&answer);
                let _ = connection.shutdown(Shutdown::Write);
            }
        });
        Self { address, heads }
    }

    /// The base URL of this endpoint, with or without TLS.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/v1", self.address)
    }

    /// What was sent on each connection so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}
