//! What one test plays on.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions},
};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{
    limit::{ANSWER_LIMIT, COMMAND_LIMIT, within},
    process::Process,
};

/// A database, queue names and a folder of its own.
pub struct Stage {
    /// The folder that the dataset lists.
    pub inbox: PathBuf,
    admin_url: String,
    /// Where the processes and tests find the database.
    server_url: String,
    database_name: String,
    amqp_url: String,
    prefix: String,
    folder: TempDir,
    processes: AtomicU32,
    /// What the loan spec and the commands are given, beside the servers.
    pub environment: HashMap<String, String>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said and logged.
    pub stderr: String,
}

impl Finished {
    /// The JSON value that it printed.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Waits for a condition, half a minute at most.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run the tests by `make test`"))
}

fn binary() -> PathBuf {
    let named = std::env::var_os("LONGSHORE_BIN").map(PathBuf::from);
    let path =
        named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/longshore"));
    assert!(path.exists(), "there is no {}: run the tests by `make test`", path.display());
    path
}

/// A connection to Postgres.
pub async fn connect(url: &str) -> Client {
    let connecting = within("Postgres", ANSWER_LIMIT, tokio_postgres::connect(url, NoTls));
    let (client, connection) = connecting.await.expect("Postgres answers");
    tokio::spawn(connection);
    client
}

impl Stage {
    /// A stage with the schema, without datasets. Files need not settle, batches are sent at once.
    pub async fn new() -> Self {
        let admin_url = server("DATABASE_URL");
        let name = format!("longshore_test_{}", Uuid::new_v4().simple());
        connect(&admin_url)
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .expect("a database");
        let folder = tempfile::tempdir().expect("a folder");
        let inbox = folder.path().join("inbox");
        std::fs::create_dir(&inbox).expect("an inbox");
        let mut environment = HashMap::new();
        for (variable, value) in [
            ("LONGSHORE_INBOX", inbox.to_str().expect("a UTF-8 folder")),
            ("LONGSHORE_SETTLE", "0s"),
            ("LONGSHORE_BATCH_WAIT", "0s"),
            ("LONGSHORE_SCHEDULE", "0 0 1 1 *"),
            ("LONGSHORE_TICK", "100ms"),
        ] {
            environment.insert(variable.to_owned(), value.to_owned());
        }
        let stage = Self {
            inbox,
            server_url: admin_url.clone(),
            admin_url,
            database_name: name.clone(),
            amqp_url: server("AMQP_URL"),
            prefix: name,
            folder,
            processes: AtomicU32::new(0),
            environment,
        };
        stage.ok(&["migrate"]).await;
        stage
    }

    /// A stage with the loan dataset applied.
    pub async fn with_loans() -> Self {
        Self::with_loans_and(&[]).await
    }

    /// The same, with other settings of the loan spec or the commands.
    pub async fn with_loans_and(environment: &[(&str, &str)]) -> Self {
        let mut stage = Self::new().await;
        for (variable, value) in environment {
            stage.environment.insert((*variable).to_owned(), (*value).to_owned());
        }
        stage.ok(&["dataset", "apply", &stage.loan_spec()]).await;
        stage
    }

    /// The spec that ships.
    pub fn loan_spec(&self) -> String {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../datasets/loan_applications.toml").to_owned()
    }

