//! Postgres: crashes and recovery.

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::Servers;

impl Servers {
    /// Ends it at once, without a checkpoint, as `pg_ctl stop -m immediate` does.
    pub async fn stop_postgres_immediately(&self) -> anyhow::Result<()> {
        self.stack("kill", &["postgres"]).await.map(drop)
    }

    /// Starts it with the data and the port that it had; returns once it answers.
    pub async fn start_postgres(&self) -> anyhow::Result<()> {
        self.stack("revive", &["postgres"]).await.map(drop)
    }

    /// Makes a replica of it that streams, and gives the URL of its database `longshore`. There is one of a stack at most.
    pub async fn start_standby(&self) -> anyhow::Result<String> {
        Ok(self.stack("standby", &["start"]).await?.trim().to_owned())
    }

    /// Ends the replica and removes its data.
    pub async fn stop_standby(&self) -> anyhow::Result<()> {
        self.stack("standby", &["stop"]).await.map(drop)
    }

    /// Kills one backend with SIGKILL: the server ends all others and recovers by itself.
    pub async fn kill_backend(&self, pid: i32) -> anyhow::Result<()> {
        let name = tokio::fs::read_to_string(format!("/proc/{pid}/comm")).await;
        let name = name.with_context(|| format!("there is no process {pid}"))?;
        ensure!(name.trim() == "postgres", "process {pid} is no backend, but {}", name.trim());
        let killed = Command::new("kill").arg("-KILL").arg(pid.to_string()).status().await?;
        ensure!(killed.success(), "cannot kill backend {pid}");
        Ok(())
    }
}
