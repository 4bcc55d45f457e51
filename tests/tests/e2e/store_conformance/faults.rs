//! Faults of an S3 server: each is an error that says what to look at, and none lasts for ever.

use std::{io::Read, net::SocketAddr, time::Duration};

use longshore_common::store::{Bucket, OpenFile, Store, StoreError, StoredFile};
use longshore_tests::{Proxy, S3Server, install_tls_provider};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};

use super::subject::{BUCKET, PREFIX, include, source, told};

/// No call of a store may take longer, whatever its server does.
const AT_MOST: Duration = Duration::from_secs(60);

fn store(environment: Vec<(String, String)>) -> Store {
    install_tls_provider();
    Store::Bucket(Bucket::connect(&source(), &include(), environment).unwrap())
}

fn with(mut environment: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    environment.retain(|(known, _)| known != name);
    if !value.is_empty() {
        environment.push((name.to_owned(), value.to_owned()));
    }
    environment
}

async fn refusal(store: &Store) -> String {
    let (sender, _pages) = mpsc::channel(1);
    let listed = timeout(AT_MOST, store.list(&[], 10, sender)).await.expect("an end");
    let message = format!("{:#}", listed.unwrap_err());
    assert!(message.starts_with("cannot list s3://harbour/in%20box: "), "{message}");
    assert!(!message.contains('<') && !message.contains('{') && !message.contains("staple"), "{message}");
    message
}

#[tokio::test]
async fn what_is_wrong_with_the_settings_is_said_in_plain_words() {
    let server = S3Server::start().await;
    let environment = server.environment();
    let message = refusal(&store(environment.clone())).await;
    assert!(message.contains("there is no such bucket (NoSuchBucket"), "{message}");
    server.create_bucket(BUCKET);
    let unknown = refusal(&store(with(environment.clone(), "AWS_ACCESS_KEY_ID", "nobody"))).await;
    assert!(unknown.contains("does not know AWS_ACCESS_KEY_ID"), "{unknown}");
    let wrong = refusal(&store(with(environment.clone(), "AWS_SECRET_ACCESS_KEY", "staple"))).await;
    assert!(wrong.contains("AWS_SECRET_ACCESS_KEY is wrong"), "{wrong}");
    let plain_http = refusal(&store(with(environment.clone(), "AWS_ALLOW_HTTP", ""))).await;
    assert!(plain_http.contains("AWS_ALLOW_HTTP=true"), "{plain_http}");
    let mut nobody = with(environment.clone(), "AWS_ACCESS_KEY_ID", "");
    nobody = with(nobody, "AWS_SECRET_ACCESS_KEY", "");
    // Where the roles of a machine are asked for; nothing answers there.
    let nobody = refusal(&store(with(nobody, "AWS_METADATA_ENDPOINT", "http://127.0.0.1:1"))).await;
    assert!(nobody.contains("there are no credentials: set AWS_ACCESS_KEY_ID"), "{nobody}");
    store(environment).look().await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_refuses_or_does_not_answer_is_given_up() {
    let server = S3Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    let environment = server.environment_at(proxy.address());
    let nowhere = refusal(&store(with(environment.clone(), "AWS_ENDPOINT_URL", "http://127.0.0.1:1"))).await;
    assert!(nowhere.contains("cannot be reached") && nowhere.contains("refused"), "{nowhere}");
    proxy.stall(true);
    let silent = refusal(&store(environment)).await;
    assert!(silent.contains("cannot be reached"), "{silent}");
}

/// Answers every request with 200 and this body.
async fn always_answering(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

/// A page to log in, or a proxy's word that all is well: an empty bucket it is not.
#[tokio::test]
async fn an_endpoint_that_answers_something_else_is_no_empty_bucket() {
    let server = S3Server::start().await;
    for body in ["<!DOCTYPE html><html><body>Log in</body></html>", "OK", "", "{\"error\": 1}"] {
        let environment = server.environment_at(always_answering(body).await);
        refusal(&store(environment)).await;
    }
}

/// A large object through a proxy, read to its middle.
async fn half_read(proxy: &Proxy, server: &S3Server) -> (OpenFile, usize) {
    server.create_bucket(BUCKET);
    server.put(BUCKET, &format!("{PREFIX}/a.csv"), vec![b'x'; SIZE]);
    let store = store(server.environment_at(proxy.address()));
    let (sender, mut pages) = mpsc::channel(1);
    store.list(&[], 10, sender).await.unwrap();
    let page = pages.recv().await.unwrap();
    let longshore_common::store::Listed::File { file, .. } = page[0].clone() else { panic!("{page:?}") };
    on_a_thread(move || {
        let mut open = store.open(&file).unwrap();
        let read = open.content.read(&mut [0; 1000]).unwrap();
        (open, read)
    })
    .await
}

/// More than lies in the buffers of all sockets between.
const SIZE: usize = 64 << 20;

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    timeout(AT_MOST, tokio::task::spawn_blocking(work)).await.expect("an end").unwrap()
}

async fn rest(mut open: OpenFile) -> Result<usize, StoreError> {
    let counted = on_a_thread(move || std::io::copy(&mut open.content, &mut std::io::sink())).await;
    counted.map(|bytes| usize::try_from(bytes).unwrap()).map_err(told)
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_taken_up_again_where_it_ended() {
    let server = S3Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    let (open, read) = half_read(&proxy, &server).await;
    proxy.reset();
    assert_eq!(read + rest(open).await.unwrap(), SIZE);
}

#[tokio::test]
async fn a_body_that_is_cut_off_for_good_is_an_outage_and_no_end() {
    for is_orderly in [true, false] {
        let server = S3Server::start().await;
        let proxy = Proxy::start(server.address()).await;
        let (open, _) = half_read(&proxy, &server).await;
        proxy.refuse(true);
        match is_orderly {
            true => proxy.cut(),
            false => proxy.reset(),
        }
        let told = rest(open).await;
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
    }
}

#[tokio::test]
async fn a_store_that_falls_silent_in_mid_read_is_given_up() {
    let server = S3Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    let (open, _) = half_read(&proxy, &server).await;
    proxy.stall(true);
    let told = rest(open).await;
    assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
}

#[tokio::test]
async fn an_object_that_changes_while_it_cannot_be_read_has_changed() {
    let server = S3Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    let (open, _) = half_read(&proxy, &server).await;
    server.put(BUCKET, &format!("{PREFIX}/a.csv"), vec![b'y'; SIZE]);
    proxy.reset();
    let told = rest(open).await;
    assert!(matches!(told, Err(StoreError::Changed { .. })), "{told:?}");
}

#[tokio::test]
async fn denied_access_is_an_outage_of_the_store_and_no_fault_of_the_file() {
    let server = S3Server::start().await;
    let file = StoredFile {
        uri: format!("s3://{BUCKET}/a.csv"),
        modified_time: chrono::DateTime::UNIX_EPOCH,
        size_in_bytes: 1,
        etag: String::new(),
    };
    let store = store(with(server.environment(), "AWS_SECRET_ACCESS_KEY", "expired"));
    let told = on_a_thread(move || store.open(&file).map(|_| ())).await;
    let Err(StoreError::Unavailable(cause)) = told else { panic!("{told:?}") };
    assert!(cause.to_string().contains("AWS_SECRET_ACCESS_KEY is wrong"), "{cause}");
}
