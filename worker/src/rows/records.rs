//! The records of a file as they are split, before a plan holds them against columns: what inference looks at.

use longshore_common::dataset::Csv;

use super::{
    decode::Decoder,
    dialect::Dialect,
    split::{Kind, Piece, Splitter},
};

/// The records of one file: chunks of bytes in, a visit for each record that is complete.
#[derive(Debug)]
pub(crate) struct Records {
    dialect: Dialect,
    decoder: Decoder,
    splitter: Splitter,
    scratch: Vec<u8>,
}

/// One record.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// Physical line on which it begins, from 1.
    pub(crate) line: u64,
    piece: Piece<'a>,
    dialect: &'a Dialect,
    scratch: &'a mut Vec<u8>,
}

impl Records {
    /// The header and the columns play no part here: the first record is the one behind `skip_lines`.
    pub(crate) fn new(csv: &Csv) -> Self {
        let dialect = Dialect::new(csv);
        Self {
            dialect,
            decoder: Decoder::new(csv.encoding),
            // At most 16 MiB: the spec's check says so.
            splitter: Splitter::new(dialect, csv.skip_lines, csv.max_record_bytes.0 as usize),
            scratch: Vec::new(),
        }
    }

    /// Visits every record that is complete with this chunk. Chunks may be cut anywhere.
    pub(crate) fn push(&mut self, chunk: &[u8], visit: impl FnMut(Record<'_>)) {
        self.take_bytes(chunk, false, visit);
    }

    /// The input has ended: visits the last record, also without its line break.
    pub(crate) fn finish(&mut self, visit: impl FnMut(Record<'_>)) {
        self.take_bytes(&[], true, visit);
    }

    fn take_bytes(&mut self, bytes: &[u8], ended: bool, mut visit: impl FnMut(Record<'_>)) {
        self.decoder.forget_lines_before(self.splitter.offset());
        self.splitter.push(self.decoder.decode(bytes, ended));
        while let Some(piece) = self.splitter.next_piece(ended) {
            let (dialect, scratch) = (&self.dialect, &mut self.scratch);
            visit(Record { line: piece.line, piece, dialect, scratch });
        }
    }
}

impl Record<'_> {
    /// Whether it has fields: it is neither broken nor something else than text.
    pub(crate) fn is_whole(&self) -> bool {
        self.piece.kind == Kind::Record
    }

    /// How many fields it has, if it is whole; one too many if it has more than a record may have.
    pub(crate) fn width(&self) -> usize {
        self.piece.fields.len()
    }

    /// Shows each field, with its place, its text and whether it stands in quotes.
    pub(crate) fn each_field(&mut self, mut visit: impl FnMut(usize, &[u8], bool)) {
        for (place, field) in self.piece.fields.iter().copied().enumerate() {
            let cell = field.cell(self.piece.bytes, self.dialect, self.scratch);
            visit(place, cell.text(), cell.quoted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_as_the_rows_of_a_load_would_however_the_bytes_are_cut() {
        let csv = Csv { skip_lines: 1, ..Csv::default() };
        let input = "preamble\na,\"b\nc\"\n\n1,\"x\"\"y\"\n\"z\"w,2\nlast,";
        for chunk in [1, 3, 1000] {
            let (mut records, mut found) = (Records::new(&csv), Vec::new());
            let mut note = |mut record: Record<'_>| {
                let mut text = format!("{} {}:", record.line, record.is_whole());
                record.each_field(|place, field, is_quoted| {
                    text += &format!(
                        " {place}{}{}",
                        if is_quoted { '\'' } else { '=' },
                        String::from_utf8_lossy(field)
                    );
                });
                found.push(text);
            };
            input.as_bytes().chunks(chunk).for_each(|chunk| records.push(chunk, &mut note));
            records.finish(&mut note);
            assert_eq!(found[..2], ["2 true: 0=a 1'b\nc", "5 true: 0=1 1'x\"y"]);
            assert!(found[2].starts_with("6 false:"), "{found:?}");
            assert_eq!(found[3..], ["7 true: 0=last 1="]);
        }
    }
}
