mod rules;

use proptest::prelude::*;

use super::super::testing::dataset_with;
use super::*;

fn column(column_type: &str, keys: &str) -> ColumnPlan {
    let dataset = dataset_with(column_type, keys);
    ColumnPlan::compile(&dataset.columns[0], &dataset.csv).unwrap_or_else(|error| panic!("{keys}: {error}"))
}

fn refusal(column_type: &str, keys: &str) -> String {
    let dataset = dataset_with(column_type, keys);
    ColumnPlan::compile(&dataset.columns[0], &dataset.csv)
        .err()
        .map_or(String::new(), |error| error.to_string())
}

/// The bytes behind the length; `None` for NULL.
type Value = Option<Vec<u8>>;

fn append(column: &ColumnPlan, field: &[u8], quoted: bool) -> Result<Value, ColumnFault> {
    let mut out = Vec::new();
    let cell = Cell { head: field, length: field.len(), quoted };
    column.append(cell, &mut b"left over".to_vec(), &mut out)?;
    let (length, value) = out.split_first_chunk().unwrap();
    match i32::from_be_bytes(*length) {
        -1 => Ok(None),
        length => {
            assert_eq!(length as usize, value.len());
            Ok(Some(value.to_vec()))
        }
    }
}

/// What becomes of a field without quotes: the rule that it breaks, or its value.
fn typed(column: &ColumnPlan, field: &str) -> Result<Value, &'static str> {
    append(column, field.as_bytes(), false).map_err(|fault| column.explain(fault).0)
}

/// Each field is the same value as the other text is to a column of the type without further keys.
fn same_values(column_type: &str, keys: &str, cases: &[(&str, &str)]) {
    let (column, plain) = (column(column_type, keys), column(column_type, ""));
    for (field, sql) in cases {
        let value = typed(&plain, sql);
        assert!(value.is_ok(), "{sql} is a value");
        assert_eq!(typed(&column, field), value, "{column_type}, {keys}: `{field}`");
    }
}

/// Each field breaks the rule.
fn breaks(rule: &str, column_type: &str, keys: &str, fields: &[&str]) {
    let column = column(column_type, keys);
    for field in fields {
        assert_eq!(typed(&column, field), Err(rule), "{column_type}, {keys}: `{field}`");
    }
}

/// Each field passes.
fn passes(column_type: &str, keys: &str, fields: &[&str]) {
    let column = column(column_type, keys);
    for field in fields {
        assert!(
            typed(&column, field).is_ok(),
            "{column_type}, {keys}: `{field}`: {:?}",
            typed(&column, field)
        );
    }
}

#[test]
fn a_columns_own_nulls_take_the_place_of_those_of_the_file() {
    let own = column("integer", "null = [\"-\", \"n/a\"]");
    assert_eq!([typed(&own, "-"), typed(&own, " n/a ")], [Ok(None), Ok(None)]);
    assert_eq!([typed(&own, "NA"), typed(&own, "")], [Err("type"), Err("type")]);
    assert_eq!(append(&own, b"", true), Ok(None), "an empty field in quotes is no value of an integer");
    let none = column("text", "null = []");
    assert_eq!([typed(&none, ""), typed(&none, "NA")], [Ok(Some(vec![])), Ok(Some(b"NA".to_vec()))]);
    let inherited = column("text", "");
    assert_eq!([typed(&inherited, ""), typed(&inherited, "NA")], [Ok(None), Ok(None)]);
    let padded = column("date", "null = [\" \", \" NULL\"]");
    assert_eq!([typed(&padded, "   "), typed(&padded, "NULL ")], [Ok(None), Ok(None)]);
}

