//! A server ends in mid-load what the worker rests on: every row once all the same.

use std::time::Duration;

use longshore_tests::{Servers, Stage, eventually, loan_file};

use crate::mid_copy;

#[tokio::test]
async fn a_load_whose_backend_is_terminated_is_tried_again_and_counts_as_no_death() {
    let stage = Stage::with_loans().await;
    let _worker = mid_copy::worker(&stage, &[]).await;
    let _scanner = stage.spawn(&["scanner"]);
    let terminate = format!("SELECT pg_terminate_backend({})::int", mid_copy::backend(&stage).await);
    assert_eq!(stage.number(&terminate).await, 1);
    mid_copy::assert_loads_once(&stage, &["RETRY", "LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

/// A trigger raises what the server would: no test should fill a disk.
#[tokio::test]
async fn what_may_be_gone_the_next_time_is_tried_again_with_its_cause_kept() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    let raises = "CREATE TABLE outage (state text);
        CREATE FUNCTION raise_outage() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE state text := (SELECT state FROM outage);
        BEGIN
            IF state IS NOT NULL THEN
                RAISE EXCEPTION 'it is out' USING ERRCODE = state, DETAIL = 'the detail', CONSTRAINT = 'a_name';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER outage BEFORE INSERT ON reporting.loan_applications
        FOR EACH ROW EXECUTE FUNCTION raise_outage()";
    client.batch_execute(raises).await.unwrap();
    let _services = (stage.spawn(&["scanner"]), stage.spawn(&["worker"]));
    // A serialization failure, a deadlock, too many connections, a lock that was not to be had.
    for (number, state) in ["40001", "40P01", "53300", "55P03"].iter().enumerate() {
        client.execute("INSERT INTO outage VALUES ($1)", &[state]).await.unwrap();
        stage.put(&format!("{state}.csv"), loan_file(number as u64 + 1..=number as u64 + 1));
        stage.scan().await;
        let cause = format!("%it is out (SQLSTATE {state}); the detail; constraint a_name");
        let failed = format!(
            "SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY' AND error LIKE '{cause}'"
        );
        eventually("the load has failed and is to be tried again", || async {
            stage.number(&failed).await > 0
        })
        .await;
        client.execute("DELETE FROM outage", &[]).await.unwrap();
        eventually("the row", || async { stage.loans().await.0 == number as i64 + 1 }).await;
    }
    assert_eq!(
        stage.number("SELECT count(*) FROM longshore.task WHERE status <> 'LOADED' OR deaths > 0").await,
        0
    );
}

#[tokio::test]
async fn a_load_goes_on_while_the_broker_closes_the_connection_and_the_worker_makes_another() {
    let servers = Servers::from_environment().unwrap();
    let stage = Stage::with_loans().await;
    let worker = mid_copy::worker(&stage, &[]).await;
    let name = stage.texts("SELECT worker FROM longshore.attempt").await.remove(0);
    let connection = format!("longshore worker {name}");
    // The broker lists a connection a moment after it is made.
    eventually("the broker closes the connection", || async {
        servers.close_connections(&connection).await.unwrap() == 1
    })
    .await;
    mid_copy::assert_consumes_again(&stage, &worker).await;
    mid_copy::assert_loads_once(&stage, &["LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn a_load_goes_on_while_its_queue_is_deleted_and_the_worker_declares_it_again() {
    let servers = Servers::from_environment().unwrap();
    let stage = Stage::with_loans().await;
    let worker = mid_copy::worker(&stage, &[]).await;
    servers.delete_queue(&stage.queue_name("tasks")).await.unwrap();
    mid_copy::assert_consumes_again(&stage, &worker).await;
    mid_copy::assert_loads_once(&stage, &["LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn tasks_that_cannot_be_claimed_keep_no_others_waiting_and_load_once_they_can() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "1 KiB")]).await;
    for file in 0..4 {
        stage.put(&format!("{file}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
    }
    stage.scan().await;
    // As if a newer program had stored it.
    let client = stage.client().await;
    let unreadable = "UPDATE longshore.dataset_version SET spec = spec || '{\"key_of_tomorrow\": 1}'";
    client.batch_execute(unreadable).await.unwrap();
    let folder = stage.folder().join("other");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.csv"), "id\n1\n").unwrap();
    let spec = format!(
        "name = \"other\"\nsource = \"file://{}\"\n[discovery]\nsettle = \"0s\"\n[target]\ntable = \"reporting.other\"\n\
         [[columns]]\nname = \"id\"\ntype = \"bigint\"\n",
        folder.display()
    );
    let path = stage.folder().join("other.toml");
    std::fs::write(&path, spec).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
    stage.ok(&["scan", "other", "--flush"]).await;
    let _services = (stage.spawn(&["scanner"]), stage.spawn(&["worker", "--concurrency", "1"]));
    eventually("the other's row", || async {
        stage.number("SELECT count(*) FROM reporting.other").await == 1
    })
    .await;
    assert_eq!(stage.loans().await.0, 0);
    let causes =
        "SELECT count(*) FROM longshore.task WHERE failure_msg LIKE 'the task could not be claimed: %'";
    eventually("the cause is told", || async { stage.number(causes).await == 4 }).await;
    let why = stage.ok(&["why", stage.inbox.join("0.csv").to_str().unwrap()]).await.stdout;
    assert!(
        why.contains("It is tried again: the task could not be claimed: ") && !why.contains("operator"),
        "{why}"
    );
    client
        .batch_execute("UPDATE longshore.dataset_version SET spec = spec - 'key_of_tomorrow'")
        .await
        .unwrap();
    eventually("the rows", || async { stage.loans().await == (40, 40) }).await;
}

#[tokio::test]
async fn a_store_that_hangs_takes_no_more_threads_of_a_worker() {
    let stage =
        Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "1 KiB"), ("LONGSHORE_STALL_LIMIT", "1s")]).await;
    for file in 0..4 {
        stage.put(&format!("{file}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
    }
    stage.scan().await;
    let _scanner = stage.spawn(&["scanner"]);
    let hanging = [("FAILPOINTS", "worker::read_chunk=sleep(600000)"), ("LONGSHORE_CONCURRENCY", "4")];
    let _worker = stage.spawn_with(&["worker"], &hanging);
    // The first attempts of each task hang; what they leave behind counts some seconds later.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let refused = "SELECT count(*) FROM longshore.attempt
        WHERE outcome = 'RETRY' AND error LIKE '%have not come back: the file system behind it hangs%'";
    eventually("attempts that begin no thread", || async { stage.number(refused).await > 0 }).await;
    let hung = "SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY' AND error LIKE '%nothing moved for 1s%'";
    assert!(stage.number(hung).await >= 4);
}

#[tokio::test]
async fn status_shows_the_books_while_rabbitmq_is_away() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let away = [("AMQP_URL", "amqp://nobody:nothing@127.0.0.1:1/%2f")];
    let shown = stage.run_with(&["status"], &away).await;
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(
        shown.stdout.contains("SENT_FOR_ETL") && shown.stderr.contains("RabbitMQ at 127.0.0.1:1"),
        "{shown:?}"
    );
    let json = stage.run_with(&["status", "--json"], &away).await.json();
    assert_eq!((&json["tasks"]["NEW"], &json["queue"]), (&1.into(), &serde_json::Value::Null));
}
