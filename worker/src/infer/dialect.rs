//! How a file is written, by trying: delimiter, quotes, escapes, comments, and lines before the header.
//!
//! The dialect wins under which the most records have the same number of fields, the more the better, and the fewest
//! fields look as if something in them should have split or quoted them. One that splits the first record, mostly a
//! header, like the others goes before all that do not: they found their delimiter in a column's texts.

use std::collections::BTreeMap;

use longshore_common::dataset::{AsciiOrNone, Csv, FileEncoding, HeaderLines, HumanBytes};

use super::sample::{Extent, Head};
use crate::rows::{Record, Records};

/// Delimiters that are taken wherever they fit, the likelier first.
const COMMON_DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Delimiters that stand in many texts: taken only if every record has the same number of fields.
const RARE_DELIMITERS: [char; 7] = ['¦', '^', '~', '\u{1f}', '\u{1}', ':', ' '];
/// What a rare delimiter is worth beside a common one.
const RARE_WORTH: f64 = 0.5;
/// What a dialect without quotes is worth: a stray quote now and then is an error in a row, and no dialect.
const UNQUOTED_WORTH: f64 = 0.99;
/// So many records that quotes would break show that the file is written without them. One is an error in a row.
const MIN_STRAY_QUOTES: usize = 2;
/// What a single column is worth: less than any two.
const SINGLE_COLUMN_WORTH: f64 = 0.01;
/// Lines before the header at most.
const MAX_PREAMBLE: usize = 50;
/// The share of records, behind a preamble if there is one, that have the same number of fields.
const MIN_USUAL_SHARE: f64 = 0.9;

/// The dialect of the file, without a header; `skip_lines` leaves out what stands before the first record that has as
/// many fields as most.
pub(super) fn sniff(head: &Head, encoding: FileEncoding) -> Csv {
    let plain = Csv {
        encoding,
        header: HeaderLines(0),
        // The most that a spec may allow: how long records are is not known yet.
        max_record_bytes: HumanBytes(16 << 20),
        null: Vec::new(),
        ..Csv::default()
    };
    let mut best = (plain.clone(), Shape::of(head, &plain));
    let mut best_worth = best.1.worth();
    let mut best_fits = fits_header(&best.0, &best.1);
    for csv in candidates(head, &plain) {
        let shape = Shape::of(head, &csv);
        let worth = shape.worth() * likelihood(&csv, &shape);
        let fits = fits_header(&csv, &shape);
        if fits && !best_fits || fits == best_fits && worth > best_worth + 1e-9 {
            (best_worth, best_fits) = (worth, fits);
            best = (csv, shape);
        }
    }
    let (mut csv, mut shape) = best;
    if csv.quote.0.is_none() {
        let quoted = Csv { quote: plain.quote, ..csv.clone() };
        let with_quotes = Shape::of(head, &quoted);
        if !shape.shows_stray_quotes(&with_quotes) {
            (csv, shape) = (quoted, with_quotes);
        }
    }
    if shape.has_comment {
        let commented = Csv { comment: AsciiOrNone(Some(b'#')), ..csv.clone() };
        let without = Shape::of(head, &commented);
        if without.share() > shape.share() {
            (csv, shape) = (commented, without);
        }
    }
    csv.skip_lines = shape.preamble_lines();
    csv
}

fn likelihood(csv: &Csv, shape: &Shape) -> f64 {
    let quote = if csv.quote.0.is_none() { UNQUOTED_WORTH } else { 1.0 };
    let delimiter = match COMMON_DELIMITERS.contains(&csv.delimiter) {
        true => 1.0,
        false if shape.share() == 1.0 && shape.widths.len() > 1 => RARE_WORTH,
        false => 0.0,
    };
    quote * delimiter
}

/// Whether the first record, mostly a header, is split like the others. A rare delimiter also splits titles alike.
fn fits_header(csv: &Csv, shape: &Shape) -> bool {
    COMMON_DELIMITERS.contains(&csv.delimiter) && shape.is_even_from_the_first()
}

/// The likelier first: a later one has to be better, not as good. What does not stand in the file is left out.
fn candidates(head: &Head, plain: &Csv) -> Vec<Csv> {
    let has = |byte: u8| head.bytes.contains(&byte);
    let mut candidates = Vec::new();
    for delimiter in COMMON_DELIMITERS.into_iter().chain(RARE_DELIMITERS) {
        // The last byte of a character is in the file in whatever encoding; `¦` is 0xA6 in windows-1252 too.
        let mut utf8 = [0; 4];
        if !delimiter.encode_utf8(&mut utf8).bytes().last().is_some_and(has) {
            continue;
        }
        for (quote, escape) in
            [(Some(b'"'), None), (Some(b'"'), Some(b'\\')), (None, None), (Some(b'\''), None)]
        {
            let is_worth_it = match (quote, escape) {
                (Some(b'"'), None) => true,
                (_, Some(escape)) => has(escape) && has(b'"'),
                (Some(quote), None) => has(quote),
                (None, None) => has(b'"'),
            };
            if is_worth_it && quote.map(char::from) != Some(delimiter) {
                let (quote, escape) = (AsciiOrNone(quote), AsciiOrNone(escape));
                candidates.push(Csv { delimiter, quote, escape, ..plain.clone() });
            }
        }
    }
    candidates
}

