//! What `longshore validate` says is what a load does.

use std::path::PathBuf;

use longshore_tests::{Finished, HEADER, Stage, gzip, loan_file, loan_line};
use serde_json::Value;

/// Files of every kind; none of them settles or changes.
fn put_mixed_files(stage: &Stage) -> Vec<PathBuf> {
    let broken = loan_line(2).replace(",45,", ",x,");
    let halved = gzip(&loan_file(1..=5000));
    let files: [(&str, Vec<u8>); 11] = [
        ("good.csv", loan_file(1..=1000).into()),
        ("packed.csv.gz", gzip(&loan_file(1..=500))),
        ("some bad.csv", format!("{}{broken}\n4,0\n5,\"x\n{}", loan_file(1..=3), loan_line(9)).into()),
        ("at the limit.csv", (loan_file(1..=30_000) + &"x\n".repeat(1000)).into()),
        ("over the limit.csv", (loan_file(1..=30_000) + &"x\n".repeat(1001)).into()),
        ("over the ratio.csv", (loan_file(1..=960) + &"x\n".repeat(60)).into()),
        ("other header.csv", loan_file(1..=5).replace("DebtRatio", "Debt").into()),
        ("cut short.csv.gz", halved[..halved.len() / 2].to_vec()),
        ("no archive.csv.gz", loan_file(1..=5).into()),
        ("empty.csv", Vec::new()),
        ("header only.csv", format!("{HEADER}\r\n").into()),
    ];
    files.into_iter().map(|(name, content)| stage.put(name, content)).collect()
}

async fn validate(stage: &Stage, dataset: &str, files: &[PathBuf], options: &[&str]) -> Finished {
    let files = files.iter().map(|file| file.to_str().unwrap());
    let arguments: Vec<&str> =
        ["validate", dataset].into_iter().chain(files).chain(options.iter().copied()).collect();
    stage.run(&arguments).await
}

#[tokio::test]
async fn a_dry_run_gives_the_counts_of_the_load_for_every_file() {
    let stage = Stage::with_loans().await;
    let files = put_mixed_files(&stage);
    let said = validate(&stage, "loan_applications", &files, &["--json"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (1, ""), "{said:?}");
    let said = said.json();
    assert_eq!((&said["dataset"], &said["version"]), (&Value::from("loan_applications"), &Value::from(1)));
    assert_eq!(stage.loans().await, (0, 0), "nothing may be written");
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 0);

    stage.scan().await;
    stage.drain().await;
    let client = stage.client().await;
    for (file, path) in said["files"].as_array().unwrap().iter().zip(&files) {
        let row = client
            .query_one(
                "SELECT file_load.rows_read, file_load.rows_loaded, file_load.rows_rejected, file_load.bytes_read,
                        task.failure_msg
                 FROM longshore.file
                 JOIN longshore.task ON task.id = file.task_id
                 LEFT JOIN longshore.file_load ON file_load.file_id = file.id
                 WHERE file.uri = $1",
                &[&url::Url::from_file_path(path).unwrap().as_str()],
            )
            .await
            .unwrap();
        let failure: Option<String> = row.get(4);
        assert_eq!(file["failure"].as_str(), failure.as_deref(), "{file}");
        if failure.is_none() {
            for (index, key) in ["rows_read", "rows_loaded", "rows_rejected", "bytes_read"].iter().enumerate()
            {
                assert_eq!(file[*key].as_i64(), row.get(index), "{key}: {file}");
            }
        } else {
            assert_eq!(file["rows_loaded"], 0);
        }
    }
    let totals = ["read", "loaded", "rejected"];
    for key in totals {
        let loaded = stage.number(&format!("SELECT sum(rows_{key}) FROM longshore.file_load")).await;
        assert_eq!(said["rows"][key], loaded, "{key}");
    }
    assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE status = 'FAILED'").await, 5);
}

