//! `psql`, what people use today.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, str::FromStr, time::Duration};

use anyhow::Context;
use longshore_tests::child;
use tokio::time::Instant;
use url::Url;

/// How to call it.
pub(crate) struct Psql {
    /// Without the password, which the process list would show.
    url: String,
    password: Vec<u8>,
}

impl Psql {
    pub(crate) fn new(url: &Url) -> anyhow::Result<Self> {
        let config = tokio_postgres::Config::from_str(url.as_str()).context("DATABASE_URL")?;
        let mut bare = url.clone();
        bare.set_password(None).ok().context("DATABASE_URL has no host")?;
        Ok(Self { url: bare.to_string(), password: config.get_password().unwrap_or_default().to_vec() })
    }

    /// Starts a process a command, all at once; gives how long it took until the last ended.
    pub(crate) async fn timed(&self, commands: &[String]) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut children = Vec::new();
        for text in commands {
            let mut command = child::command("psql");
            command.args(self.arguments(text)).env("PGPASSWORD", OsStr::from_bytes(&self.password));
            children.push(child::start(command)?);
        }
        for child in children {
            child::end(child, "psql").await?;
        }
        Ok(started.elapsed())
    }

    /// The command line, for the output.
    pub(crate) fn shown(&self, command: &str) -> String {
        let [x, q, d, url, c, command] = self.arguments(command);
        format!("psql {x} {q} {d} {url} {c} \"{command}\"")
    }

    fn arguments<'a>(&'a self, command: &'a str) -> [&'a str; 6] {
        ["-X", "-q", "-d", &self.url, "-c", command]
    }
}

/// The version of the program.
pub(crate) async fn version() -> anyhow::Result<String> {
    let mut command = child::command("psql");
    command.arg("--version");
    Ok(child::end(child::start(command)?, "psql --version").await?.output.trim().to_owned())
}
