//! The network between a worker and its servers fails in mid-load: every row once all the same.

use longshore_tests::{Process, Proxy, Stage, eventually, loan_file};

use crate::mid_copy;

/// A worker in mid-COPY that reaches Postgres through a proxy, and a scanner beside it that does not.
async fn worker_behind_database_proxy(
    stage: &Stage,
    environment: &[(&str, &str)],
) -> (Proxy, Process, Process) {
    let proxy = Proxy::to(&stage.database_url()).await;
    let url = proxy.url(&stage.database_url());
    let mut all = vec![("DATABASE_URL", url.as_str())];
    all.extend_from_slice(environment);
    let worker = mid_copy::worker(stage, &all).await;
    (proxy, worker, stage.spawn(&["scanner"]))
}

/// A worker in mid-COPY that reaches RabbitMQ through a proxy. `query` is that of its AMQP_URL.
async fn worker_behind_broker_proxy(stage: &Stage, query: &str) -> (Proxy, Process) {
    let proxy = Proxy::to(stage.amqp_url()).await;
    let url = format!("{}{query}", proxy.url(stage.amqp_url()));
    let worker = mid_copy::worker(stage, &[("AMQP_URL", &url)]).await;
    (proxy, worker)
}

#[tokio::test]
async fn a_task_whose_commit_answer_never_came_is_loaded_once_and_the_worker_goes_on() {
    let stage = Stage::with_loans().await;
    let (proxy, _worker, _scanner) = worker_behind_database_proxy(&stage, &[]).await;
    proxy.swallow_commit_answer();
    eventually("the answer to COMMIT is lost", || async { proxy.commits_swallowed() == 1 }).await;
    mid_copy::assert_loads_once(&stage, &["LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn claims_whose_commit_answers_never_come_count_as_no_deaths() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_MAX_DEATHS", "2")]).await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let proxy = Proxy::to(&stage.database_url()).await;
    let url = proxy.url(&stage.database_url());
    proxy.swallow_commit_answer();
    let _worker = stage.spawn_with(&["worker"], &[("DATABASE_URL", &url)]);
    let _scanner = stage.spawn(&["scanner"]);
    for swallowed in 1..=3 {
        eventually("an answer to COMMIT is lost", || async { proxy.commits_swallowed() == swallowed }).await;
        // The worker's next COMMIT is that of its next claim, which waits for a backoff.
        if swallowed < 3 {
            proxy.swallow_commit_answer();
        }
    }
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    assert_eq!(stage.number("SELECT deaths FROM longshore.task").await, 0);
    let outcomes = stage.texts("SELECT outcome FROM longshore.attempt ORDER BY attempt").await;
    assert_eq!(outcomes, ["RETRY", "RETRY", "RETRY", "LOADED"]);
}

#[tokio::test]
async fn a_load_that_loses_postgres_is_tried_again_and_counts_as_no_death() {
    let stage = Stage::with_loans().await;
    let (proxy, _worker, _scanner) = worker_behind_database_proxy(&stage, &[]).await;
    proxy.cut();
    mid_copy::assert_loads_once(&stage, &["RETRY", "LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn a_load_whose_connection_to_postgres_is_reset_is_tried_again_and_counts_as_no_death() {
    let stage = Stage::with_loans().await;
    let (proxy, _worker, _scanner) = worker_behind_database_proxy(&stage, &[]).await;
    proxy.reset();
    mid_copy::assert_loads_once(&stage, &["RETRY", "LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn a_load_that_waits_for_postgres_beyond_the_stall_limit_is_tried_again() {
    let stage = Stage::with_loans().await;
    let (proxy, worker, _scanner) =
        worker_behind_database_proxy(&stage, &[("LONGSHORE_STALL_LIMIT", "2s")]).await;
    proxy.stall(true);
    worker.logs("nothing moved for 2s").await;
    assert_eq!(stage.loans().await.0, 0);
    proxy.stall(false);
    mid_copy::assert_loads_once(&stage, &["RETRY", "LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn a_load_goes_on_while_its_connection_to_rabbitmq_is_cut_and_made_anew() {
    let stage = Stage::with_loans().await;
    let (proxy, worker) = worker_behind_broker_proxy(&stage, "").await;
    proxy.cut();
    mid_copy::assert_consumes_again(&stage, &worker).await;
    mid_copy::assert_loads_once(&stage, &["LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn a_load_goes_on_while_its_connection_to_rabbitmq_is_reset_and_made_anew() {
    let stage = Stage::with_loans().await;
    let (proxy, worker) = worker_behind_broker_proxy(&stage, "").await;
    proxy.reset();
    mid_copy::assert_consumes_again(&stage, &worker).await;
    mid_copy::assert_loads_once(&stage, &["LOADED"]).await;
    mid_copy::assert_goes_on(&stage).await;
}

#[tokio::test]
async fn a_load_commits_while_nothing_reaches_rabbitmq_and_the_worker_consumes_again_afterwards() {
    let stage = Stage::with_loans().await;
    // A connection on which nothing comes for two heartbeats is lost.
    let (proxy, worker) = worker_behind_broker_proxy(&stage, "?heartbeat=1").await;
    proxy.stall(true);
    worker.logs("cannot consume").await;
    mid_copy::assert_loads_once(&stage, &["LOADED"]).await;
    proxy.stall(false);
    mid_copy::assert_consumes_again(&stage, &worker).await;
    mid_copy::assert_goes_on(&stage).await;
}
