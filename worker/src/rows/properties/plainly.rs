//! The rules of splitting once more, as plainly as possible: a whole input, a byte at a time.

use longshore_common::dataset::Csv;

use super::super::{breakage::Breakage, split::Kind};

/// A piece: line, offset, bytes, kind and the texts of its fields.
pub(super) type Seen = (u64, usize, Vec<u8>, Kind, Vec<Vec<u8>>);

pub(super) fn split(csv: &Csv, input: &[u8], max_record_bytes: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    let (mut start, mut line) = (0, 1);
    while start < input.len() {
        let first_line = input[start..].iter().position(|byte| b"\r\n".contains(byte));
        let first_line = first_line.map_or(input.len(), |length| start + length);
        let limit = start + max_record_bytes + 1;
        let mut end = first_line;
        if line > u64::from(csv.skip_lines) && first_line > start && Some(input[start]) != csv.comment.0 {
            let (kind, fields) =
                match record(csv, &input[..input.len().min(limit)], start, input.len() < limit) {
                    Ok((record_end, fields)) => {
                        end = record_end;
                        (kind(&input[start..end]), fields)
                    }
                    Err(breakage) => (Kind::Broken(breakage), Vec::new()),
                };
            seen.push((line, start, input[start..end.min(limit)].to_vec(), kind, fields));
        }
        let next = if input[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        let text = String::from_utf8_lossy(&input[start..next.min(input.len())]).replace("\r\n", "\n");
        line += text.matches(['\r', '\n']).count() as u64;
        start = next;
    }
    seen
}

fn kind(record: &[u8]) -> Kind {
    if record.contains(&0) || std::str::from_utf8(record).is_err() { Kind::NotText } else { Kind::Record }
}

/// Where the record ends, and its fields. `whole` if the input ends where `input` does.
fn record(csv: &Csv, input: &[u8], start: usize, whole: bool) -> Result<(usize, Vec<Vec<u8>>), Breakage> {
    let delimiter = csv.delimiter.to_string();
    let delimiter = delimiter.as_bytes();
    let (mut at, mut fields) = (start, Vec::new());
    loop {
        let mut text = Vec::new();
        if input.get(at).is_some_and(|byte| csv.quote.0 == Some(*byte)) {
            at = quoted(csv, input, at + 1, &mut text)?;
        } else {
            while at < input.len() && !b"\r\n".contains(&input[at]) && !input[at..].starts_with(delimiter) {
                text.push(input[at]);
                at += 1;
            }
        }
        fields.push(text);
        match &input[at..] {
            [b'\r' | b'\n', ..] => return Ok((at, fields)),
            rest if rest.starts_with(delimiter) => at += delimiter.len(),
            [] if whole => return Ok((at, fields)),
            rest if !whole && delimiter.starts_with(rest) => return Err(Breakage::TooLong),
            _ => return Err(Breakage::TextAfterQuote),
        }
    }
}

/// Reads up to and with the closing quote; gives what is behind it.
fn quoted(csv: &Csv, input: &[u8], mut at: usize, text: &mut Vec<u8>) -> Result<usize, Breakage> {
    loop {
        let byte = *input.get(at).ok_or(Breakage::UnclosedQuote)?;
        let next = input.get(at + 1).copied();
        let (is_quote, is_escape) = (Some(byte) == csv.quote.0, Some(byte) == csv.escape.0);
        let makes_literal = next.is_some()
            && (is_quote && next == csv.quote.0
                || is_escape && (next == csv.quote.0 || next == csv.escape.0));
        if is_quote && !makes_literal {
            return Ok(at + 1);
        }
        text.push(if makes_literal { next.unwrap_or_default() } else { byte });
        at += if makes_literal { 2 } else { 1 };
    }
}
