//! What is logged, and in which form.

use anyhow::bail;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// Every target of this workspace begins with this.
const OURS: &str = "longshore";

/// The most that dependencies may log.
///
/// At debug and trace drivers log what they carry: tokio-postgres statements with their parameters, and so
/// cell values; lapin whole frames, of which one holds the broker's password. No directive may turn that
/// on. At info and above they log states and errors.
const DEPENDENCIES_MAX: Level = Level::INFO;

/// What dependencies log when the directives do not name them.
const DEPENDENCIES_DEFAULT: LevelFilter = LevelFilter::WARN;

/// Whether a span or an event comes from this workspace.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(OURS)
}

/// The directives of `LONGSHORE_LOG`, under a limit for dependencies that they cannot lift.
#[derive(Debug)]
pub(super) struct LogFilter {
    directives: Targets,
}

impl LogFilter {
    /// Parses `LEVEL` or `TARGET=LEVEL`, several separated by commas. Nothing at all means info.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut level = LevelFilter::INFO;
        let mut targets = Vec::new();
        for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            // A bare target would be no error elsewhere and mean trace: here it is a mistyped level.
            match directive.split_once('=') {
                None => level = parse_level(directive, directive)?,
                Some((target, text)) => {
                    targets.push((parse_target(target, directive)?, parse_level(text, directive)?));
                }
            }
        }
        let directives = Targets::new()
            .with_default(level.min(DEPENDENCIES_DEFAULT))
            // They log as errors what they return as ones, and we report that.
            .with_target("lapin", LevelFilter::OFF)
            .with_target("deadpool", LevelFilter::OFF)
            .with_target(OURS, level)
            .with_targets(targets);
        Ok(Self { directives })
    }

    fn passes(&self, metadata: &Metadata<'_>) -> bool {
        (is_ours(metadata) || *metadata.level() <= DEPENDENCIES_MAX)
            && self.directives.would_enable(metadata.target(), metadata.level())
    }
}

fn parse_level(text: &str, directive: &str) -> anyhow::Result<LevelFilter> {
    Ok(match text.trim().to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => bail!(
            "LONGSHORE_LOG or --log: {directive:?} is neither a level (error, warn, info, debug, trace, off) \
             nor TARGET=LEVEL"
        ),
    })
}

fn parse_target<'a>(text: &'a str, directive: &str) -> anyhow::Result<&'a str> {
    let target = text.trim();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if target.is_empty() || !target.chars().all(allowed) {
        bail!("LONGSHORE_LOG or --log: {directive:?} names no target, such as longshore_worker");
    }
    Ok(target)
}

impl<S> Filter<S> for LogFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.passes(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.passes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.directives)
    }
}

/// One line per event: time in UTC, level, enclosing spans, target, message, fields.
pub(super) fn layer<S, W>(filter: LogFilter, writer: W, ansi: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().compact().with_ansi(ansi).with_writer(writer).with_filter(filter)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, info_span, trace, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::stderr::escaped;
    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `directives` let through of what `work` logs.
    pub(in crate::telemetry) fn logged(directives: &str, ansi: bool, work: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let layer = layer(LogFilter::parse(directives).unwrap(), move || writer.clone(), ansi);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn own_and_driver() {
        trace!("own-trace");
        debug!("own-debug");
        info!("own-info");
        warn!("own-warn");
        error!("own-error");
        trace!(target: "tokio_postgres::query", "driver-trace");
        debug!(target: "tokio_postgres::query", "driver-debug");
        info!(target: "tokio_postgres::query", "driver-info");
        warn!(target: "tokio_postgres::query", "driver-warn");
        error!(target: "tokio_postgres::query", "driver-error");
    }

    #[test]
    fn directives_choose_what_is_logged() {
        for (directives, expected) in [
            ("", "own-info own-warn own-error driver-warn driver-error"),
            ("info", "own-info own-warn own-error driver-warn driver-error"),
            ("ERROR", "own-error driver-error"),
            ("off", ""),
            (
                "warn, longshore_common::telemetry = debug,",
                "own-debug own-info own-warn own-error driver-warn driver-error",
            ),
            ("info,longshore_worker=trace", "own-info own-warn own-error driver-warn driver-error"),
            ("error,tokio_postgres=info", "own-error driver-info driver-warn driver-error"),
        ] {
            let log = logged(directives, false, own_and_driver);
            let messages: Vec<_> = log.lines().filter_map(|line| line.split(' ').next_back()).collect();
            assert_eq!(messages.join(" "), expected, "{directives:?}");
        }
    }

    #[test]
    fn no_directive_shows_what_drivers_log_below_info() {
        for directives in [
            "trace",
            "trace,tokio_postgres=trace",
            "tokio_postgres::query=trace",
            "t=trace,to=debug,longshore=off",
        ] {
            let log = logged(directives, false, own_and_driver);
            assert!(!log.contains("driver-trace") && !log.contains("driver-debug"), "{directives:?}: {log}");
        }
    }

    #[test]
    fn lapin_says_nothing_unless_it_is_asked() {
        let broken = || error!(target: "lapin::io_loop", "connection-closed");
        assert_eq!(logged("trace", false, broken), "");
        assert!(logged("info,lapin=warn", false, broken).contains("connection-closed"));
    }

    #[test]
    fn a_bad_directive_is_refused_by_name() {
        for directives in
            ["inof", "longshore_worker", "info,=debug", "longshore=verbose", "[span]=info", "a b=info", "3"]
        {
            let error = LogFilter::parse(directives).unwrap_err().to_string();
            assert!(error.starts_with("LONGSHORE_LOG"), "{directives:?}: {error}");
        }
    }

    #[test]
    fn colours_reach_a_terminal_and_no_other_escape_sequence() {
        let erase = "\u{1b}[2K\u{9b}2K";
        let log = logged("info", true, || {
            let _span = info_span!("load", file = %erase, path = ?erase, text = erase).entered();
            info!(file = %erase, path = ?erase, text = erase, "found {erase}");
        });
        let line = escaped(&log, true);
        assert!(line.contains("\u{1b}[2m"), "{line:?}");
        assert!(!line.contains("\u{1b}[2K") && !line.contains('\u{9b}'), "{line:?}");
        assert_eq!(line.matches("[2K").count(), 7, "{line:?}");
    }
}
