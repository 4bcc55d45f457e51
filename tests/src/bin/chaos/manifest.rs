//! Files of known rows, and the manifest of what is in them: all that the oracle believes.

use std::{collections::BTreeSet, fmt::Write};

use rand::{RngExt, rngs::StdRng};
use sha2::{Digest, Sha256};

/// The names of the columns in a file.
pub(crate) const HEADER: &str = "file,number,amount,note";

/// The line on which a file's first row stands; rows are numbered from 0.
pub(crate) const FIRST_LINE: usize = 2;

/// All files of a site. A file's number is its place here; each row says its file's number and its own.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) files: Vec<GeneratedFile>,
}

/// What was written into one file.
#[derive(Debug)]
pub(crate) struct GeneratedFile {
    pub(crate) name: String,
    /// The hash of each row's line.
    pub(crate) rows: Vec<u64>,
    /// The rows that break a rule.
    pub(crate) broken: BTreeSet<usize>,
}

/// How large a file is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// Some 20 KB, which share a task.
    Small,
    /// Some 900 KB, a task alone: it is streamed, and a worker of a slow store is at it for a second.
    Large,
    /// As many rows as it says, of some 300 bytes.
    Rows(usize),
}

impl Manifest {
    /// Adds a file of random rows; gives its content. One row in a hundred or so is broken.
    pub(crate) fn generate(&mut self, size: Size, random: &mut StdRng) -> String {
        let number = self.files.len();
        let rows = match size {
            Size::Small => random.random_range(20..120),
            Size::Large => random.random_range(2_600..3_200),
            Size::Rows(rows) => rows,
        };
        let mut content = format!("{HEADER}\n");
        let mut file = GeneratedFile {
            name: format!("{number:06}.csv"),
            rows: Vec::with_capacity(rows),
            broken: BTreeSet::new(),
        };
        for row in 0..rows {
            let is_broken = random.random_ratio(1, 100);
            let line = line(number, row, is_broken, random);
            file.rows.push(hash(&line));
            if is_broken {
                file.broken.insert(row);
            }
            content.push_str(&line);
            content.push('\n');
        }
        self.files.push(file);
        content
    }

    /// Rows of all files.
    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows.len() as u64).sum()
    }
}

/// A row as it stands in its file: exactly as Postgres prints its values, joined by commas.
fn line(file: usize, row: usize, is_broken: bool, random: &mut StdRng) -> String {
    let cents: u32 = random.random_range(100..100_000_000);
    let mut line = format!("{file},{row},{}.{:02},", cents / 100, cents % 100);
    for _ in 0..random.random_range(12..24) {
        let _ = write!(line, "{:016x}", random.random::<u64>());
    }
    if is_broken {
        match random.random_range(0..3) {
            0 => line.push_str(",one too many"),
            1 => line = line.replacen('.', ".x", 1),
            // Without an amount, which is required.
            _ => line = format!("{file},{row},,{}", line.rsplit(',').next().unwrap_or_default()),
        }
    }
    line
}

/// 64 bits of the line's SHA-256.
pub(crate) fn hash(line: &str) -> u64 {
    let digest = Sha256::digest(line.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_files() {
        let content = |seed| Manifest::default().generate(Size::Small, &mut StdRng::seed_from_u64(seed));
        assert_eq!(content(1), content(1));
        assert_ne!(content(1), content(2));
    }
}
