use longshore_tests::{Stage, eventually, loan_file};

use super::*;

#[tokio::test]
async fn a_round_that_stands_still_fails_with_a_picture_of_what_waits() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=40_000));
    stage.scan().await;
    // A load that hangs: nothing but heartbeats.
    let worker = stage.spawn_slow_worker(600_000, &[]);
    let claimed = "SELECT count(*) FROM longshore.task WHERE status = 'PROCESSING'";
    eventually("the task is claimed", || async { stage.number(claimed).await == 1 }).await;
    let queue = stage.queue_name("tasks");
    let _watch = Watched {
        name: "stage".to_owned(),
        database_url: stage.database_url(),
        amqp_url: stage.amqp_url().to_owned(),
        prefix: queue.trim_end_matches(".tasks").to_owned(),
    }
    .watch();
    let hung = std::future::pending();
    let found = tokio::time::timeout(Duration::from_secs(60), over(Duration::from_secs(2), hung)).await;
    let picture = found.expect("it is given up").unwrap_err().to_string();
    let (process, queue) = (format!("process {}", worker.id()), format!("{queue}: 0 ready, 1 consumer"));
    for part in ["nothing moved for 2s", "1 PROCESSING", "attempt 1", "longshore worker", &process, &queue] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
}

#[tokio::test]
async fn a_round_that_goes_on_is_left_alone() {
    let steps = async {
        for _ in 0..10 {
            sleep(Duration::from_millis(500)).await;
            step();
        }
        Ok(Findings::default())
    };
    over(Duration::from_secs(2), steps).await.unwrap();
}
