//! An S3 server of this process: protocol and signatures by s3s, objects in memory or, by s3s-fs, in a folder.

mod objects;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Once},
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};

use objects::{Objects, Served};

const ACCESS_KEY: &str = "longshore-tests";
const SECRET_KEY: &str = "correct horse battery staple";

/// Listens on a free port of 127.0.0.1 until it is dropped.
pub struct S3Server {
    address: SocketAddr,
    kept: Kept,
    listening: AbortHandle,
}

/// Where the objects are.
enum Kept {
    Memory(Arc<Objects>),
    Folder(TempDir),
}

impl S3Server {
    /// A server with every key that S3 knows and S3's own ways: etags of the content, listings in order, and conditions that
    /// are heeded.
    pub async fn start() -> Self {
        let objects = Arc::new(Objects::default());
        let served = S3ServiceBuilder::new(Served(objects.clone()));
        Self::listen(served, Kept::Memory(objects)).await
    }

    /// A server as simple as some are: s3s-fs gives no etags in listings and heeds no `If-Match`. Its keys are paths of files.
    pub async fn start_simple() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let served = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("a file system"));
        Self::listen(served, Kept::Folder(folder)).await
    }

    async fn listen(mut builder: S3ServiceBuilder, kept: Kept) -> Self {
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let listening = tokio::spawn(serve(listener, builder.build())).abort_handle();
        Self { address, kept, listening }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The variables with which a process uses it.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment_at(self.address)
    }

    /// The same, with a proxy in its place.
    pub fn environment_at(&self, address: SocketAddr) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, bucket: &str) {
        match &self.kept {
            Kept::Memory(objects) => objects.create_bucket(bucket),
            Kept::Folder(folder) => std::fs::create_dir(folder.path().join(bucket)).expect("a bucket"),
        }
    }

    /// Removes a bucket with all that is in it.
    pub fn remove_bucket(&self, bucket: &str) {
        match &self.kept {
            Kept::Memory(objects) => objects.remove_bucket(bucket),
            Kept::Folder(folder) => std::fs::remove_dir_all(folder.path().join(bucket)).expect("a bucket"),
        }
    }

    /// Puts an object, whole at once.
    pub fn put(&self, bucket: &str, key: &str, content: impl AsRef<[u8]>) {
        match &self.kept {
            Kept::Memory(objects) => objects.put(bucket, key, content.as_ref()),
            Kept::Folder(folder) => {
                let path = folder.path().join(bucket).join(key);
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
                let whole: PathBuf = folder.path().join(".whole");
                std::fs::write(&whole, content).expect("a file");
                std::fs::rename(whole, path).expect("a rename");
            }
        }
    }

    /// From now on each page of a listing takes so long.
    pub fn answer_listings_after(&self, page: Duration) {
        match &self.kept {
            Kept::Memory(objects) => {
                objects
                    .page_milliseconds
                    .store(page.as_millis() as u64, std::sync::atomic::Ordering::Relaxed);
            }
            Kept::Folder(folder) => panic!("{} is no memory", folder.path().display()),
        }
    }

    /// The keys of a bucket in memory, in their order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        match &self.kept {
            Kept::Memory(objects) => objects.keys(bucket),
            Kept::Folder(folder) => panic!("{} is no memory", folder.path().display()),
        }
    }

    /// Removes an object.
    pub fn remove(&self, bucket: &str, key: &str) {
        match &self.kept {
            Kept::Memory(objects) => objects.remove(bucket, key),
            Kept::Folder(folder) => {
                std::fs::remove_file(folder.path().join(bucket).join(key)).expect("an object");
            }
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Accepts until it is aborted, which ends the connections as well.
async fn serve(listener: TcpListener, service: S3Service) {
    let http = Builder::new(TokioExecutor::new());
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            Some(_) = connections.join_next() => continue,
        };
        let connection = http.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
        connections.spawn(async move { drop(connection.await) });
    }
}

/// For clients in this process, as the binary does at its start.
pub fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
