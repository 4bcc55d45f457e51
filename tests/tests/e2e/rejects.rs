//! What `longshore rejects` hands to whoever wrote the files.

use longshore_tests::{Stage, loan_file, loan_line};

/// Rows that break rules, as they stand in the file.
fn broken() -> [String; 4] {
    let good = loan_line(2);
    [
        good.replacen("2,", "=1+1,", 1),
        good.replace(",45,", ",forty-five,"),
        "@SUM(A1),0".to_owned(),
        "\tx,\"never closed".to_owned(),
    ]
}

#[tokio::test]
async fn rejects_go_to_the_supplier_as_csv_that_no_spreadsheet_runs() {
    let stage = Stage::with_loans().await;
    let broken = broken();
    stage.put("a, b.csv", loan_file(1..=1) + &broken.join("\n") + "\n");
    stage.scan().await;
    stage.drain().await;

    let csv = stage.ok(&["rejects", "loan_applications", "--csv"]).await.stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let columns: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(columns, ["file_name", "line", "byte_offset", "column", "rule", "reason", "raw"]);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let found: Vec<_> = records.iter().map(|record| record[6].to_owned()).collect();
    let [first, second, third, fourth] = &broken;
    assert_eq!(found, [format!("'{first}"), second.clone(), format!("'{third}"), format!("'{fourth}")]);

    // Escaped there and nowhere else.
    let listed = stage.ok(&["rejects", "loan_applications", "--json"]).await.json();
    for (reject, (record, raw)) in listed.as_array().unwrap().iter().zip(records.iter().zip(&broken)) {
        assert_eq!(reject["raw"], *raw);
        assert_eq!(reject["file_name"], record[0]);
        assert_eq!(reject["line"].to_string(), record[1]);
        assert_eq!(reject["byte_offset"].to_string(), record[2]);
        assert_eq!(reject["column"].as_str().unwrap_or_default(), &record[3]);
        assert_eq!(reject["rule"], record[4]);
        assert_eq!(reject["reason"], record[5]);
    }
    assert_eq!(stage.texts("SELECT raw FROM longshore.reject ORDER BY line").await, broken);
}

#[tokio::test]
async fn the_csv_has_every_reject_unless_a_limit_is_asked_for() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=1) + &"x\n".repeat(300));
    stage.scan().await;
    stage.drain().await;
    let lines = async |arguments: &[&str]| stage.ok(arguments).await.stdout.lines().count();
    assert_eq!(lines(&["rejects", "loan_applications", "--csv"]).await, 1 + 300);
    assert_eq!(lines(&["rejects", "loan_applications", "--csv", "--limit", "10"]).await, 1 + 10);
    let listed = stage.ok(&["rejects", "loan_applications", "--json"]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 50);
    let both = stage.run(&["rejects", "loan_applications", "--csv", "--json"]).await;
    assert_eq!(both.code, 2, "{both:?}");
}

#[tokio::test]
async fn the_list_names_each_file_once() {
    let stage = Stage::with_loans().await;
    for name in ["a.csv", "b.csv"] {
        stage.put(name, loan_file(1..=1) + "x\ny\n");
    }
    stage.scan().await;
    stage.drain().await;
    let list = stage.ok(&["rejects", "loan_applications"]).await.stdout;
    for name in ["a.csv", "b.csv"] {
        assert_eq!(list.matches(name).count(), 1, "{list}");
    }
    assert_eq!(list.matches("field_count").count(), 4, "{list}");
}
