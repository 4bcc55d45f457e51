//! From Postgres to the broker and to the workers: what the broker loses is published again, and nobody waits for ever.

use lapin::{
    Channel,
    options::{QueueDeleteOptions, QueuePurgeOptions},
};
use longshore_tests::{Process, Proxy, Stage, eventually, loan_file};

const LOST: &str = "messages seem lost, which the broker had confirmed";

/// Does something to the broker that no Longshore does.
async fn on_broker<T>(stage: &Stage, act: impl AsyncFnOnce(Channel) -> lapin::Result<T>) {
    let connection = stage.broker().await;
    act(connection.create_channel().await.unwrap()).await.unwrap();
    // The channel may be closing still.
    let _ = connection.close(200, "done".into()).await;
}

async fn purge(stage: &Stage) {
    let queue = stage.queue_name("tasks");
    on_broker(stage, async |channel| channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await)
        .await;
}

async fn delete_queue(stage: &Stage) {
    let queue = stage.queue_name("tasks");
    on_broker(stage, async |channel| channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await)
        .await;
}

/// Nothing is noticed before a message has been on its way for the grace.
async fn published_for_the_grace(stage: &Stage) {
    let young = "SELECT count(*) FROM longshore.task WHERE published_time >= now() - interval '10 s'";
    eventually("the grace is over", || async { stage.number(young).await == 0 }).await;
}

/// Tasks that FAILED, so that `retry` makes them NEW without a scan.
async fn failed_tasks<const N: usize>(stage: &Stage) -> [String; N] {
    for n in 0..N {
        stage.put(&format!("{n}.csv"), "no,loans\n1,2\n");
        stage.scan().await;
    }
    stage.drain().await;
    let failed = stage.texts("SELECT id FROM longshore.task WHERE status = 'FAILED'").await;
    failed.try_into().expect("a FAILED task a file")
}

/// A scanner that looks by itself only once an hour, and hears of everything in between.
async fn listening_scanner(stage: &Stage, environment: &[(&str, &str)]) -> Process {
    let all = [&[("LONGSHORE_TICK", "1h")], environment].concat();
    let scanner = stage.spawn_with(&["scanner"], &all);
    let listening = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle' AND query LIKE 'LISTEN %'";
    eventually("the scanner listens", || async { stage.number(listening).await == 1 }).await;
    scanner
}

async fn is_published(stage: &Stage, task: &str) {
    let published = format!(
        "SELECT count(*) FROM longshore.task WHERE id = '{task}' AND status = 'NEW' AND published_time IS NOT NULL"
    );
    eventually("the task is published", || async { stage.number(&published).await == 1 }).await;
}

#[tokio::test]
async fn tasks_of_a_purged_queue_are_published_again_and_load_once() {
    let stage = Stage::with_loans().await;
    for n in 0..3 {
        stage.put(&format!("{n}.csv"), loan_file(n * 10 + 1..=n * 10 + 10));
        stage.scan().await;
    }
    assert_eq!(stage.queue_length("tasks").await, 3);
    purge(&stage).await;
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    published_for_the_grace(&stage).await;
    eventually("all rows", || async { stage.loans().await.0 == 30 }).await;
    stage.assert_each_loan_once(30).await;
    assert!(scanner.log().contains(LOST), "{}", scanner.log());
    eventually("an empty queue", || async { stage.queue_length("tasks").await == 0 }).await;
    assert_eq!(
        stage.texts("SELECT DISTINCT attempt || ' ' || publications FROM longshore.task").await,
        ["1 2"]
    );
}

/// As where another database's workers take its messages.
#[tokio::test]
async fn a_task_whose_messages_are_lost_again_and_again_is_published_ever_more_rarely() {
    let stage = Stage::with_loans().await;
    for n in 0..3 {
        stage.put(&format!("{n}.csv"), loan_file(n * 10 + 1..=n * 10 + 10));
        stage.scan().await;
    }
    purge(&stage).await;
    let often = "UPDATE longshore.task SET publications = 9 WHERE id = (SELECT min(id::text)::uuid FROM longshore.task);
        -- Its messages led to claims, and failed.
        UPDATE longshore.task SET publications = 20, attempt = 19
        WHERE id = (SELECT max(id::text)::uuid FROM longshore.task)";
    stage.client().await.batch_execute(often).await.unwrap();
    let _scanner = stage.spawn(&["scanner"]);
    eventually("the others are published again", || async {
        stage.number("SELECT count(*) FROM longshore.task WHERE publications IN (2, 21)").await == 2
    })
    .await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE publications = 9").await, 1);
}

