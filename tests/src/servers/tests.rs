//! What may be tried on servers that others use at the same time.

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};

use super::*;
use crate::eventually;

/// A connection of this name, and a quorum queue of the same name with three messages.
async fn three_messages(servers: &Servers, name: &str) -> (Connection, Channel) {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = Connection::connect(&servers.amqp_url, properties).await.expect("RabbitMQ answers");
    let channel = connection.create_channel().await.unwrap();
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), durable, quorum).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for _ in 0..3 {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let published = channel.basic_publish("".into(), name.into(), options, b"x", properties).await;
        published.unwrap().await.unwrap();
    }
    (connection, channel)
}

#[tokio::test]
async fn a_queue_says_what_it_holds_right_now_and_can_be_purged_and_deleted() {
    let servers = Servers::from_environment().unwrap();
    let name = format!("longshore_servers_{}", uuid::Uuid::new_v4().simple());
    let (_connection, channel) = three_messages(&servers, &name).await;
    let (consume, none) = (BasicConsumeOptions::default(), FieldTable::default());
    channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
    let mut consumer = channel.basic_consume(name.as_str().into(), "".into(), consume, none).await.unwrap();
    let _unanswered = consumer.next().await.unwrap().unwrap();
    let state = servers.queue(&name).await.unwrap();
    assert_eq!(state, QueueState { ready: 2, unacknowledged: 1, consumers: 1 });
    servers.purge(&name).await.unwrap();
    let state = servers.queue(&name).await.unwrap();
    assert_eq!(state, QueueState { ready: 0, unacknowledged: 1, consumers: 1 });
    servers.delete_queue(&name).await.unwrap();
    let error = servers.queue(&name).await.unwrap_err();
    assert!(error.to_string().contains("not_found"), "{error:#}");
}

#[tokio::test]
async fn a_broker_that_takes_a_connection_and_never_answers_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let amqp_url = format!("amqp://{}/%2f", silent.local_addr().unwrap());
    let servers = Servers { amqp_url, ..Servers::from_environment().unwrap() };
    let limit = std::time::Duration::from_millis(200);
    let trying = servers.connect_and_leave(limit);
    let error =
        tokio::time::timeout(std::time::Duration::from_secs(30), trying).await.expect("an end").unwrap_err();
    assert!(error.to_string().contains("no answer within 200ms"), "{error:#}");
}

#[tokio::test]
async fn connections_are_closed_by_the_name_that_their_client_gave() {
    let servers = Servers::from_environment().unwrap();
    let name = format!("longshore_servers_{}", uuid::Uuid::new_v4().simple());
    let (connection, _channel) = three_messages(&servers, &name).await;
    let closed = std::cell::Cell::new(0);
    // The management interface lists a connection a moment after it is made.
    eventually("the connection is listed", || async {
        closed.set(servers.close_connections(&name).await.unwrap());
        closed.get() > 0
    })
    .await;
    assert_eq!(closed.get(), 1);
    eventually("the connection is closed", || async { !connection.status().connected() }).await;
    servers.delete_queue(&name).await.unwrap();
}
