//! What `longshore dataset infer` prints can be applied and loads its samples.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use longshore_tests::Stage;
use serde_json::{Value, json};

/// Infers from the file, applies what it printed, and loads the file's folder: the rows of the table, in the file's order.
async fn loaded(stage: &Stage, file: &str, content: &[u8]) -> Vec<Value> {
    let (dataset, _) = file.split_once('.').unwrap();
    let path = stage.put(&format!("{dataset}/{file}"), content);
    let inferred = stage.ok(&["dataset", "infer", path.to_str().unwrap()]).await;
    assert_eq!(inferred.stderr, "", "{inferred:?}");
    let spec = stage.folder().join(format!("{dataset}.toml"));
    let text = inferred.stdout.replacen("[csv]\n", "[discovery]\nsettle = \"0s\"\n\n[csv]\n", 1);
    std::fs::write(&spec, &text).unwrap();
    stage.ok(&["validate", spec.to_str().unwrap(), path.to_str().unwrap()]).await;
    stage.ok(&["dataset", "apply", spec.to_str().unwrap()]).await;
    stage.ok(&["scan", dataset, "--flush"]).await;
    stage.drain().await;
    let rows = stage
        .texts(&format!(
            "SELECT to_jsonb(t) - '_file_id' - '_line' FROM reporting.{dataset} AS t ORDER BY _line"
        ))
        .await;
    assert!(!rows.is_empty(), "{text}");
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

#[tokio::test]
async fn a_spreadsheet_of_another_country_loads_as_it_reads() {
    let stage = Stage::new().await;
    let csv = "Nr.;Kunde;PLZ;Umsatz;seit;aktiv\r\n\
               1;\"M\u{fc}ller & S\u{f6}hne; Hof\";01067;1.234,50;31.12.2023;J\r\n\
               2;Caf\u{e9} \u{ab}Zur Br\u{fc}cke\u{bb};99084;-;1.2.2024;N\r\n";
    let latin: Vec<u8> = csv.chars().map(|character| character as u8).collect();
    let rows = loaded(&stage, "kunden.csv", &latin).await;
    let expected = [
        json!({"nr": 1, "kunde": "Müller & Söhne; Hof", "plz": "01067", "umsatz": 1234.50, "seit": "2023-12-31", "aktiv": true}),
        json!({"nr": 2, "kunde": "Café «Zur Brücke»", "plz": "99084", "umsatz": null, "seit": "2024-02-01", "aktiv": false}),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn files_of_programs_load_as_these_meant_them() {
    let stage = Stage::new().await;
    let mut pandas = GzEncoder::new(Vec::new(), Compression::fast());
    pandas
        .write_all(b",n,x,when\n0,2.0,0.5,2024-01-02 03:04:05\n1,,NaN,\n2,3.0,1e-7,2024-01-02\x2003:04:06\n")
        .unwrap();
    let rows = loaded(&stage, "pandas.csv.gz", &pandas.finish().unwrap()).await;
    let expected = [
        json!({"column_1": 0, "n": 2, "x": 0.5, "when": "2024-01-02T03:04:05"}),
        json!({"column_1": 1, "n": null, "x": null, "when": null}),
        json!({"column_1": 2, "n": 3, "x": 1e-7, "when": "2024-01-02T03:04:06"}),
    ];
    assert_eq!(rows, expected);

    let r = b"\"speed\",\"dist\",\"ok\"\n\"a\",4,2.5,TRUE\n\"b\",NA,10,FALSE\n";
    let rows = loaded(&stage, "cars.csv", r).await;
    let expected = [
        json!({"row_name": "a", "speed": 4, "dist": 2.5, "ok": true}),
        json!({"row_name": "b", "speed": null, "dist": 10.0, "ok": false}),
    ];
    assert_eq!(rows, expected);

    let mysql = b"\"1\",\"say \\\"hi\\\", Bob\",\"x\ny\"\n\"2\",\"back\\\\slash\",\\N\n\"3\",\"\",\"z\"\n";
    let rows = loaded(&stage, "dump.csv", mysql).await;
    assert_eq!(rows[0], json!({"column_1": 1, "column_2": "say \"hi\", Bob", "column_3": "x\ny"}));
    assert_eq!(rows[1], json!({"column_1": 2, "column_2": "back\\slash", "column_3": null}));
    assert_eq!(rows.len(), 3);

    let excel: Vec<u8> =
        "\u{feff}id\tName\n1\tZoë\n2\t日本\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let rows = loaded(&stage, "unicode.txt", &excel).await;
    assert_eq!(rows, [json!({"id": 1, "name": "Zoë"}), json!({"id": 2, "name": "日本"})]);
}

#[tokio::test]
async fn headers_that_make_trouble_do_not_keep_rows_from_loading() {
    let stage = Stage::new().await;
    let rows = loaded(&stage, "twice.csv", b"id,value,value\n1,2,3\n").await;
    assert_eq!(rows, [json!({"id": 1, "value": 2, "value_2": 3})]);

    let rows = loaded(&stage, "bare.csv", b"2024-01-01|x|1\n2024-01-02|y|2\n").await;
    assert_eq!(rows[0], json!({"column_1": "2024-01-01", "column_2": "x", "column_3": 1}));

    let report = b"Report of March\r\nmade by hand\r\n\r\nid,Total (EUR),\r\n1,5.25,x\r\n2,7,y\r\n";
    let rows = loaded(&stage, "report.csv", report).await;
    assert_eq!(rows[1], json!({"id": 2, "total_eur": 7.00, "column_3": "y"}));

    let evil = b"\"x\"\"; DROP TABLE longshore.task; --\",${HOME},_line,order\n1,2,3,4\n";
    let rows = loaded(&stage, "evil.csv", evil).await;
    assert_eq!(rows, [json!({"x_drop_table_longshore_task": 1, "home": 2, "line": 3, "order": 4})]);
}

#[tokio::test]
async fn what_cannot_share_a_spec_is_refused() {
    let stage = Stage::new().await;
    let first = stage.put("a.csv", "id,n\n1,2\n");
    let second = stage.put("b.csv", "id,m\n1,2\n");
    let empty = stage.put("c.csv", "");
    let path = |path: &std::path::PathBuf| path.to_str().unwrap().to_owned();
    let refused = stage.run(&["dataset", "infer", &path(&first), &path(&second)]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("it lacks `n`, it has `m`"), "{refused:?}");
    let refused = stage.run(&["dataset", "infer", &path(&empty)]).await;
    assert!(refused.code == 1 && refused.stderr.contains("no file has a row"), "{refused:?}");
    let refused = stage.run(&["dataset", "infer", "s3://bucket/a.csv"]).await;
    assert!(refused.code == 2 && refused.stderr.contains("allowed are local paths"), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_a_load_would_refuse_is_told() {
    let stage = Stage::new().await;
    let rows: String = (0..3000).map(|row| if row % 10 == 0 { "1\n" } else { "1,2\n" }).collect();
    let path = stage.put("ragged.csv", format!("id,n\n{rows}"));
    let inferred = stage.ok(&["dataset", "infer", path.to_str().unwrap()]).await;
    assert!(inferred.stderr.contains("ragged.csv would FAIL: 300 of 3000 rows rejected"), "{inferred:?}");
    let spec = stage.folder().join("ragged.toml");
    let (usual, raised) = (&inferred.stdout, inferred.stdout.replace("# [rejects]\n", "[rejects]\n"));
    let raised = raised.replace("# max_r", "max_r");
    for (text, said) in [(usual, "1 of 1 file would FAIL"), (&raised, "2,700 of 3,000 rows would load")] {
        std::fs::write(&spec, text).unwrap();
        let validated = stage.run(&["validate", spec.to_str().unwrap(), path.to_str().unwrap()]).await;
        assert!(validated.stdout.contains(said), "{validated:?}");
    }
}
