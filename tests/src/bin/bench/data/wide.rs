//! Complaints: 30 columns of text, every field in quotes, as an export of a case-management system has them.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use csv::{QuoteStyle, Writer, WriterBuilder};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use toml::{Table, toml};

use crate::rows::{Rows, TextChecksum};

/// How a column's texts look.
#[derive(Clone, Copy)]
enum Kind {
    /// 4 to 10 letters and digits.
    Code,
    /// One to three words.
    Name,
    /// A street, a town and a country, with commas.
    Address,
    /// 4 to 9 words, some with a comma.
    Phrase,
    /// Up to 40 words: quotes, commas and line breaks among them; empty in half of the rows.
    Note,
}

const COLUMNS: [(&str, Kind); 30] = [
    ("complaint_id", Kind::Code),
    ("received_on", Kind::Code),
    ("channel", Kind::Code),
    ("product", Kind::Name),
    ("sub_product", Kind::Name),
    ("issue", Kind::Phrase),
    ("sub_issue", Kind::Phrase),
    ("narrative", Kind::Note),
    ("public_response", Kind::Phrase),
    ("company", Kind::Name),
    ("company_address", Kind::Address),
    ("branch", Kind::Name),
    ("branch_code", Kind::Code),
    ("state", Kind::Code),
    ("postal_code", Kind::Code),
    ("customer", Kind::Name),
    ("customer_address", Kind::Address),
    ("contact", Kind::Name),
    ("phone", Kind::Code),
    ("language", Kind::Code),
    ("tags", Kind::Name),
    ("consent", Kind::Code),
    ("sent_on", Kind::Code),
    ("response", Kind::Phrase),
    ("timely", Kind::Code),
    ("disputed", Kind::Code),
    ("handler", Kind::Name),
    ("team", Kind::Name),
    ("reference", Kind::Code),
    ("remark", Kind::Note),
];

const WORDS: [&str; 40] = [
    "account",
    "loan",
    "payment",
    "branch",
    "credit",
    "the",
    "of",
    "and",
    "was",
    "not",
    "report",
    "interest",
    "Zürich",
    "São Paulo",
    "Smith",
    "Müller",
    "García",
    "O'Neill",
    "charged",
    "twice",
    "letter",
    "answer",
    "after",
    "before",
    "mortgage",
    "card",
    "statement",
    "balance",
    "fee",
    "refund",
    "due",
    "closed",
    "opened",
    "without",
    "notice",
    "called",
    "again",
    "office",
    "Kraków",
    "clerk",
];

/// The spec of such files.
pub(crate) fn spec() -> Table {
    let columns = COLUMNS.map(|(name, _)| toml! { name = name type = "text" });
    let mut spec = Table::new();
    spec.insert("columns".to_owned(), columns.to_vec().into());
    spec
}

/// The header line, as the files have it.
pub(crate) fn header() -> String {
    format!("\"{}\"\n", COLUMNS.map(|(name, _)| name).join("\",\""))
}

/// One file of such rows.
pub(crate) struct Wide {
    pub(crate) file: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) rows: Rows,
}

/// Writes so many rows into a new file.
pub(crate) fn write(path: &Path, rows: u64) -> anyhow::Result<Wide> {
    let mut file = io::BufWriter::with_capacity(1 << 20, File::create_new(path)?);
    file.write_all(header().as_bytes())?;
    let mut complaints = Complaints::new(file);
    for _ in 0..rows {
        complaints.write()?;
    }
    let names = COLUMNS.map(|(name, _)| name);
    let checksum = Some(complaints.checksum.finish(&names));
    complaints.writer.flush()?;
    let bytes = path.metadata()?.len();
    Ok(Wide { file: path.to_owned(), bytes, rows: Rows { count: rows, checksum } })
}

/// One row whose first text is one letter, so many times; it has no other.
pub(crate) fn row_of_one_letter(letters: usize) -> Vec<u8> {
    let mut row = vec![b'x'; letters];
    row.resize(letters + COLUMNS.len() - 1, b',');
    row.push(b'\n');
    row
}

