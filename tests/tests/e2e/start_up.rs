//! Servers that are away or not who they should be; calls and settings that are wrong.

use longshore_tests::{Finished, Stage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A command, one setting, and what the refusal must say.
type WrongSetting<'a> = (&'a [&'a str], (&'a str, &'a str), &'a [&'a str]);

fn assert_one_sentence(finished: &Finished, code: i32, parts: &[&str]) {
    assert_eq!(finished.code, code, "{finished:?}");
    for part in parts {
        assert!(finished.stderr.contains(part), "`{part}` in {finished:?}");
    }
}

#[tokio::test]
async fn a_start_waits_for_its_servers_says_so_once_and_gives_up() {
    let stage = Stage::with_loans().await;
    let nobody = "127.0.0.1:1";
    let database = format!("postgres://u:secret@{nobody}/x");
    let broker = format!("amqp://u:secret@{nobody}");
    for away in [("DATABASE_URL", database.as_str()), ("AMQP_URL", broker.as_str())] {
        for command in ["worker", "scanner"] {
            let settings = [away, ("LONGSHORE_CONNECT_TIMEOUT", "1s"), ("LONGSHORE_LOG", "info")];
            let finished = stage.run_with(&[command], &settings).await;
            assert_one_sentence(&finished, 1, &[nobody, "LONGSHORE_CONNECT_TIMEOUT"]);
            assert_eq!(finished.stderr.matches("waiting for").count(), 1, "{finished:?}");
            assert!(!finished.stderr.contains("secret"), "{finished:?}");
        }
    }
    let finished = stage
        .run_with(&["health"], &[("DATABASE_URL", &database), ("LONGSHORE_CONNECT_TIMEOUT", "5s")])
        .await;
    assert_eq!(finished.code, 1);
    assert!(
        finished.stdout.contains("Postgres at 127.0.0.1:1 did not answer")
            && finished.stdout.contains(": ok"),
        "{finished:?}"
    );
}

#[tokio::test]
async fn a_start_goes_on_once_its_servers_answer() {
    let stage = Stage::with_loans().await;
    let url = stage.database_url();
    let (_, server) = url.rsplit_once('@').unwrap();
    let (server, _) = server.split_once('/').unwrap();
    // A port on which nobody listens yet.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let through_port = url.replace(server, &format!("127.0.0.1:{port}"));
    let worker = stage.spawn_with(&["worker"], &[("DATABASE_URL", &through_port)]);
    worker.logs("waiting for Postgres").await;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let mut to = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    worker.logs("consuming").await;
}

#[tokio::test]
async fn sigterm_ends_a_start_that_waits_for_its_servers() {
    let stage = Stage::with_loans().await;
    for service in ["worker", "scanner"] {
        let mut waiting = stage.spawn_with(&[service], &[("AMQP_URL", "amqp://u:p@127.0.0.1:1")]);
        waiting.logs("waiting for RabbitMQ").await;
        waiting.signal("TERM");
        assert!(waiting.ended().await.success(), "{}", waiting.log());
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_once() {
    let stage = Stage::with_loans().await;
    let wrong = stage.database_url().replacen("longshore:", "longshore:not-", 1);
    let finished = stage.run_with(&["worker"], &[("DATABASE_URL", &wrong)]).await;
    assert_one_sentence(&finished, 1, &["refused the connection", "password authentication failed"]);
}

#[tokio::test]
async fn wrong_settings_and_calls_are_exit_code_2_and_name_what_is_allowed() {
    let stage = Stage::with_loans().await;
    let settings: [WrongSetting<'_>; 9] = [
        (&["status"], ("DATABASE_URL", "nonsense"), &["DATABASE_URL", "postgres://"]),
        (&["status"], ("DATABASE_URL", "http://x/y"), &["DATABASE_URL", "postgres://"]),
        (
            &["status"],
            ("DATABASE_URL", "postgres://h/d?sslmode=prefer"),
            &["sslmode `prefer`", "verify-full"],
        ),
        (&["status"], ("AMQP_URL", "redis://x"), &["AMQP_URL", "amqp://"]),
        (&["worker"], ("LONGSHORE_CONCURRENCY", "0"), &["--concurrency", "1..=256"]),
        (&["worker"], ("LONGSHORE_GRACE", "soon"), &["--grace", "30s"]),
        (&["scanner"], ("LONGSHORE_TICK", "1ms"), &["--tick", "10ms"]),
        (&["status"], ("LONGSHORE_AMQP_PREFIX", "a b"), &["--amqp-prefix", "letters"]),
        (&["status"], ("LONGSHORE_LOG", "loud"), &["LONGSHORE_LOG"]),
    ];
    for (command, setting, parts) in settings {
        let finished = stage.run_with(command, &[setting]).await;
        assert_one_sentence(&finished, 2, parts);
    }
    let calls: [(&[&str], &[&str]); 6] = [
        (&["scan", "no_such"], &["no dataset `no_such`", "dataset list"]),
        (&["dataset", "show", "no_such"], &["no dataset `no_such`"]),
        (&["rejects", "no_such"], &["no dataset and no known file"]),
        (&["dataset", "apply", "/no/such.toml"], &["/no/such.toml"]),
        (&["tasks", "--status", "DONE"], &["NEW, PROCESSING, LOADED, FAILED"]),
        (&["retry"], &["<TASK|--failed>", "retry"]),
    ];
    for (command, parts) in calls {
        assert_one_sentence(&stage.run(command).await, 2, parts);
    }
}

#[tokio::test]
async fn a_database_without_the_schema_is_told_apart() {
    let stage = Stage::new().await;
    stage.client().await.batch_execute("DROP SCHEMA longshore CASCADE").await.unwrap();
    for command in [&["files"][..], &["dataset", "apply", &stage.loan_spec()]] {
        assert_one_sentence(&stage.run(command).await, 1, &["run `longshore migrate` first"]);
    }
}

#[tokio::test]
async fn a_spec_that_is_not_allowed_changes_nothing() {
    let stage = Stage::new().await;
    let text = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let path = stage.folder().join("spec.toml");
    let spec = path.to_str().unwrap();
    let cases: [(&str, &str, &[&str]); 4] = [
        ("name = \"loan_applications\"", "nmae = \"x\"", &["spec.toml, line 2", "unknown field `nmae`"]),
        ("${LONGSHORE_SCHEDULE:-0 * * * *}", "often", &["key `schedule`", "five fields"]),
        ("type = \"bigint\"", "type = \"int\"", &["key `type`", "smallint"]),
        ("[csv]", "[[csv", &["spec.toml, line 1"]),
    ];
    for (from, to, parts) in cases {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert_one_sentence(&stage.run(&["dataset", "apply", spec]).await, 2, parts);
    }
    assert_eq!(stage.number("SELECT count(*) FROM longshore.dataset").await, 0);
}

/// A server with a certificate of its own making, which answers to both protocols: Postgres clients ask for TLS first.
async fn untrusted_server(asks_first: bool) -> u16 {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if asks_first {
                    let mut request = [0; 8];
                    stream.read_exact(&mut request).await.unwrap();
                    stream.write_all(b"S").await.unwrap();
                }
                let _ = acceptor.accept(stream).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_refused_at_once() {
    let stage = Stage::with_loans().await;
    let (postgres, rabbitmq) = (untrusted_server(true).await, untrusted_server(false).await);
    for mode in ["require", "verify-full"] {
        let url = format!("postgres://u:secret@localhost:{postgres}/x?sslmode={mode}");
        let finished = stage.run_with(&["worker"], &[("DATABASE_URL", &url)]).await;
        assert_one_sentence(&finished, 1, &["refused the connection", "certificate"]);
    }
    let url = format!("amqps://u:secret@localhost:{rabbitmq}/%2f");
    let finished = stage.run_with(&["worker"], &[("AMQP_URL", &url)]).await;
    assert_one_sentence(&finished, 1, &["refused the connection", "certificate"]);
    assert!(!finished.stderr.contains("secret"));
}
