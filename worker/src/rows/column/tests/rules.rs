//! Bounds, allowed values, patterns and lengths.

use super::*;

#[test]
fn bounds_belong_to_what_they_allow_and_compare_values() {
    // Type, min, max, what lies within, what lies below, what lies above.
    type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let cases: [Case<'_>; 10] = [
        ("smallint", "-5", "150", &["-5", "0", "150", "150.0"], &["-6", "-32768"], &["151", "32767"]),
        ("integer", "-70000", "70000", &["-70000", "70000"], &["-70001"], &["70001", "2147483647"]),
        ("bigint", "1", "9223372036854775807", &["1", "9223372036854775807"], &["0", "-1"], &[]),
        ("real", "0.5", "1e3", &["0.5", "999.9", "1000"], &["0.4999", "-1e30"], &["1000.1"]),
        ("double", "-0.0", "0.1", &["0", "-0", "0.1"], &["-5e-324"], &["0.10000000000000002"]),
        (
            "numeric(20,4)",
            "-10.5",
            "10000.0001",
            &["-10.5", "-0.1", "0", "9999.9999", "10000.0001"],
            &["-10.5001", "-10000", "-9999999999999999"],
            &["10000.0002", "20000", "9999999999999999"],
        ),
        (
            "numeric(20,4)",
            "0.01",
            "99",
            &["0.01", "1", "98.9999"],
            &["0", "0.0099", "-1"],
            &["99.0001", "100"],
        ),
        ("date", "2000-01-01", "2030-12-31", &["2000-01-01", "2030-12-31"], &["1999-12-31"], &["2031-01-01"]),
        (
            "timestamp",
            "1999-12-31T00:00:00",
            "\"2030-12-31 23:59:59.999999\"",
            &["1999-12-31 00:00", "2030-12-31 23:59:59.999999"],
            &["1999-12-30 23:59:59.999999"],
            &["2031-01-01 00:00"],
        ),
        (
            "timestamptz",
            "2024-01-01T00:00:00+02:00",
            "2024-01-02T00:00:00Z",
            &["2023-12-31 22:00", "2024-01-01 00:00+02:00", "2024-01-02T01:00+01"],
            &["2023-12-31 21:59:59"],
            &["2024-01-02 00:00-01"],
        ),
    ];
    for (column_type, min, max, within, below, above) in cases {
        let keys = format!("min = {min}\nmax = {max}");
        passes(column_type, &keys, within);
        breaks("min", column_type, &keys, below);
        breaks("max", column_type, &keys, above);
    }
}

#[test]
fn nan_passes_no_bound() {
    for column_type in ["real", "double"] {
        breaks("min", column_type, "non_finite = true\nmin = 0", &["NaN", "-inf"]);
        breaks("max", column_type, "non_finite = true\nmax = 0", &["NaN", "inf"]);
        passes(column_type, "non_finite = true\nmin = 0", &["inf", "0"]);
    }
}

#[test]
fn allowed_compares_values_and_not_texts() {
    let cases: [(&str, &str, &[&str], &[&str]); 9] = [
        ("text", "[\"A\", \"\", \"ä b\"]", &["A", "ä b"], &["a", "A ", "B"]),
        ("integer", "[1, \"20\"]", &["1", "1.0", " 20 ", "+1"], &["2", "-1", "10"]),
        ("numeric(5,2)", "[1.0, \"0.05\"]", &["1", "1.00", "1e0", "0.050"], &["1.01", "-1"]),
        ("double", "[0, 0.1]", &["0", "-0.0", "1e-1"], &["0.10000000000000002"]),
        ("real", "[-0.0]", &["0", "-0"], &["1"]),
        ("boolean", "[\"true\"]", &["1", "Y"], &["0", "no"]),
        ("date", "[2024-01-01]", &["2024-01-01"], &["2024-01-02"]),
        ("timestamptz", "[2024-01-01T00:00:00Z]", &["2024-01-01 01:00+01:00"], &["2024-01-01 00:00+01:00"]),
        (
            "uuid",
            "[\"0197f9a4-7c2e-7b1d-8f00-0123456789ab\"]",
            &["0197F9A4-7C2E-7B1D-8F00-0123456789AB"],
            &["0197f9a4-7c2e-7b1d-8f00-0123456789ac"],
        ),
    ];
    for (column_type, allowed, within, beyond) in cases {
        let keys = format!("allowed = {allowed}");
        passes(column_type, &keys, within);
        breaks("allowed", column_type, &keys, beyond);
    }
}

#[test]
fn a_pattern_holds_for_the_whole_value() {
    let cases: [(&str, &[&str], &[&str]); 7] = [
        ("[A-Z]{2}", &["DE"], &["D", "DEU", "de", " DE", "DE\n"]),
        ("a|ab", &["a", "ab"], &["b", "abb"]),
        (".", &["ä", "𝄞"], &["", "ab", "\n"]),
        ("^a$", &["a"], &["a\n", "ba"]),
        ("(?m)^a$", &["a"], &["a\nb", "b\na"]),
        ("(?i)x", &["x", "X"], &["xx"]),
        ("", &[], &["a"]),
    ];
    for (pattern, matching, others) in cases {
        let keys = format!("pattern = '{pattern}'\nnull = []");
        passes("text", &keys, matching);
        breaks("pattern", "text", &keys, others);
    }
}

#[test]
fn max_length_counts_characters() {
    passes("text", "max_length = 3", &["a", "abc", "äöü", "𝄞𝄞𝄞", "   "]);
    breaks("max_length", "text", "max_length = 3", &["abcd", "äöüß", "    "]);
    breaks("max_length", "text", "max_length = 3\ntrim = true", &["  abcd"]);
    passes("text", "max_length = 3\ntrim = true", &["  abc   "]);
}
