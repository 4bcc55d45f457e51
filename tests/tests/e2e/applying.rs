//! `dataset apply`: what it changes, what it refuses, and whom it keeps waiting.

use longshore_tests::{Finished, Stage, eventually};

const TABLE: &str = "reporting.measures";

/// A spec of this stage's folder `source`, a task a file; `columns` are TOML.
fn write_spec(stage: &Stage, source: &str, columns: &str) -> String {
    let source = stage.folder().join(source);
    let spec = format!(
        "name = \"measures\"\nsource = \"file://{}\"\nschedule = \"0 0 1 1 *\"\n[discovery]\nsettle = \"0s\"\n\
         [batch]\nmax_wait = \"0s\"\nmax_files = 1\n[target]\ntable = \"{TABLE}\"\n{columns}",
        source.display()
    );
    let path = stage.folder().join("measures.toml");
    std::fs::write(&path, spec).unwrap();
    path.to_str().unwrap().to_owned()
}

fn column(name: &str, rest: &str) -> String {
    format!("[[columns]]\nname = \"{name}\"\n{rest}\n")
}

async fn apply(stage: &Stage, columns: &str, options: &[&str]) -> Finished {
    let path = write_spec(stage, "inbox", columns);
    stage.run(&[&["dataset", "apply", &path], options].concat()).await
}

async fn sql(stage: &Stage, statement: &str) {
    stage.client().await.batch_execute(statement).await.expect(statement);
}

async fn load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

async fn types(stage: &Stage) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END)
        FROM pg_attribute WHERE attrelid = 'reporting.measures'::regclass AND attnum > 0 AND NOT attisdropped
          AND attname NOT LIKE '\\_%' ORDER BY attnum";
    stage.texts(sql).await
}

#[tokio::test]
async fn an_unchanged_spec_is_applied_while_the_table_is_vacuumed() {
    let stage = Stage::new().await;
    let columns = column("id", "type = \"bigint\"\ndescription = \"its number\"");
    assert_eq!(apply(&stage, &columns, &[]).await.code, 0);
    let mut vacuum = stage.client().await;
    let vacuum = vacuum.transaction().await.unwrap();
    vacuum.batch_execute(&format!("LOCK TABLE {TABLE} IN SHARE UPDATE EXCLUSIVE MODE")).await.unwrap();
    let applied = apply(&stage, &columns, &[]).await;
    assert_eq!((applied.code, applied.stderr.contains("in use")), (0, false), "{applied:?}");
    vacuum.rollback().await.unwrap();
}

#[tokio::test]
async fn a_busy_table_gets_its_column_when_it_is_free_and_nobody_waits_behind_the_apply() {
    let stage = Stage::new().await;
    let id = column("id", "type = \"bigint\"");
    assert_eq!(apply(&stage, &id, &[]).await.code, 0);
    let mut load = stage.client().await;
    let load = load.transaction().await.unwrap();
    load.batch_execute(&format!("LOCK TABLE {TABLE} IN ROW EXCLUSIVE MODE")).await.unwrap();
    let path = write_spec(&stage, "inbox", &(id + &column("note", "type = \"text\"")));
    let applying = stage.spawn(&["dataset", "apply", &path]);
    eventually("it says that the table is in use", || async { applying.log().contains("in use") }).await;
    let reader = stage.client().await;
    // The apply waits 200 ms in each second at most.
    for _ in 0..20 {
        let read = format!("SET statement_timeout = '5s'; SELECT count(*) FROM {TABLE}");
        reader.batch_execute(&read).await.expect("readers get in between");
    }
    assert_eq!(types(&stage).await, ["id bigint"]);
    load.rollback().await.unwrap();
    eventually("the column", || async { types(&stage).await.len() == 2 }).await;
}

