//! Where lines begin, in a text and in the file that it was made of, for the way back from one to the other.

use std::collections::VecDeque;

/// The lines that may still be asked for. A record may hold millions of line breaks, and each of its lines may be asked
/// for if it is broken: so lines are kept as lengths, of which two take two bytes if they are below 128.
#[derive(Debug)]
pub(super) struct LineStarts {
    first: LineStart,
    last: LineStart,
    /// From each line's start to the next: the length in the text, then the length in the file.
    lengths: VecDeque<u8>,
}

/// Where a line begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineStart {
    pub(super) in_text: u64,
    pub(super) in_file: u64,
}

const BITS: u32 = 7;
const MORE: u8 = 1 << BITS;

impl LineStarts {
    pub(super) fn new(first: LineStart) -> Self {
        Self { first, last: first, lengths: VecDeque::new() }
    }

    /// The next line begins here.
    pub(super) fn push(&mut self, line: LineStart) {
        self.push_length(line.in_text - self.last.in_text);
        self.push_length(line.in_file - self.last.in_file);
        self.last = line;
    }

    /// Forgets the lines before the one that has this offset of the text, and gives where that one begins in the file.
    pub(super) fn advance_to(&mut self, text_offset: u64) -> u64 {
        while let Some((line, bytes)) = self.second().filter(|(line, _)| line.in_text <= text_offset) {
            self.first = line;
            self.lengths.drain(..bytes);
        }
        self.first.in_file
    }

    /// The second line, and how many bytes its lengths take.
    fn second(&self) -> Option<(LineStart, usize)> {
        let (in_text, text_bytes) = self.length_at(0)?;
        let (in_file, file_bytes) = self.length_at(text_bytes)?;
        let LineStart { in_text: before_in_text, in_file: before_in_file } = self.first;
        let line = LineStart { in_text: before_in_text + in_text, in_file: before_in_file + in_file };
        Some((line, text_bytes + file_bytes))
    }

    /// Seven bits in each byte, the lowest first.
    fn push_length(&mut self, mut length: u64) {
        while length >= u64::from(MORE) {
            self.lengths.push_back(length as u8 | MORE);
            length >>= BITS;
        }
        self.lengths.push_back(length as u8);
    }

    /// The length that is written there, and in how many bytes.
    fn length_at(&self, at: usize) -> Option<(u64, usize)> {
        let (mut length, mut bytes) = (0, 0);
        loop {
            let byte = *self.lengths.get(at + bytes)?;
            length |= u64::from(byte & !MORE) << (BITS * bytes as u32);
            bytes += 1;
            if byte & MORE == 0 {
                return Some((length, bytes));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lengths.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_length_are_found_in_their_order() {
        let lengths = [1, 2, 127, 128, 300, 16_383, 16_384, 1 << 35, 1];
        let mut line = LineStart { in_text: 0, in_file: 3 };
        let mut starts = LineStarts::new(line);
        let mut expected = vec![(line.in_text, line.in_file)];
        for (in_text, in_file) in lengths.iter().flat_map(|text| lengths.map(|file| (text, file))) {
            line = LineStart { in_text: line.in_text + in_text, in_file: line.in_file + in_file };
            starts.push(line);
            expected.push((line.in_text, line.in_file));
        }
        for lines in expected.windows(2) {
            assert_eq!(starts.advance_to(lines[0].0), lines[0].1);
            assert_eq!(starts.advance_to(lines[1].0 - 1), lines[0].1);
        }
        assert_eq!(starts.advance_to(u64::MAX), line.in_file);
        assert_eq!(starts.bytes(), 0);
    }

    #[test]
    fn short_lines_take_two_bytes() {
        let mut starts = LineStarts::new(LineStart { in_text: 0, in_file: 0 });
        (1..=1000).for_each(|line| starts.push(LineStart { in_text: line, in_file: 2 * line }));
        assert_eq!(starts.bytes(), 2000);
    }
}