/// The records of a file's head under one dialect.
struct Shape {
    /// Per record its fields, none if it is broken, and the line on which it begins.
    widths: Vec<(Option<usize>, u64)>,
    /// The width of the most records.
    width: usize,
    fields: u64,
    /// How many of the fields are clean, in parts of one.
    clean: f64,
    /// Fields that stand in `"` which this dialect does not know.
    enclosed: usize,
    has_comment: bool,
}

impl Shape {
    fn of(head: &Head, csv: &Csv) -> Self {
        let mut shape =
            Self { widths: Vec::new(), width: 0, fields: 0, clean: 0.0, enclosed: 0, has_comment: false };
        let mut records = Records::new(csv);
        records.push(&head.bytes, |record| shape.note(record, csv.delimiter));
        if head.extent == Extent::Whole {
            records.finish(|record| shape.note(record, csv.delimiter));
        }
        shape.width = most_frequent(shape.widths.iter().filter_map(|(width, _)| *width)).unwrap_or(0);
        shape
    }

    fn note(&mut self, mut record: Record<'_>, delimiter: char) {
        if !record.is_whole() {
            self.widths.push((None, record.line));
            return;
        }
        self.widths.push((Some(record.width()), record.line));
        record.each_field(|place, text, is_quoted| {
            self.fields += 1;
            self.clean += if is_quoted { 1.0 } else { cleanness(text, delimiter) };
            self.enclosed += usize::from(!is_quoted && matches!(text, [b'"', .., b'"']));
            self.has_comment |= place == 0 && !is_quoted && text.starts_with(b"#");
        });
    }

    fn is_usual(&self, (width, _): &(Option<usize>, u64)) -> bool {
        *width == Some(self.width)
    }

    /// Whether nearly all records have the same number of fields, the first two among them: the first alone may be a
    /// title with the delimiter in it.
    fn is_even_from_the_first(&self) -> bool {
        self.width > 1
            && self.share() >= MIN_USUAL_SHARE
            && self.widths.iter().take(2).all(|record| self.is_usual(record))
    }

    /// Whether quotes, which break records `with_quotes`, are a part of the values, as seen without quotes.
    fn shows_stray_quotes(&self, with_quotes: &Self) -> bool {
        let broken = with_quotes.widths.iter().filter(|(width, _)| width.is_none()).count();
        broken >= MIN_STRAY_QUOTES && broken > self.enclosed
    }

    /// Of the records that have the same number of fields as most.
    fn share(&self) -> f64 {
        let same = self.widths.iter().filter(|record| self.is_usual(record)).count();
        same as f64 / self.widths.len().max(1) as f64
    }

    fn worth(&self) -> f64 {
        let clean = self.clean / self.fields.max(1) as f64;
        let width = match self.width {
            0 | 1 => SINGLE_COLUMN_WORTH,
            width => (width - 1) as f64 / width as f64,
        };
        self.share().powi(2) * width * clean.powi(2)
    }

    /// Physical lines before the first record that has as many fields as most, if it is clear that they are none.
    fn preamble_lines(&self) -> u32 {
        let Some(first) = self.widths.iter().position(|record| self.is_usual(record)) else { return 0 };
        let behind = &self.widths[first..];
        let share = behind.iter().filter(|record| self.is_usual(record)).count() as f64 / behind.len() as f64;
        // A header that names one column less than the rows have is R's way to write row names, and no preamble.
        let is_short_header = first == 1 && self.width > 2 && self.widths[0].0 == Some(self.width - 1);
        let is_clear = self.width > 1 && share >= MIN_USUAL_SHARE && behind.len() > 1;
        if first == 0 || first > MAX_PREAMBLE || is_short_header || !is_clear {
            return 0;
        }
        u32::try_from(self.widths[first].1 - 1).unwrap_or(0)
    }
}

/// The width of the most records; of several the largest.
pub(super) fn most_frequent(widths: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = BTreeMap::new();
    widths.for_each(|width| *counts.entry(width).or_insert(0_u64) += 1);
    counts.into_iter().max_by_key(|&(width, count)| (count, width)).map(|(width, _)| width)
}

/// Whether an unquoted field looks like one field: 1, or less for each sign that it is more or less than that.
fn cleanness(text: &[u8], delimiter: char) -> f64 {
    if let [b'\'', .., b'\''] = text {
        return 0.0;
    }
    let is_number =
        !text.is_empty() && text.iter().all(|byte| byte.is_ascii_digit() || b"+-.,' eE%".contains(byte));
    let mut clean = 1.0;
    for (position, &byte) in text.iter().enumerate() {
        clean *= match byte {
            b'\t' => 0.0,
            b'"' => 0.25,
            b';' | b'|' => 0.25,
            // A comma in a number or in a sentence belongs there.
            b',' if delimiter == ',' || is_number || text.get(position + 1) == Some(&b' ') => 1.0,
            b',' => 0.5,
            _ => 1.0,
        };
    }
    clean
}

#[cfg(test)]
mod tests;