/// Rows without the header, at least so many bytes, and how many rows.
pub(crate) fn block(bytes: usize) -> anyhow::Result<(Vec<u8>, u64)> {
    let mut complaints = Complaints::new(Vec::new());
    let mut rows = 0;
    while complaints.written < bytes {
        complaints.write()?;
        rows += 1;
    }
    Ok((complaints.writer.into_inner().map_err(|error| error.into_error())?, rows))
}

/// Writes random rows, the same each time.
struct Complaints<W: Write> {
    writer: Writer<W>,
    random: StdRng,
    fields: [String; COLUMNS.len()],
    checksum: TextChecksum,
    /// Bytes of the texts alone.
    written: usize,
}

impl<W: Write> Complaints<W> {
    fn new(output: W) -> Self {
        Self {
            writer: WriterBuilder::new().quote_style(QuoteStyle::Always).from_writer(output),
            random: StdRng::seed_from_u64(1),
            fields: Default::default(),
            checksum: TextChecksum::default(),
            written: 0,
        }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        for (field, (_, kind)) in self.fields.iter_mut().zip(COLUMNS) {
            field.clear();
            draw(kind, &mut self.random, field);
            self.written += field.len();
        }
        self.checksum.add(self.fields.iter().map(String::as_str));
        Ok(self.writer.write_record(&self.fields)?)
    }
}

fn draw(kind: Kind, random: &mut StdRng, field: &mut String) {
    match kind {
        Kind::Code => {
            let letters = b"ABCDEFGHJKLMNPQRSTUVWXYZ0123456789";
            for _ in 0..random.random_range(4..=10) {
                field.push(char::from(letters[random.random_range(0..letters.len())]));
            }
        }
        Kind::Name => draw_words(random.random_range(1..=3), random, field),
        Kind::Address => {
            field.push_str(&random.random_range(1..400_u16).to_string());
            for words in [2, 1, 1] {
                field.push(' ');
                draw_words(words, random, field);
                field.push(',');
            }
            field.pop();
        }
        Kind::Phrase => {
            draw_words(random.random_range(2..=5), random, field);
            field.push_str(if random.random_ratio(1, 4) { ", " } else { " " });
            draw_words(random.random_range(2..=4), random, field);
        }
        Kind::Note if random.random_ratio(1, 2) => {}
        Kind::Note => {
            for sentence in 0..random.random_range(1..=4_u8) {
                field.push_str(if sentence == 0 { "" } else { ".\n" });
                draw_words(random.random_range(2..=5), random, field);
                field.push_str(" \"");
                draw_words(2, random, field);
                field.push_str("\", ");
                draw_words(random.random_range(1..=3), random, field);
            }
        }
    }
}

fn draw_words(words: usize, random: &mut StdRng, field: &mut String) {
    for word in 0..words {
        field.push_str(if word == 0 { "" } else { " " });
        field.push_str(WORDS[random.random_range(0..WORDS.len())]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_read_back_as_30_texts_with_commas_quotes_and_line_breaks_inside() {
        let (bytes, rows) = block(1 << 20).unwrap();
        let text = [header().into_bytes(), bytes].concat();
        let records: Vec<csv::StringRecord> =
            csv::Reader::from_reader(&text[..]).records().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len() as u64, rows);
        let mut checksum = TextChecksum::default();
        records.iter().for_each(|record| checksum.add(record));
        let folder = tempfile::tempdir().unwrap();
        let wide = write(&folder.path().join("a.csv"), rows).unwrap();
        assert_eq!(wide.bytes, text.len() as u64);
        assert_eq!(wide.rows.checksum.unwrap().value, checksum.finish(&["a"]).value);
        for inside in [',', '"', '\n', 'ü'] {
            let with = records.iter().filter(|record| record.iter().any(|field| field.contains(inside)));
            assert!(with.count() * 4 > records.len(), "{inside:?}");
        }
    }
}