#[test]
fn what_is_trimmed_is_trimmed_before_it_is_looked_up() {
    let kept = column("text", "");
    assert_eq!(
        [typed(&kept, " x "), typed(&kept, " NA")],
        [Ok(Some(b" x ".to_vec())), Ok(Some(b" NA".to_vec()))]
    );
    let trimmed = column("text", "trim = true");
    assert_eq!(typed(&trimmed, "\u{a0} x y\t\r\n"), Ok(Some(b"x y".to_vec())));
    assert_eq!([typed(&trimmed, " NA\t"), typed(&trimmed, "  ")], [Ok(None), Ok(None)]);
    assert_eq!(append(&trimmed, b"  ", true), Ok(Some(vec![])));
    assert_eq!(append(&trimmed, b" NA ", true), Ok(Some(b"NA".to_vec())));
    for column_type in ["smallint", "integer", "bigint", "real", "double", "numeric(5,0)", "boolean"] {
        same_values(column_type, "", &[("  1 ", "1")]);
        let column = column(column_type, "");
        assert_eq!([typed(&column, "  "), typed(&column, " NA ")], [Ok(None), Ok(None)]);
        assert_eq!(typed(&column, "\t1"), Err("type"));
    }
}

#[test]
fn a_decimal_comma_is_the_point_and_the_point_is_none() {
    let keys = "decimal_comma = true";
    same_values(
        "double",
        keys,
        &[("0,5", "0.5"), (",5", "0.5"), ("-1,5E3", "-1500"), ("7", "7"), ("7,", "7")],
    );
    same_values("numeric(14,2)", keys, &[("1234,56", "1234.56"), ("+0,05", "0.05"), ("5e-1", "0.5")]);
    same_values("smallint", keys, &[("2,0", "2"), ("-3", "-3")]);
    for column_type in ["smallint", "real", "double", "numeric(14,2)"] {
        breaks("type", column_type, keys, &["1.5", "1.234,5", "1,2,3", ",", "-", "1,5.0", "1.", "5,x"]);
    }
    breaks("range", "numeric(3,1)", keys, &["0,25", "123"]);
}

#[test]
fn thousands_are_separated_in_whole_groups_or_not_at_all() {
    for separator in [",", "'", "_", " ", "\u{a0}", "\u{2009}", "\u{202f}"] {
        let keys = format!("thousands = \"{separator}\"");
        let text = |sql: &str| sql.replace('_', separator);
        for column_type in ["integer", "double", "numeric(14,2)"] {
            let grouped = [text("1_234_567"), text("-12_345"), text("123_456.0"), text("1234567"), text("7")];
            let sql = ["1234567", "-12345", "123456", "1234567", "7"];
            let cases: Vec<_> = grouped.iter().map(String::as_str).zip(sql).collect();
            same_values(column_type, &keys, &cases);
            let malformed = [
                "1_23",
                "1234_567",
                "_123",
                "1__234",
                "1_2345",
                "1_234_",
                "1_234_56",
                "1.234_567",
                "1_23a",
                "1-234",
            ];
            let malformed: Vec<_> = malformed.map(text).to_vec();
            // A space at the end is padding, and one in front as well.
            let is_padding = |field: &&String| separator == " " && **field != field.trim_matches(' ');
            let fields: Vec<_> =
                malformed.iter().filter(|field| !is_padding(field)).map(String::as_str).collect();
            breaks("type", column_type, &keys, &fields);
        }
    }
    let keys = "thousands = \".\"\ndecimal_comma = true";
    same_values("numeric(14,2)", keys, &[("1.234.567,89", "1234567.89"), ("0,5", "0.5")]);
    breaks("type", "numeric(14,2)", keys, &["1.5", "1,234.5", "0.5"]);
    // Nobody can tell one space from another.
    same_values("integer", "thousands = \" \"", &[("1\u{202f}234\u{a0}567", "1234567")]);
    breaks("type", "integer", "thousands = \"'\"", &["1,234", "1 234"]);
}

#[test]
fn own_words_take_the_place_of_the_usual_ones() {
    let keys = "true_values = [\"J\", \" Straße \"]\nfalse_values = [\"N\", \"ÄH\"]";
    let cases = [("J", "1"), ("j", "1"), ("STRAßE", "1"), ("n", "0"), (" äh ", "0")];
    same_values("boolean", keys, &cases);
    breaks("type", "boolean", keys, &["1", "true", "y", "jj", "Strasse"]);
}

