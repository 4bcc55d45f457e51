//! `dataset infer` on files that others made: what it infers loads them, and every cell is what Python's csv module reads.
//!
//! The files come out of packages of the Python index, once; they are kept with what was built, not in the repository.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use longshore_tests::Stage;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/public_data/public_data.py");

#[tokio::test]
async fn what_infer_makes_of_files_of_others_loads_them_as_python_reads_them() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public-data");
    std::fs::create_dir_all(&folder).unwrap();
    python(&["fetch", folder.to_str().unwrap()]);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 10, "{files:?}");
    let stage = Stage::new().await;
    let mut datasets = Vec::new();
    for file in &files {
        datasets.push(infer(&stage, file).await);
    }
    stage.scan().await;
    stage.drain().await;
    for (dataset, file) in datasets.iter().zip(&files) {
        compare(&stage, dataset, file).await;
    }
}

/// Puts the file into a folder of its own, infers its spec there and applies it; gives the dataset's name.
async fn infer(stage: &Stage, file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    let path = stage.put(&format!("{name}/{name}"), std::fs::read(file).unwrap());
    let spec = stage.ok(&["dataset", "infer", path.to_str().unwrap()]).await.stdout;
    let spec = spec.replacen("[csv]\n", "[discovery]\nsettle = \"0s\"\n\n[csv]\n", 1);
    let spec_path = stage.folder().join(format!("{name}.toml"));
    std::fs::write(&spec_path, &spec).unwrap();
    stage.ok(&["dataset", "apply", spec_path.to_str().unwrap()]).await;
    let parsed: toml::Table = toml::from_str(&spec).unwrap();
    parsed["name"].as_str().unwrap().to_owned()
}

async fn compare(stage: &Stage, dataset: &str, file: &Path) {
    let failed = format!(
        "SELECT coalesce(failure_msg, '') FROM longshore.etl_task WHERE status = 'FAILED' AND files LIKE '%{}'",
        file.file_name().unwrap().to_str().unwrap()
    );
    assert_eq!(stage.texts(&failed).await, Vec::<String>::new(), "{dataset}");
    let client = stage.client().await;
    client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
    let select = format!(
        "SELECT jsonb_build_array(_line, to_jsonb(loaded) - '_file_id' - '_line')::text
         FROM reporting.{dataset} AS loaded ORDER BY _line"
    );
    let rows = client.query(&select, &[]).await.unwrap();
    let rows: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let spec = stage.ok(&["dataset", "show", dataset, "--json"]).await.json();
    let (spec_path, rows_path) =
        (stage.folder().join(format!("{dataset}.json")), stage.folder().join(format!("{dataset}.rows")));
    std::fs::write(&spec_path, spec.to_string()).unwrap();
    std::fs::write(&rows_path, rows.join("\n")).unwrap();
    python(&["compare", spec_path.to_str().unwrap(), file.to_str().unwrap(), rows_path.to_str().unwrap()]);
}

/// Fails the test with what the script said.
fn python(arguments: &[&str]) {
    let output = Command::new("python3").arg(SCRIPT).args(arguments).output().expect("python3 runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
}
