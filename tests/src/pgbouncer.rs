//! A PgBouncer of one test's own, before its Postgres.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use url::Url;

use crate::stage::eventually;

/// A running PgBouncer, ended when it is dropped.
pub struct PgBouncer {
    child: Child,
    port: u16,
}

impl PgBouncer {
    /// Starts it before the server of `database_url`, with its configuration in `folder`, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it is not installed.
    pub async fn start(database_url: &str, pool_mode: &str, folder: &Path) -> Self {
        let url = Url::parse(database_url).expect("a URL");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let settings = format!(
            "[databases]\n* = host={} port={} user={} password={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {pool_mode}\nmax_client_conn = 200\ndefault_pool_size = 50\n",
            url.host_str().expect("a host"),
            url.port().expect("a port"),
            url.username(),
            url.password().expect("a password"),
        );
        let path = folder.join(format!("pgbouncer-{port}.ini"));
        std::fs::write(&path, settings).expect("a file");
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg("-q").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let id = Command::new("id").arg("-u").output().expect("id runs").stdout;
        if id == b"0\n" {
            // It refuses to be root, and becomes another user once it has read its settings.
            command.args(["-u", "nobody"]);
        }
        let child = command.spawn().expect("PgBouncer starts: apt-get install pgbouncer");
        eventually("PgBouncer listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Self { child, port }
    }

    /// The URL of the same database, behind it.
    pub fn url(&self, database_url: &str) -> String {
        let mut url = Url::parse(database_url).expect("a URL");
        url.set_port(Some(self.port)).expect("a URL with a host");
        url.into()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
