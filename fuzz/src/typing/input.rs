//! What a fuzzed input means: a few bytes choose type and rules, a line gives the rules' arguments, the rest is the text.

use std::sync::Arc;

use longshore_common::dataset::{ColumnType, Dataset};
use longshore_worker::rows::RowPlan;
use toml::{Table, Value};

use crate::reading;

/// How many bytes choose.
const SETTINGS: usize = 5;

const TYPES: [&str; 12] = [
    "smallint",
    "integer",
    "bigint",
    "real",
    "double",
    "numeric",
    "boolean",
    "text",
    "date",
    "timestamp",
    "timestamptz",
    "uuid",
];
const SEPARATORS: [&str; 8] = [".", ",", "'", "_", " ", "\u{a0}", "\u{2009}", "\u{202f}"];

/// A text and the column that it is for.
pub(super) struct Input {
    pub(super) column_type: ColumnType,
    pub(super) plan: Arc<RowPlan>,
    /// Of a column of the same type without rules.
    pub(super) plain_plan: Arc<RowPlan>,
    pub(super) max_length: Option<usize>,
    trim: bool,
    quoted: bool,
    text: Vec<u8>,
}

impl Input {
    /// `None` for rules that are no spec.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (&[kind, precision, scale, rules, flags], rest) = data.split_first_chunk::<SETTINGS>()?;
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let (arguments, text) = (std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]);
        let type_name = type_name(TYPES[usize::from(kind) % TYPES.len()], precision, scale);
        let mut column = column("value", &type_name);
        add_rules(&mut column, rules, &mut arguments.split('\t'));
        let max_length = column.get("max_length").and_then(Value::as_integer);
        let trim = column.contains_key("trim");
        let key = [&[1, rules, kind, precision, scale], arguments.as_bytes()].concat();
        let plain_key = [&[0], type_name.as_bytes()].concat();
        // Where the text cannot stand without quotes, it stands in some.
        let needs_quotes = text.iter().any(|byte| b",\"\r\n".contains(byte));
        Some(Self {
            plan: reading::plan(&key, || dataset(column))?,
            plain_plan: reading::plan(&plain_key, || dataset(plain_column(&type_name)))?,
            column_type: ColumnType::try_from(type_name).ok()?,
            max_length: max_length.and_then(|length| usize::try_from(length).ok()),
            trim,
            quoted: needs_quotes || flags & 1 == 0,
            text: text.to_vec(),
        })
    }

    /// The text between two neighbours without a value.
    pub(super) fn file(&self) -> Vec<u8> {
        let mut file = b"value,number\n,1\n".to_vec();
        if self.quoted {
            let doubled = self.text.iter().flat_map(|&byte| [byte].repeat(if byte == b'"' { 2 } else { 1 }));
            file.push(b'"');
            file.extend(doubled);
            file.push(b'"');
        } else {
            file.extend_from_slice(&self.text);
        }
        file.extend_from_slice(b",2\n,3\n");
        file
    }

    /// Whether nothing but padding is there.
    pub(super) fn may_be_null(&self) -> bool {
        match self.column_type {
            ColumnType::Text => self.expected_text().is_empty() && !self.quoted,
            _ => self.text.iter().all(|&byte| byte == b' '),
        }
    }

    /// What of the text is the value of a text column.
    pub(super) fn expected_text(&self) -> &str {
        let text = std::str::from_utf8(&self.text).expect("only UTF-8 is accepted");
        if self.trim { text.trim() } else { text }
    }
}

fn type_name(name: &str, precision: u8, scale: u8) -> String {
    let precision = if precision == u8::MAX { 1000 } else { 1 + u16::from(precision) };
    match name {
        "numeric" => format!("numeric({precision},{})", u16::from(scale) % (precision + 1)),
        _ => name.to_owned(),
    }
}

fn column(name: &str, column_type: &str) -> Table {
    toml::toml! { name = name type = column_type }
}

/// As SQL writes its type, with every value that the type has.
fn plain_column(type_name: &str) -> Table {
    let mut column = column("value", type_name);
    if ["real", "double"].contains(&type_name) {
        column.insert("non_finite".to_owned(), true.into());
    }
    column
}

fn dataset(column: Table) -> Option<Dataset> {
    let csv = toml::toml! { null = [""] };
    reading::dataset(csv, vec![column, self::column("number", "smallint")])
}

/// Sets the keys that go with the type and are chosen, as long as there are arguments for them.
fn add_rules<'a>(column: &mut Table, chosen: u8, arguments: &mut impl Iterator<Item = &'a str>) {
    let keys: &[&str] = match column["type"].as_str().unwrap_or_default() {
        "text" => &["trim", "pattern", "max_length", "allowed"],
        "date" | "timestamp" | "timestamptz" => &["format", "min", "max", "allowed"],
        "boolean" => &["words"],
        "uuid" => &["allowed"],
        "real" | "double" => &["decimal_comma", "thousands", "non_finite", "min", "max", "allowed"],
        _ => &["decimal_comma", "thousands", "min", "max", "allowed"],
    };
    for (bit, &key) in keys.iter().enumerate() {
        if chosen & (1 << bit) == 0 {
            continue;
        }
        let value: Value = match key {
            "trim" | "decimal_comma" | "non_finite" => true.into(),
            "thousands" => SEPARATORS[usize::from(chosen >> 5) % SEPARATORS.len()].into(),
            "max_length" => i64::from(1 + (chosen >> 5)).into(),
            "words" => {
                let (Some(yes), Some(no)) = (arguments.next(), arguments.next()) else { return };
                column.insert("true_values".to_owned(), Value::Array(vec![yes.into()]));
                column.insert("false_values".to_owned(), Value::Array(vec![no.into()]));
                continue;
            }
            "allowed" => Value::Array(arguments.map(Value::from).collect()),
            _ => match arguments.next() {
                Some(argument) => argument.into(),
                None => continue,
            },
        };
        column.insert(key.to_owned(), value);
    }
}
