//! The conformance folder: small files, each named for its trait, and what has to come of each.

mod case;
mod validated;

use std::collections::BTreeMap;

use case::{Case, NULL};
use longshore_tests::{Stage, assert_section, markdown_table};
use tokio_postgres::Client;

/// Rows by line, rejects by line as (offset, column, rule, raw), and counts; or how the file failed.
#[derive(Debug, PartialEq)]
enum Outcome {
    Loaded { rows: BTreeMap<i32, Vec<String>>, rejects: BTreeMap<i32, Rejected>, counts: [i64; 3] },
    Failed(String),
}

type Rejected = (i64, Option<String>, String, String);

#[tokio::test]
async fn every_case_comes_out_as_expected_in_a_load_and_in_validate() {
    let stage = Stage::new().await;
    let cases = case::all();
    let specs: Vec<_> = cases.iter().map(|case| write_spec(&stage, case)).collect();
    let apply: Vec<_> = ["dataset", "apply"].into_iter().chain(specs.iter().map(String::as_str)).collect();
    stage.ok(&apply).await;
    for case in &cases {
        let name = case.input.file_name().unwrap().to_str().unwrap();
        stage.put(&format!("{}/{name}", case.name), std::fs::read(&case.input).unwrap());
    }
    stage.scan().await;
    stage.drain().await;
    let client = stage.client().await;
    let mut wrong = Vec::new();
    for (case, spec) in cases.iter().zip(&specs) {
        let found = outcome(&client, case).await;
        let validated = validated::compare(&stage, spec, case, &found).await;
        if let Err(message) = compare(case, &found).and(validated) {
            wrong.push(format!("{}: {message}\nfound: {found:#?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

#[test]
fn the_page_lists_every_case() {
    let mut cases = case::all();
    // Stable: within a subject they stay in the order of their names.
    cases.sort_by_key(|case| case.about);
    let subjects = cases.chunk_by(|one, next| one.about == next.about).map(|cases| {
        let rows = cases.iter().map(|case| [format!("`{}`", case.name), case.shows.clone(), case.outcome()]);
        format!("### {:?}\n\n{}", cases[0].about, markdown_table(["case", "shows", "outcome"], rows))
    });
    assert_section("csv.md", "cases", &subjects.collect::<Vec<_>>().join("\n"));
}

fn write_spec(stage: &Stage, case: &Case) -> String {
    let path = stage.folder().join(format!("{}.toml", case.name));
    std::fs::write(&path, case.spec(&stage.inbox)).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn outcome(client: &Client, case: &Case) -> Outcome {
    let task = "SELECT task.status, task.failure_msg FROM longshore.task
                JOIN longshore.dataset ON dataset.id = task.dataset_id WHERE dataset.name = $1";
    let task = client.query_one(task, &[&case.dataset()]).await.unwrap();
    if task.get::<_, &str>(0) != "LOADED" {
        return Outcome::Failed(task.get::<_, Option<String>>(1).unwrap_or_default());
    }
    let load = "SELECT rows_read, rows_loaded, rows_rejected, file_id FROM longshore.file_load
                JOIN longshore.file ON file.id = file_id
                JOIN longshore.dataset ON dataset.id = file.dataset_id WHERE dataset.name = $1";
    let load = client.query_one(load, &[&case.dataset()]).await.unwrap();
    Outcome::Loaded {
        rows: rows(client, case).await,
        rejects: rejects(client, load.get(3)).await,
        counts: [load.get(0), load.get(1), load.get(2)],
    }
}

async fn rows(client: &Client, case: &Case) -> BTreeMap<i32, Vec<String>> {
    let shown = |name: &str| format!("coalesce(\"{}\"::text, '{NULL}')", name.replace('"', "\"\""));
    let values: Vec<_> = case.column_names().into_iter().map(shown).collect();
    let select = format!("SELECT _line, ARRAY[{}] FROM reporting.\"{}\"", values.join(", "), case.dataset());
    client.batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'").await.unwrap();
    let rows = client.query(&select, &[]).await.unwrap();
    let by_line: BTreeMap<_, _> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(by_line.len(), rows.len(), "{}: no two rows begin on one line", case.name);
    by_line
}

async fn rejects(client: &Client, file_id: i64) -> BTreeMap<i32, Rejected> {
    let select = "SELECT line, byte_offset, column_name, rule, raw FROM longshore.reject WHERE file_id = $1";
    let rows = client.query(select, &[&file_id]).await.unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4)))).collect()
}

/// Says what differs first.
fn compare(case: &Case, found: &Outcome) -> Result<(), String> {
    let expected = &case.expected;
    let (rows, rejects, counts) = match (found, &expected.fails) {
        (Outcome::Failed(message), Some(start)) if message.starts_with(start) => return Ok(()),
        (Outcome::Failed(message), Some(start)) => {
            return Err(format!("fails by {message:?} instead of {start:?}"));
        }
        (Outcome::Failed(message), None) => return Err(format!("fails by {message:?}")),
        (Outcome::Loaded { .. }, Some(start)) => {
            return Err(format!("loads instead of failing by {start:?}"));
        }
        (Outcome::Loaded { rows, rejects, counts }, None) => (rows, rejects, counts),
    };
    let expected_rows: BTreeMap<i32, Vec<String>> =
        expected.rows.iter().map(|(line, values)| (line.parse().unwrap(), values.clone())).collect();
    if *rows != expected_rows {
        return Err(format!("other rows than {expected_rows:#?}"));
    }
    let mut expected_rejects = BTreeMap::new();
    for (line, reject) in &expected.rejects {
        let line: i32 = line.parse().unwrap();
        let found_raw = rejects.get(&line).map(|reject| reject.3.clone());
        let raw = reject.raw.clone().or(found_raw).unwrap_or_default();
        expected_rejects.insert(line, (reject.byte, reject.column.clone(), reject.rule.clone(), raw));
    }
    if *rejects != expected_rejects {
        return Err(format!("other rejects than {expected_rejects:#?}"));
    }
    let (loaded, rejected) = (rows.len() as i64, rejects.len() as i64);
    if *counts != [loaded + rejected, loaded, rejected] {
        return Err(format!("counted {counts:?} (read, loaded, rejected)"));
    }
    Ok(())
}
