//! The rules between the keys of the columns. What takes reading values (bounds, patterns) is held against them where
//! values are read.

use std::collections::HashSet;

use chrono::format::{Item, StrftimeItems};

use super::{
    column::Column,
    column_type::ColumnType,
    spec::{FILE_ID_COLUMN, LINE_COLUMN, is_identifier},
};

/// A rule that does not hold: the key and one sentence.
type BrokenRule = (String, String);

/// Postgres allows 1600 columns, two of them are the lineage.
pub const MAX_COLUMNS: usize = 1598;
const THOUSANDS: &str = ".,'_ \u{a0}\u{2009}\u{202f}";

/// Checks what the types of the keys cannot say.
pub(super) fn check_columns(columns: &[Column], has_header: bool) -> Result<(), BrokenRule> {
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return Err(("columns".to_owned(), format!("allowed is 1 to {MAX_COLUMNS} [[columns]]")));
    }
    check_names(columns)?;
    if !has_header {
        refuse_sources(columns)?;
    }
    for column in columns {
        let broken = |(key, message): (&str, String)| (format!("columns.{}.{key}", column.name), message);
        check_types(column).map_err(broken)?;
        check_text_rules(column).map_err(broken)?;
        check_format(column).map_err(broken)?;
        check_number_form(column).map_err(broken)?;
        check_words(column).map_err(broken)?;
    }
    Ok(())
}

fn check_names(columns: &[Column]) -> Result<(), BrokenRule> {
    let name_rule = |message| Err(("columns.name".to_owned(), message));
    let (mut names, mut sources) = (HashSet::new(), HashSet::new());
    for column in columns {
        if !is_identifier(&column.name) {
            return name_rule(format!("`{}`: a name has 1 to 63 bytes and no NUL", column.name));
        }
        if [FILE_ID_COLUMN, LINE_COLUMN].contains(&column.name.as_str()) {
            return name_rule(format!("`{}` is kept for the lineage of a row", column.name));
        }
        if !names.insert(&column.name) {
            return name_rule(format!("`{}` appears twice", column.name));
        }
        if !sources.insert(column.header_name()) {
            return Err(("columns.source".to_owned(), format!("`{}` appears twice", column.header_name())));
        }
    }
    Ok(())
}

fn refuse_sources(columns: &[Column]) -> Result<(), BrokenRule> {
    match columns.iter().find(|column| column.source.is_some()) {
        Some(column) => {
            let message = "without a header (csv.header) columns are taken by position; leave it out";
            Err(("columns.source".to_owned(), format!("`{}`: {message}", column.name)))
        }
        None => Ok(()),
    }
}

/// Each key is for the columns of some types.
fn check_types(column: &Column) -> Result<(), (&'static str, String)> {
    use ColumnType as T;
    let column_type = column.column_type;
    let text = matches!(column_type, T::Text);
    let float = matches!(column_type, T::Real | T::Double);
    let integer = matches!(column_type, T::SmallInt | T::Integer | T::BigInt);
    let number = float || integer || matches!(column_type, T::Numeric { .. });
    let time = matches!(column_type, T::Date | T::Timestamp | T::TimestampTz);
    let boolean = matches!(column_type, T::Boolean);

    const TIMES: &str = "date, timestamp and timestamptz";
    const NUMBERS: &str = "smallint, integer, bigint, real, double and numeric";
    const BOUNDED: &str = "numbers, date, timestamp and timestamptz";
    let keys = [
        ("trim", column.trim, text, "text; the other types lose spaces around a value anyway"),
        ("min", column.min.is_some(), number || time, BOUNDED),
        ("max", column.max.is_some(), number || time, BOUNDED),
        ("pattern", column.pattern.is_some(), text, "text"),
        ("max_length", column.max_length.is_some(), text, "text"),
        ("format", column.format.is_some(), time, TIMES),
        ("decimal_comma", column.decimal_comma, number, NUMBERS),
        ("thousands", column.thousands.is_some(), number, NUMBERS),
        ("true_values", column.true_values.is_some(), boolean, "boolean"),
        ("false_values", column.false_values.is_some(), boolean, "boolean"),
        ("non_finite", column.non_finite, float, "real and double"),
    ];
    match keys.into_iter().find(|(_, is_given, is_allowed, _)| *is_given && !is_allowed) {
        Some((key, _, _, types)) => {
            Err((key, format!("not for a column of type {column_type}, only for {types}")))
        }
        None => Ok(()),
    }
}

