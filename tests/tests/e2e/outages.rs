//! A server ends in mid-load what the worker rests on: every row once all the same.

use longshore_tests::{Servers, Stage, eventually};

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
