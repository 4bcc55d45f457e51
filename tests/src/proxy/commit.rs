//! Finds COMMIT, and what Postgres answers to it, in what passes between a client and Postgres.

/// Who sends what is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// Begins with a startup packet, which has no type.
    Client,
    Postgres,
}

/// What a chunk had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// COMMIT (of the client), or that it is done (of Postgres).
    Commit,
    /// Postgres did something else: it rolled back, or failed.
    Other,
}

/// Follows the messages of one direction of a connection, wherever its chunks are cut.
pub(super) struct CommitFinder {
    sender: Sender,
    state: State,
}

enum State {
    /// Type (none for a startup packet) and length of a message, as far as they have come.
    Header(Vec<u8>),
    /// Its body: the first bytes of it, and how many are to come.
    Body { kind: u8, begin: Vec<u8>, to_come: usize },
    /// Not Postgres' protocol.
    Foreign,
}

/// The body of both: the query of the client and the tag of the server.
const COMMIT: &[u8] = b"COMMIT\0";
/// As Postgres has it.
const LONGEST_STARTUP_PACKET: usize = 10_000;
/// Stands for the type that a startup packet does not have.
const STARTUP: u8 = 0;

impl CommitFinder {
    pub(super) fn new(sender: Sender) -> Self {
        let header = if sender == Sender::Client { vec![STARTUP] } else { Vec::new() };
        Self { sender, state: State::Header(header) }
    }

    /// Looks at the next chunk, up to the end of the first message that counts; gives what it is and where it ends.
    pub(super) fn look(&mut self, chunk: &[u8]) -> Option<(Found, usize)> {
        let mut at = 0;
        while at < chunk.len() {
            match &mut self.state {
                State::Foreign => return None,
                State::Header(header) => {
                    header.push(chunk[at]);
                    at += 1;
                    if header.len() == 5 {
                        self.state = begin_body(header);
                    }
                }
                State::Body { begin, to_come, .. } => {
                    let length = (chunk.len() - at).min(*to_come);
                    let missing = (COMMIT.len() + 1).saturating_sub(begin.len());
                    begin.extend_from_slice(&chunk[at..at + length.min(missing)]);
                    *to_come -= length;
                    at += length;
                }
            }
            if let State::Body { kind, begin, to_come: 0 } = &self.state {
                let found = self.judge(*kind, begin);
                self.state = State::Header(Vec::new());
                if let Some(found) = found {
                    return Some((found, at));
                }
            }
        }
        None
    }

    fn judge(&self, kind: u8, begin: &[u8]) -> Option<Found> {
        match (self.sender, kind) {
            (Sender::Client, b'Q') | (Sender::Postgres, b'C') if begin == COMMIT => Some(Found::Commit),
            (Sender::Postgres, b'C' | b'E') => Some(Found::Other),
            _ => None,
        }
    }
}

fn begin_body(header: &[u8]) -> State {
    let length = header[1..].iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    // The length counts itself.
    match length.checked_sub(4) {
        Some(to_come) if header[0] != STARTUP || length <= LONGEST_STARTUP_PACKET => {
            State::Body { kind: header[0], begin: Vec::new(), to_come }
        }
        _ => State::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        [kind, &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
    }

    fn conversation() -> Vec<u8> {
        // A text that looks like a COMMIT, inside a COPY; a longer query; COMMIT; something behind it.
        let inner = message(b"Q", b"COMMIT\0");
        [
            message(b"", b"\0\x03\0\0user\0x\0\0"),
            message(b"d", &inner),
            message(b"Q", b"COMMIT PREPARED 'x'\0"),
            message(b"S", b""),
            message(b"Q", b"COMMIT\0"),
            message(b"X", b""),
        ]
        .concat()
    }

    #[test]
    fn a_commit_is_found_wherever_chunks_are_cut() {
        let bytes = conversation();
        let end = bytes.len() - 5;
        for size in 1..=bytes.len() {
            let mut finder = CommitFinder::new(Sender::Client);
            let found: Vec<_> = bytes
                .chunks(size)
                .enumerate()
                .filter_map(|(number, chunk)| {
                    finder.look(chunk).map(|(found, at)| (found, number * size + at))
                })
                .collect();
            assert_eq!(found, [(Found::Commit, end)], "chunks of {size}");
        }
    }

    #[test]
    fn an_answer_that_says_something_else_is_told_apart() {
        for (answer, expected) in [
            (message(b"C", b"COMMIT\0"), Found::Commit),
            (message(b"C", b"ROLLBACK\0"), Found::Other),
            (message(b"E", b"SERROR\0C40001\0\0"), Found::Other),
        ] {
            let ready = message(b"Z", b"T");
            let mut finder = CommitFinder::new(Sender::Postgres);
            let found = finder.look(&[ready.clone(), answer.clone(), ready].concat());
            assert_eq!(found, Some((expected, 6 + answer.len())));
        }
    }

    #[test]
    fn another_protocol_has_no_commit() {
        let mut finder = CommitFinder::new(Sender::Client);
        assert_eq!(finder.look(b"AMQP\0\0\x09\x01"), None);
        assert_eq!(finder.look(&message(b"Q", b"COMMIT\0")), None);
    }
}