fn check_text_rules(column: &Column) -> Result<(), (&'static str, String)> {
    if column.allowed.as_ref().is_some_and(Vec::is_empty) {
        return Err((
            "allowed",
            "no value, so every row would be rejected; name one or drop the key".to_owned(),
        ));
    }
    if column.max_length == Some(0) {
        return Err(("max_length", "allowed is 1 or more".to_owned()));
    }
    Ok(())
}

fn check_format(column: &Column) -> Result<(), (&'static str, String)> {
    let Some(format) = &column.format else { return Ok(()) };
    if format.is_empty() {
        return Err(("format", "empty; write one such as `%d.%m.%Y` or drop the key".to_owned()));
    }
    if StrftimeItems::new(format).any(|item| item == Item::Error) {
        let message =
            format!("`{format}` has a directive that is unknown; allowed are strftime's, such as `%d.%m.%Y`");
        return Err(("format", message));
    }
    Ok(())
}

fn check_number_form(column: &Column) -> Result<(), (&'static str, String)> {
    let Some(thousands) = column.thousands else { return Ok(()) };
    if !THOUSANDS.contains(thousands) {
        let message = format!("`{thousands}` is not allowed: one of `.` `,` `'` `_` or a space");
        return Err(("thousands", message));
    }
    let (decimal_point, advice) = match column.decimal_comma {
        true => (',', "drop `decimal_comma`"),
        false => ('.', "set `decimal_comma = true`"),
    };
    if thousands == decimal_point {
        let message = format!("`{thousands}` is the decimal point; {advice}, or name another separator");
        return Err(("thousands", message));
    }
    Ok(())
}

fn check_words(column: &Column) -> Result<(), (&'static str, String)> {
    let (true_values, false_values) = match (&column.true_values, &column.false_values) {
        (None, None) => return Ok(()),
        (Some(_), None) => {
            return Err(("false_values", "missing; `true_values` needs it beside it".to_owned()));
        }
        (None, Some(_)) => {
            return Err(("true_values", "missing; `false_values` needs it beside it".to_owned()));
        }
        (Some(true_values), Some(false_values)) => (true_values, false_values),
    };
    for (key, words) in [("true_values", true_values), ("false_values", false_values)] {
        if words.is_empty() {
            return Err((key, "no word, so no value would ever be one; name one".to_owned()));
        }
    }
    let known: HashSet<String> = true_values.iter().map(|word| as_compared(word)).collect();
    match false_values.iter().find(|word| known.contains(&as_compared(word))) {
        Some(word) => {
            let message = "is one of `true_values` as well (neither case nor spaces around it count)";
            Err(("false_values", format!("`{word}` {message}")))
        }
        None => Ok(()),
    }
}

