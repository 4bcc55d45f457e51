//! One file's rows: the header first, then tuples and rejects, counted and held to the dataset's limits.

use std::sync::Arc;

use super::{
    encode::Encoder,
    error::FileError,
    fields::{Field, split_plain, split_quoted},
    header::Header,
    plan::RowPlan,
    reject::{Fault, Reject, RejectSummary},
    split::{Kind, Piece, Splitter},
};

/// A file with fewer rows is not held to `rejects.max_ratio`: a few bad rows of a small file are a large share.
const MIN_ROWS_FOR_RATIO: u64 = 1000;
/// How many rejects an error shows.
const SHOWN_REJECTS: usize = 3;

/// What pushes add to and the caller drains.
#[derive(Debug, Default)]
pub struct Output {
    /// Tuples of a binary COPY, each whole, without the COPY's header and trailer.
    pub tuples: Vec<u8>,
    /// How many tuples these are.
    pub rows: u64,
    /// The rejected rows, in the file's order.
    pub rejects: Vec<Reject>,
}

/// How many rows a file has so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records after the header: those given as tuples and those rejected.
    pub rows_read: u64,
    /// Records rejected.
    pub rows_rejected: u64,
}

/// The rows of one file: chunks of bytes in, COPY tuples and rejects out.
///
/// Memory is bounded by `csv.max_record_bytes` and one chunk. What comes out does not depend on where chunks are cut.
#[derive(Debug)]
pub struct FileRows {
    splitter: Splitter,
    rows: Rows,
}

/// Everything but the splitter, from which a record is borrowed while it is worked on.
#[derive(Debug)]
struct Rows {
    plan: Arc<RowPlan>,
    file_id: i64,
    /// From the header on.
    encoder: Option<Encoder>,
    /// Those of the current record.
    fields: Vec<Field>,
    counts: Counts,
    first_rejects: Vec<RejectSummary>,
}

impl FileRows {
    /// The rows of a file that has this id in `longshore.file`.
    pub fn new(plan: Arc<RowPlan>, file_id: i64) -> Self {
        let csv = &plan.csv;
        // At most 16 MiB, and both characters are ASCII: the spec's check says so.
        let splitter = Splitter::new(csv.delimiter as u8, csv.quote as u8, csv.max_record_bytes.0 as usize);
        let rows = Rows {
            plan,
            file_id,
            encoder: None,
            fields: Vec::new(),
            counts: Counts::default(),
            first_rejects: Vec::new(),
        };
        Self { splitter, rows }
    }

    /// Processes every record that is complete with this chunk. Chunks may be cut anywhere.
    ///
    /// # Errors
    ///
    /// The file as a whole fails: its header, its lines or its rejects. Nothing sensible comes after an error.
    pub fn push(&mut self, chunk: &[u8], out: &mut Output) -> Result<(), FileError> {
        self.splitter.push(chunk);
        self.take_pieces(false, out)
    }

    /// The input has ended: processes the last record, also without its line break, and holds the counts to
    /// `rejects.max_ratio`. An input without a header has no rows and is no error.
    ///
    /// # Errors
    ///
    /// As [`Self::push`], and too large a share of rejects.
    pub fn finish(&mut self, out: &mut Output) -> Result<(), FileError> {
        self.take_pieces(true, out)?;
        self.rows.check_ratio()
    }

    /// The rows so far.
    pub fn counts(&self) -> Counts {
        self.rows.counts
    }

    fn take_pieces(&mut self, ended: bool, out: &mut Output) -> Result<(), FileError> {
        while let Some(piece) = self.splitter.next_piece(ended) {
            self.rows.take(&piece, out)?;
        }
        Ok(())
    }
}

impl Rows {
    fn take(&mut self, piece: &Piece<'_>, out: &mut Output) -> Result<(), FileError> {
        let line = i32::try_from(piece.line).map_err(|_| FileError::TooManyLines)?;
        let (csv, fields) = (&self.plan.csv, &mut self.fields);
        // Both are ASCII: the spec's check says so.
        let (delimiter, quote) = (csv.delimiter as u8, csv.quote as u8);
        match piece.kind {
            Kind::Plain => split_plain(piece.bytes, delimiter, fields),
            Kind::Quoted => split_quoted(piece.bytes, delimiter, quote, fields),
            Kind::Broken(_) => {}
        }
        let Some(encoder) = &mut self.encoder else {
            return self.take_header(piece, line);
        };
        self.counts.rows_read += 1;
        let encoded = match piece.kind {
            Kind::Plain | Kind::Quoted => {
                encoder.encode(&self.plan, piece.bytes, fields, line, &mut out.tuples)
            }
            Kind::Broken(breakage) => Err(Fault::Broken(breakage)),
        };
        match encoded {
            Ok(()) => {
                out.rows += 1;
                Ok(())
            }
            Err(fault) => self.take_fault(piece, line, fault, out),
        }
    }

    fn take_header(&mut self, piece: &Piece<'_>, line: i32) -> Result<(), FileError> {
        let csv = &self.plan.csv;
        if let Kind::Broken(breakage) = piece.kind {
            let reason = breakage.reason(csv.max_record_bytes.0 as usize);
            return Err(FileError::UnreadableHeader { line, reason });
        }
        let name = |field: &Field| field.cell(piece.bytes, csv.quote as u8, &mut Vec::new()).text().to_vec();
        let names: Vec<_> = self.fields.iter().map(name).collect();
        let header = Header::resolve(&self.plan.columns, csv.extra_columns, &names)?;
        self.encoder = Some(Encoder::new(&self.plan, header, self.file_id));
        Ok(())
    }

    #[cold]
    fn take_fault(
        &mut self,
        piece: &Piece<'_>,
        line: i32,
        fault: Fault,
        out: &mut Output,
    ) -> Result<(), FileError> {
        let reject = self.reject(piece, line, fault);
        if self.first_rejects.len() < SHOWN_REJECTS {
            self.first_rejects.push(reject.summary());
        }
        out.rejects.push(reject);
        self.counts.rows_rejected += 1;
        let limit = u64::from(self.plan.limits.max_rows);
        if self.counts.rows_rejected > limit {
            let first = std::mem::take(&mut self.first_rejects);
            return Err(FileError::TooManyRejects { count: self.counts.rows_rejected, limit, first });
        }
        Ok(())
    }

    fn reject(&self, piece: &Piece<'_>, line: i32, fault: Fault) -> Reject {
        let (column, rule, reason) = match fault {
            Fault::Broken(breakage) => {
                (None, breakage.rule(), breakage.reason(self.plan.csv.max_record_bytes.0 as usize))
            }
            Fault::FieldCount { found, expected } => {
                let plural = if found == 1 { "" } else { "s" };
                (None, "field_count", format!("has {found} field{plural}, the header has {expected}"))
            }
            Fault::Column(index, fault) => {
                let column = &self.plan.columns[index];
                let (rule, reason) = column.explain(fault);
                (Some(column), rule, reason)
            }
        };
        Reject::new(line, piece, column.map(|column| column.name.as_str()), rule, reason)
    }

    fn check_ratio(&mut self) -> Result<(), FileError> {
        let Counts { rows_read: read, rows_rejected: rejected } = self.counts;
        let limit = self.plan.limits.max_ratio;
        if read < MIN_ROWS_FOR_RATIO || rejected as f64 <= limit * read as f64 {
            return Ok(());
        }
        Err(FileError::RejectRatio { rejected, read, limit, first: std::mem::take(&mut self.first_rejects) })
    }
}

#[cfg(test)]
mod tests;
