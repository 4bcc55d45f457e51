//! A service that runs beside the test.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use crate::stage::eventually;

/// A running `longshore`, killed when it is dropped. Its log is a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it prints goes to a new file.
    pub fn spawn(mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("a log file");
        let child = command
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Self { child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended; `None` while it runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log")).into_owned()
    }

    /// Where its log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Waits until the log has this text.
    pub async fn logs(&self, text: &str) {
        eventually(&format!("`{text}` in {}", self.log.display()), || async { self.log().contains(text) })
            .await;
    }

    /// Sends a signal by its name, such as `TERM` or `KILL`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success(), "kill -{name}");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        for _ in 0..1200 {
            if let Some(status) = self.status() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("still running after a minute; its log:\n{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// The command as on a host that has booted without its mount: an empty folder lies where `folder` is. Needs `unshare` of
/// util-linux, and a kernel that lets whoever runs the tests mount something in a namespace of its own.
pub fn without_mount(command: &Command, folder: &Path) -> Command {
    after_mounting(command, folder, r#"mount -t tmpfs none "$0" && exec "$@""#)
}

/// The command where `folder` is a mount of its own, of the file system that it is on anyway. Needs what [`without_mount`] does.
pub fn on_a_mount_of_its_own(command: &Command, folder: &Path) -> Command {
    after_mounting(command, folder, r#"mount --bind "$0" "$0" && exec "$@""#)
}

fn after_mounting(command: &Command, folder: &Path, script: &str) -> Command {
    let mut unshared = Command::new("unshare");
    unshared.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(folder);
    unshared.arg(command.get_program()).args(command.get_args());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => unshared.env(variable, value),
            None => unshared.env_remove(variable),
        };
    }
    unshared
}
