//! Files of loan applications that fail, each for one of the reasons for which files do.

use std::{fmt, io::Write};

use flate2::{Compression, write::GzEncoder};

/// `rejects.max_rows` of the spec.
pub(crate) const MAX_REJECTS: usize = 10;
/// A constraint of the target table that the spec knows nothing of.
pub(crate) const CONSTRAINT: &str = "CHECK (age < 150)";
/// The position of the age among the fields.
const AGE: usize = 3;

/// Why a file fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A column of the header has another name.
    Header,
    /// A gzip archive that ends in the middle.
    Truncated,
    /// One row more than may be is rejected.
    Rejects,
    /// A row in the middle breaks [`CONSTRAINT`]: only Postgres refuses it.
    Refused,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Header, Self::Truncated, Self::Rejects, Self::Refused];

    /// What the file's name ends in.
    pub(crate) fn suffix(self) -> &'static str {
        if self == Self::Truncated { "csv.gz" } else { "csv" }
    }

    /// A good file of at least [`MAX_REJECTS`] rows, spoiled.
    pub(crate) fn spoil(self, file: &str) -> std::io::Result<Vec<u8>> {
        let lines: Vec<&str> = file.lines().collect();
        let age = |number: usize, line: &str| match self {
            Self::Header if number == 0 => with_age(line, "years"),
            Self::Rejects if (1..=MAX_REJECTS + 1).contains(&number) => with_age(line, "forty"),
            Self::Refused if number == lines.len() / 2 => with_age(line, "150"),
            _ => format!("{line}\n"),
        };
        let spoiled: String = lines.iter().enumerate().map(|(number, line)| age(number, line)).collect();
        if self == Self::Truncated {
            let mut archive = GzEncoder::new(Vec::new(), Compression::fast());
            archive.write_all(spoiled.as_bytes())?;
            let mut archive = archive.finish()?;
            archive.truncate(archive.len() / 2);
            return Ok(archive);
        }
        Ok(spoiled.into_bytes())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "a wrong header",
            Self::Truncated => "a truncated archive",
            Self::Rejects => "one reject too many",
            Self::Refused => "a row that only Postgres refuses",
        })
    }
}

fn with_age(line: &str, text: &str) -> String {
    let mut fields: Vec<&str> = line.split(',').collect();
    fields[AGE] = text;
    fields.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use longshore_tests::loan_file;

    use super::*;

    #[test]
    fn a_fault_changes_what_it_says_and_nothing_else() {
        let good = loan_file(1..=100);
        for (fault, changed) in [(Fault::Header, 1), (Fault::Rejects, MAX_REJECTS + 1), (Fault::Refused, 1)] {
            let spoiled = String::from_utf8(fault.spoil(&good).unwrap()).unwrap();
            assert_eq!(spoiled.lines().count(), good.lines().count(), "{fault}");
            let differ = spoiled.lines().zip(good.lines()).filter(|(spoiled, good)| spoiled != good);
            assert_eq!(differ.count(), changed, "{fault}");
        }
    }

    #[test]
    fn a_truncated_archive_ends_early() {
        let archive = Fault::Truncated.spoil(&loan_file(1..=100)).unwrap();
        let mut text = String::new();
        let read = std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&archive[..]), &mut text);
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
