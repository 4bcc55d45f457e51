//! How far a figure is, on stderr: a bar where somebody watches, lines elsewhere.

use std::{
    io::{self, IsTerminal},
    sync::LazyLock,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Bars that are there at once stand one below the other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Goes away when it is dropped.
pub struct Progress {
    name: &'static str,
    /// `None` where stderr is no terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For a figure of so many steps.
    pub fn new(name: &'static str, steps: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = BARS.add(ProgressBar::new(steps).with_prefix(name));
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} ({elapsed})")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Self { name, bar }
    }

    /// The next step begins; the first call begins the first.
    pub fn begin(&self, step: &str) {
        match &self.bar {
            Some(bar) => {
                if !bar.message().is_empty() {
                    bar.inc(1);
                }
                bar.set_message(step.to_owned());
            }
            None => eprintln!("{}: {step} …", self.name),
        }
    }

    /// Prints a line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("{}: {line}", self.name)),
            None => eprintln!("{}: {line}", self.name),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
