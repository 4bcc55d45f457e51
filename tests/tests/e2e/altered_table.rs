//! The target table is not what the spec says: no row is written, nothing fails, and the dataset waits until both agree again.

use longshore_tests::{Stage, eventually};
use serde_json::Value;

const TABLE: &str = "reporting.measures";

/// A dataset of this stage's inbox, a task a file, with these columns.
fn spec(stage: &Stage, columns: &[(&str, &str)]) -> String {
    let column = |(name, rest): &(&str, &str)| {
        format!("[[columns]]\nname = \"{name}\"\nsource = \"{name}\"\n{rest}\n")
    };
    format!(
        "name = \"measures\"\nsource = \"file://{}\"\nschedule = \"0 0 1 1 *\"\n[csv]\nextra_columns = \"ignore\"\n\
         [discovery]\nsettle = \"0s\"\n[batch]\nmax_wait = \"0s\"\nmax_files = 1\n[target]\ntable = \"{TABLE}\"\n{}",
        stage.inbox.display(),
        columns.iter().map(column).collect::<String>()
    )
}

async fn apply(stage: &Stage, columns: &[(&str, &str)]) -> longshore_tests::Finished {
    let path = stage.folder().join("measures.toml");
    std::fs::write(&path, spec(stage, columns)).unwrap();
    stage.run(&["dataset", "apply", path.to_str().unwrap()]).await
}

async fn sql(stage: &Stage, statement: &str) {
    stage.client().await.batch_execute(statement).await.expect(statement);
}

/// Scans and loads once.
async fn load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

async fn tasks(stage: &Stage, status: &str) -> i64 {
    stage.number(&format!("SELECT count(*) FROM longshore.task WHERE status = '{status}'")).await
}

/// The one dataset that waits, by `status`.
async fn waiting(stage: &Stage) -> Value {
    let status = stage.ok(&["status", "--json"]).await.json();
    assert_eq!(status["waiting"].as_array().map(Vec::len), Some(1), "{status}");
    status["waiting"][0].clone()
}

/// Asserts that the new file was not loaded and did not fail, and that the reason says these.
async fn assert_waits(stage: &Stage, rows_before: i64, says: &[&str]) {
    assert_eq!(
        tasks(stage, "FAILED").await,
        0,
        "{:?}",
        stage.texts("SELECT failure_msg FROM longshore.task").await
    );
    assert_eq!(tasks(stage, "NEW").await, 1);
    assert_eq!(
        stage.number("SELECT coalesce(sum(rows_loaded), 0) FROM longshore.file_load").await,
        rows_before
    );
    let waiting = waiting(stage).await;
    assert_eq!(waiting["dataset"], "measures");
    assert_eq!(waiting["tasks"], 1);
    let reason = waiting["reason"].as_str().unwrap();
    for part in says {
        assert!(reason.contains(part), "{reason:?} says {part:?}");
    }
}

/// Loads until every task is LOADED.
async fn assert_loads(stage: &Stage) {
    eventually("every task LOADED", || async {
        load(stage).await;
        tasks(stage, "NEW").await == 0
    })
    .await;
    assert_eq!(tasks(stage, "FAILED").await, 0);
    let status = stage.ok(&["status", "--json"]).await.json();
    assert_eq!(status["waiting"], Value::Null, "{status}");
}

/// The type in the spec, another one for the same bytes or nearly so, and the way back.
const ALTERED: [(&str, &str, &str); 6] = [
    ("bigint", "double precision", "bigint"),
    ("integer", "real", "integer"),
    ("numeric(12,4)", "numeric(12,2)", "numeric(12,4)"),
    ("timestamp", "timestamp with time zone", "timestamp without time zone"),
    ("bigint", "numeric", "bigint"),
    ("bigint", "integer", "bigint"),
];

#[tokio::test]
async fn a_column_of_another_type_takes_no_row_until_it_is_altered_back() {
    for (of_spec, altered, back) in ALTERED {
        let stage = Stage::new().await;
        assert_eq!(apply(&stage, &[("v", &format!("type = \"{of_spec}\""))]).await.code, 0);
        let values = match of_spec {
            "timestamp" => ["2024-01-02 03:04:05", "2024-06-07 08:09:10"],
            "numeric(12,4)" => ["1.2345", "7.0009"],
            _ => ["72", "7"],
        };
        stage.put("a.csv", format!("v\n{}\n", values[0]));
        load(&stage).await;
        sql(&stage, &format!("ALTER TABLE {TABLE} ADD COLUMN kept text")).await;
        sql(&stage, &format!("UPDATE {TABLE} SET kept = v::text")).await;
        sql(&stage, &format!("ALTER TABLE {TABLE} ALTER v TYPE {altered}")).await;
        stage.put("b.csv", format!("v\n{}\n", values[1]));
        load(&stage).await;
        assert_waits(&stage, 1, &["`v`", altered, back, "dataset apply"]).await;

        sql(
            &stage,
            &format!("ALTER TABLE {TABLE} ALTER v TYPE {back} USING coalesce(kept, v::text)::{back}"),
        )
        .await;
        assert_loads(&stage).await;
        let rows = stage.texts(&format!("SELECT v FROM {TABLE} ORDER BY _file_id")).await;
        assert_eq!(rows, values, "{of_spec} and {altered}");
    }
}

