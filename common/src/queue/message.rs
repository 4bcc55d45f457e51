//! What a message says: which task to look at, and nothing that a worker believes.

use serde::Deserialize;
use thiserror::Error;
use uuid::Uuid;

const VERSION: u32 = 1;

/// A message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct TaskMessage {
    version: u32,
    /// The task to look up in Postgres.
    pub(super) task_id: Uuid,
    /// The installation that published it; earlier programs did not say.
    #[serde(default)]
    pub(super) installation: Option<Uuid>,
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
    /// The body of a message for a task.
    pub(super) fn body(task_id: Uuid, installation: Uuid) -> Vec<u8> {
        format!(r#"{{"version":{VERSION},"task_id":"{task_id}","installation":"{installation}"}}"#)
            .into_bytes()
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
        let (task_id, installation) = (Uuid::now_v7(), Uuid::new_v4());
        let message = TaskMessage::from_bytes(&TaskMessage::body(task_id, installation)).unwrap();
        assert_eq!((message.task_id, message.installation), (task_id, Some(installation)));
    }

    #[test]
    fn a_message_of_an_earlier_program_names_its_task() {
        let task_id = Uuid::now_v7();
        let body = format!(r#"{{"version":1,"task_id":"{task_id}"}}"#);
        let message = TaskMessage::from_bytes(body.as_bytes()).unwrap();
        assert_eq!((message.task_id, message.installation), (task_id, None));
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
