//! The proxy itself, in front of a server that sends back what it gets, and of Postgres.

use std::io::ErrorKind;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_postgres::{Client, NoTls};

use super::*;
use crate::eventually;

/// A proxy in front of a server that sends back what it gets.
async fn echo() -> Proxy {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    proxy
}

/// A connection through which a first byte has gone to and fro.
async fn connection(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    stream
}

async fn assert_no_connection(proxy: &Proxy) {
    eventually("no connection passes", || async { proxy.connections() == 0 }).await;
}

#[tokio::test]
async fn what_is_sent_passes_and_so_does_its_end() {
    let proxy = echo().await;
    let mut stream = connection(&proxy).await;
    assert_eq!(proxy.connections(), 1);
    let sent: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
    let (mut from, mut to) = stream.split();
    let sending = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, length) = tokio::join!(sending, from.read_to_end(&mut received));
    assert_eq!(length.unwrap(), sent.len());
    assert!(received == sent);
    assert_no_connection(&proxy).await;
}

#[tokio::test]
async fn a_cut_is_the_end_of_the_stream_and_a_reset_is_an_error() {
    let proxy = echo().await;
    let (mut one, mut other) = (connection(&proxy).await, connection(&proxy).await);
    proxy.cut();
    for stream in [&mut one, &mut other] {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert_no_connection(&proxy).await;
    let mut stream = connection(&proxy).await;
    proxy.reset();
    assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_no_connection(&proxy).await;
    connection(&proxy).await;
}

#[tokio::test]
async fn while_it_refuses_new_connections_end_at_once_and_old_ones_go_on() {
    let proxy = echo().await;
    let mut old = connection(&proxy).await;
    proxy.refuse(true);
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(new.read(&mut [0]).await.unwrap(), 0);
    old.write_all(b"y").await.unwrap();
    assert_eq!(old.read_u8().await.unwrap(), b'y');
    proxy.refuse(false);
    connection(&proxy).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_a_connection_that_ends() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(nobody).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(stream.read(&mut [0]).await.is_err());
    assert_no_connection(&proxy).await;
}

#[tokio::test]
async fn while_it_stalls_nothing_passes_and_afterwards_everything() {
    let proxy = echo().await;
    let mut old = connection(&proxy).await;
    proxy.stall(true);
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    for stream in [&mut old, &mut new] {
        stream.write_all(b"y").await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        assert!(waiting.is_err(), "{waiting:?}");
    }
    assert_eq!(proxy.connections(), 2);
    proxy.stall(false);
    for stream in [&mut old, &mut new] {
        assert_eq!(stream.read_u8().await.unwrap(), b'y');
    }
    proxy.stall(true);
    proxy.cut();
    assert_eq!(old.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_delay_holds_up_each_direction() {
    let proxy = echo().await;
    let mut stream = connection(&proxy).await;
    proxy.delay(Duration::from_millis(100));
    let began = tokio::time::Instant::now();
    stream.write_all(b"y").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'y');
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_url_keeps_all_but_host_and_port() {
    let proxy = echo().await;
    let address = proxy.address();
    for (url, through) in [
        ("postgres://u:p%40@db:5433/x?a=b", format!("postgres://u:p%40@{address}/x?a=b")),
        ("amqp://u:p@[::1]/%2f", format!("amqp://u:p@{address}/%2f")),
    ] {
        assert_eq!(proxy.url(url), through);
    }
}

async fn postgres(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("Postgres answers");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_transaction_whose_commit_answer_is_swallowed_has_committed_and_its_client_does_not_know() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is set by `make test`");
    let proxy = Proxy::to(&url).await;
    let server = postgres(&url).await;
    let table = format!("longshore_proxy_{}", uuid::Uuid::new_v4().simple());
    server.batch_execute(&format!("CREATE UNLOGGED TABLE {table} (id int)")).await.unwrap();

    let mut client = postgres(&proxy.url(&url)).await;
    let insert = format!("INSERT INTO {table} VALUES ($1)");
    proxy.swallow_commit_answer();
    let rolled_back = client.transaction().await.unwrap();
    rolled_back.execute(&insert, &[&1]).await.unwrap();
    rolled_back.rollback().await.unwrap();
    assert_eq!(proxy.commits_swallowed(), 0);

    let committed = client.transaction().await.unwrap();
    committed.execute(&insert, &[&2]).await.unwrap();
    let error = committed.commit().await.unwrap_err();
    assert!(error.code().is_none(), "{error}");
    assert_eq!(proxy.commits_swallowed(), 1);
    let rows = server.query(&format!("SELECT id FROM {table}"), &[]).await.unwrap();
    let ids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, [2]);

    // Only the next one: others are told.
    let mut client = postgres(&proxy.url(&url)).await;
    client.transaction().await.unwrap().commit().await.unwrap();
    assert_eq!(proxy.commits_swallowed(), 1);
    server.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
}
