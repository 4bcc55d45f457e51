//! Binary COPY tuples read back.

/// The fields of each tuple; `None` is NULL.
pub(crate) fn decode(mut tuples: &[u8]) -> Vec<Vec<Option<&[u8]>>> {
    let mut rows = Vec::new();
    while !tuples.is_empty() {
        let count = i16::from_be_bytes(*take(&mut tuples));
        rows.push((0..count).map(|_| field(&mut tuples)).collect());
    }
    rows
}

/// `_file_id` and `_line`, which end a tuple.
pub(crate) fn lineage(row: &[Option<&[u8]>]) -> (i64, i32) {
    let [.., Some(file_id), Some(line)] = row else { panic!("a tuple ends with its lineage") };
    (i64::from_be_bytes((*file_id).try_into().unwrap()), i32::from_be_bytes((*line).try_into().unwrap()))
}

fn field<'a>(tuples: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = i32::from_be_bytes(*take(tuples));
    if length == -1 {
        return None;
    }
    let (value, rest) = tuples.split_at(usize::try_from(length).expect("a length"));
    *tuples = rest;
    Some(value)
}

fn take<'a, const LENGTH: usize>(tuples: &mut &'a [u8]) -> &'a [u8; LENGTH] {
    let (head, rest) = tuples.split_first_chunk().expect("a whole tuple");
    *tuples = rest;
    head
}
