//! Any bytes in any dialect and encoding, however cut: rows are conserved, and every reject leads back to its line.

mod dialect;
mod input;

use input::Input;
use longshore_worker::rows::{FileError, FileRows, Output, Reject};

use crate::{
    reading::{FILE_ID, Reading, read},
    tuples,
};

/// So much of a rejected row's text is kept.
const MAX_RAW_BYTES: usize = 8 * 1024;
const RULES: [&str; 10] = [
    "field_count",
    "required",
    "type",
    "range",
    "encoding",
    "nul_byte",
    "quote_text_after",
    "quote_ambiguous",
    "quote_unclosed",
    "record_too_long",
];

/// Holds one input to the rules; what the bytes mean is in `records/input.rs`.
pub fn check(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let whole = read(&input.plan, [input.bytes.as_slice()]);
    let cut = read(&input.plan, input.chunks());
    assert_eq!(cut, whole, "cut into pieces");
    let by_byte = read(&input.plan, input.bytes.chunks(1));
    assert_eq!(by_byte, whole, "byte by byte");
    check_rows(&whole);
    check_rejects(&input, &whole.output.rejects);
    if input.is_endless {
        check_memory(&input);
    }
}

fn check_rows(reading: &Reading) {
    let Reading { output, counts, result } = reading;
    assert_eq!(counts.rows_read, output.rows + counts.rows_rejected, "rows are conserved");
    assert_eq!(counts.rows_rejected, output.rejects.len() as u64);
    if let Err(error) = result {
        assert!(!error.to_string().is_empty());
    }
    let rows = tuples::decode(&output.tuples);
    assert_eq!(rows.len() as u64, output.rows);
    let mut lines: Vec<i32> = rows
        .iter()
        .map(|row| {
            let [text, number, _, _] = row[..] else { panic!("two columns and the lineage") };
            let text = text.map(|text| std::str::from_utf8(text).expect("UTF-8"));
            assert!(text.is_none_or(|text| !text.contains('\0')), "no NUL");
            assert!(number.is_none_or(|number| number.len() == 2), "a smallint");
            let (file_id, line) = tuples::lineage(row);
            assert_eq!(file_id, FILE_ID);
            line
        })
        .collect();
    assert!(lines.is_sorted_by(|one, next| one < next), "rows in the file's order");
    lines.extend(output.rejects.iter().map(|reject| reject.line));
    lines.sort_unstable();
    assert!(lines.is_sorted_by(|one, next| one < next), "each record begins on a line of its own");
    assert!(lines.first().is_none_or(|&line| line >= 1));
}

fn check_rejects(input: &Input, rejects: &[Reject]) {
    for reject in rejects {
        assert!(RULES.contains(&reject.rule), "{reject:?}");
        assert!(reject.raw.len() <= MAX_RAW_BYTES && !reject.raw.contains('\0'));
        let offset = usize::try_from(reject.byte_offset).expect("an offset");
        assert!(offset < input.bytes.len(), "{reject:?} of {} bytes", input.bytes.len());
        assert_eq!(reject.line, input.line_at(offset), "{reject:?}");
    }
    let offsets = |pair: &[Reject]| pair[0].byte_offset < pair[1].byte_offset;
    assert!(rejects.windows(2).all(offsets), "rejects in the file's order");
}

/// The input again and again, until what stays of it in memory would show.
fn check_memory(input: &Input) {
    const FED_BYTES: usize = 80 << 10;
    // A record, a chunk and what is made of them, in whatever the allocator rounds them to.
    const BOUND_BYTES: u64 = 32 << 10;
    let block = input.bytes.repeat(1 + 4096 / input.bytes.len().max(1));
    let blocks = FED_BYTES / block.len().max(1);
    let memory = allocation_counter::measure(|| {
        let mut rows = FileRows::new(input.plan.clone(), FILE_ID);
        let mut output = Output::default();
        // A file that fails ends here.
        let _ = (0..blocks).try_for_each(|_| push(&mut rows, &block, &mut output));
    });
    assert!(memory.bytes_max <= BOUND_BYTES, "{} bytes in memory", memory.bytes_max);
}

fn push(rows: &mut FileRows, block: &[u8], output: &mut Output) -> Result<(), FileError> {
    for chunk in block.chunks(64) {
        rows.push(chunk, output)?;
        output.tuples.clear();
        output.rejects.clear();
    }
    Ok(())
}