#[tokio::test]
async fn a_scan_by_cron_publishes_again_what_a_purged_queue_lost() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    purge(&stage).await;
    published_for_the_grace(&stage).await;
    assert_eq!(stage.scan().await["published"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(10).await;
}

#[tokio::test]
async fn a_lost_message_is_noticed_while_other_tasks_keep_the_queue_busy() {
    // Each file is a task alone.
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "1 KiB")]).await;
    stage.put("lost.csv", loan_file(1..=30));
    stage.scan().await;
    purge(&stage).await;
    for n in 1..=40 {
        stage.put(&format!("{n:02}.csv"), loan_file(n * 30 + 1..=n * 30 + 30));
    }
    stage.scan().await;
    assert_eq!(stage.queue_length("tasks").await, 40);
    let slow = stage.spawn_slow_worker(1000, &[]);
    let scanner = stage.spawn(&["scanner"]);
    published_for_the_grace(&stage).await;
    scanner.logs(LOST).await;
    // The queue had messages at every look: only the tasks that had overtaken it could tell.
    assert!(stage.queue_length("tasks").await > 0);
    let _fast = stage.spawn(&["worker", "--concurrency", "4"]);
    eventually("all rows", || async { stage.loans().await.0 == 41 * 30 }).await;
    stage.assert_each_loan_once(41 * 30).await;
    drop(slow);
    let published_again = "SELECT substring(files FROM '[a-z0-9]+\\.csv$') FROM longshore.task JOIN longshore.etl_task USING (id)
        WHERE publications <> 1";
    assert_eq!(stage.texts(published_again).await, ["lost.csv"]);
}

#[tokio::test]
async fn a_killed_workers_task_does_not_make_the_messages_before_it_look_lost() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "1 KiB")]).await;
    for n in 0..40 {
        stage.put(&format!("{n:02}.csv"), loan_file(n * 30 + 1..=n * 30 + 30));
    }
    stage.scan().await;
    published_for_the_grace(&stage).await;
    let scanner = stage.spawn(&["scanner"]);
    // Its task is rescued and published at the end of the queue, while its message comes again at the front.
    let mut killed = stage.spawn_slow_worker(60_000, &[]);
    killed.logs("claimed").await;
    killed.signal("KILL");
    killed.ended().await;
    eventually("the rescue", || async {
        stage.number("SELECT count(*) FROM longshore.task WHERE publications = 2").await == 1
    })
    .await;
    let slow = stage.spawn_slow_worker(1000, &[]);
    slow.logs("claimed").await;
    let claimed =
        "SELECT count(*) FROM longshore.task WHERE attempt = 2 AND modified_time < now() - interval '14 s'";
    eventually("a look, the grace after its claim", || async { stage.number(claimed).await == 1 }).await;
    assert!(stage.queue_length("tasks").await > 0);
    assert!(!scanner.log().contains(LOST), "{}", scanner.log());
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again_and_its_tasks_load_once() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    delete_queue(&stage).await;
    let _scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    published_for_the_grace(&stage).await;
    eventually("all rows", || async { stage.loans().await.0 == 10 }).await;
    stage.assert_each_loan_once(10).await;
}

#[tokio::test]
async fn a_worker_whose_queue_is_deleted_in_mid_load_commits_and_consumes_again() {
    const ROWS: u64 = 40_000;
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=ROWS));
    stage.scan().await;
    let worker = stage.worker_in_mid_load(&[]).await;
    delete_queue(&stage).await;
    worker.logs("cannot consume").await;
    assert_eq!(stage.loans().await.0, 0);
    eventually("a second consumer", || async { worker.log().matches("consuming").count() == 2 }).await;
    stage.put("b.csv", loan_file(ROWS + 1..=ROWS + 10));
    stage.scan().await;
    let all = ROWS as i64 + 10;
    eventually("all rows", || async { stage.loans().await.0 == all }).await;
    stage.assert_each_loan_once(all).await;
    assert_eq!(stage.texts("SELECT DISTINCT attempt FROM longshore.task").await, ["1"]);
}

#[tokio::test]
async fn the_relay_hears_of_a_retry_long_before_its_tick() {
    let stage = Stage::with_loans().await;
    let [task] = failed_tasks(&stage).await;
    let _scanner = listening_scanner(&stage, &[]).await;
    // It also looks once when it begins to listen. After this round that is over, and only the notification is left.
    stage.ok(&["retry", &task]).await;
    is_published(&stage, &task).await;
    stage.drain().await;
    stage.ok(&["retry", &task]).await;
    is_published(&stage, &task).await;
}