#[tokio::test]
async fn a_table_that_cannot_hold_the_rows_as_they_are_takes_none_until_it_can() {
    let changes = [
        ("ALTER note SET NOT NULL", "ALTER note DROP NOT NULL", "`note`"),
        ("DROP COLUMN note", "ADD COLUMN note text", "`note`"),
        ("RENAME COLUMN note TO remark", "RENAME COLUMN remark TO note", "`note`"),
        (
            "DROP COLUMN note, ADD COLUMN note text GENERATED ALWAYS AS ('x') STORED",
            "DROP COLUMN note, ADD COLUMN note text",
            "GENERATED",
        ),
        (
            "ADD COLUMN mine text NOT NULL DEFAULT ''; ALTER TABLE reporting.measures ALTER mine DROP DEFAULT",
            "DROP COLUMN mine",
            "`mine`",
        ),
        ("DROP COLUMN _line", "ADD COLUMN _line integer NOT NULL DEFAULT 0", "`_line`"),
        ("SET UNLOGGED", "SET LOGGED", "UNLOGGED"),
        ("RENAME TO elsewhere", "RENAME TO measures", "reporting.measures"),
        ("SET SCHEMA public", "SET SCHEMA reporting", "reporting.measures"),
    ];
    let stage = Stage::new().await;
    assert_eq!(apply(&stage, &[("id", "type = \"bigint\""), ("note", "type = \"text\"")]).await.code, 0);
    for (number, (change, back, says)) in (1..).zip(changes) {
        sql(&stage, &format!("ALTER TABLE {TABLE} {change}")).await;
        stage.put(&format!("{number}.csv"), format!("id,note\n{number},n\n"));
        load(&stage).await;
        assert_waits(&stage, number - 1, &[says]).await;
        let changed = match change {
            "RENAME TO elsewhere" => "reporting.elsewhere",
            "SET SCHEMA public" => "public.measures",
            _ => TABLE,
        };
        sql(&stage, &format!("ALTER TABLE {changed} {back}")).await;
        assert_loads(&stage).await;
        assert_eq!(
            stage.number(&format!("SELECT count(DISTINCT id) FROM {TABLE}")).await,
            number,
            "{change}"
        );
    }
    // Something else under its name.
    sql(&stage, &format!("ALTER TABLE {TABLE} RENAME TO elsewhere; CREATE VIEW {TABLE} AS SELECT * FROM reporting.elsewhere"))
        .await;
    stage.put("view.csv", "id,note\n100,n\n");
    load(&stage).await;
    assert_waits(&stage, i64::try_from(changes.len()).unwrap(), &["a view"]).await;
    sql(&stage, &format!("DROP VIEW {TABLE}; ALTER TABLE reporting.elsewhere RENAME TO measures")).await;
    assert_loads(&stage).await;
}

#[tokio::test]
async fn tasks_of_a_table_that_takes_nothing_are_tried_one_at_a_time_and_the_others_wait() {
    let stage = Stage::new().await;
    assert_eq!(apply(&stage, &[("id", "type = \"bigint\"")]).await.code, 0);
    sql(&stage, &format!("ALTER TABLE {TABLE} RENAME TO elsewhere")).await;
    for id in 1..=40 {
        stage.put(&format!("{id}.csv"), format!("id\n{id}\n"));
    }
    stage.scan().await;
    stage.ok(&["worker", "--drain", "--concurrency", "2"]).await;
    assert_eq!((tasks(&stage, "NEW").await, tasks(&stage, "FAILED").await), (40, 0));
    let tries = "SELECT count(*) FROM longshore.attempt";
    let first = stage.number(tries).await;
    assert!((1..=4).contains(&first), "{first}");
    let waiting = waiting(&stage).await;
    assert_eq!(waiting["tasks"], 40);
    // Each further try is one task, whatever waits beside it.
    eventually("a further try", || async {
        load(&stage).await;
        stage.number(tries).await > first
    })
    .await;
    assert_eq!(stage.number(tries).await, first + 1);
    let untried = "SELECT id FROM longshore.task WHERE attempt = 0 LIMIT 1";
    let untried = stage.texts(untried).await.remove(0);
    let why = stage.ok(&["why", &untried]).await.stdout;
    assert!(why.contains("waits for its target table"), "{why}");

    sql(&stage, &format!("ALTER TABLE reporting.elsewhere RENAME TO {}", &TABLE["reporting.".len()..])).await;
    assert_loads(&stage).await;
    assert_eq!(stage.number(&format!("SELECT count(DISTINCT id) FROM {TABLE}")).await, 40);
}

#[tokio::test]
async fn a_right_that_is_missing_fails_no_task() {
    let stage = Stage::new().await;
    assert_eq!(apply(&stage, &[("id", "type = \"bigint\"")]).await.code, 0);
    let role = format!("loader_{}", uuid::Uuid::new_v4().simple());
    sql(
        &stage,
        &format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT pg_read_all_data, pg_monitor, pg_signal_backend TO {role};
             GRANT USAGE ON SCHEMA longshore, reporting TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA longshore TO {role};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA longshore TO {role}"
        ),
    )
    .await;
    stage.put("a.csv", "id\n1\n");
    stage.scan().await;
    let url = stage.database_url();
    let url = format!("postgres://{role}:secret@{}", url.split_once('@').expect("a role in the URL").1);
    let worker = stage.run_with(&["worker", "--drain"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(worker.code, 0, "{worker:?}");
    let reason = waiting(&stage).await["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("42501"), "{reason}");
    assert_eq!(tasks(&stage, "NEW").await, 1);
    sql(&stage, &format!("GRANT INSERT ON {TABLE} TO {role}")).await;
    eventually("the task LOADED", || async {
        stage.scan().await;
        stage.run_with(&["worker", "--drain"], &[("DATABASE_URL", &url)]).await;
        tasks(&stage, "LOADED").await == 1
    })
    .await;
    sql(&stage, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
