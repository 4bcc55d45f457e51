//! Any text in a column of any type and rules: what is accepted is a value of the type and keeps its rules, what is not
//! leaves nothing behind.

mod input;
mod value;

use input::Input;
use longshore_common::dataset::ColumnType;

use crate::{
    reading::{Reading, read},
    tuples,
};

const RULES: [&str; 9] =
    ["type", "range", "encoding", "nul_byte", "min", "max", "allowed", "pattern", "max_length"];

/// Holds one input to the rules; what the bytes mean is in `typing/input.rs`.
pub fn check(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let file = input.file();
    let reading = read(&input.plan, [file.as_slice()]);
    assert_eq!(reading.result, Ok(()));
    let rows = tuples::decode(&reading.output.tuples);
    let [first, middle @ .., last] = rows.as_slice() else { panic!("its neighbours load") };
    // Nothing of the text is in its neighbours.
    assert_eq!((first[0], first[1]), (None, Some(&[0, 1][..])));
    assert_eq!((last[0], last[1]), (None, Some(&[0, 3][..])));
    match middle {
        [] => check_reject(&reading),
        [row] => check_value(&input, row[0]),
        _ => panic!("one text is one row"),
    }
}

fn check_reject(reading: &Reading) {
    let [reject] = reading.output.rejects.as_slice() else { panic!("one text is one reject") };
    assert!(RULES.contains(&reject.rule), "{reject:?}");
    assert_eq!((reject.line, reject.column.as_deref()), (3, Some("value")));
    assert!(!reject.reason.is_empty());
}

fn check_value(input: &Input, value: Option<&[u8]>) {
    let Some(value) = value else {
        assert!(input.may_be_null(), "a value became NULL");
        return;
    };
    if input.column_type == ColumnType::Text {
        let text = std::str::from_utf8(value).expect("UTF-8");
        assert!(!text.contains('\0'));
        assert_eq!(text, input.expected_text());
        assert!(input.max_length.is_none_or(|length| text.chars().count() <= length));
        return;
    }
    // However it was written, it is the value that SQL writes so.
    let Some(sql) = value::sql_text(input.column_type, value) else { return };
    let plain = read(&input.plain_plan, [format!("value,number\n{sql},1\n").as_bytes()]);
    let plain = tuples::decode(&plain.output.tuples);
    assert_eq!(plain.first().map(|row| row[0]), Some(Some(value)), "{sql}");
}
