//! What Longshore counts and measures. Nothing is recorded unless metrics are exported.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider};

static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

/// Bounds of `longshore.load.duration` in seconds, from one small file to the largest of batches.
const LOAD_SECONDS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

#[derive(Debug)]
struct Instruments {
    files_scanned: Counter<u64>,
    tasks_published: Counter<u64>,
    tasks_settled: Counter<u64>,
    rows_loaded: Counter<u64>,
    rows_rejected: Counter<u64>,
    files_with_too_few_rows: Counter<u64>,
    bytes_read: Counter<u64>,
    load_duration: Histogram<f64>,
}

/// The process's metrics, each by dataset.
#[derive(Clone, Copy, Debug)]
pub struct Metrics(Option<&'static Instruments>);

/// The metrics of this process; they go nowhere where none are exported.
#[must_use]
pub fn metrics() -> Metrics {
    Metrics(INSTRUMENTS.get())
}

/// Makes the instruments. What was counted before is lost, so this belongs to the start.
pub(super) fn install(provider: &impl MeterProvider) {
    let meter = provider.meter("longshore");
    let counter = |name, unit, description| {
        meter.u64_counter(name).with_unit(unit).with_description(description).build()
    };
    let instruments = Instruments {
        files_scanned: counter("longshore.files.scanned", "{file}", "New files that scans recorded"),
        tasks_published: counter("longshore.tasks.published", "{task}", "Tasks whose message was confirmed"),
        tasks_settled: counter("longshore.tasks.settled", "{task}", "Attempts that ended, by outcome"),
        rows_loaded: counter("longshore.rows.loaded", "{row}", "Rows committed to target tables"),
        rows_rejected: counter("longshore.rows.rejected", "{row}", "Rows committed to the reject table"),
        files_with_too_few_rows: counter(
            "longshore.files.too_few_rows",
            "{file}",
            "New versions that FAILED for fewer rows than discovery.min_rows_ratio allows",
        ),
        bytes_read: counter("longshore.bytes.read", "By", "Bytes of loaded files, after decompression"),
        load_duration: meter
            .f64_histogram("longshore.load.duration")
            .with_unit("s")
            .with_description("Time from the claim of a task to its end")
            .with_boundaries(LOAD_SECONDS.to_vec())
            .build(),
    };
    // Set twice only if telemetry was started twice, which `start` refuses.
    let _ = INSTRUMENTS.set(instruments);
}

impl Metrics {
    /// Counts files that a scan recorded.
    pub fn files_scanned(self, dataset: &str, files: u64) {
        self.add(|i| &i.files_scanned, dataset, files);
    }

    /// Counts tasks whose publication the broker confirmed.
    pub fn tasks_published(self, dataset: &str, tasks: u64) {
        self.add(|i| &i.tasks_published, dataset, tasks);
    }

    /// Counts one task that was settled; `outcome` is one of a few fixed words, such as `loaded`.
    pub fn task_settled(self, dataset: &str, outcome: &'static str) {
        if let Some(instruments) = self.0 {
            instruments.tasks_settled.add(1, &[by(dataset), KeyValue::new("outcome", outcome)]);
        }
    }

    /// Counts rows that were committed to the target table.
    pub fn rows_loaded(self, dataset: &str, rows: u64) {
        self.add(|i| &i.rows_loaded, dataset, rows);
    }

    /// Counts rows that were committed to the reject table.
    pub fn rows_rejected(self, dataset: &str, rows: u64) {
        self.add(|i| &i.rows_rejected, dataset, rows);
    }

    /// Counts new versions that had too few rows to take the earlier one's place.
    pub fn files_with_too_few_rows(self, dataset: &str, files: u64) {
        self.add(|i| &i.files_with_too_few_rows, dataset, files);
    }

    /// Counts bytes of files whose rows were committed, after decompression.
    pub fn bytes_read(self, dataset: &str, bytes: u64) {
        self.add(|i| &i.bytes_read, dataset, bytes);
    }

    /// Records how long the load of one task took.
    pub fn load_duration(self, dataset: &str, duration: Duration) {
        if let Some(instruments) = self.0 {
            instruments.load_duration.record(duration.as_secs_f64(), &[by(dataset)]);
        }
    }

    fn add(self, counter: impl FnOnce(&Instruments) -> &Counter<u64>, dataset: &str, count: u64) {
        if let Some(instruments) = self.0 {
            counter(instruments).add(count, &[by(dataset)]);
        }
    }
}

fn by(dataset: &str) -> KeyValue {
    KeyValue::new("dataset", dataset.to_owned())
}
