//! What the scan of a broken record tells of the lines behind its first, so that they are not scanned once for every line
//! before them.
//!
//! Each line break that such a scan passed stands in quotes, or the record would have ended there. Inside quotes nothing
//! but the bytes to come matters: so any record that passes one of these line breaks without ending there gets to where
//! the broken one got. All bytes are scanned a few times at most, whatever they are.

use memchr::memchr2;

use super::scan::{Edge, Found, Place, Scan};

/// Where the scans of broken records got to.
#[derive(Debug)]
pub(super) struct Explored {
    /// In the buffer; 0 if nothing is known.
    end: usize,
    place: Place,
}

impl Explored {
    pub(super) fn nothing() -> Self {
        Self { end: 0, place: Place::FieldStart }
    }

    /// To be called when the first bytes of the buffer are dropped.
    pub(super) fn drained(&mut self, length: usize) {
        self.end = self.end.saturating_sub(length);
    }

    /// Notes how far the scan of the broken record came that begins at `start`.
    pub(super) fn note(&mut self, start: usize, scan: &Scan) {
        let (length, place) = scan.reached();
        if start + length > self.end {
            *self = Self { end: start + length, place };
        }
    }

    /// Takes the scan of the record that begins at `start` as far as is known.
    #[inline]
    pub(super) fn lead(&self, scan: &mut Scan, buffer: &[u8], start: usize) {
        if start < self.end {
            self.lead_behind_first_line(scan, buffer, start);
        }
    }

    #[cold]
    fn lead_behind_first_line(&self, scan: &mut Scan, buffer: &[u8], start: usize) {
        let Some(line_break) = memchr2(b'\n', b'\r', &buffer[start..self.end]) else { return };
        match scan.find(buffer, start..start + line_break + 1, Edge::Open) {
            Found::More => scan.skip_to(self.end - start, self.place),
            // In its first line: it will be found again.
            Found::Record { .. } | Found::Broken(_) => scan.restart(),
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_common::dataset::Csv;

    use super::super::{breakage::Breakage, dialect::Dialect};
    use super::*;

    /// Scans the first record, which is broken, and gives how far the scans of those at `starts` are led.
    fn led(input: &str, edge: Edge, breakage: Breakage, starts: &[usize]) -> Vec<usize> {
        let (buffer, mut scan) = (input.as_bytes(), Scan::new(Dialect::new(&Csv::default())));
        assert_eq!(scan.find(buffer, 0..buffer.len(), edge), Found::Broken(breakage), "{input:?}");
        let mut explored = Explored::nothing();
        explored.note(0, &scan);
        let led = starts.iter().map(|&start| {
            scan.restart();
            explored.lead(&mut scan, buffer, start);
            start + scan.reached().0
        });
        led.collect()
    }

    #[test]
    fn every_record_that_passes_its_first_line_is_led_to_where_the_broken_one_got() {
        let line = "a\",\"b\n";
        let starts: Vec<_> = (1..1000).map(|number| number * line.len()).collect();
        let lines = line.repeat(1000);
        let end = lines.len();
        for edge in [Edge::Limit, Edge::EndOfInput] {
            assert_eq!(led(&lines, edge, Breakage::UnclosedQuote, &starts), vec![end; starts.len()]);
        }
        let cases = [("\"x", Edge::Open, Breakage::TextAfterQuote), ("\",x", Edge::Limit, Breakage::TooLong)];
        for (last, edge, breakage) in cases {
            let lines = format!("{lines}{last}");
            let end = if edge == Edge::Open { end + 1 } else { lines.len() };
            assert_eq!(led(&lines, edge, breakage, &starts), vec![end; starts.len()], "{last}");
        }
    }

    #[test]
    fn a_record_that_ends_in_its_first_line_is_not_led() {
        let input = "x,\"\none\n\"\"two\"\"2\r\nthree";
        let starts = ["one", "\"\"two", "three"].map(|line| input.find(line).unwrap());
        assert_eq!(led(input, Edge::EndOfInput, Breakage::UnclosedQuote, &starts), starts);
    }
}