/// A word as fields are held against it: each character in lower case by itself, so that a Greek sigma is the same at a
/// word's end.
fn as_compared(word: &str) -> String {
    word.trim_matches(' ').chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a column of this type that has these keys in TOML.
    fn refusal(column_type: &str, keys: &str) -> Option<String> {
        let text = format!("name = \"age\"\ntype = \"{column_type}\"\n{keys}");
        let column: Column = toml::from_str(&text).unwrap();
        check_columns(&[column], true).err().map(|(key, message)| format!("{key}: {message}"))
    }

    #[test]
    fn a_key_that_does_not_go_with_the_type_is_refused_with_the_types_it_is_for() {
        let cases = [
            ("integer", "trim = true", "columns.age.trim: not for a column of type integer, only for text"),
            ("text", "min = 1", "only for numbers, date, timestamp and timestamptz"),
            ("uuid", "max = \"a\"", "columns.age.max: "),
            ("boolean", "min = 0", "columns.age.min: "),
            ("integer", "pattern = \"[0-9]\"", "only for text"),
            ("date", "max_length = 10", "only for text"),
            ("text", "format = \"%d\"", "only for date, timestamp and timestamptz"),
            ("text", "decimal_comma = true", "columns.age.decimal_comma: "),
            ("boolean", "thousands = \".\"", "columns.age.thousands: "),
            ("text", "true_values = [\"J\"]", "only for boolean"),
            ("integer", "false_values = [\"N\"]", "only for boolean"),
            (
                "numeric(5,2)",
                "non_finite = true",
                "not for a column of type numeric(5,2), only for real and double",
            ),
        ];
        for (column_type, keys, expected) in cases {
            let message = refusal(column_type, keys).unwrap_or_default();
            assert!(message.contains(expected), "{column_type}, {keys}: {message}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_with_what_is_allowed() {
        let cases = [
            ("text", "allowed = []", "columns.age.allowed: no value"),
            ("text", "max_length = 0", "1 or more"),
            ("date", "format = \"\"", "empty"),
            ("date", "format = \"%d.%Q\"", "columns.age.format: `%d.%Q` has a directive that is unknown"),
            ("date", "format = \"%\"", "unknown"),
            ("double", "thousands = \".\"", "set `decimal_comma = true`"),
            ("double", "thousands = \",\"\ndecimal_comma = true", "drop `decimal_comma`"),
            ("double", "thousands = \"-\"", "one of `.` `,` `'` `_` or a space"),
            ("boolean", "true_values = [\"J\"]", "columns.age.false_values: missing"),
            ("boolean", "false_values = [\"N\"]", "columns.age.true_values: missing"),
            ("boolean", "true_values = [\"J\"]\nfalse_values = []", "columns.age.false_values: no word"),
            (
                "boolean",
                "true_values = [\"Ä\"]\nfalse_values = [\"N\", \"ä\"]",
                "`ä` is one of `true_values`",
            ),
            ("boolean", "true_values = [\"J\"]\nfalse_values = [\"J \"]", "`J ` is one of `true_values`"),
            ("boolean", "true_values = [\"ΑΣ\"]\nfalse_values = [\"ασ\"]", "`ασ` is one of `true_values`"),
        ];
        for (column_type, keys, expected) in cases {
            let message = refusal(column_type, keys).unwrap_or_default();
            assert!(message.contains(expected), "{column_type}, {keys}: {message}");
        }
    }

    #[test]
    fn what_goes_together_is_taken() {
        let cases = [
            ("text", "trim = true\nallowed = [\"A\"]\npattern = \".\"\nmax_length = 1\nnull = []"),
            ("integer", "min = 0\nmax = 9\nthousands = \",\""),
            ("numeric(9,2)", "decimal_comma = true\nthousands = \".\"\nmin = \"0.01\""),
            ("double", "non_finite = true\nthousands = \"\u{202f}\""),
            ("date", "format = \"%d. %B %y\"\nmax = 2030-12-31"),
            ("timestamptz", "format = \"%Y-%m-%dT%H:%M:%S%.f%z\""),
            ("boolean", "true_values = [\"J\"]\nfalse_values = [\"N\", \"\"]"),
            ("uuid", "allowed = [\"0197f9a4-7c2e-7b1d-8f00-0123456789ab\"]"),
        ];
        for (column_type, keys) in cases {
            assert_eq!(refusal(column_type, keys), None, "{column_type}, {keys}");
        }
    }

    #[test]
    fn a_column_without_rules_is_stored_without_them() {
        let column = Column::new("age", ColumnType::SmallInt);
        let stored = serde_json::to_string(&column).unwrap();
        assert_eq!(stored, r#"{"name":"age","type":"smallint","required":false,"description":""}"#);
        assert_eq!(serde_json::from_str::<Column>(&stored).unwrap(), column);
    }

    #[test]
    fn a_stored_column_with_all_rules_reads_back_equal() {
        let text = r#"
            name = "a"
            type = "text"
            null = ["-"]
            trim = true
            min = 1
            max = 2030-12-31
            allowed = [1.5, "A"]
            pattern = "."
            max_length = 3
            format = "%d"
            decimal_comma = true
            thousands = "."
            true_values = ["J"]
            false_values = ["N"]
            non_finite = true
        "#;
        let column: Column = toml::from_str(text).unwrap();
        let stored = serde_json::to_value(&column).unwrap();
        assert_eq!(serde_json::from_value::<Column>(stored).unwrap(), column);
    }
}
