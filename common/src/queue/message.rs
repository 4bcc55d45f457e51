//! What a message says: which task to look at, and nothing that a worker believes.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

const VERSION: u32 = 1;

/// A message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskMessage {
    version: u32,
    /// The task to look up in Postgres.
    pub(super) task_id: Uuid,
}

/// A message that is none of ours, or of a version that we do not know.
#[derive(Debug, Error)]
pub(super) enum MalformedMessage {
    /// Not the JSON that we write.
    #[error("the message is not a task message")]
    NotOurs(#[source] serde_json::Error),
    /// Written by a newer Longshore.
    #[error("the message has version {0}, this program knows version {VERSION}")]
    UnknownVersion(u32),
}

impl TaskMessage {
    /// A message for a task.
    pub(super) fn new(task_id: Uuid) -> Self {
        Self { version: VERSION, task_id }
    }

    /// The body's bytes.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        format!(r#"{{"version":{},"task_id":"{}"}}"#, self.version, self.task_id).into_bytes()
    }

    /// Reads a body.
    pub(super) fn from_bytes(body: &[u8]) -> Result<Self, MalformedMessage> {
        let message: Self = serde_json::from_slice(body).map_err(MalformedMessage::NotOurs)?;
        if message.version != VERSION {
            return Err(MalformedMessage::UnknownVersion(message.version));
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        let message = TaskMessage::new(Uuid::now_v7());
        assert_eq!(TaskMessage::from_bytes(&message.to_bytes()).unwrap(), message);
    }

    #[test]
    fn what_is_not_ours_is_told_apart_from_what_is_newer() {
        for body in ["", "{}", "[]", r#"{"version":1,"task_id":"x"}"#, "\u{0}"] {
            assert!(matches!(TaskMessage::from_bytes(body.as_bytes()), Err(MalformedMessage::NotOurs(_))));
        }
        let newer = format!(r#"{{"version":2,"task_id":"{}"}}"#, Uuid::nil());
        assert!(matches!(
            TaskMessage::from_bytes(newer.as_bytes()),
            Err(MalformedMessage::UnknownVersion(2))
        ));
    }
}