#[tokio::test]
async fn a_returned_message_leaves_its_task_unpublished() {
    let stage = Stage::with_loans().await;
    let [returned, next] = failed_tasks(&stage).await;
    let scanner = listening_scanner(&stage, &[]).await;
    stage.ok(&["retry", &returned]).await;
    is_published(&stage, &returned).await;
    stage.drain().await;
    let (queue, exchange) = (stage.queue_name("tasks"), stage.exchange_name().to_owned());
    on_broker(&stage, async |channel| {
        channel.queue_unbind(queue.into(), exchange.into(), "tasks".into(), Default::default()).await
    })
    .await;
    stage.ok(&["retry", &returned]).await;
    scanner.logs("the broker has no queue for these tasks").await;
    // The next one wakes the relay, which has declared the binding again: both are in the queue, or the first was
    // taken for published.
    stage.ok(&["retry", &next]).await;
    eventually("both messages", || async { stage.queue_length("tasks").await == 2 }).await;
}

#[tokio::test]
async fn a_lost_listening_connection_is_opened_again() {
    let stage = Stage::with_loans().await;
    let [task] = failed_tasks(&stage).await;
    let proxy = Proxy::to(&stage.database_url()).await;
    let url = proxy.url(&stage.database_url());
    let scanner = listening_scanner(&stage, &[("DATABASE_URL", &url)]).await;
    proxy.cut();
    scanner.logs("lost the connection that hears of new tasks").await;
    scanner.logs("hears of new tasks again").await;
    stage.ok(&["retry", &task]).await;
    is_published(&stage, &task).await;
    stage.drain().await;
    stage.ok(&["retry", &task]).await;
    is_published(&stage, &task).await;
}

#[tokio::test]
async fn publishing_to_a_broker_that_falls_silent_ends_and_begins_again() {
    let stage = Stage::with_loans().await;
    let [first, second] = failed_tasks(&stage).await;
    let proxy = Proxy::to(stage.amqp_url()).await;
    let url = proxy.url(stage.amqp_url());
    let scanner = listening_scanner(&stage, &[("AMQP_URL", &url)]).await;
    stage.ok(&["retry", &first]).await;
    is_published(&stage, &first).await;
    proxy.stall(true);
    stage.ok(&["retry", &second]).await;
    scanner.logs("publishing tasks fails").await;
    let unpublished = "SELECT count(*) FROM longshore.task WHERE status = 'NEW' AND published_time IS NULL";
    assert_eq!(stage.number(unpublished).await, 1);
    // No transaction is open while it waits, and no lock but the relay's.
    let in_transaction = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(stage.number(in_transaction).await, 0);
    proxy.stall(false);
    is_published(&stage, &second).await;
}

#[tokio::test]
async fn a_worker_whose_broker_falls_silent_finishes_its_load_and_consumes_again() {
    const ROWS: u64 = 40_000;
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=ROWS));
    stage.scan().await;
    let proxy = Proxy::to(stage.amqp_url()).await;
    // A dead peer is noticed after two heartbeats.
    let url = format!("{}?heartbeat=3", proxy.url(stage.amqp_url()));
    let worker = stage.worker_in_mid_load(&[("AMQP_URL", &url)]).await;
    proxy.stall(true);
    worker.logs("cannot consume").await;
    eventually("the rows, without a broker", || async { stage.loans().await.0 == ROWS as i64 }).await;
    proxy.stall(false);
    eventually("a second consumer", || async { worker.log().matches("consuming").count() == 2 }).await;
    stage.put("b.csv", loan_file(ROWS + 1..=ROWS + 10));
    stage.scan().await;
    let all = ROWS as i64 + 10;
    eventually("all rows", || async { stage.loans().await.0 == all }).await;
    stage.assert_each_loan_once(all).await;
    assert_eq!(stage.texts("SELECT DISTINCT attempt FROM longshore.task").await, ["1"]);
}

#[tokio::test]
async fn many_lost_messages_are_published_again_in_pages() {
    const TASKS: i64 = 25_000;
    let stage = Stage::with_loans().await;
    stage.scan().await;
    stage
        .client()
        .await
        .batch_execute(&format!(
            "INSERT INTO longshore.task (id, dataset_id, published_time, publications)
             SELECT gen_random_uuid(), (SELECT id FROM longshore.dataset), now() - n * interval '1ms' - interval '1min', 1
             FROM generate_series(1, {TASKS}) AS n"
        ))
        .await
        .unwrap();
    // It ends before the first of them is published.
    let killed = [("FAILPOINTS", "relay::before_publish=1*return(kill)")];
    let mut scanner = stage.spawn_with(&["scanner"], &killed);
    assert!(!scanner.ended().await.success());
    assert!(scanner.log().contains(LOST), "{}", scanner.log());
    let pages = "SELECT count(*) FROM longshore.task WHERE published_time IS NULL GROUP BY xmin::text ORDER BY 1 DESC";
    assert_eq!(stage.texts(pages).await, ["10000", "10000", "5000"]);
}
