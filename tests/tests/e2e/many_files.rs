//! Stores of many files: tasks are made while they are still being listed, and in pages.

use std::fs::{self, File};

use longshore_tests::Stage;

/// More than a scan records before it makes the first tasks, by half.
const FILES: i64 = 30_000;

#[tokio::test]
async fn full_batches_are_sent_while_the_listing_goes_on() {
    let stage = Stage::with_loans().await;
    for folder in 0..FILES / 1000 {
        let folder = stage.inbox.join(folder.to_string());
        fs::create_dir(&folder).unwrap();
        for number in 0..1000 {
            File::create_new(folder.join(format!("{number}.csv"))).unwrap();
        }
    }
    // The scan ends at its first tasks: what it has recorded then is what was listed before.
    let killed = [("FAILPOINTS", "scanner::after_batch=1*return(kill)")];
    let scan = stage.run_with(&["scan", "--flush"], &killed).await;
    assert!(scan.stderr.contains("fail point scanner::after_batch: kill"), "{scan:?}");
    let recorded = stage.number("SELECT count(*) FROM longshore.scanner").await;
    assert!(recorded < FILES, "{recorded} files were recorded before the first task was made");
    let files_of_tasks = "SELECT count(*) FROM longshore.file WHERE task_id IS NOT NULL GROUP BY task_id";
    let batches = stage.texts(files_of_tasks).await;
    assert!(batches.len() >= 10 && batches.iter().all(|files| files == "1000"), "{batches:?}");
    // What it left behind goes with the rest.
    let report = stage.scan().await;
    assert_eq!(report["scans"][0]["counts"]["new"], FILES - recorded);
    assert_eq!(report["published"], FILES / 1000, "{report}");
    let batches = stage.texts(files_of_tasks).await;
    assert_eq!(batches, vec!["1000"; FILES as usize / 1000]);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.scanner WHERE status = 'SCANNED'").await, 0);
}
