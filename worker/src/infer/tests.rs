//! Whole files in, whole specs out.

use std::{fs::File, path::Path};

use longshore_common::dataset::Column;

use super::*;

fn samples(folder: &Path, files: &[(&str, &[u8])]) -> Vec<Sample> {
    let sample = |(name, content): &(&str, &[u8])| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        Sample::new((*name).to_owned(), path.clone(), File::open(path).unwrap())
    };
    files.iter().map(sample).collect()
}

fn inferred(files: &[(&str, &[u8])]) -> Result<Inference, String> {
    let folder = tempfile::tempdir().unwrap();
    infer(&samples(folder.path(), files)).map_err(|error| error.to_string())
}

fn shown(columns: &[Column]) -> Vec<String> {
    let text = |column: &Column| {
        format!("{} {} {}", column.name, column.header_name(), String::from(column.column_type))
    };
    columns.iter().map(text).collect()
}

#[test]
fn a_spec_says_what_the_file_shows_and_loads_it() {
    let csv = "\u{feff}Kunde;Straße;Umsatz;Seit;PLZ;aktiv\r\n\
               1;\"Am Markt 1; Hof\";1.234,50;31.12.2023;01067;ja\r\n\
               2;NA;-;1.2.2024;99084;nein\r\n";
    let inference = inferred(&[("Kunden_2024-01.csv", csv.as_bytes())]).unwrap();
    assert_eq!((inference.rows, inference.rows_rejected), (2, 0));
    let dataset = &inference.dataset;
    assert_eq!((dataset.name.as_str(), dataset.target.table.as_str()), ("kunden", "reporting.kunden"));
    assert_eq!(dataset.include[0], "**/Kunden*.csv");
    assert_eq!((dataset.csv.delimiter, &dataset.csv.null), (';', &vec![String::new()]));
    let expected = [
        "kunde Kunde smallint",
        "straße Straße text",
        "umsatz Umsatz numeric(14,2)",
        "seit Seit date",
        "plz PLZ text",
        "aktiv aktiv boolean",
    ];
    assert_eq!(shown(&dataset.columns), expected);
    assert_eq!(dataset.columns[2].null.as_deref().unwrap(), ["", "-"]);
    assert!(
        inference.text.contains("#   Kunden_2024-01.csv: 2 rows\n# All of them load"),
        "{}",
        inference.text
    );
}

#[test]
fn types_hold_for_all_files_and_their_columns_may_stand_in_another_order() {
    let files: [(&str, &[u8]); 5] = [
        ("only a header.csv", b"id,n\n"),
        ("a.csv", b"id,n\n1,2\n"),
        ("b.csv", b"n,id\n2.5,70000\n"),
        ("empty.csv", b""),
        ("a header.csv", b"id,n\n"),
    ];
    let inference = inferred(&files).unwrap();
    assert_eq!(shown(&inference.dataset.columns), ["id id integer", "n n numeric(13,1)"]);
    assert_eq!(inference.rows, 2);
    assert!(!inference.text.contains("No rows"), "{}", inference.text);
    let header = inferred(&[("a.csv", b"id,n\n")]).unwrap();
    assert_eq!(shown(&header.dataset.columns), ["id id text", "n n text"]);
    assert!(header.text.contains("No rows in the sample"), "{}", header.text);
    let other = inferred(&[("a.csv", b"id,n\n1,2\n"), ("b.csv", b"id,m\n1,2\n")]).unwrap_err();
    assert_eq!(
        other,
        "b.csv has other columns than a.csv: it lacks `n`, it has `m`; one spec has one header, so infer from each by itself"
    );
    let mixed = inferred(&[("a.csv", "ä\nä\n".as_bytes()), ("b.csv", b"\xe4\nb\xfcro\n")]).unwrap_err();
    assert!(mixed.starts_with("a.csv is UTF-8 and b.csv is not"), "{mixed}");
    assert_eq!(
        inferred(&[("a.csv", b""), ("b.csv", b"\n\n")]).unwrap_err(),
        "no file has a row or a header: a.csv, b.csv; infer from files that have rows"
    );
    let utf16: Vec<u8> = "id,n\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let unmarked = inferred(&[("a.csv", &utf16)]).unwrap_err();
    assert!(
        unmarked.contains(": a.csv; many bytes are NUL") && unmarked.contains("csv.encoding"),
        "{unmarked}"
    );
    let workbook = inferred(&[("a.xlsx", b"PK\x03\x04\n1,2\n1,2\n")]).unwrap_err();
    assert!(workbook.starts_with("a.xlsx: the content is a zip archive or an Excel workbook"), "{workbook}");
    assert!(inferred(&[("a.csv.gz", b"id\n1\n")]).unwrap_err().starts_with("a.csv.gz: the name ends in .gz"));
}

