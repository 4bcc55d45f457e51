//! The awaits without a limit of their own, and why each is right.

/// Awaits in one file that need no limit where they are written.
pub(crate) struct Allowed {
    pub(crate) file: &'static str,
    /// A function, or `*` for all of the file.
    pub(crate) function: &'static str,
    /// What is awaited, or `*` for all.
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
}

const fn allowed(
    file: &'static str,
    function: &'static str,
    name: &'static str,
    reason: &'static str,
) -> Allowed {
    Allowed { file, function, name, reason }
}

const LOAD: &str = "Every statement of a load and its reading thread stand under the stall limit: a load in which nothing moves is given up.";
const CALLER: &str = "Its callers wait for the whole function within a limit.";
const TICK: &str = "The scanner waits for a tick and for a rescue within a limit; somebody sits before a command and can end it.";
const POOL: &str = "The pool has limits of its own for a place, for a connection and for its session.";
const CLIENT: &str =
    "The client of the object store has limits for connecting, for each read and for its tries.";
const THREAD: &str = "Whoever waits for this thread gives it up after the stall limit and leaves it behind.";
const MESSAGES: &str = "A message may come at any time; a connection that is lost ends the wait.";
const MIGRATION: &str = "Only a lock may take long, and has a limit in Postgres; how long a change of a large table takes nobody knows.";

pub(crate) const ALLOWED: &[Allowed] = &[
    allowed("worker/src/copy.rs", "*", "*", LOAD),
    allowed("worker/src/load.rs", "*", "*", LOAD),
    allowed("worker/src/large_file.rs", "*", "*", LOAD),
    allowed("worker/src/small_files.rs", "*", "*", LOAD),
    allowed("worker/src/outcomes.rs", "*", "*", LOAD),
    allowed("worker/src/places.rs", "*", "*", LOAD),
    allowed("worker/src/taken_keys.rs", "*", "*", LOAD),
    allowed("worker/src/read.rs", "ended", "ended", LOAD),
    allowed("common/src/database/fitness.rs", "check", "*", CALLER),
    allowed("common/src/database/listener.rs", "open_listener", "*", CALLER),
    allowed("common/src/database/migration.rs", "prepare", "*", CALLER),
    allowed("common/src/database/migration.rs", "refuse_other_encodings", "*", CALLER),
    allowed("common/src/database/migration.rs", "make_schema", "*", CALLER),
    allowed("common/src/database/migration.rs", "check_schema", "*", CALLER),
    allowed("common/src/database/opening.rs", "open", "*", CALLER),
    allowed("common/src/database/opening.rs", "is_kept", "*", CALLER),
    allowed("common/src/queue/link.rs", "connect", "Connection::connector", CALLER),
    allowed("common/src/queue/publisher.rs", "send", "basic_publish", CALLER),
    allowed("common/src/queue/topology.rs", "*", "*", CALLER),
    allowed("worker/src/heartbeat.rs", "beat_once", "*", CALLER),
    allowed("worker/src/service.rs", "open_published_tasks", "*", CALLER),
    allowed("worker/src/settle.rs", "settle", "*", CALLER),
    allowed("worker/src/settle.rs", "try_elsewhere", "*", CALLER),
    allowed("worker/src/unclaimed.rs", "try_to_leave", "*", CALLER),
    allowed("scanner/src/audit.rs", "note", "*", CALLER),
    allowed("scanner/src/pass.rs", "take", "*", CALLER),
    allowed("scanner/src/rescue.rs", "*", "*", TICK),
    allowed("scanner/src/scan.rs", "send_due_batches", "*", TICK),
    allowed("scanner/src/schedule.rs", "due_since", "*", TICK),
    allowed("scanner/src/service.rs", "tick", "ledger::datasets", TICK),
    allowed("common/src/database.rs", "session", "get", POOL),
    allowed("common/src/database/migration.rs", "migrate", "get", POOL),
    allowed("worker/src/service.rs", "*", "heartbeat::connect", POOL),
    allowed("common/src/store/after_load/objects.rs", "*", "*", CLIENT),
    allowed("common/src/store/bucket.rs", "list_named", "list_with_delimiter", CLIENT),
    allowed("common/src/store/listed_keys.rs", "call", "*", CLIENT),
    allowed("common/src/store/after_load.rs", "take", "ended", THREAD),
    allowed("common/src/store/local.rs", "list_paths", "ended", THREAD),
    allowed("scanner/src/watch/look.rs", "look_at", "ended", THREAD),
    allowed("common/src/database/listener.rs", "heard", "next", MESSAGES),
    allowed("common/src/database/listener.rs", "until_lost", "next", MESSAGES),
    allowed("common/src/database/listener.rs", "next", "next", MESSAGES),
    allowed("common/src/queue/consumer.rs", "next", "next", MESSAGES),
    allowed("worker/src/service.rs", "receive", "next", MESSAGES),
    allowed("common/src/database/migration.rs", "run_patiently", "run_async", MIGRATION),
];
