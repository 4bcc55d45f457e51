//! The finder can fail: what it finds, and what not.

use crate::{
    callers::functions_that_call,
    finder::{Wait, unlimited_waits},
};

/// What is found in the body of a function in a file of the scanner.
fn found_in(body: &str) -> Vec<String> {
    let source = format!("async fn work() {{ {body} }}");
    unlimited_waits("scanner/src/work.rs", &source).into_iter().map(|wait| wait.name).collect()
}

#[test]
fn an_await_without_a_limit_is_found_with_its_place() {
    let source = "impl Relay { async fn tick(&self) { self.client.execute(sql, &[]).await?; } }";
    let (file, function, name) = ("scanner/src/relay.rs", "tick".to_owned(), "execute".to_owned());
    assert_eq!(unlimited_waits(file, source), [Wait { file: file.to_owned(), function, name }]);
}

#[test]
fn an_await_is_found_wherever_it_is_hidden() {
    let cases = [
        ("ledger::unlock(client, lock).instrument(span).await?;", "ledger::unlock"),
        ("let asking = client.query(sql, &[]); asking.await?;", "query"),
        ("let asking = async { client.query(sql, &[]).await }; asking.await?;", "query"),
        ("self.pace.look(ledger::open_tasks(client)).await?;", "ledger::open_tasks"),
        ("let running = tokio::task::spawn_blocking(work); running.await?;", "tokio::task::spawn_blocking"),
        ("tokio::select! { rows = client.query(sql, &[]), if is_due => rows, else => {} }", "query"),
        ("tokio::select! { biased; () = stop.cancelled() => client.query(sql, &[]).await }", "query"),
        ("tokio::join!(client.query(sql, &[]), other);", "query"),
        ("tokio::spawn(async move { thread.ended().await });", "ended"),
        ("answered(async { async fn inner() { client.query(sql, &[]).await } }).await?;", "query"),
        ("timeout(LIMIT, client.query(first, &[])).await?; client.execute(second, &[]).await?;", "execute"),
    ];
    for (body, name) in cases {
        assert_eq!(found_in(body), [name], "{body}");
    }
}

#[test]
fn an_await_under_a_limit_is_not_found() {
    let bodies = [
        "tokio::time::timeout(LIMIT, client.query(sql, &[])).await??;",
        "answered(ledger::unlock(client, lock)).await?;",
        "timeout(LIMIT, async { client.query(sql, &[]).await }).await??;",
        "let asking = client.query(sql, &[]); timeout(LIMIT, asking).await??;",
        "let asking = async { client.query(sql, &[]).await }; answered(asking).await?;",
        "tokio::select! { rows = answered(client.query(sql, &[])) => rows, () = stop.cancelled() => {} }",
    ];
    for body in bodies {
        assert!(found_in(body).is_empty(), "{body}: {:?}", found_in(body));
    }
}

#[test]
fn what_waits_for_no_server_and_what_is_a_test_is_not_found() {
    assert!(found_in("tokio::time::sleep(wait).await; stop.cancelled().await;").is_empty());
    let test = "#[cfg(test)] mod tests { async fn a_test() { client.query(sql, &[]).await; } }";
    assert!(unlimited_waits("scanner/src/relay.rs", test).is_empty());
}

#[test]
fn a_function_has_a_limit_only_where_it_calls_one() {
    let source = "async fn with() { tokio::select! { _ = tokio::time::timeout(LIMIT, c.next()) => {} } }
        impl A { async fn by_method(&self) { pool.timeout(all) } async fn without(&self) { timeout.await } }";
    let found = functions_that_call(source, |name| name.ends_with("timeout"));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["by_method", "with"]);
}