#[test]
fn a_quoted_word_for_no_value_makes_a_column_text() {
    let inference = inferred(&[("a.csv", b"id,n\n\"1\",\"NA\"\n\"2\",\"3\"\n")]).unwrap();
    assert_eq!(shown(&inference.dataset.columns), ["id id smallint", "n n text"]);
    assert_eq!(inference.rows_rejected, 0);
    assert!(inference.text.contains("stand in quotes there (1 times)"), "{}", inference.text);
}

#[test]
fn a_file_without_quotes_says_why_and_one_stray_quote_is_a_row_to_reject() {
    let inference = inferred(&[("a.csv", b"id,t\n1,x\n2,\"X\n3,\"y\" z\n4,u\n")]).unwrap();
    assert!(inference.text.contains("then rejected.\nquote = \"\""), "{}", inference.text);
    assert_eq!(inference.rows_rejected, 0);
    let stray = inferred(&[("a.csv", b"id,t\n1,x\n2,\"X\n3,y\n4,u\n")]).unwrap();
    assert!(!stray.text.contains("quote ="), "{}", stray.text);
    assert!(stray.text.contains("# 1 of these rows would be rejected"), "{}", stray.text);
}

#[test]
fn namibia_is_a_country_where_a_missing_number_is_written_alike() {
    let inference = inferred(&[("a.csv", b"country,pop\nDE,83\nNA,3\nFR,NA\n")]).unwrap();
    let dataset = &inference.dataset;
    assert_eq!(shown(&dataset.columns), ["country country text", "pop pop smallint"]);
    assert_eq!(dataset.csv.null, ["", "NA"]);
    assert_eq!(dataset.columns[0].null.as_deref().unwrap(), [""]);
    assert_eq!(dataset.columns[1].null, None);
    assert!(inference.text.contains("# Texts here: \"NA\" (1 times)."), "{}", inference.text);
}

#[test]
fn hostile_names_come_back_from_the_spec_as_they_are() {
    let names = ["${HOME}", "a\"b\\c", "x\n[target]\ntable = 'y'", "\u{1b}[31m", "  spaces ", "# no comment"];
    let header: Vec<_> = names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let csv = format!("{}\n1,2,3,4,5,6\n", header.join(","));
    let inference = inferred(&[("a.csv", csv.as_bytes())]).unwrap();
    let sources: Vec<_> = inference.dataset.columns.iter().map(Column::header_name).collect();
    assert_eq!(sources, names);
    assert_eq!(inference.rows_rejected, 0);
}

#[test]
fn what_no_type_can_save_is_said() {
    let inference = inferred(&[("a.csv", b"id,n\n1,2\n3\n4,5\n6,7,8\n8,9\n")]).unwrap();
    assert_eq!((inference.rows, inference.rows_rejected), (5, 2));
    assert!(inference.text.contains("# 2 of these rows would be rejected"), "{}", inference.text);
}

