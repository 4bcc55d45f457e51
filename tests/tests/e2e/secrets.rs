//! No secret and no cell value in a log.

use longshore_tests::{Stage, eventually, loan_file};

#[tokio::test]
async fn passwords_and_cell_values_appear_in_no_log_at_trace_level() {
    let stage = Stage::with_loans_and(&[(
        "LONGSHORE_LOG",
        "trace,lapin=trace,amq_protocol=trace,tokio_postgres=trace",
    )])
    .await;
    let password = |variable: &str| {
        let url = std::env::var(variable).unwrap();
        let (_, rest) = url.split_once("://").unwrap();
        let (user_info, _) = rest.rsplit_once('@').unwrap();
        user_info.split_once(':').unwrap().1.to_owned()
    };
    let cell = "cell-value-41c7";
    let good = loan_file(1..=50);
    stage.put(
        "a.csv",
        format!("{good}{}\n", longshore_tests::loan_line(51).replace(",45,", &format!(",{cell},"))),
    );
    stage.put("b.csv", format!("{cell}\n"));
    let mut scanner = stage.spawn(&["scanner"]);
    let mut worker = stage.spawn(&["worker"]);
    eventually("the rows", || async { stage.loans().await == (50, 50) }).await;
    scanner.signal("TERM");
    worker.signal("TERM");
    scanner.ended().await;
    worker.ended().await;
    let status = stage.ok(&["status"]).await;
    let logs = [scanner.log(), worker.log(), status.stderr];
    for log in &logs {
        for secret in [password("DATABASE_URL").as_str(), password("AMQP_URL").as_str(), cell] {
            assert!(!log.contains(secret), "{log}");
        }
    }
    assert!(logs[1].contains("claimed"), "{}", logs[1]);
}