    /// Applies the loan spec with parts of its text replaced.
    pub async fn apply_loans(&self, changes: &[(&str, &str)]) {
        let mut text = std::fs::read_to_string(self.loan_spec()).expect("the spec that ships");
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("{number}-spec.toml"));
        std::fs::write(&path, text).expect("a spec");
        self.ok(&["dataset", "apply", path.to_str().expect("a UTF-8 folder")]).await;
    }

    /// The URL of this stage's database.
    pub fn database_url(&self) -> String {
        self.database_url_on(&self.server_url)
    }

    /// The URL of this stage's database on another server.
    pub fn database_url_on(&self, server_url: &str) -> String {
        let (server, _) = server_url.rsplit_once('/').expect("a database in the URL");
        format!("{server}/{}", self.database_name)
    }

    /// From now on the database is that of another server, such as a replica that took over.
    pub fn fail_over_to(&mut self, server_url: &str) {
        server_url.clone_into(&mut self.server_url);
    }

    /// The name of this stage's database.
    pub fn database_name(&self) -> &str {
        &self.database_name
    }

    /// The URL of the broker.
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// A folder of this test beside the inbox.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the inbox; it appears whole.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.inbox.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        let partial = path.with_extension("part");
        std::fs::write(&partial, content).expect("a file");
        std::fs::rename(&partial, &path).expect("a rename");
        path
    }

    /// A command on this stage's servers.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env("DATABASE_URL", self.database_url())
            .env("AMQP_URL", &self.amqp_url)
            .env("LONGSHORE_AMQP_PREFIX", &self.prefix)
            .env("LONGSHORE_CONNECT_TIMEOUT", "20s")
            .env_remove("LONGSHORE_LOG")
            .envs(&self.environment);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, &[]).await
    }

    /// Runs a command with more environment.
    pub async fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        let mut command = tokio::process::Command::from(command);
        let what = format!("longshore {}", arguments.join(" "));
        let running = within(&what, COMMAND_LIMIT, command.kill_on_drop(true).output());
        let Output { status, stdout, stderr } = running.await.expect("the command ends");
        Finished {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).expect("UTF-8"),
            stderr: String::from_utf8(stderr).expect("UTF-8"),
        }
    }

    /// Runs a command that must succeed.
    pub async fn ok(&self, arguments: &[&str]) -> Finished {
        let finished = self.run(arguments).await;
        assert_eq!(finished.code, 0, "{arguments:?}: {finished:?}");
        finished
    }

    /// Starts a service.
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        self.spawn_with(arguments, &[])
    }

    /// Starts a service with more environment.
    pub fn spawn_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("{number}-{}.log", arguments[0]));
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        Process::spawn(command, log)
    }

    /// Starts a worker from whose store each chunk of 128 KiB takes this long.
    pub fn spawn_slow_worker(&self, milliseconds: u32, environment: &[(&str, &str)]) -> Process {
        let fail_point = format!("worker::read_chunk=sleep({milliseconds})");
        let mut all = vec![("FAILPOINTS", fail_point.as_str())];
        all.extend_from_slice(environment);
        self.spawn_with(&["worker", "--concurrency", "1"], &all)
    }

    /// A slow worker in the middle of the only load: PROCESSING, with bytes > 0 by its heartbeat, and no row visible.
    /// The file must have more than a megabyte, or it is read before the first heartbeat.
    pub async fn worker_in_mid_load(&self, environment: &[(&str, &str)]) -> Process {
        let worker = self.spawn_slow_worker(600, environment);
        self.is_in_mid_load().await;
        worker
    }

    /// Waits until the only load has come so far.
    pub async fn is_in_mid_load(&self) {
        let reading =
            "SELECT count(*) FROM longshore.task JOIN longshore.attempt ON attempt.task_id = task.id
            WHERE task.status = 'PROCESSING' AND attempt.bytes_read > 0 AND attempt.finished_time IS NULL";
        eventually("PROCESSING with bytes", || async { self.number(reading).await == 1 }).await;
        assert_eq!(self.loans().await.0, 0);
    }

    /// Scans, sends and publishes everything that lies in the inbox; gives the report.
    pub async fn scan(&self) -> serde_json::Value {
        self.ok(&["scan", "--flush", "--json"]).await.json()
    }

    /// Loads everything that is published. The exit code says whether a file FAILED thereby.
    pub async fn drain(&self) {
        let failed = "SELECT count(*) FROM longshore.task WHERE status = 'FAILED'";
        let before = self.number(failed).await;
        let finished = self.run(&["worker", "--drain"]).await;
        let has_failed = self.number(failed).await > before;
        assert_eq!(finished.code, i32::from(has_failed), "{finished:?}");
    }

    /// A connection to this stage's database.
    pub async fn client(&self) -> Client {
        connect(&self.database_url()).await
    }

    /// One number from the database.
    pub async fn number(&self, sql: &str) -> i64 {
        let (client, sql) = (self.client().await, format!("SELECT ({sql})::bigint"));
        within(&sql, COMMAND_LIMIT, client.query_one(&sql, &[])).await.expect("a query").get(0)
    }

    /// One column of text from the database.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let (client, sql) = (self.client().await, format!("SELECT text::text FROM ({sql}) AS t (text)"));
        let rows = within(&sql, COMMAND_LIMIT, client.query(&sql, &[])).await;
        rows.expect("a query").iter().map(|row| row.get(0)).collect()
    }

    /// Rows, and different application ids, in the loan table.
    pub async fn loans(&self) -> (i64, i64) {
        let table = "FROM reporting.loan_applications";
        let rows = self.number(&format!("SELECT count(*) {table}")).await;
        (rows, self.number(&format!("SELECT count(DISTINCT application_id) {table}")).await)
    }

    /// Asserts that each of the ids 1 to `count` is in the loan table exactly once.
    pub async fn assert_each_loan_once(&self, count: i64) {
        assert_eq!(self.loans().await, (count, count));
    }

    /// Publishes any body to the task queue.
    pub async fn publish(&self, body: &[u8]) {
        within("RabbitMQ", ANSWER_LIMIT, self.send(body)).await.expect("a message");
    }

    async fn send(&self, body: &[u8]) -> lapin::Result<()> {
        let connection = self.broker().await;
        let channel = connection.create_channel().await?;
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        channel
            .basic_publish(
                self.prefix.as_str().into(),
                "tasks".into(),
                options,
                body,
                BasicProperties::default(),
            )
            .await?;
        connection.close(200, "done".into()).await
    }

    /// The name of one of this stage's queues, `tasks` or `dead`.
    pub fn queue_name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.prefix)
    }

    /// Messages that wait in one of this stage's queues, `tasks` or `dead`.
    pub async fn queue_length(&self, queue: &str) -> u32 {
        self.queue_counts(queue).await.0
    }

    /// Consumers of the task queue.
    pub async fn consumers(&self) -> u32 {
        self.queue_counts("tasks").await.1
    }

    async fn queue_counts(&self, queue: &str) -> (u32, u32) {
        within("RabbitMQ", ANSWER_LIMIT, self.declared(queue)).await.expect("a queue")
    }

    async fn declared(&self, queue: &str) -> lapin::Result<(u32, u32)> {
        let connection = self.broker().await;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declaring = channel.queue_declare(self.queue_name(queue).into(), options, Default::default());
        let declared = declaring.await?;
        let counts = (declared.message_count(), declared.consumer_count());
        let _ = connection.close(200, "done".into()).await;
        Ok(counts)
    }

    /// The name of this stage's exchange.
    pub fn exchange_name(&self) -> &str {
        &self.prefix
    }

    /// A connection to the broker.
    pub async fn broker(&self) -> Connection {
        let connecting = Connection::connect(&self.amqp_url, ConnectionProperties::default());
        within("RabbitMQ", ANSWER_LIMIT, connecting).await.expect("RabbitMQ answers")
    }

    async fn clean_up(admin_url: &str, amqp_url: &str, name: &str) -> anyhow::Result<()> {
        connect(admin_url).await.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in ["tasks", "dead"] {
            channel.queue_delete(format!("{name}.{queue}").into(), QueueDeleteOptions::default()).await?;
        }
        channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let (admin_url, amqp_url) = (self.admin_url.clone(), self.amqp_url.clone());
        let name = self.database_name.clone();
        // A runtime of its own, because the test's may be ending.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let cleaning = Self::clean_up(&admin_url, &amqp_url, &name);
            runtime.block_on(within("the servers", ANSWER_LIMIT, cleaning))
        });
        match cleaning.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("could not clean up after the test: {error:#}"),
            Err(_) => eprintln!("could not clean up after the test"),
        }
    }
}
