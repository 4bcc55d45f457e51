//! A place of its own for a scenario: a database, queues, a folder of files, and the processes that work there.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::Context;
use longshore_tests::{
    Process,
    limit::{ANSWER_LIMIT, COMMAND_LIMIT, within},
};
use rand::rngs::StdRng;
use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::{
    manifest::{Manifest, Size},
    queue::TaskQueue,
    service::{Kind, Service},
    wait,
    watch::{Watch, Watched},
    world::World,
};

/// The spec, without its source.
const DATASET: &str = include_str!("dataset.toml");

/// What differs in it from the defaults.
pub(crate) const SPEC_SETTINGS: &str =
    "schedule = every minute, settle = 0s, batch.max_bytes = 256 KiB, batch.max_wait = 200ms";

/// How long `longshore scan` may take before it counts as hung in an outage.
const CRON_LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Site<'a> {
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
    pub(crate) random: StdRng,
    world: &'a World,
    folder: PathBuf,
    /// The database as we see it, past any proxy.
    database_url: String,
    /// What the processes are given.
    environment: Vec<(String, String)>,
    /// Of all processes.
    fail_point: Option<String>,
    started: u32,
    _watch: Watch,
}

impl<'a> Site<'a> {
    /// Makes it, with the schema and the dataset. `fail_point` is set in every process.
    pub(crate) async fn create(
        world: &'a World,
        name: &str,
        fail_point: Option<String>,
    ) -> anyhow::Result<Self> {
        let identifier =
            format!("chaos_{:x}_{}", world.seed, name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let admin = connect(&world.database_url).await?;
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {identifier} WITH (FORCE)")).await?;
        admin.batch_execute(&format!("CREATE DATABASE {identifier}")).await?;
        // A run of the same seed may have left something.
        TaskQueue::new(&world.amqp_url, &identifier).remove().await?;
        let folder = world.folder_of(name);
        fs::create_dir_all(folder.join("inbox"))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let mut database_url = Url::parse(&world.database_url).context("DATABASE_URL")?;
        database_url.set_path(&identifier);
        let watched = Watched {
            name: name.to_owned(),
            database_url: database_url.to_string(),
            amqp_url: world.amqp_url.clone(),
            prefix: identifier.clone(),
        };
        let environment = [
            ("DATABASE_URL", database_url.as_str()),
            ("AMQP_URL", &world.amqp_url),
            ("LONGSHORE_AMQP_PREFIX", &identifier),
        ];
        let mut site = Self {
            name: name.to_owned(),
            manifest: Manifest::default(),
            random: world.random(name),
            world,
            folder,
            database_url: database_url.to_string(),
            environment: Vec::new(),
            fail_point,
            started: 0,
            _watch: watched.watch(),
        };
        environment.into_iter().for_each(|(variable, value)| site.set(variable, value));
        site.run(&["migrate"]).await?;
        let spec = site.folder.join("spec.toml");
        let source = site.folder.join("inbox");
        fs::write(&spec, format!("source = \"file://{}\"\n{DATASET}", source.display()))?;
        site.run(&["dataset", "apply", &spec.to_string_lossy()]).await?;
        Ok(site)
    }

    /// Applies its spec with these replacements.
    pub(crate) async fn apply(&self, replacements: &[(&str, &str)]) -> anyhow::Result<()> {
        let spec = self.folder.join("spec.toml");
        let mut text = fs::read_to_string(&spec)?;
        for (from, to) in replacements {
            anyhow::ensure!(text.contains(from), "the spec has no {from}");
            text = text.replace(from, to);
        }
        fs::write(&spec, text)?;
        self.run(&["dataset", "apply", &spec.to_string_lossy()]).await?;
        Ok(())
    }

    /// The folder that is scanned.
    pub(crate) fn inbox(&self) -> PathBuf {
        self.folder.join("inbox")
    }

    /// A folder beside it.
    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    /// Whether its processes are, so that something must be found.
    pub(crate) fn is_sabotaged(&self) -> bool {
        self.fail_point.is_some()
    }

    /// A setting of all processes that are started from now on.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment.retain(|(known, _)| known != variable);
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// The database's URL, past any proxy.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Its name.
    pub(crate) fn database_name(&self) -> &str {
        self.database_url.rsplit('/').next().unwrap_or_default()
    }

    /// Where it is on another server.
    pub(crate) fn database_url_on(&self, server_url: &str) -> anyhow::Result<String> {
        let mut url = Url::parse(server_url)?;
        url.set_path(self.database_name());
        Ok(url.into())
    }

    /// From now on the database is that of another server, such as a replica that took over.
    pub(crate) fn fail_over_to(&mut self, server_url: &str) -> anyhow::Result<()> {
        self.database_url = self.database_url_on(server_url)?;
        self.set("DATABASE_URL", &self.database_url.clone());
        Ok(())
    }

    /// The first part of the queues' names.
    pub(crate) fn prefix(&self) -> &str {
        let prefix = self.environment.iter().find(|(variable, _)| variable == "LONGSHORE_AMQP_PREFIX");
        prefix.map_or("", |(_, prefix)| prefix)
    }

    /// The queue of tasks.
    pub(crate) fn queue(&self) -> TaskQueue {
        TaskQueue::new(&self.world.amqp_url, self.prefix())
    }

    /// Puts files into the inbox; each appears whole.
    pub(crate) fn feed(&mut self, sizes: &[Size]) -> anyhow::Result<()> {
        for size in sizes {
            let content = self.manifest.generate(*size, &mut self.random);
            let name = self.manifest.files.last().map(|file| file.name.as_str()).unwrap_or_default();
            let partial = self.folder.join("inbox").join(format!("{name}.part"));
            fs::write(&partial, content)?;
            fs::rename(&partial, partial.with_extension(""))?;
        }
        Ok(())
    }

    /// Starts a process with these fail points, beside those of the site.
    pub(crate) fn start(&mut self, kind: Kind, fail_points: &[&str]) -> Service {
        self.start_with(kind, kind.arguments(), fail_points)
    }

    /// Starts a worker that finds an empty folder in the inbox's place.
    pub(crate) fn start_without_mount(&mut self) -> Service {
        self.started += 1;
        let log = self.folder.join(format!("{:04}-worker-without-mount.log", self.started));
        let command = longshore_tests::without_mount(&self.command(&["worker"]), &self.inbox());
        Service::new(Kind::Worker, Process::spawn(command, log))
    }

    fn start_with(&mut self, kind: Kind, arguments: &[&str], fail_points: &[&str]) -> Service {
        self.started += 1;
        let log = self.folder.join(format!("{:04}-{kind}.log", self.started));
        let mut command = self.command(arguments);
        let fail_points: Vec<&str> =
            self.fail_point.as_deref().into_iter().chain(fail_points.iter().copied()).collect();
        command.env("FAILPOINTS", fail_points.join(";"));
        Service::new(kind, Process::spawn(command, log))
    }

    /// What an outside cron does; it may fail while a server is away.
    pub(crate) async fn scan(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut scan = self.start_with(Kind::Cron, &[&["scan"], arguments].concat(), &[]);
        wait::within(CRON_LIMIT, async || Ok(scan.has_ended().then_some(()))).await?;
        Ok(())
    }

    /// Scans and publishes all that lies in the inbox; it must succeed.
    pub(crate) async fn publish_all(&mut self) -> anyhow::Result<()> {
        let mut scan = self.start_with(Kind::Cron, &["scan", "--flush"], &[]);
        let status = scan.ended(CRON_LIMIT).await?;
        anyhow::ensure!(status.success(), "{} failed:\n{}", scan.name(), scan.log());
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.world.program);
        for (name, _) in std::env::vars_os() {
            let foreign = ["LONGSHORE_", "OTEL_", "PG"];
            if name.to_str().is_some_and(|name| foreign.iter().any(|prefix| name.starts_with(prefix))) {
                command.env_remove(&name);
            }
        }
        command.args(arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(variable, value)| (variable, value)));
        command
    }

    /// What `longshore audit --json` says, whatever it thinks of it.
    pub(crate) async fn audit_report(&self) -> anyhow::Result<serde_json::Value> {
        let output = self.output(&["audit", "--flush", "--json"]).await?;
        let said = || format!("longshore audit failed:\n{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).with_context(said)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = self.output(arguments).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "longshore {} failed:\n{said}", arguments.join(" "));
        Ok(())
    }

    async fn output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let what = format!("longshore {}", arguments.join(" "));
        let mut command = tokio::process::Command::from(self.command(arguments));
        within(&what, COMMAND_LIMIT, command.kill_on_drop(true).output()).await
    }

    /// A connection to the database, past any proxy.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        connect(&self.database_url).await
    }

    /// Removes the database, the queues and the folder, unless they are to be kept.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        if self.world.keep {
            return Ok(());
        }
        self.queue().remove().await?;
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.database_name());
        connect(&self.world.database_url).await?.batch_execute(&statement).await?;
        fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

/// Connects; waits for a server that is coming back.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let connecting =
        async || Ok(within("Postgres", ANSWER_LIMIT, tokio_postgres::connect(url, NoTls)).await.ok());
    let (client, connection) = wait::until("Postgres", Duration::from_secs(60), connecting).await?;
    // Its error shows again at the next query.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}
