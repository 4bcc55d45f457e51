//! Scanners and workers as real processes.

use std::{fmt, process::ExitStatus, time::Duration};

use longshore_tests::Process;

use crate::wait;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Scanner,
    Worker,
    /// `longshore scan`, as an outside cron calls it.
    Cron,
}

impl Kind {
    /// Its command line.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Scanner => &["scanner"],
            Self::Worker => &["worker"],
            Self::Cron => &["scan"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Scanner => "scanner",
            Self::Worker => "worker",
            Self::Cron => "scan",
        })
    }
}

/// A running process, killed when it is dropped.
pub(crate) struct Service {
    pub(crate) kind: Kind,
    process: Process,
}

impl Service {
    pub(crate) fn new(kind: Kind, process: Process) -> Self {
        Self { kind, process }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its name in messages, and where its log is.
    pub(crate) fn name(&self) -> String {
        format!("{} {} ({})", self.kind, self.id(), self.process.log_path().display())
    }

    /// `STOP`, `CONT` or `TERM`; nothing if it has ended by itself.
    pub(crate) fn signal(&mut self, name: &str) {
        if !self.has_ended() {
            self.process.signal(name);
        }
    }

    /// `kill -9`; an error if it has ended by itself.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.has_ended(), "{} ended by itself", self.name());
        self.process.signal("KILL");
        Ok(())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.status().is_some()
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it has printed this.
    pub(crate) async fn prints(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        let what = format!("`{text}` from {}", self.name());
        wait::until(&what, limit, async || Ok(self.log().contains(text).then_some(()))).await
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name());
        let process = &mut self.process;
        wait::until(&what, limit, async || Ok(process.status())).await
    }
}
