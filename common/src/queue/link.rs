//! A connection that ends when we let go of it. lapin's own goes on, with a thread and a socket, until the broker has answered;
//! one that is silent for hours would gather as many of them as we tried to connect.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lapin::{
    Connection, ConnectionProperties,
    tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedTLSConfig},
    uri::AMQPUri,
};

/// A connection to the broker, broken off when it is dropped.
pub(super) struct Link {
    pub(super) connection: Connection,
    _hold: Arc<Hold>,
}

/// How long a farewell may take: a broker that hangs must not hold up a stop.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);

impl Link {
    /// Connects; whoever stops waiting for this leaves nothing behind. `limit` is for TCP and TLS.
    pub(super) async fn connect(
        uri: AMQPUri,
        properties: ConnectionProperties,
        tls: OwnedTLSConfig,
        limit: Duration,
    ) -> lapin::Result<Self> {
        let hold = Arc::new(Hold::default());
        let held = Arc::downgrade(&hold);
        let runtime = lapin::runtime::default_runtime()?;
        let reactor = runtime.clone();
        let connect = async move |uri: AMQPUri, _| {
            let connecting = uri.connect_with_config_async(tls.as_ref(), &reactor);
            let stream = tokio::time::timeout(limit, connecting).await.map_err(io::Error::from)??;
            let socket = match &stream {
                AsyncTcpStream::Plain(plain) => plain.get_ref().as_fd(),
                AsyncTcpStream::Rustls(tls) => tls.get_ref().0.get_ref().as_fd(),
                _ => return Err(io::Error::from(io::ErrorKind::Unsupported).into()),
            };
            let socket = TcpStream::from(socket.try_clone_to_owned()?);
            // Nobody waits for it any more.
            let hold = held.upgrade().ok_or(io::ErrorKind::ConnectionAborted).map_err(io::Error::from)?;
            let _ = hold.0.set(socket);
            Ok(stream)
        };
        // It is large.
        let connection = Box::pin(Connection::connector(uri, runtime, connect, properties)).await?;
        Ok(Self { connection, _hold: hold })
    }

    /// Closes the connection; without it the broker logs one that broke off. Unanswered messages go back to the queue.
    pub(super) async fn say_farewell(self) {
        // Nothing depends on the answer.
        let _ = tokio::time::timeout(FAREWELL_LIMIT, self.connection.close(200, "done".into())).await;
    }
}

/// A second handle of a connection's socket, which is shut down when this is dropped.
#[derive(Default)]
struct Hold(OnceLock<TcpStream>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(socket) = self.0.get() {
            // It may have been closed by the other side.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
