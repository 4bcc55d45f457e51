//! What a file may become has bounds, and one that exceeds them fails alone.

use std::path::PathBuf;

use longshore_tests::{Stage, gzip};

const MIB: usize = 1 << 20;

/// A dataset of numbers, stored and applied; `csv` are further keys of that table.
async fn stage_with(csv: &str) -> (Stage, String) {
    let stage = Stage::new().await;
    let spec = format!(
        "name = \"numbers\"\nsource = \"file://{}\"\n[batch]\nmax_wait = \"0s\"\n[discovery]\nsettle = \"0s\"\n\
         [csv]\nskip_lines = 1\n{csv}\n[target]\ntable = \"reporting.numbers\"\n\
         [[columns]]\nname = \"n\"\ntype = \"bigint\"\n",
        stage.inbox.display()
    );
    let path = stage.folder().join("numbers.toml");
    std::fs::write(&path, spec).unwrap();
    let path = path.to_str().unwrap().to_owned();
    stage.ok(&["dataset", "apply", &path]).await;
    (stage, path)
}

/// A line that is skipped, the header and so many rows.
fn numbers(rows: usize) -> String {
    let rows: String = (1..=rows).map(|number| format!("{number}\n")).collect();
    format!("numbers\nn\n{rows}")
}

/// Validates and loads these files in one batch: each that is named fails by its key, alone and in the same words.
async fn check(stage: &Stage, spec: &str, files: &[PathBuf], failing: &[(&str, &str)], rows: i64) {
    let arguments: Vec<&str> = ["validate", spec, "--json"]
        .into_iter()
        .chain(files.iter().map(|file| file.to_str().unwrap()))
        .collect();
    let validated = stage.run(&arguments).await.json();
    assert_eq!(stage.scan().await["published"], 1, "one batch");
    stage.drain().await;
    assert_eq!(stage.number("SELECT count(*) FROM reporting.numbers").await, rows);
    let failed = stage
        .texts("SELECT concat(files, ' ', failure_msg) FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY files")
        .await;
    assert_eq!(failed.len(), failing.len(), "{failed:?}");
    for (said, (name, key)) in failed.iter().zip(failing) {
        assert!(said.contains(name) && said.contains(key), "{name}, {key}: {said}");
        let file = validated["files"]
            .as_array()
            .unwrap()
            .iter()
            .find(|file| file["file"].as_str().unwrap().ends_with(name));
        let failure = file.unwrap()["failure"].as_str().unwrap();
        assert!(said.ends_with(failure), "validate: {failure}; the load: {said}");
    }
    assert_eq!(stage.number("SELECT count(*) FROM longshore.etl_task WHERE status = 'LOADED'").await, 1);
}

#[tokio::test]
async fn a_file_with_too_many_rows_or_bytes_fails_alone() {
    let (stage, spec) = stage_with("max_rows = 100000\nmax_bytes = \"1 MiB\"").await;
    let full = numbers(10);
    // Exactly what is allowed, and one more; the large ones are in the middle of a COPY by then.
    let bytes = |length: usize| "x".repeat(length - full.len()) + &full;
    let files = [
        stage.put("a.csv", numbers(100_000)),
        stage.put("b.csv", numbers(100_001)),
        stage.put("c.csv", bytes(MIB)),
        stage.put("d.csv", bytes(MIB + 1)),
        stage.put("e.csv.gz", gzip(&bytes(MIB + 1))),
        stage.put("f.csv", numbers(10)),
    ];
    let failing = [("b.csv", "csv.max_rows"), ("d.csv", "csv.max_bytes"), ("e.csv.gz", "csv.max_bytes")];
    check(&stage, &spec, &files, &failing, 100_020).await;
}

#[tokio::test]
async fn an_archive_that_becomes_hundreds_of_times_as_large_fails_alone() {
    let (stage, spec) = stage_with("").await;
    // Several gzip members are one file. All of it is the line that is skipped, so that a worker gets through it soon.
    let bomb = gzip(&"x".repeat(MIB)).repeat(257);
    let files = [
        stage.put("a.csv", numbers(10)),
        stage.put("b.csv.gz", [bomb, gzip(&format!("\n{}", numbers(1)))].concat()),
        // As dense, but small.
        stage.put("c.csv.gz", gzip(&("x".repeat(MIB) + &numbers(5)))),
    ];
    check(&stage, &spec, &files, &[("b.csv.gz", "csv.max_ratio")], 15).await;
}
