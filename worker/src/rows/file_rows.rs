//! One file's rows: the header first, then tuples and rejects, counted and held to the dataset's limits.

use std::sync::Arc;

use longshore_common::dataset::ExtraColumns;

use super::{
    decode::Decoder,
    encode::Encoder,
    error::FileError,
    fields::{Field, MAX_FIELDS},
    header::Header,
    plan::RowPlan,
    reject::{Fault, Reject, RejectSummary},
    split::{Kind, Piece, Splitter},
    stray_quotes::other_reading,
    text_check::{Flaw, first_flaw},
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
/// Memory is bounded by `csv.max_record_bytes` and one chunk, or what the chunk becomes as UTF-8. What comes out does
/// not depend on where chunks are cut.
#[derive(Debug)]
pub struct FileRows {
    decoder: Decoder,
    splitter: Splitter,
    rows: Rows,
}

/// Everything behind the splitter, from which a record is borrowed while it is worked on.
#[derive(Debug)]
struct Rows {
    plan: Arc<RowPlan>,
    file_id: i64,
    /// Lines of the header that have not come yet.
    header_lines: u32,
    /// From then on where it is known which field is which column.
    encoder: Option<Encoder>,
    counts: Counts,
    first_rejects: Vec<RejectSummary>,
}

impl FileRows {
    /// The rows of a file that has this id in `longshore.file`.
    pub fn new(plan: Arc<RowPlan>, file_id: i64) -> Self {
        let csv = &plan.csv;
        let decoder = Decoder::new(csv.encoding);
        // At most 16 MiB: the spec's check says so.
        let splitter = Splitter::new(plan.dialect, csv.skip_lines, csv.max_record_bytes.0 as usize);
        Self { decoder, splitter, rows: Rows::new(plan, file_id) }
    }

    /// Processes every record that is complete with this chunk. Chunks may be cut anywhere.
    ///
    /// # Errors
    ///
    /// The file as a whole fails: its header, its lines or its rejects. Nothing sensible comes after an error.
    pub fn push(&mut self, chunk: &[u8], out: &mut Output) -> Result<(), FileError> {
        self.take_bytes(chunk, false, out)
    }

    /// The input has ended: processes the last record, also without its line break, and holds the counts to
    /// `rejects.max_ratio`. An input without a header has no rows and is no error. To be called once.
    ///
    /// # Errors
    ///
    /// As [`Self::push`], and too large a share of rejects.
    pub fn finish(&mut self, out: &mut Output) -> Result<(), FileError> {
        self.take_bytes(&[], true, out)?;
        self.rows.check_ratio()
    }

    /// The rows so far.
    pub fn counts(&self) -> Counts {
        self.rows.counts
    }

    fn take_bytes(&mut self, bytes: &[u8], ended: bool, out: &mut Output) -> Result<(), FileError> {
        self.decoder.forget_lines_before(self.splitter.offset());
        self.splitter.push(self.decoder.decode(bytes, ended));
        while let Some(piece) = self.splitter.next_piece(ended) {
            self.rows.take(&piece, &mut self.decoder, out)?;
        }
        Ok(())
    }
}

impl Rows {
    fn new(plan: Arc<RowPlan>, file_id: i64) -> Self {
        let (csv, columns) = (&plan.csv, plan.columns.len());
        let by_position = !csv.has_header() && csv.extra_columns == ExtraColumns::Fail;
        let encoder =
            by_position.then(|| Encoder::new(&plan, Header::by_position(columns, columns), file_id));
        Self {
            header_lines: csv.header.0,
            plan,
            file_id,
            encoder,
            counts: Counts::default(),
            first_rejects: Vec::new(),
        }
    }

    fn take(&mut self, piece: &Piece<'_>, decoder: &mut Decoder, out: &mut Output) -> Result<(), FileError> {
        let line = i32::try_from(piece.line).map_err(|_| FileError::TooManyLines)?;
        if self.header_lines > 0 {
            self.header_lines -= 1;
            return if self.header_lines == 0 { self.take_names(piece, line) } else { Ok(()) };
        }
        if self.counts.rows_read == self.plan.csv.max_rows {
            return Err(FileError::TooManyRows { limit: self.plan.csv.max_rows });
        }
        self.counts.rows_read += 1;
        match self.encode(piece, line, out) {
            Ok(()) => {
                out.rows += 1;
                Ok(())
            }
            Err(fault) => {
                let reject = self.reject(piece, line, decoder.line_offset(piece.byte_offset), fault);
                self.take_reject(reject, out)
            }
        }
    }

    /// The header's last line.
    fn take_names(&mut self, piece: &Piece<'_>, line: i32) -> Result<(), FileError> {
        let RowPlan { csv, dialect, columns, .. } = &*self.plan;
        let unreadable = |reason| FileError::UnreadableHeader { line, reason };
        if let Kind::Broken(breakage) = piece.kind {
            return Err(unreadable(breakage.reason(csv.max_record_bytes.0 as usize)));
        }
        if piece.field_count > MAX_FIELDS {
            return Err(FileError::TooManyColumns { line, found: piece.field_count as u64 });
        }
        let name = |field: &Field| field.cell(piece.bytes, dialect, &mut Vec::new()).text().to_vec();
        let names: Vec<_> = piece.fields.iter().map(name).collect();
        let header = match Header::resolve(columns, csv.extra_columns, piece.bytes, &names) {
            // Read with the wrong encoding, names are not what they are.
            Err(FileError::MissingColumn { .. }) if piece.kind == Kind::NotText => {
                return Err(unreadable(format!("{}; is csv.encoding right?", flaw(piece).1.reason())));
            }
            resolved => resolved?,
        };
        self.encoder = Some(Encoder::new(&self.plan, header, self.file_id));
        Ok(())
    }

    #[inline]
    fn encode(&mut self, piece: &Piece<'_>, line: i32, out: &mut Output) -> Result<(), Fault> {
        match piece.kind {
            Kind::Record if piece.has_quote => {
                if let Some(other) = other_reading(piece.bytes, piece.fields, &self.plan.dialect) {
                    return Err(Fault::Ambiguous(other));
                }
            }
            Kind::Record => {}
            Kind::NotText => return Err(self.not_text(piece)),
            Kind::Broken(breakage) => return Err(Fault::Broken(breakage)),
        }
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None => {
                // No header, and further columns are left out: the first record with enough fields says how many
                // all of them must have, so that none is shifted.
                let (found, expected) = (piece.field_count, self.plan.columns.len());
                if !(expected..=MAX_FIELDS).contains(&found) {
                    return Err(Fault::FieldCount { expected });
                }
                let header = Header::by_position(expected, found);
                self.encoder.insert(Encoder::new(&self.plan, header, self.file_id))
            }
        };
        encoder.encode(&self.plan, piece.bytes, piece.fields, line, &mut out.tuples)
    }

    #[cold]
    fn not_text(&self, piece: &Piece<'_>) -> Fault {
        let (at, flaw) = flaw(piece);
        let field = piece.fields.partition_point(|field| field.end() <= at);
        let column = self.encoder.as_ref().and_then(|encoder| encoder.column_of_field(piece.fields, field));
        Fault::NotText(flaw, column)
    }

    #[cold]
    fn take_reject(&mut self, reject: Reject, out: &mut Output) -> Result<(), FileError> {
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

    #[cold]
    fn reject(&self, piece: &Piece<'_>, line: i32, byte_offset: u64, fault: Fault) -> Reject {
        let (column, rule, reason) = match fault {
            Fault::Broken(breakage) => {
                (None, breakage.rule(), breakage.reason(self.plan.csv.max_record_bytes.0 as usize))
            }
            Fault::Ambiguous(other) => (None, "quote_ambiguous", other.reason(piece.field_count)),
            Fault::NotText(flaw, column) => (column, flaw.rule(), flaw.reason().to_owned()),
            Fault::FieldCount { expected } => {
                (None, "field_count", self.field_count_reason(piece.field_count, expected))
            }
            Fault::Column(index, fault) => {
                let (rule, reason) = self.plan.columns[index].explain(fault);
                (Some(index), rule, reason)
            }
        };
        let column = column.map(|index| self.plan.columns[index].name.as_str());
        Reject::new(line, byte_offset, piece, column, rule, reason)
    }

    fn field_count_reason(&self, found: usize, expected: usize) -> String {
        let plural = if found == 1 { "" } else { "s" };
        if self.plan.csv.has_header() {
            format!("has {found} field{plural}, the header has {expected}")
        } else {
            format!("has {found} field{plural}, expected {expected}")
        }
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

/// Where a record that is no text has its first flaw.
fn flaw(piece: &Piece<'_>) -> (usize, Flaw) {
    first_flaw(piece.bytes).unwrap_or((0, Flaw::Encoding))
}

#[cfg(test)]
mod tests;
