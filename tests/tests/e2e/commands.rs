//! What the commands say.

use longshore_tests::{Stage, loan_file};

#[tokio::test]
async fn every_command_explains_itself() {
    let stage = Stage::new().await;
    let commands = [
        "migrate",
        "dataset apply",
        "dataset list",
        "dataset show",
        "dataset infer",
        "scan",
        "audit",
        "scans",
        "scanner",
        "worker",
        "validate",
        "status",
        "tasks",
        "files",
        "rejects",
        "why",
        "retry",
        "split",
        "health",
        "sample",
    ];
    for command in commands {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let help = stage.ok(&arguments).await.stdout;
        assert!(help.contains("Usage: longshore"), "{help}");
        for line in help.lines().filter(|line| line.contains("[env: ")) {
            // Neither passwords nor what this machine's environment happens to be.
            assert!(!line.contains("postgres://longshore:") && !line.contains("amqp://longshore:"), "{line}");
        }
    }
    assert!(stage.ok(&["--version"]).await.stdout.starts_with("longshore "));
}

#[tokio::test]
async fn lists_can_be_filtered_and_printed_as_json() {
    let stage = Stage::with_loans().await;
    assert_eq!(stage.ok(&["tasks"]).await.stdout, "no tasks\n");
    stage.put("a.csv", loan_file(1..=3));
    stage.put("b.csv", "wrong\n");
    stage.scan().await;
    stage.drain().await;
    let failed = stage.ok(&["tasks", "--status", "failed", "--json"]).await.json();
    assert_eq!(failed.as_array().unwrap().len(), 1);
    assert!(failed[0]["failure_msg"].as_str().unwrap().contains("the header lacks"));
    let loaded = stage.ok(&["files", "--status", "LOADED", "--json"]).await.json();
    assert_eq!(loaded.as_array().unwrap().len(), 1);
    assert_eq!(loaded[0]["rows_loaded"], 3);
    assert_eq!(stage.run(&["files", "--dataset", "other"]).await.code, 2);
    let table = stage.ok(&["tasks"]).await.stdout;
    assert!(table.starts_with("TASK") && table.contains("FAILED") && table.contains("LOADED"), "{table}");
    let unknown = stage.run(&["retry", &uuid::Uuid::now_v7().to_string()]).await;
    assert_eq!(unknown.code, 1);
    let which = stage.run(&["retry"]).await;
    assert!(which.code == 2 && which.stderr.contains("--failed"), "{which:?}");
    // A newer version takes the failed one's place.
    stage.put("b.csv", loan_file(4..=6));
    stage.scan().await;
    stage.drain().await;
    let all = stage.ok(&["retry", "--failed"]).await.stdout;
    assert!(
        all.starts_with("NEW again: 0 tasks;") && all.contains("\nleft FAILED: 1 task, because newer"),
        "{all}"
    );
}

#[tokio::test]
async fn a_spec_widens_its_table_by_nullable_columns_and_nothing_else() {
    let stage = Stage::with_loans().await;
    let text = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let path = stage.folder().join("spec.toml");
    let spec = path.to_str().unwrap();
    std::fs::write(&path, &text).unwrap();
    let again = stage.ok(&["dataset", "apply", spec]).await.stdout;
    assert_eq!(
        again,
        "loan_applications: unchanged, version 1; table reporting.loan_applications unchanged\n"
    );

    let evil =
        "[[columns]]\nname = 'x\"; DROP TABLE longshore.task; --'\nsource = \"note\"\ntype = \"text\"\n";
    std::fs::write(&path, format!("{text}\n{evil}")).unwrap();
    let widened = stage.ok(&["dataset", "apply", spec]).await;
    assert_eq!(widened.stderr, "");
    let widened = widened.stdout;
    assert!(widened.contains("version 2 applied") && widened.contains("added x\""), "{widened}");
    stage.put(
        "a.csv",
        loan_file(1..=2)
            .replace("OfDependents", "OfDependents,note")
            .replace(",6,0,2\n", ",6,0,2,a 'note'\n"),
    );
    stage.scan().await;
    stage.drain().await;
    let notes =
        stage.texts("SELECT \"x\"\"; DROP TABLE longshore.task; --\" FROM reporting.loan_applications").await;
    assert_eq!(notes, ["a 'note'", "a 'note'"]);

    let refusals = [
        (text.replace("type = \"smallint\"", "type = \"integer\""), "TYPE integer"),
        (text.replacen("required = true\n", "", 1), "DROP NOT NULL"),
        (
            format!("{text}\n[[columns]]\nname = \"n\"\ntype = \"text\"\nrequired = true\n"),
            "the spec requires",
        ),
        (text.replace("reporting.loan_applications", "reporting.other"), "keeps its table"),
        (
            text.replace("name = \"loan_applications\"", "name = \"other\""),
            "belongs to dataset `loan_applications`",
        ),
    ];
    for (changed, reason) in refusals {
        std::fs::write(&path, changed).unwrap();
        let refused = stage.run(&["dataset", "apply", spec]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains(reason), "{refused:?}");
    }
    assert_eq!(stage.number("SELECT current_version FROM longshore.dataset").await, 2);

    std::fs::write(&path, &text).unwrap();
    let narrowed = stage.ok(&["dataset", "apply", spec]).await.stderr;
    assert!(
        narrowed.contains("note: the spec has no x\"; DROP TABLE longshore.task; -- any more"),
        "{narrowed}"
    );
}

#[tokio::test]
async fn migrations_by_several_at_once_are_applied_once() {
    let stage = Stage::new().await;
    stage.client().await.batch_execute("DROP SCHEMA longshore CASCADE").await.unwrap();
    let mut running: Vec<_> = (0..4).map(|_| stage.spawn(&["migrate"])).collect();
    let mut applied = 0;
    for migrate in &mut running {
        assert!(migrate.ended().await.success(), "{}", migrate.log());
        applied += migrate.log().matches("applied V1__longshore").count();
    }
    assert_eq!(applied, 1);
}
