//! A small TCP proxy between us and a server: a network whose faults a test commands.

mod commit;
mod connection;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::{AbortHandle, JoinSet},
};
use url::Url;

use connection::End;

/// Listens on a free port of 127.0.0.1, and passes everything on to its server and back until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
    listening: AbortHandle,
}

/// What all connections of a proxy share.
struct Network {
    target: SocketAddr,
    /// Ends all connections that pass right now.
    ends: broadcast::Sender<End>,
    stalled: watch::Sender<bool>,
    delay: watch::Sender<Duration>,
    refusing: AtomicBool,
    /// The next COMMIT is one whose answer is swallowed.
    swallowing: AtomicBool,
    commits_swallowed: AtomicUsize,
    connections: AtomicUsize,
}

impl Proxy {
    /// Listens; the server need not answer yet.
    ///
    /// # Panics
    ///
    /// If no port is to be had.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let network = Arc::new(Network {
            target,
            ends: broadcast::Sender::new(16),
            stalled: watch::Sender::new(false),
            delay: watch::Sender::new(Duration::ZERO),
            refusing: AtomicBool::new(false),
            swallowing: AtomicBool::new(false),
            commits_swallowed: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let listening = tokio::spawn(listen(listener, network.clone())).abort_handle();
        Self { address, network, listening }
    }

    /// A proxy to the server of a postgres:// or amqp:// URL.
    ///
    /// # Panics
    ///
    /// If the URL has no host and port that can be looked up.
    pub async fn to(url: &str) -> Self {
        let url = Url::parse(url).expect("a URL");
        let default = if url.scheme().starts_with("amqp") { 5672 } else { 5432 };
        let server = (url.host_str().expect("a host in the URL"), url.port().unwrap_or(default));
        let mut addresses = tokio::net::lookup_host(server).await.expect("a host with an address");
        Self::start(addresses.next().expect("an address")).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A server's URL, with this proxy in the server's place.
    ///
    /// # Panics
    ///
    /// If it is no URL with a host.
    pub fn url(&self, url: &str) -> String {
        let mut url = Url::parse(url).expect("a URL");
        url.set_ip_host(self.address.ip()).expect("a URL with a host");
        url.set_port(Some(self.address.port())).expect("a URL with a port");
        url.into()
    }

    /// Closes all connections that pass, to both sides, as an orderly end does (FIN).
    pub fn cut(&self) {
        self.end(End::Cut);
    }

    /// Breaks all connections that pass, to both sides (RST).
    pub fn reset(&self) {
        self.end(End::Reset);
    }

    fn end(&self, end: End) {
        // An error says that no connection passes.
        let _ = self.network.ends.send(end);
    }

    /// New connections are closed at once, until it is told otherwise; those that pass are left alone.
    pub fn refuse(&self, refusing: bool) {
        self.network.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Each chunk, in either direction, waits so long from now on.
    pub fn delay(&self, delay: Duration) {
        self.network.delay.send_replace(delay);
    }

    /// Nothing passes in either direction, not even the end of a connection, until it is told otherwise. Connections stay
    /// open and new ones are accepted. What was sent meanwhile passes then.
    pub fn stall(&self, stalled: bool) {
        self.network.stalled.send_replace(stalled);
    }

    /// How many connections pass right now, also while they are stalled.
    pub fn connections(&self) -> usize {
        self.network.connections.load(Ordering::Relaxed)
    }

    /// Passes the next COMMIT on to Postgres, keeps the answer, and resets the connection on both sides: the client never
    /// learns that it committed. Any COMMIT counts, also that of a claim; with TLS none is seen.
    pub fn swallow_commit_answer(&self) {
        self.network.swallowing.store(true, Ordering::SeqCst);
    }

    /// How many transactions have committed without their client's knowledge.
    pub fn commits_swallowed(&self) -> usize {
        self.network.commits_swallowed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Accepts until it is aborted, which ends the connections as well.
async fn listen(listener: TcpListener, network: Arc<Network>) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            Some(_) = connections.join_next() => continue,
        };
        if !network.refusing.load(Ordering::Relaxed) {
            // Counted and within reach of `cut` from here on, not only once its task runs.
            let ends = network.ends.subscribe();
            let counted = Counted::new(network.clone());
            connections.spawn(async move { connection::pass(client, &counted.0, ends).await });
        }
    }
}

/// A connection, as long as it is counted.
struct Counted(Arc<Network>);

impl Counted {
    fn new(network: Arc<Network>) -> Self {
        network.connections.fetch_add(1, Ordering::Relaxed);
        Self(network)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