#[test]
fn what_is_not_finite_is_a_value_only_where_the_spec_says_so() {
    let words = ["NaN", "nan", "Infinity", "-infinity", "+INF", "inf", "-Inf"];
    for column_type in ["real", "double"] {
        breaks("type", column_type, "", &words);
        passes(column_type, "non_finite = true", &words);
        breaks("type", column_type, "non_finite = true", &["-nan", "infinit", "infinityy", "1inf", "+-inf"]);
    }
    let real = column("real", "non_finite = true");
    assert_eq!(typed(&real, "-inf"), Ok(Some(f32::NEG_INFINITY.to_be_bytes().to_vec())));
    assert_eq!(typed(&real, "nan"), Ok(Some(0x7fc0_0000_u32.to_be_bytes().to_vec())));
    let double = column("double", "non_finite = true\ndecimal_comma = true");
    assert_eq!(typed(&double, "inf"), Ok(Some(f64::INFINITY.to_be_bytes().to_vec())));
    assert_eq!(typed(&double, "NaN"), Ok(Some(0x7ff8_0000_0000_0000_u64.to_be_bytes().to_vec())));
    assert_eq!(typed(&double, "1e999"), Err("range"), "an overflow is no infinity that the file names");
}

#[test]
fn a_rule_that_no_value_could_be_held_against_is_refused_with_its_key() {
    let cases = [
        ("smallint", "min = 0.5", "columns.a.min`: `0.5` is not a smallint: a whole number"),
        ("smallint", "max = 40000", "columns.a.max`: `40000` is outside of what a smallint can hold"),
        ("date", "min = 2024-01-01T00:00:00", "columns.a.min`: `2024-01-01T00:00:00` is not a date"),
        ("date", "min = \"31.12.2024\"\nformat = \"%d.%m.%Y\"", "YYYY-MM-DD"),
        ("numeric(5,2)", "allowed = [1, 0.125]", "columns.a.allowed`: `0.125` is outside"),
        ("boolean", "allowed = [\"J\"]", "columns.a.allowed`: `J` is not a boolean: 1/0"),
        ("integer", "min = 2\nmax = 1", "columns.a.min`: `2` is above `max`, which is `1`"),
        ("numeric(9,2)", "min = \"10.01\"\nmax = 10", "above `max`"),
        ("double", "min = \"NaN\"\nnon_finite = true", "columns.a.min`: a NaN is no bound"),
        ("double", "max = \"inf\"", "columns.a.max`: `inf` is not a double precision"),
        ("text", "pattern = \"[\"", "columns.a.pattern`: "),
        ("text", "pattern = 'a)|(b'", "columns.a.pattern`: "),
        ("text", "pattern = '\\w{1000}'", "larger than"),
        ("date", "format = \"%d.%m.\"", "columns.a.format`: `%d.%m.` does not give a whole date"),
        ("timestamp", "format = \"%d.%m.%Y\"", "does not give a whole timestamp"),
        ("timestamp", "format = \"%Y-%m-%d %I:%M\"", "does not give a whole timestamp"),
        ("timestamp", "format = \"%Y-%m-%d %H:%M%z\"", "has a zone"),
        ("date", "format = \"%+\"", "has a zone"),
        ("timestamptz", "format = \"%Y-%m-%d %H:%M %Z\"", "`%z` does"),
        ("timestamp", "format = \"%Y-%m-%d %H:%M:%S.%f\"", "write `%.f`"),
    ];
    for (column_type, keys, expected) in cases {
        let message = refusal(column_type, keys);
        assert!(message.contains(expected), "{column_type}, {keys}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
    assert_eq!(refusal("integer", "min = 1\nmax = 1"), "");
    assert_eq!(refusal("text", "pattern = '\\w{1,60}'"), "");
}

#[test]
fn a_reason_says_what_was_expected_and_never_what_the_file_says() {
    let cases = [
        ("integer", "min = 18", "7", "less than 18, the least value allowed"),
        ("date", "max = 2024-12-31", "2025-01-01", "more than 2024-12-31, the greatest value allowed"),
        ("text", "allowed = [\"A\", \"B\"]", "C", "not one of the values allowed: `A`, `B`"),
        ("text", "pattern = '[A-Z]+'", "7", "does not match the pattern `[A-Z]+`"),
        ("text", "max_length = 2", "777", "longer than 2 characters"),
        ("integer", "required = true", "", "has no value, and one is required"),
        (
            "boolean",
            "true_values = [\"J\"]\nfalse_values = [\"N\"]",
            "7",
            "not a boolean: `j` for true or `n` for false, in any case",
        ),
        (
            "date",
            "format = \"%d.%m.%Y\"",
            "7",
            "not a date: a date as `%d.%m.%Y`, an existing day of the years 1000 to 9999",
        ),
        (
            "smallint",
            "decimal_comma = true\nthousands = \".\"",
            "777777",
            "outside of what a smallint can hold: a whole number from -32768 to 32767; the decimal point is a comma; \
             groups of three digits may be separated by `.`",
        ),
    ];
    for (column_type, keys, field, expected) in cases {
        let column = column(column_type, keys);
        let fault = append(&column, field.as_bytes(), false).unwrap_err();
        assert_eq!(column.explain(fault).1, expected);
    }
    let keys = format!("allowed = [\"{}\"]", vec!["x".repeat(100); 50].join("\", \""));
    let column = column("text", &keys);
    let reason = column.explain(append(&column, b"secret", false).unwrap_err()).1;
    assert!(reason.chars().count() < 1000 && reason.ends_with(" and 40 more"), "{reason}");
}

/// Columns of every type, without and with every key that it can have.
fn all_columns() -> Vec<ColumnPlan> {
    let number = "thousands = \" \"\ndecimal_comma = true\nmin = -5\nmax = 99\nallowed = [1, 2]\nnull = [\"1\", \"-\"]";
    let keys = [
        ("smallint", number),
        ("integer", number),
        ("bigint", number),
        ("real", &format!("{number}\nnon_finite = true")),
        ("double", &format!("{number}\nnon_finite = true")),
        ("numeric(9,3)", number),
        ("numeric(1000,500)", number),
        ("boolean", "true_values = [\"ſ\", \"1\"]\nfalse_values = [\"İ\", \"\"]\nallowed = [\"true\"]"),
        ("text", "trim = true\nallowed = [\"a\"]\npattern = '\\w*'\nmax_length = 2\nrequired = true"),
        ("date", "format = \"%d.%m.%Y\"\nmin = 2000-01-01"),
        ("date", "format = \"%a %-d %b %y %H%p\""),
        ("timestamp", "format = \"%s%.f\"\nmax = 2030-01-01T00:00:00"),
        ("timestamp", "format = \"%c\""),
        ("timestamptz", "format = \"%+\"\nallowed = [2030-01-01T00:00:00Z]"),
        ("timestamptz", "format = \"%G%V%u%H%M%S%3f%#z\""),
        ("uuid", "null = [\"0\"]"),
    ];
    keys.iter().flat_map(|(column_type, keys)| [column(column_type, ""), column(column_type, keys)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_bytes_are_a_value_or_break_a_rule(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            "[-+0-9.,: eE/TZaAmMnNiIfF\u{a0}%]{0,24}".prop_map(String::into_bytes),
            "\\PC{0,10}".prop_map(String::into_bytes),
        ],
        quoted: bool,
    ) {
        thread_local!(static COLUMNS: Vec<ColumnPlan> = all_columns());
        COLUMNS.with(|columns| {
            for column in columns {
                if let Err(fault) = append(column, &bytes, quoted) {
                    let (rule, reason) = column.explain(fault);
                    assert!(!rule.is_empty() && !reason.is_empty());
                }
            }
        });
    }
}
