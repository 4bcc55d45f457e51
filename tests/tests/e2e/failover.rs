//! Postgres fails over to a replica that lacks what was loaded last: the files are still there, and are loaded again.

use longshore_tests::{Servers, Stage, connect, eventually, loan_file};

const DELETE: &str = "[discovery]\nafter_load = \"delete\"\n";

#[tokio::test]
async fn a_load_that_a_replica_lacks_is_done_again_because_its_file_is_still_there() {
    let servers = Servers::from_environment().unwrap();
    let mut stage = Stage::new().await;
    stage.apply_loans(&[("[discovery]\n", DELETE)]).await;
    let url = servers.start_standby().await.unwrap();
    let standby = connect(&stage.database_url_on(&url)).await;
    // It streams, until the network between them fails.
    eventually("the replica has the dataset", || async {
        let datasets = standby.query_one("SELECT count(*) FROM longshore.dataset", &[]).await;
        datasets.is_ok_and(|row| row.get::<_, i64>(0) == 1)
    })
    .await;
    standby.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
    standby.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually("it is cut off", || async {
        let receivers = standby.query_one("SELECT count(*) FROM pg_stat_wal_receiver", &[]).await.unwrap();
        receivers.get::<_, i64>(0) == 0
    })
    .await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(2).await;
    stage.scan().await;

    standby.batch_execute("SELECT pg_promote()").await.unwrap();
    stage.fail_over_to(&url);
    assert_eq!(stage.loans().await, (0, 0));
    assert!(path.exists());
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(2).await;
    servers.stop_standby().await.unwrap();
}
