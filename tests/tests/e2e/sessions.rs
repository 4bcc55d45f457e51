//! Settings of a role, a database or a pooler that Longshore's sessions meet: pinned, or refused in a sentence.

use longshore_tests::{PgBouncer, Stage, eventually, loan_file};

const FILES: u64 = 300;

/// Puts files of ten rows each, every one of which becomes a task.
fn put_small_files(stage: &Stage) {
    for file in 0..FILES {
        stage.put(&format!("{file}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
    }
}

fn small_tasks() -> [(&'static str, &'static str); 1] {
    [("LONGSHORE_BATCH_BYTES", "1 KiB")]
}

/// Loads everything in a database of these defaults, and asserts: each row once, and no attempt that had to be repeated.
async fn assert_loads_at_once_with(defaults: &[&str]) {
    let stage = Stage::with_loans_and(&small_tasks()).await;
    let name = stage.texts("SELECT current_database()").await.remove(0);
    let client = stage.client().await;
    let shadow = "CREATE SCHEMA shadow;
        CREATE FUNCTION shadow.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '1970-01-01 00:00:00Z' $$";
    client.batch_execute(shadow).await.unwrap();
    for default in defaults {
        client.batch_execute(&format!("ALTER DATABASE {name} SET {default}")).await.unwrap();
    }
    put_small_files(&stage);
    let _services = [&["scanner"][..], &["worker"], &["worker"]].map(|service| stage.spawn(service));
    stage.scan().await;
    let open = "SELECT count(*) FROM longshore.task WHERE status <> 'LOADED'";
    eventually("everything is loaded", || async {
        client.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    let attempts = "SELECT count(*), count(*) FILTER (WHERE outcome <> 'LOADED'),
        count(*) FILTER (WHERE started_time < now() - interval '1 day') FROM longshore.attempt";
    let row = client.query_one(attempts, &[]).await.unwrap();
    let attempts: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    assert_eq!(attempts, [FILES as i64, 0, 0]);
    let rows = "SELECT count(*), count(DISTINCT application_id) FROM reporting.loan_applications";
    let row = client.query_one(rows, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (FILES as i64 * 10, FILES as i64 * 10));
}

#[tokio::test]
async fn a_load_is_as_quick_where_transactions_are_serializable_by_default() {
    assert_loads_at_once_with(&["default_transaction_isolation = 'serializable'"]).await;
}

#[tokio::test]
async fn time_limits_zone_and_search_path_of_a_role_change_nothing_about_a_load() {
    let defaults = [
        "TimeZone = 'Asia/Kolkata'",
        "statement_timeout = '2ms'",
        "lock_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "idle_session_timeout = '100ms'",
        "search_path = 'shadow', 'pg_catalog'",
    ];
    assert_loads_at_once_with(&defaults).await;
}

#[tokio::test]
async fn rows_that_row_security_hides_are_no_rows_that_are_gone() {
    let mut stage = Stage::with_loans().await;
    let path = stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    stage.drain().await;
    // Row security holds for no superuser.
    let name = stage.texts("SELECT current_database()").await.remove(0);
    let role = format!("{name}_role");
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT ALL ON SCHEMA longshore, reporting TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA longshore, reporting TO {role};
         ALTER TABLE reporting.loan_applications ENABLE ROW LEVEL SECURITY;
         CREATE POLICY a_few ON reporting.loan_applications USING (_line < 5)"
    );
    let client = stage.client().await;
    client.batch_execute(&sql).await.unwrap();
    let as_owner = stage.database_url();
    let (_, server) = as_owner.rsplit_once('@').unwrap();
    stage.environment.insert("DATABASE_URL".to_owned(), format!("postgres://{role}:p@{server}"));
    let finished = stage.run(&["unload", path.to_str().unwrap()]).await;
    stage.environment.remove("DATABASE_URL");
    let rows = stage.loans().await.0;
    let dropped = client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!((finished.code, rows), (1, 10), "{finished:?}");
    dropped.unwrap();
}

#[tokio::test]
async fn a_load_through_a_pooler_in_session_mode_arrives_whole() {
    let mut stage = Stage::with_loans_and(&small_tasks()).await;
    let pooler = PgBouncer::start(&stage.database_url(), "session", stage.folder()).await;
    stage.environment.insert("DATABASE_URL".to_owned(), pooler.url(&stage.database_url()));
    put_small_files(&stage);
    let _services = [&["scanner"][..], &["worker"], &["worker"]].map(|service| stage.spawn(service));
    stage.ok(&["health"]).await;
    stage.scan().await;
    let rows = FILES as i64 * 10;
    eventually("everything is loaded", || async { stage.loans().await.0 == rows }).await;
    stage.assert_each_loan_once(rows).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.attempt WHERE outcome <> 'LOADED'").await, 0);
    // What one client has set is gone before another gets its session.
    stage.ok(&["health"]).await;
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused() {
    let mut stage = Stage::with_loans().await;
    let direct = stage.database_url();
    let pooler = PgBouncer::start(&direct, "transaction", stage.folder()).await;
    stage.environment.insert("DATABASE_URL".to_owned(), pooler.url(&direct));
    stage.put("a.csv", loan_file(1..=10));
    let finished = stage.run(&["health"]).await;
    assert!(finished.code == 1 && finished.stdout.contains("transaction mode"), "{finished:?}");
    for command in [&["scan", "--flush"][..], &["worker", "--drain"]] {
        let finished = stage.run(command).await;
        assert!(finished.code == 1 && finished.stderr.contains("transaction mode"), "{finished:?}");
    }
    for service in ["worker", "scanner"] {
        stage.spawn(&[service]).logs("waiting until this is mended: a pooler in transaction mode").await;
    }
    assert_eq!(stage.number("SELECT count(*) FROM longshore.attempt").await, 0);
}

#[tokio::test]
async fn a_database_that_can_only_be_read_is_told_and_waited_for() {
    let stage = Stage::with_loans().await;
    let name = stage.texts("SELECT current_database()").await.remove(0);
    let client = stage.client().await;
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    client.batch_execute(&read_only).await.unwrap();
    let health = stage.run(&["health", "--json"]).await;
    assert_eq!(health.code, 1);
    assert_eq!(
        (&health.json()["postgres"]["is_ok"], &health.json()["rabbitmq"]["is_ok"]),
        (&false.into(), &true.into())
    );
    // Commands that only read still do.
    stage.ok(&["status"]).await;
    let worker = stage.spawn(&["worker"]);
    worker.logs("waiting until this is mended").await;
    client
        .batch_execute(&format!("ALTER DATABASE {name} RESET default_transaction_read_only"))
        .await
        .unwrap();
    worker.logs("consuming").await;
    let health = stage.ok(&["health", "--json"]).await.json();
    assert!(health["postgres"]["connections_in_use"].as_i64() > Some(0), "{health}");
}

#[tokio::test]
async fn a_database_that_lacks_characters_is_refused_by_migrate() {
    let mut stage = Stage::new().await;
    let name = format!("{}_latin1", stage.texts("SELECT current_database()").await.remove(0));
    let client = stage.client().await;
    let latin1 = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    client.batch_execute(&latin1).await.unwrap();
    let (server, _) =
        stage.database_url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    stage.environment.insert("DATABASE_URL".to_owned(), format!("{server}/{name}"));
    let finished = stage.run(&["migrate"]).await;
    stage.environment.remove("DATABASE_URL");
    client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    assert!(finished.code == 1 && finished.stderr.contains("LATIN1"), "{finished:?}");
}

#[tokio::test]
async fn queues_of_another_prefix_than_the_databases_own_are_refused() {
    let stage = Stage::with_loans().await;
    stage.scan().await;
    let other = [("LONGSHORE_AMQP_PREFIX", "another")];
    for command in [&["scan"][..], &["worker", "--drain"]] {
        let finished = stage.run_with(command, &other).await;
        assert!(finished.code == 1 && finished.stderr.contains("`another`"), "{finished:?}");
    }
    assert_eq!(stage.run_with(&["health"], &other).await.code, 1);
    stage.spawn_with(&["scanner"], &other).logs("waiting until this is mended").await;
    stage.ok(&["health"]).await;
}

#[tokio::test]
async fn a_message_of_another_installation_is_named_as_such() {
    let stage = Stage::with_loans().await;
    let worker = stage.spawn(&["worker"]);
    worker.logs("consuming").await;
    let nil = "00000000-0000-0000-0000-000000000000";
    let body = format!(r#"{{"version":1,"task_id":"{nil}","installation":"{nil}"}}"#);
    stage.publish(body.as_bytes()).await;
    worker.logs("a message of another installation").await;
    let ours = stage.texts("SELECT id FROM longshore.installation").await.remove(0);
    stage
        .publish(
            body.replace(&format!("\"installation\":\"{nil}\""), &format!("\"installation\":\"{ours}\""))
                .as_bytes(),
        )
        .await;
    worker.logs("no such task").await;
    eventually("both are dead letters", || async { stage.queue_length("dead").await == 2 }).await;
}

#[tokio::test]
async fn an_alarm_of_the_broker_is_told_until_the_relay_can_publish_again() {
    let stage = Stage::with_loans().await;
    let alarm = "UPDATE longshore.installation SET broker_alarm_since = now()";
    stage.client().await.batch_execute(alarm).await.unwrap();
    let health = stage.run(&["health", "--json"]).await;
    let rabbitmq = &health.json()["rabbitmq"];
    assert!(
        health.code == 1 && rabbitmq["is_ok"] == false && rabbitmq["alarm_since"].is_string(),
        "{health:?}"
    );
    let status = stage.ok(&["status", "--json"]).await.json();
    assert!(status["broker_alarm_since"].is_string(), "{status}");
    let _scanner = stage.spawn(&["scanner"]);
    let is_over = "SELECT count(*) FROM longshore.installation WHERE broker_alarm_since IS NULL";
    eventually("the relay finds it over", || async { stage.number(is_over).await == 1 }).await;
    stage.ok(&["health"]).await;
}
