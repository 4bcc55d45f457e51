//! Removals that take long: they show that they move.

use longshore_tests::{Stage, eventually, loan_file};

async fn scan_and_load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

#[tokio::test]
async fn a_removal_of_one_statement_may_take_longer_than_the_stall_limit() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=40));
    scan_and_load(&stage).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN PERFORM pg_sleep(0.1); RETURN OLD; END $$;
                CREATE TRIGGER slow BEFORE DELETE ON reporting.loan_applications
                    FOR EACH ROW EXECUTE FUNCTION slow()";
    stage.client().await.batch_execute(slow).await.unwrap();
    stage.put("a.csv", loan_file(101..=110));
    stage.scan().await;
    let _worker = stage.spawn_with(&["worker"], &[("LONGSHORE_STALL_LIMIT", "1s")]);
    let settled = "SELECT count(*) FROM longshore.attempt WHERE outcome IS NOT NULL";
    eventually("the end of the attempt", || async { stage.number(settled).await == 2 }).await;
    let outcomes = "SELECT outcome FROM longshore.attempt ORDER BY started_time";
    assert_eq!(stage.texts(outcomes).await, ["LOADED", "LOADED"]);
    assert_eq!(stage.loans().await, (10, 10));
}

/// Some twelve rows a page.
const SPREAD: &str = "WITH (fillfactor = 10, autovacuum_enabled = off)";

#[tokio::test]
async fn an_index_on_the_file_finds_its_rows_without_reading_the_table() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    let spread = "ALTER TABLE reporting.loan_applications SET (fillfactor = 10, autovacuum_enabled = off);
        CREATE INDEX ON reporting.loan_applications (_file_id)";
    client.batch_execute(spread).await.unwrap();
    stage.put("a.csv", loan_file(1..=100));
    scan_and_load(&stage).await;
    // A rewrite moves them: no block that was seen says where they are.
    let fill = "INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
                SELECT -number, -1, 1 FROM generate_series(1, 250000) AS number;
                CREATE INDEX by_application ON reporting.loan_applications (application_id);
                CLUSTER reporting.loan_applications USING by_application";
    client.batch_execute(fill).await.unwrap();
    client.batch_execute("ANALYZE reporting.loan_applications").await.unwrap();
    let read = "SELECT heap_blks_read + heap_blks_hit FROM pg_statio_user_tables WHERE relname = 'loan_applications'";
    let counted = "SELECT n_tup_ins + n_tup_del FROM pg_stat_user_tables WHERE relname = 'loan_applications'";
    let changes = 100 + 250_000;
    eventually("the counts so far", || async { stage.number(counted).await == changes }).await;
    let before = stage.number(read).await;
    stage.put("a.csv", loan_file(101..=102));
    scan_and_load(&stage).await;
    eventually("the new counts", || async { stage.number(counted).await == changes + 100 + 2 }).await;
    let after = stage.number(read).await;
    assert!(after - before < 300, "{} blocks", after - before);
    assert_eq!(stage.number("SELECT count(*) FROM reporting.loan_applications WHERE _file_id > 0").await, 2);
}

/// Where a sample finds rows, only their partition is read, but for the sample.
#[tokio::test]
async fn rows_of_one_partition_are_found_without_reading_the_others() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    let mut divide = "ALTER TABLE reporting.loan_applications RENAME TO undivided;
        CREATE TABLE reporting.loan_applications (LIKE reporting.undivided INCLUDING ALL)
            PARTITION BY RANGE (application_id);"
        .to_owned();
    for partition in 0..10 {
        let (first, end) = (partition * 100_000, (partition + 1) * 100_000);
        divide.push_str(&format!(
            "CREATE TABLE reporting.loans_{partition} PARTITION OF reporting.loan_applications
                 FOR VALUES FROM ({first}) TO ({end}) {SPREAD};"
        ));
    }
    divide.push_str(
        "INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
             SELECT 4 * number, -1, 1 FROM generate_series(0, 249999) AS number",
    );
    client.batch_execute(&divide).await.unwrap();
    // Enough pages that a sample of every twentieth hits one of them.
    stage.put("a.csv", loan_file((300_000..304_000).map(|number| number + 1)));
    scan_and_load(&stage).await;
    let blocks = "SELECT sum(pg_relation_size(relid)) / current_setting('block_size')::bigint
                  FROM pg_partition_tree('reporting.loan_applications')";
    let blocks = stage.number(blocks).await;
    assert!(blocks > 16_384, "{blocks}");
    let read = "SELECT sum(heap_blks_read + heap_blks_hit) FROM pg_statio_user_tables
                WHERE relname LIKE 'loans\\__' AND relname <> 'loans_3'";
    let counted = "SELECT sum(n_tup_ins + n_tup_del) FROM pg_stat_user_tables WHERE relname LIKE 'loans\\__'";
    let changes = 250_000 + 4000;
    eventually("the counts so far", || async { stage.number(counted).await == changes }).await;
    let before = stage.number(read).await;
    stage.put("a.csv", loan_file(700_001..=700_002));
    scan_and_load(&stage).await;
    eventually("the new counts", || async { stage.number(counted).await == changes + 4000 + 2 }).await;
    let after = stage.number(read).await;
    assert!(after - before < blocks / 8, "{} of {blocks} blocks", after - before);
    assert_eq!(stage.number("SELECT count(*) FROM reporting.loan_applications WHERE _file_id > 0").await, 2);
}
