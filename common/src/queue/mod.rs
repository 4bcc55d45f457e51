//! RabbitMQ: connection, topology, publishing with confirms, consuming. The only user of lapin.

mod connection;
mod consumer;
mod link;
mod message;
mod publisher;
mod topology;

pub use connection::{Queue, QueueConfig};
pub use consumer::{Receipt, Received, TaskConsumer};
pub use publisher::{Published, Publisher};
pub use topology::QueueCounts;
