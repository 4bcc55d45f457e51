use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

#[tokio::test]
async fn a_server_that_lets_in_and_answers_nothing_more_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_open, until_dropped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        // The password is not asked for, and queries are welcome.
        stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").unwrap();
        let _ = until_dropped.recv();
    });
    let url = SecretString::from(format!("postgres://somebody@127.0.0.1:{port}/name"));
    let database = Database::new(&DatabaseConfig { database_url: url }, "test").unwrap();
    let opening = Opening { settings: "", checks_schema: true };
    let pool = database.pool_of(1, Duration::from_millis(200), opening).unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(20), session(&pool)).await;
    let error = asked.expect("an end").err().expect("no session");
    // It may answer the next time, so that this is no refusal.
    assert!(!error.is::<Refused>() && error.to_string() == SILENT, "{error:#}");
}
