//! A server that has few connections to give: who is idle leaves them to others.

use longshore_tests::{Process, Stage, eventually, loan_file};

/// Connections that the role may have.
const LIMIT: i64 = 14;

/// A stage whose commands use a role that may not have more connections than that.
async fn cramped() -> (Stage, String) {
    let mut stage = Stage::new().await;
    let name = stage.texts("SELECT current_database()").await.remove(0);
    let role = format!("{name}_role");
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT {LIMIT};
         GRANT CREATE ON DATABASE {name} TO {role}; DROP SCHEMA longshore, reporting CASCADE"
    );
    stage.client().await.batch_execute(&sql).await.unwrap();
    let url = stage.database_url();
    let (_, server) = url.rsplit_once('@').unwrap();
    let settings = [
        ("DATABASE_URL", format!("postgres://{role}:p@{server}")),
        ("FAILPOINTS", "hurry::unused_connections=return".to_owned()),
        ("LONGSHORE_BATCH_BYTES", "1 KiB".to_owned()),
    ];
    for (variable, value) in settings {
        stage.environment.insert(variable.to_owned(), value);
    }
    stage.ok(&["migrate"]).await;
    stage.ok(&["dataset", "apply", &stage.loan_spec()]).await;
    (stage, role)
}

async fn drop_role(stage: Stage, role: &str) {
    let sql = format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
    stage.client().await.batch_execute(&sql).await.unwrap();
}

fn connections(role: &str) -> String {
    format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'")
}

#[tokio::test]
async fn idle_workers_leave_room_for_a_scanner_that_starts() {
    let (stage, role) = cramped().await;
    let scanner = stage.spawn(&["scanner"]);
    let slow = [("FAILPOINTS", "hurry::unused_connections=return;worker::read_chunk=sleep(300)")];
    let workers: Vec<Process> =
        (0..6).map(|_| stage.spawn_with(&["worker", "--concurrency", "2"], &slow)).collect();
    for file in 0..200 {
        stage.put(&format!("{file}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
    }
    let as_owner = stage.database_url();
    let finished = stage.run_with(&["scan", "--flush"], &[("DATABASE_URL", &as_owner)]).await;
    assert_eq!(finished.code, 0, "{finished:?}");
    eventually("the role has no connection left", || async {
        stage.number(&connections(&role)).await >= LIMIT - 1
    })
    .await;
    scanner.signal("KILL");
    eventually("the workers have all of them", || async { stage.number(&connections(&role)).await == LIMIT })
        .await;
    eventually("everything is loaded, or waits for a scanner", || async {
        stage.number("SELECT count(*) FROM longshore.task WHERE status = 'PROCESSING'").await == 0
    })
    .await;
    let _scanner = stage.spawn(&["scanner"]);
    eventually("everything is loaded", || async { stage.loans().await.0 == 2000 }).await;
    stage.assert_each_loan_once(2000).await;
    eventually("only the scanner is connected", || async { stage.number(&connections(&role)).await <= 3 })
        .await;
    stage.put("last.csv", loan_file(2001..=2010));
    stage.ok(&["scan", "--flush"]).await;
    eventually("an idle worker wakes", || async { stage.loans().await.0 == 2010 }).await;
    drop((workers, _scanner));
    drop_role(stage, &role).await;
}

#[tokio::test]
async fn nothing_is_claimed_without_the_heartbeats_connection() {
    let (stage, role) = cramped().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.ok(&["scan", "--flush"]).await;
    let worker = stage.spawn(&["worker"]);
    worker.logs("consuming").await;
    eventually("the worker is idle", || async {
        stage.loans().await.0 == 10 && stage.number(&connections(&role)).await == 0
    })
    .await;
    // Strangers take all but one connection.
    let url = stage.environment["DATABASE_URL"].clone();
    let mut strangers = Vec::new();
    for _ in 1..LIMIT {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        strangers.push(client);
    }
    stage.put("b.csv", loan_file(11..=20));
    let as_owner = stage.database_url();
    let finished = stage.run_with(&["scan", "--flush"], &[("DATABASE_URL", &as_owner)]).await;
    assert_eq!(finished.code, 0, "{finished:?}");
    // The one that is left is the heartbeat's.
    worker.logs("cannot claim the task").await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.attempt").await, 1);
    drop(strangers);
    eventually("the second file", || async { stage.loans().await.0 == 20 }).await;
    drop(worker);
    drop_role(stage, &role).await;
}