#[test]
fn a_file_that_would_fail_is_said_with_the_limits_that_let_it_load() {
    let ragged = |rows: u32, every: u32| -> String {
        let row = |row: u32| if row.is_multiple_of(every) { "1\n" } else { "1,2\n" };
        ["id,n\n"].into_iter().chain((1..=rows).map(row)).collect()
    };
    for (rows, every, key, limits) in [
        (3000, 10, "rejects.max_ratio", "max_rows = 1000\nmax_ratio = 0.11\n"),
        (3000, 2, "rejects.max_rows", "max_rows = 1500\nmax_ratio = 0.51\n"),
        (40_000, 30, "rejects.max_rows", "max_rows = 1333\nmax_ratio = 0.05\n"),
    ] {
        // What a small file has is no share to speak of.
        let (file, good) = (ragged(rows, every), ragged(5, 2));
        let files = [("a.csv", good.as_bytes()), ("b.csv", file.as_bytes())];
        let inference = inferred(&files).unwrap();
        let [failure] = inference.failures.as_slice() else { panic!("{:?}", inference.failures) };
        assert!(failure.starts_with("b.csv would FAIL: ") && failure.contains(key), "{failure}");
        assert!(inference.text.contains(&format!("# {failure}\n")), "{}", inference.text);

        let (spec, commented) = inference.text.split_once("\n# [rejects]\n").unwrap();
        let uncommented = format!("[rejects]\n{}", commented.replace("# ", ""));
        assert_eq!(uncommented, format!("[rejects]\n{limits}"));
        let spec = format!("{spec}\n{uncommented}");
        let dataset = longshore_common::dataset::parse_spec("a.toml", &spec, |_| None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(folder.path(), &files);
        let verified = verify(&dataset, &samples).unwrap();
        assert!(failing(&dataset, &samples, &verified).unwrap().is_empty(), "{spec}");
    }
}

#[test]
fn a_few_bad_rows_are_within_the_usual_limits() {
    let inference = inferred(&[("a.csv", b"id,n\n1,2\n3\n4,5\n")]).unwrap();
    assert_eq!((inference.rows_rejected, inference.failures.len()), (1, 0));
    assert!(!inference.text.contains("[rejects]"), "{}", inference.text);
}

#[test]
fn a_sample_that_ends_in_the_middle_of_a_row_says_nothing_of_that_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples =
        samples(folder.path(), &[("a.csv", b"id,day\n1,2024-01-01\n2,2024-01-02\n3,2024-01-03\n")]);
    for max_bytes in 21..33 {
        samples[0].max_bytes = max_bytes;
        let inference = infer(&samples).unwrap();
        assert_eq!(shown(&inference.dataset.columns), ["id id smallint", "day day date"], "{max_bytes}");
        assert_eq!((inference.rows, inference.rows_rejected), (1, 0));
    }
}

#[test]
fn a_long_record_gets_the_room_that_it_needs() {
    let csv = format!("id;text\n1;{}\n", "x, ".repeat(1 << 20));
    let inference = inferred(&[("a.csv", csv.as_bytes())]).unwrap();
    assert_eq!(inference.dataset.csv.max_record_bytes, HumanBytes(16 << 20));
    assert_eq!(inference.rows_rejected, 0);
}

#[test]
fn more_columns_than_a_table_can_have_are_refused_however_they_are_called() {
    for (name, count) in [("a,", 1598), ("a,", 20_000), (",", 200_000)] {
        let csv = format!("{}a\n", name.repeat(count));
        let refusal = inferred(&[("a.csv", csv.as_bytes())]).unwrap_err();
        assert!(refusal.ends_with("columns are more than the 1598 that a table can have"), "{refusal}");
    }
    let widest = format!("{}a\n{}1\n", "a,".repeat(1597), "1,".repeat(1597));
    assert_eq!(inferred(&[("a.csv", widest.as_bytes())]).unwrap().dataset.columns.len(), 1598);
}