#[tokio::test]
async fn rejects_are_counted_by_rule_and_column() {
    let stage = Stage::with_loans().await;
    let text = format!("{}{}\n4,0\n", loan_file(1..=2), loan_line(3).replace(",45,", ",x,"));
    let first = stage.put("a.csv", format!("{text}5,0\n"));
    let second = stage.put("b.csv", text);
    let said = validate(&stage, "loan_applications", &[first, second], &["--json"]).await.json();
    let groups: Vec<String> = said["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| format!("{} {} {} {}", group["rule"], group["column"], group["count"], group["line"]))
        .collect();
    assert_eq!(groups, [r#""field_count" null 3 5"#, r#""type" "age" 2 4"#]);
    assert!(said["rejects"][1]["file"].as_str().unwrap().ends_with("/a.csv"));
    assert!(said["rejects"][1]["reason"].as_str().unwrap().starts_with("not a smallint"));
}

#[tokio::test]
async fn a_spec_file_needs_no_database() {
    let stage = Stage::new().await;
    let good = stage.put("a.csv", loan_file(1..=10));
    let file_url = url::Url::from_file_path(&good).unwrap();
    let mut command = stage.command(&["validate", &stage.loan_spec(), file_url.as_str()]);
    let output = command.env_remove("DATABASE_URL").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.ends_with("\n10 of 10 rows would load, 0 rejected\n"), "{text}");

    let mut command = stage.command(&["validate", "loan_applications", file_url.as_str()]);
    let output = command.env_remove("DATABASE_URL").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("DATABASE_URL") && text.contains(".toml"), "{text}");
}

#[tokio::test]
async fn a_wrong_call_is_told_before_anything_is_read() {
    let stage = Stage::with_loans().await;
    let good = stage.put("a.csv", loan_file(1..=10));
    let good = good.to_str().unwrap();
    let inbox = stage.inbox.to_str().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["validate", "loan_applications", good, "s3://bucket/a.csv"], "allowed are local paths"),
        (&["validate", "loan_applications", good, inbox], "is a folder"),
        (&["validate", "loan_applications", good, "no such file.csv"], "No such file"),
        (&["validate", "no_such_dataset", good], "there is no dataset `no_such_dataset`"),
        (&["validate", "no_such_spec.toml", good], "cannot read the spec no_such_spec.toml"),
    ];
    for (arguments, expected) in cases {
        let refused = stage.run(arguments).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
        assert!(refused.stderr.contains(expected), "{refused:?}");
    }
}

#[tokio::test]
async fn a_spec_that_is_wrong_is_a_wrong_call_wherever_it_is_read() {
    let stage = Stage::new().await;
    let file = stage.put("a.csv", "id\n1\n");
    let spec = |keys: &str| {
        format!(
            "name = \"orders\"\nsource = \"file:///srv/orders\"\n[target]\ntable = \"reporting.orders\"\n\
             [[columns]]\nname = \"id\"\n{keys}\n"
        )
    };
    let cases = [
        (spec("type = \"integr\""), "line 7, key `type`"),
        (spec("type = \"integer\"\nmin = \"x\""), "key `columns.id.min`"),
        (spec("type = \"text\"\npattern = \"(\""), "key `columns.id.pattern`"),
        (spec(&"# long\n".repeat(150_000)), "is larger than 1 MiB"),
    ];
    let path = stage.folder().join("orders.toml");
    for (text, expected) in cases {
        std::fs::write(&path, text).unwrap();
        let (spec, file) = (path.to_str().unwrap(), file.to_str().unwrap());
        for arguments in [&["validate", spec, file][..], &["dataset", "apply", spec]] {
            let refused = stage.run(arguments).await;
            assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
            assert!(
                refused.stderr.contains("orders.toml") && refused.stderr.contains(expected),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_pattern_with_line_breaks_and_escapes_stays_in_its_line() {
    let stage = Stage::new().await;
    let file = stage.put("a.csv", "code\nx\n");
    let spec = "name = \"codes\"\nsource = \"file:///srv/codes\"\n[target]\ntable = \"reporting.codes\"\n\
                [[columns]]\nname = \"code\"\ntype = \"text\"\npattern = \"A\\n\\u001bcB\"\n";
    let path = stage.folder().join("codes.toml");
    std::fs::write(&path, spec).unwrap();
    let said = stage.run(&["validate", path.to_str().unwrap(), file.to_str().unwrap()]).await;
    assert!(said.stdout.contains("pattern `A\\n\\u{1b}cB`"), "{said:?}");
    assert!(!said.stdout.contains('\u{1b}'), "{said:?}");
}
