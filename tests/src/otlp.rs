//! A collector for tests: takes traces and metrics over OTLP (HTTP, protobuf) and keeps them.

mod http;
mod received;
#[cfg(test)]
mod tests;

pub use received::ReceivedSpan;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use received::Received;

/// Listens on a free port of 127.0.0.1 until it is dropped.
#[derive(Debug)]
pub struct OtlpReceiver {
    port: u16,
    received: Arc<Mutex<Received>>,
    server: JoinHandle<()>,
}

impl OtlpReceiver {
    /// Starts to listen.
    ///
    /// # Panics
    ///
    /// If no port is to be had.
    #[expect(clippy::expect_used, reason = "a test may panic")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let received = Arc::<Mutex<Received>>::default();
        let shared = Arc::clone(&received);
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Err(error) = serve(connection, &shared).await {
                        eprintln!("test collector: {error:#}");
                    }
                });
            }
        });
        Self { port, received, server }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` must be.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The spans that have arrived, in that order.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }

    /// The counter `name` for `dataset`, summed over its other attributes, as the newest export had it; `None`
    /// if none has arrived. Of several processes it is the last one's.
    #[must_use]
    pub fn counter(&self, name: &str, dataset: &str) -> Option<u64> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.counters.get(&(name.to_owned(), dataset.to_owned())).copied()
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers the requests of one connection until the client closes it.
async fn serve(connection: TcpStream, received: &Mutex<Received>) -> anyhow::Result<()> {
    let mut connection = BufReader::new(connection);
    while let Some(request) = http::read_request(&mut connection).await? {
        let keep = || received.lock().unwrap_or_else(PoisonError::into_inner);
        match request.path.as_str() {
            "/v1/traces" => keep().spans(ExportTraceServiceRequest::decode(&*request.body)?),
            "/v1/metrics" => keep().metrics(ExportMetricsServiceRequest::decode(&*request.body)?),
            other => bail!("no such path: {other}"),
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
    }
    Ok(())
}
