//! What a load of a file would give, by the code that loads and without a database.

use std::{fs::File, sync::Arc};

use crate::{
    archive::{CHUNK_BYTES, Content},
    failure::Failure,
    rows::{Counts, FileRows, Output, Reject, RowPlan},
};

/// What a load of one file would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// Rows read and rejected; where the file fails, as far as it was read.
    pub counts: Counts,
    /// After decompression.
    pub bytes_read: u64,
    /// Why no row of the file would load, in the words that its FAILED task would have.
    pub failure: Option<String>,
}

impl DryRun {
    /// Rows that would be in the target table; none of a file that fails.
    ///
    /// Constraints that the table has beyond the spec's own are not known here.
    pub fn rows_loaded(&self) -> u64 {
        match self.failure {
            Some(_) => 0,
            None => self.counts.rows_read - self.counts.rows_rejected,
        }
    }
}

/// A piece of a dry run.
#[derive(Debug)]
pub struct DryRunStep {
    /// How much of the stored file has been read.
    pub stored_bytes: u64,
    /// The rows rejected since the last step.
    pub rejects: Vec<Reject>,
}

/// Reads the file to its end or its failure, and shows each step. Blocks.
///
/// `name` is the file's name or URI: what it promises by `.gz` or `.zst` must be true.
pub fn dry_run(file: File, name: &str, plan: Arc<RowPlan>, mut show: impl FnMut(DryRunStep)) -> DryRun {
    let size_in_bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let mut content = Content::new(Box::new(file), name, size_in_bytes, plan.csv());
    let mut rows = FileRows::new(plan, 0);
    let outcome = read(&mut content, &mut rows, &mut show);
    DryRun {
        counts: rows.counts(),
        bytes_read: content.bytes_given(),
        failure: outcome.err().map(|failure| failure.for_operators()),
    }
}

fn read(
    content: &mut Content,
    rows: &mut FileRows,
    show: &mut impl FnMut(DryRunStep),
) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut output = Output::default();
    loop {
        let length = content.read_chunk(&mut chunk)?;
        let outcome = match length {
            0 => rows.finish(&mut output),
            _ => rows.push(&chunk[..length], &mut output),
        };
        // Also the rejects that fail the file.
        let rejects = std::mem::take(&mut output.rejects);
        show(DryRunStep { stored_bytes: content.stored_bytes(), rejects });
        outcome?;
        if length == 0 {
            return Ok(());
        }
        output.tuples.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use longshore_common::dataset::parse_spec;

    use super::*;

    const SPEC: &str = "name = \"orders\"\nsource = \"file:///srv/orders\"\n[rejects]\nmax_rows = 2\n[target]\n\
                        table = \"reporting.orders\"\n[[columns]]\nname = \"id\"\ntype = \"integer\"\n";

    fn run(name: &str, content: &[u8]) -> (DryRun, Vec<i32>) {
        let plan = RowPlan::compile(&parse_spec("orders.toml", SPEC, |_| None).unwrap()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        let mut lines = Vec::new();
        let dry_run = dry_run(file, name, Arc::new(plan), |step| {
            lines.extend(step.rejects.iter().map(|reject| reject.line));
        });
        (dry_run, lines)
    }

    #[test]
    fn good_rows_would_load_and_bad_ones_are_shown() {
        let (dry_run, lines) = run("a.csv", b"id\n1\nx\n3\n4.5");
        assert_eq!((dry_run.counts.rows_read, dry_run.rows_loaded(), dry_run.failure), (4, 2, None));
        assert_eq!((dry_run.bytes_read, lines), (12, vec![3, 5]));
    }

    #[test]
    fn nothing_of_a_file_that_fails_would_load() {
        let (dry_run, lines) = run("a.csv", b"id\n1\nx\ny\nz\n2\n");
        assert!(dry_run.failure.as_ref().unwrap().contains("rejects.max_rows"), "{dry_run:?}");
        assert_eq!((dry_run.rows_loaded(), lines), (0, vec![3, 4, 5]));
        let (dry_run, _) = run("a.csv.gz", b"id\n1\n");
        assert!(dry_run.failure.unwrap().contains("no gzip archive"));
        let (dry_run, _) = run("a.csv", b"number\n1\n");
        assert!(dry_run.failure.unwrap().contains("the header lacks `id`"));
    }
}
