//! Every row that was found, held against every row that was generated.

use crate::manifest::{FIRST_LINE, Manifest, hash};

/// Where a row was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Loaded,
    Rejected,
}

/// A row's file and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) row: usize,
}

/// Counts how often each generated row was found.
pub(crate) struct Census<'a> {
    manifest: &'a Manifest,
    found: Vec<Vec<u8>>,
    wrong: Vec<String>,
}

/// What the rows are like in the end.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) lost: Vec<Place>,
    pub(crate) twice: Vec<Place>,
    /// Rows that nobody generated, and rows that are not where they belong.
    pub(crate) wrong: Vec<String>,
}

impl<'a> Census<'a> {
    pub(crate) fn new(manifest: &'a Manifest) -> Self {
        let found = manifest.files.iter().map(|file| vec![0; file.rows.len()]).collect();
        Self { manifest, found, wrong: Vec::new() }
    }

    /// Counts a row by what it says of itself; `line_number` and `file_name` are what Longshore says of it.
    pub(crate) fn see(&mut self, fate: Fate, line: &str, file_name: &str, line_number: i32) {
        let Some(place) = self.place(line) else {
            self.wrong.push(format!("{fate:?}, but never generated: line {line_number} of {file_name}"));
            return;
        };
        let count = &mut self.found[place.file][place.row];
        *count = count.saturating_add(1);
        let file = &self.manifest.files[place.file];
        let is_broken = file.broken.contains(&place.row);
        if is_broken != (fate == Fate::Rejected) {
            let kind = if is_broken { "broken" } else { "good" };
            self.wrong.push(format!("{fate:?}, but generated {kind}: row {} of {}", place.row, file.name));
        }
        if file_name != file.name || usize::try_from(line_number).ok() != Some(place.row + FIRST_LINE) {
            self.wrong.push(format!(
                "row {} of {} is booked as line {line_number} of {file_name}",
                place.row, file.name
            ));
        }
    }

    /// Where a line was generated; `None` if it never was.
    fn place(&self, line: &str) -> Option<Place> {
        let mut fields = line.split(',');
        let mut number = || fields.next()?.parse::<usize>().ok();
        let place = Place { file: number()?, row: number()? };
        let generated = *self.manifest.files.get(place.file)?.rows.get(place.row)?;
        (generated == hash(line)).then_some(place)
    }

    pub(crate) fn finish(self) -> Counted {
        let mut counted = Counted { wrong: self.wrong, ..Counted::default() };
        for (file, rows) in self.found.iter().enumerate() {
            for (row, count) in rows.iter().enumerate() {
                match count {
                    0 => counted.lost.push(Place { file, row }),
                    1 => {}
                    _ => counted.twice.push(Place { file, row }),
                }
            }
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::manifest::Size;

    /// Sees every generated row once, but for what `change` does to the line of one row.
    fn counted(change: impl Fn(&mut Vec<(Fate, String)>)) -> Counted {
        let mut manifest = Manifest::default();
        let content = manifest.generate(Size::Rows(300), &mut StdRng::seed_from_u64(7));
        let mut rows: Vec<(Fate, String)> = content
            .lines()
            .skip(1)
            .enumerate()
            .map(|(row, line)| match manifest.files[0].broken.contains(&row) {
                true => (Fate::Rejected, line.to_owned()),
                false => (Fate::Loaded, line.to_owned()),
            })
            .collect();
        assert!(rows.iter().any(|(fate, _)| *fate == Fate::Rejected));
        change(&mut rows);
        let mut census = Census::new(&manifest);
        for (fate, line) in rows {
            let row: usize = line.split(',').nth(1).unwrap().parse().unwrap();
            census.see(fate, &line, "000000.csv", i32::try_from(row + FIRST_LINE).unwrap());
        }
        census.finish()
    }

    #[test]
    fn every_row_once_is_right() {
        let counted = counted(|_| {});
        assert!(counted.lost.is_empty() && counted.twice.is_empty() && counted.wrong.is_empty());
    }

    #[test]
    fn a_row_that_is_missing_is_lost() {
        let counted = counted(|rows| drop(rows.remove(7)));
        assert_eq!(counted.lost, [Place { file: 0, row: 7 }]);
    }

    #[test]
    fn a_row_that_is_found_again_is_twice() {
        let counted = counted(|rows| rows.push(rows[3].clone()));
        assert_eq!(counted.twice, [Place { file: 0, row: 3 }]);
    }

    #[test]
    fn a_changed_row_is_a_stranger_and_its_original_lost() {
        let counted = counted(|rows| rows[5].1.push('0'));
        assert_eq!((counted.lost.len(), counted.wrong.len()), (1, 1));
    }

    #[test]
    fn a_good_row_among_the_rejects_is_wrong() {
        let counted = counted(|rows| {
            let good = rows.iter_mut().find(|(fate, _)| *fate == Fate::Loaded).unwrap();
            good.0 = Fate::Rejected;
        });
        assert_eq!(counted.wrong.len(), 1);
    }
}
