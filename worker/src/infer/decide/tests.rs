use super::*;

fn profile(values: &[&str], catalog: &mut Catalog) -> Profile {
    let mut profile = Profile::new(catalog);
    values.iter().for_each(|value| profile.note(value.as_bytes(), false, catalog));
    profile
}

/// What is decided on columns of one file, in the spec's terms.
fn decided(columns: &[(&str, &[&str])]) -> Vec<String> {
    let mut catalog = Catalog::new().unwrap();
    let profiles: Vec<_> = columns.iter().map(|(_, values)| profile(values, &mut catalog)).collect();
    let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    decide(&profiles, &names, &catalog).iter().map(|decision| shown(&decision.column)).collect()
}

fn shown(column: &Column) -> String {
    let mut text = String::from(column.column_type);
    if let Some(format) = &column.format {
        text += &format!(" {format}");
    }
    if column.decimal_comma {
        text += " decimal_comma";
    }
    if let Some(thousands) = column.thousands {
        text += &format!(" thousands[{thousands}]");
    }
    if column.non_finite {
        text += " non_finite";
    }
    if let Some(words) = &column.true_values {
        text += &format!(" {}", words.join("|"));
    }
    text
}

#[test]
fn a_column_gets_the_narrowest_type_that_holds_its_values() {
    let cases: [(&[&str], &str); 37] = [
        (&["1", "-32768"], "smallint"),
        (&["0", "1"], "smallint"),
        (&["1", "32768"], "integer"),
        (&["2147483648"], "bigint"),
        (&["9223372036854775808"], "numeric(19,0)"),
        (&["2.0", "", "3.0"], "smallint"),
        (&["2.0", "3.0"], "numeric(13,1)"),
        (&["1.5", "2.25"], "numeric(14,2)"),
        (&["1234567890123.5"], "numeric(14,1)"),
        (&["0.123456"], "numeric(18,6)"),
        (&["0.1234567"], "double"),
        (&["1e5", "2"], "double"),
        (&["1.5", "-inf", "NaN"], "double non_finite"),
        (&["inf"], "text"),
        (&["00123", "00124"], "text"),
        (&["0", "10"], "smallint"),
        (&["+491701234567"], "text"),
        (&["+1", "-1"], "smallint"),
        (&["1", "x"], "text"),
        (&["12%"], "text"),
        (&["TRUE", "False"], "boolean"),
        (&["true"], "boolean"),
        (&["Y", "n"], "boolean"),
        (&["N"], "text"),
        (&["M", "F"], "text"),
        (&["T", "F"], "boolean"),
        (&["J", "N"], "boolean j"),
        (&["2024-01-31", "2024-02-29"], "date"),
        (&["2024-01-31", "2024-02-30"], "text"),
        (&["2024-01-31 10:00", "2024-01-31 10:00:00.5"], "timestamp"),
        (&["2024-01-31T10:00:00Z", "2024-01-31T10:00:00"], "timestamptz"),
        (&["31.01.2024", "1.2.2024"], "date %d.%m.%Y"),
        (&["31.01.2024 10:00"], "timestamp %d.%m.%Y %H:%M"),
        (&["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], "uuid"),
        (&["", "NA"], "text"),
        (&[], "text"),
        (&["20240131"], "integer"),
    ];
    for (values, expected) in cases {
        assert_eq!(decided(&[("x", values)]), [expected], "{values:?}");
    }
    assert_eq!(decided(&[("order_date", &["20240131"])]), ["date %Y%m%d"]);
}

#[test]
fn numbers_of_other_notations_are_read_where_they_are_clear() {
    let cases: [(&[&str], &str); 13] = [
        (&["1,5", "2,25"], "numeric(14,2) decimal_comma"),
        (&["1.234,5", "2,25"], "numeric(14,2) decimal_comma thousands[.]"),
        (&["1,234.5", "2.25"], "numeric(14,2) thousands[,]"),
        (&["1,234,567", "12"], "integer thousands[,]"),
        (&["1.234.567", "12"], "integer decimal_comma thousands[.]"),
        (&["1 234,5", "1\u{a0}234,25"], "numeric(14,2) decimal_comma thousands[ ]"),
        (&["1'234.50", "2.25"], "numeric(14,2) thousands[']"),
        (&["1,234", "5,678"], "text"),
        (&["1.234", "5.678", "12"], "text"),
        (&["1.234", "0.125"], "numeric(15,3)"),
        (&["1.234", "1234.567"], "numeric(15,3)"),
        (&["1,234", "0,125"], "numeric(15,3) decimal_comma"),
        (&["1,23,4"], "text"),
    ];
    for (values, expected) in cases {
        assert_eq!(decided(&[("x", values)]), [expected], "{values:?}");
    }
}

/// The first note on a column of these values.
fn note(values: &[&str]) -> Option<String> {
    let mut catalog = Catalog::new().unwrap();
    let profiles = [profile(values, &mut catalog)];
    decide(&profiles, &["x".to_owned()], &catalog)[0].notes.first().cloned()
}

#[test]
fn what_could_be_thousands_or_fractions_is_said() {
    assert!(note(&["1.234", "5.678"]).unwrap().contains("thousands = \".\""));
    assert!(note(&["1,234", "5,678"]).unwrap().contains("thousands = \",\""));
}

#[test]
fn texts_beside_numbers_are_said_and_days_are_no_numbers() {
    let beside_a_word = |value: &'static str| note(&[[value; 11].as_slice(), &["open"]].concat());
    for number in ["12", "-1.5", "1,234.5", "1.234.567,8"] {
        assert!(beside_a_word(number).unwrap().starts_with("11 of 12 values look like numbers"), "{number}");
    }
    for day in ["31.12.2023", "1.2.24", "2023-12-31"] {
        assert_eq!(beside_a_word(day), None, "{day}");
    }
}

#[test]
fn what_one_column_leaves_open_another_decides() {
    let open: &[&str] = &["1,234", "5,678"];
    assert_eq!(decided(&[("a", open), ("b", &["2.5"])]), ["smallint thousands[,]", "numeric(13,1)"]);
    let both = decided(&[("a", open), ("b", &["2,5"])]);
    assert_eq!(both, ["numeric(15,3) decimal_comma", "numeric(13,1) decimal_comma"]);
    let grouped = decided(&[("a", &["1.234"]), ("b", &["2,5"])]);
    assert_eq!(grouped, ["smallint decimal_comma thousands[.]", "numeric(13,1) decimal_comma"]);
    let contradicting = decided(&[("a", open), ("b", &["2,5"]), ("c", &["2.5"])]);
    assert_eq!(contradicting[0], "text");

    let day: &[&str] = &["01/02/2024"];
    assert_eq!(decided(&[("a", day)]), ["text"]);
    assert_eq!(decided(&[("a", day), ("b", &["31/01/2024"])]), ["date %d/%m/%Y", "date %d/%m/%Y"]);
    assert_eq!(decided(&[("a", day), ("b", &["01/31/2024"])]), ["date %m/%d/%Y", "date %m/%d/%Y"]);
    assert_eq!(decided(&[("a", day), ("b", &["01/31/2024"]), ("c", &["31/01/2024"])])[0], "text");
}

/// The null texts of the file, and of its columns in the same order.
fn nulls_of(columns: &[&[&str]]) -> (Vec<String>, Vec<Option<Vec<String>>>) {
    let mut catalog = Catalog::new().unwrap();
    let profiles: Vec<_> = columns.iter().map(|values| profile(values, &mut catalog)).collect();
    let names: Vec<String> = (0..columns.len()).map(|number| number.to_string()).collect();
    nulls(&profiles, &decide(&profiles, &names, &catalog))
}

#[test]
fn what_stands_for_no_value_is_taken_from_the_columns_that_hold_it() {
    let columns: [&[&str]; 5] =
        [&["1", "NA", ""], &["2.5", "-", "NA"], &["x", "?", "\\N"], &["inf", "NaN", "1"], &["1", "nan"]];
    let (common, own) = nulls_of(&columns);
    assert_eq!(common, ["", "NA", "\\N", "NaN", "nan"]);
    assert_eq!(own[0], None);
    assert_eq!(own[1].as_ref().unwrap(), &["", "NA", "\\N", "NaN", "nan", "-"]);
    assert_eq!(own[3].as_ref().unwrap(), &["", "NA", "\\N"]);
    assert_eq!(own[4], None);
}

#[test]
fn a_word_for_no_value_is_a_text_among_texts() {
    let numbers: &[&str] = &["83", "3", "NA"];
    let (common, own) = nulls_of(&[&["DE", "NA", "FR"], numbers, &["x", "\\N", "NULL"]]);
    assert_eq!(common, ["", "NA", "\\N"]);
    assert_eq!(own, [Some(vec!["".to_owned(), "\\N".to_owned()]), None, own[0].clone()]);
    // Without a column that has a type nobody needs words, and without a value nobody can have meant one.
    assert_eq!(nulls_of(&[&["DE", "NA", "FR"]]), (vec![String::new()], vec![None]));
    assert_eq!(nulls_of(&[&["NA", "", "NA"]]), (vec!["".to_owned(), "NA".to_owned()], vec![None]));
}