#[tokio::test]
async fn a_dry_run_says_what_an_apply_would_do_and_changes_nothing() {
    let stage = Stage::new().await;
    let (id, zip) = (column("id", "type = \"numeric(5,2)\""), column("zip", "type = \"text\""));
    let dry = apply(&stage, &(id.clone() + &zip), &["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.stdout.contains("would be created"), "{dry:?}");
    assert_eq!(stage.number("SELECT count(*) FROM longshore.dataset").await, 0);
    assert_eq!(stage.texts("SELECT to_regclass('reporting.measures') IS NULL").await, ["true"]);

    assert_eq!(apply(&stage, &(id.clone() + &zip), &[]).await.code, 0);
    let wider = column("id", "type = \"numeric(9,2)\"\nrequired = true");
    let changed = wider + &column("postcode", "type = \"text\"");
    let dry = apply(&stage, &changed, &["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    for says in ["version 2 would be applied", "added postcode", "numeric(9,2)"] {
        assert!(dry.stdout.contains(says), "{says}: {dry:?}");
    }
    assert!(dry.stderr.contains("no zip any more"), "{dry:?}");
    assert_eq!(types(&stage).await, ["id numeric(5,2)", "zip text"]);
    assert_eq!(stage.number("SELECT current_version FROM longshore.dataset").await, 1);
    let refused = apply(&stage, &column("id", "type = \"bigint\""), &["--dry-run"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("ALTER TABLE"), "{refused:?}");
}

#[tokio::test]
async fn an_apply_widens_without_rewriting_and_sets_not_null_where_no_row_is_against_it() {
    let stage = Stage::new().await;
    let spec = |digits: &str, required: bool| {
        column("id", &format!("type = \"numeric({digits},2)\"\nrequired = {required}"))
            + &column("note", "type = \"text\"")
    };
    assert_eq!(apply(&stage, &spec("5", false), &[]).await.code, 0);
    stage.put("a.csv", "id,note\n1.25,n\n,m\n");
    load(&stage).await;
    let stored = "SELECT relfilenode::bigint FROM pg_class WHERE oid = 'reporting.measures'::regclass";
    let before = stage.number(stored).await;
    assert_eq!(apply(&stage, &spec("9", false), &[]).await.code, 0);
    assert_eq!(types(&stage).await, ["id numeric(9,2)", "note text"]);
    assert_eq!(stage.number(stored).await, before, "the table was rewritten");

    let refused = apply(&stage, &spec("9", true), &[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("SET NOT NULL"), "{refused:?}");
    sql(&stage, &format!("UPDATE {TABLE} SET id = 0 WHERE id IS NULL")).await;
    assert_eq!(apply(&stage, &spec("9", true), &[]).await.code, 0);
    assert_eq!(types(&stage).await, ["id numeric(9,2) NOT NULL", "note text"]);
    stage.put("b.csv", "id,note\n7.50,n\n");
    load(&stage).await;
    assert_eq!(stage.texts(&format!("SELECT id FROM {TABLE} ORDER BY id")).await, ["0.00", "1.25", "7.50"]);
}

#[tokio::test]
async fn an_apply_refuses_a_table_that_cannot_keep_the_rows_and_says_why() {
    let stage = Stage::new().await;
    let columns = column("id", "type = \"bigint\"") + &column("note", "type = \"text\"");
    assert_eq!(apply(&stage, &columns, &[]).await.code, 0);
    let changes = [
        ("SET UNLOGGED", "SET LOGGED", "UNLOGGED"),
        (
            "DROP COLUMN note, ADD COLUMN note text GENERATED ALWAYS AS ('x') STORED",
            "DROP COLUMN note, ADD COLUMN note text",
            "GENERATED",
        ),
        ("ALTER id TYPE integer", "ALTER id TYPE bigint", "`id`"),
    ];
    for (change, back, says) in changes {
        sql(&stage, &format!("ALTER TABLE {TABLE} {change}")).await;
        let refused = apply(&stage, &columns, &[]).await;
        assert_eq!(refused.code, 1, "{change}: {refused:?}");
        assert!(refused.stderr.contains(says), "{change}: {refused:?}");
        sql(&stage, &format!("ALTER TABLE {TABLE} {back}")).await;
        assert_eq!(apply(&stage, &columns, &[]).await.code, 0);
    }
}

#[tokio::test]
async fn no_empty_table_takes_the_place_of_one_that_was_loaded_unless_that_is_said() {
    let stage = Stage::new().await;
    let columns = column("id", "type = \"bigint\"");
    assert_eq!(apply(&stage, &columns, &[]).await.code, 0);
    sql(&stage, &format!("DROP TABLE {TABLE}")).await;
    // Nothing was loaded into it.
    assert_eq!(apply(&stage, &columns, &[]).await.code, 0);
    stage.put("a.csv", "id\n1\n2\n");
    load(&stage).await;
    sql(&stage, &format!("ALTER TABLE {TABLE} RENAME TO elsewhere")).await;
    let refused = apply(&stage, &columns, &[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("2 rows of 1 files") && refused.stderr.contains("--new-table"),
        "{refused:?}"
    );
    assert_eq!(stage.texts("SELECT to_regclass('reporting.measures') IS NULL").await, ["true"]);
    assert_eq!(apply(&stage, &columns, &["--new-table"]).await.code, 0);
    assert_eq!(stage.number(&format!("SELECT count(*) FROM {TABLE}")).await, 0);
    // Rows that the ledger does not expect any more are nobody's reason to refuse.
    let name = stage.texts("SELECT name FROM longshore.dataset").await.remove(0);
    assert_eq!(stage.run(&["verify", &name, "--missing-rows-are-gone"]).await.code, 0);
    sql(&stage, &format!("DROP TABLE {TABLE}")).await;
    assert_eq!(apply(&stage, &columns, &[]).await.code, 0);
}

#[tokio::test]
async fn an_apply_makes_waiting_tasks_due_at_once() {
    let stage = Stage::new().await;
    assert_eq!(apply(&stage, &column("id", "type = \"integer\""), &[]).await.code, 0);
    sql(&stage, &format!("ALTER TABLE {TABLE} ALTER id TYPE bigint")).await;
    for id in 1..=3 {
        stage.put(&format!("{id}.csv"), format!("id\n{id}\n"));
    }
    load(&stage).await;
    // As after many tries.
    sql(
        &stage,
        "UPDATE longshore.target_wait SET next_try_time = now() + interval '1h';
         UPDATE longshore.task SET due_time = now() + interval '1h' WHERE attempt > 0",
    )
    .await;
    assert_eq!(apply(&stage, &column("id", "type = \"bigint\""), &[]).await.code, 0);
    load(&stage).await;
    assert_eq!(stage.texts(&format!("SELECT id FROM {TABLE} ORDER BY id")).await, ["1", "2", "3"]);
}

/// A dataset of three files whose folder moves, with their times.
async fn moved(stage: &Stage) -> String {
    let columns = column("id", "type = \"bigint\"");
    assert_eq!(apply(stage, &columns, &[]).await.code, 0);
    for id in 1..=3 {
        stage.put(&format!("{id}.csv"), format!("id\n{id}\n"));
    }
    load(stage).await;
    let path = write_spec(stage, "moved", &columns);
    std::fs::rename(&stage.inbox, stage.folder().join("moved")).unwrap();
    path
}

#[tokio::test]
async fn files_whose_folder_moved_keep_their_identity_where_the_operator_says_so() {
    let stage = Stage::new().await;
    let path = moved(&stage).await;
    let refused = stage.run(&["dataset", "apply", &path]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("--rename-prefix") && refused.stderr.contains("--new-files"),
        "{refused:?}"
    );

    let source = |name: &str| format!("file://{}", stage.folder().join(name).display());
    let rename = ["dataset", "apply", &path, "--rename-prefix", &source("inbox"), &source("moved")];
    let dry = stage.ok(&[&rename[..], &["--dry-run"]].concat()).await;
    assert!(dry.stdout.contains("3 files would be renamed"), "{dry:?}");
    stage.ok(&rename).await;
    let counts = stage.scan().await["scans"][0]["counts"].clone();
    assert_eq!((&counts["known"], &counts["new"]), (&3.into(), &0.into()), "{counts}");
    // New content still takes the place of what was loaded under the old name.
    std::fs::write(stage.folder().join("moved/2.csv"), "id\n20\n").unwrap();
    std::fs::write(stage.folder().join("moved/4.csv"), "id\n4\n").unwrap();
    load(&stage).await;
    assert_eq!(stage.texts(&format!("SELECT id FROM {TABLE} ORDER BY id")).await, ["1", "3", "4", "20"]);
    stage.ok(&["unload", &format!("{}/1.csv", source("moved"))]).await;
    assert_eq!(stage.texts(&format!("SELECT id FROM {TABLE} ORDER BY id")).await, ["3", "4", "20"]);
}

#[tokio::test]
async fn files_of_another_folder_are_new_ones_where_the_operator_says_so() {
    let stage = Stage::new().await;
    let path = moved(&stage).await;
    stage.ok(&["dataset", "apply", &path, "--new-files"]).await;
    load(&stage).await;
    assert_eq!(stage.number(&format!("SELECT count(*) FROM {TABLE}")).await, 6);
    // Applied again, it is the source that it was.
    stage.ok(&["dataset", "apply", &path]).await;
}
