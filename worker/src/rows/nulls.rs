//! The texts that stand for no value.

use longshore_common::dataset::ColumnType;

/// A column's texts that stand for no value.
#[derive(Debug)]
pub(super) struct Nulls {
    /// An empty field without quotes is no value.
    empty: bool,
    /// An empty field in quotes is no value: everywhere but in a text column, where it is the empty text.
    quoted_empty: bool,
    others: Vec<Vec<u8>>,
    /// First bytes of the others: most fields are told from all of them at one look.
    begins: [bool; 256],
}

impl Nulls {
    /// `texts` are without the padding that the column's fields lose.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>, column_type: ColumnType) -> Self {
        let (mut empty, mut others, mut begins) = (false, Vec::new(), [false; 256]);
        for text in texts {
            match text.as_bytes().first() {
                None => empty = true,
                Some(&first) => {
                    begins[usize::from(first)] = true;
                    others.push(text.as_bytes().to_vec());
                }
            }
        }
        Self { empty, quoted_empty: column_type != ColumnType::Text, others, begins }
    }

    /// Whether a text that begins as numbers do stands for no value.
    pub(super) fn may_be_numbers(&self) -> bool {
        b"-0123456789".iter().any(|&byte| self.begins[usize::from(byte)])
    }

    /// Whether the field has no value. In quotes only an empty one can have none.
    #[inline]
    pub(super) fn has(&self, text: &[u8], quoted: bool) -> bool {
        match text.first() {
            None if quoted => self.quoted_empty,
            None => self.empty,
            Some(_) if quoted => false,
            Some(&first) => self.begins[usize::from(first)] && self.others.iter().any(|other| other == text),
        }
    }
}
