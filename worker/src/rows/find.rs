//! Finds the next of a few bytes, again and again in the same text: what memchr would find, but a block of the text is
//! compared once, and all that was found in it is kept as bits.

use wide::u8x16;

/// Bytes compared at once: as many as a `u64` has bits.
pub(super) const BLOCK: usize = 64;
const LANES: usize = 16;

/// Where the block begins that holds this place of a text.
#[inline]
pub(super) fn block_of(at: usize) -> usize {
    at & !(BLOCK - 1)
}

/// Remembers one block of the text. [`Self::forget`] it when the text changes.
#[derive(Debug)]
pub(super) struct Finder<const N: usize> {
    needles: [u8x16; N],
    /// Where the block begins of which `found` holds the matches.
    block: usize,
    /// A bit a byte of the block, the first byte's lowest.
    found: u64,
}

impl<const N: usize> Finder<N> {
    pub(super) fn new(needles: [u8; N]) -> Self {
        Self { needles: needles.map(u8x16::splat), block: usize::MAX, found: 0 }
    }

    pub(super) fn forget(&mut self) {
        self.block = usize::MAX;
    }

    /// Where in `text` the first of the needles stands, at `from` or later.
    #[inline]
    pub(super) fn find(&mut self, text: &[u8], from: usize) -> Option<usize> {
        let mut block = block_of(from);
        let mut found = self.found_from(text, from);
        while found == 0 {
            block += BLOCK;
            if block >= text.len() {
                return None;
            }
            found = self.found_from(text, block);
        }
        Some(block + found.trailing_zeros() as usize)
    }

    /// Where needles stand, at `from` or later, in the block of the text that holds `from`: a bit a byte, the block's
    /// first byte's lowest.
    #[inline]
    pub(super) fn found_from(&mut self, text: &[u8], from: usize) -> u64 {
        let block = block_of(from);
        if block != self.block {
            self.compare(text, block);
        }
        self.found & (!0 << (from - block))
    }

    #[inline]
    fn compare(&mut self, text: &[u8], block: usize) {
        let rest = text.get(block..).unwrap_or_default();
        self.block = block;
        self.found = match rest.first_chunk() {
            Some(bytes) => self.matches(bytes),
            None => {
                let mut bytes = [0; BLOCK];
                bytes[..rest.len()].copy_from_slice(rest);
                self.matches(&bytes) & ((1 << rest.len()) - 1)
            }
        };
    }

    #[inline]
    fn matches(&self, bytes: &[u8; BLOCK]) -> u64 {
        let (lanes, _) = bytes.as_chunks::<LANES>();
        lanes.iter().rev().fold(0, |found, lane| {
            let lane = u8x16::new(*lane);
            let equal = self.needles.iter().fold(u8x16::ZERO, |equal, needle| equal | lane.simd_eq(*needle));
            (found << LANES) | u64::from(equal.to_bitmask())
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_the_first_from_there(
            text in prop::collection::vec(prop::sample::select(b"abcxy\xe9\0".as_slice()), 0..300),
            places in prop::collection::vec(0..310_usize, 1..20),
        ) {
            let mut finder = Finder::new(*b"abc");
            for from in places {
                let rest = text.get(from..).unwrap_or_default();
                let expected = rest.iter().position(|byte| b"abc".contains(byte)).map(|at| from + at);
                prop_assert_eq!(finder.find(&text, from), expected, "from {}", from);
            }
        }
    }
}
