//! The awaits without a limit of their own, and why each is right.

/// Awaits in one file that need no limit where they are written.
pub(crate) struct Allowed {
    pub(crate) file: &'static str,
    /// A function, or `*` for all of the file.
    pub(crate) function: &'static str,
    /// What is awaited, or `*` for all.
    pub(crate) name: &'static str,
    pub(crate) reason: Reason,
}

/// Why an await needs no limit where it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    /// A caller waits for it within a limit. Its file and name; that it calls a limit is looked up.
    LimitOf(&'static str, &'static str),
    /// In a sentence.
    Because(&'static str),
}

use Reason::{Because, LimitOf};

const fn allowed(file: &'static str, function: &'static str, name: &'static str, reason: Reason) -> Allowed {
    Allowed { file, function, name, reason }
}

/// Every statement of a load, and its reading thread: one in which nothing moves is given up.
const LOAD: Reason = LimitOf("worker/src/task.rs", "run");
/// Somebody sits before a command that does the same, and can end it.
const TICK: Reason = LimitOf("scanner/src/service.rs", "run");
/// For a place, for a connection and for its session.
const POOL: Reason = LimitOf("common/src/database.rs", "pool_of");
/// For connecting, for each read and for its tries.
const CLIENT: Reason = LimitOf("common/src/store/s3.rs", "connect");
const MIGRATE: Reason = LimitOf("common/src/database/migration.rs", "migrate");
const FITNESS: Reason = LimitOf("common/src/database/fitness.rs", "check_fitness");
const LISTEN: Reason = LimitOf("common/src/database/listener.rs", "listen");
const DISCOVERY: Reason = LimitOf("scanner/src/discovery.rs", "list");
const CLOCK: Reason =
    Because("It wakes twice a second, and gives up a store that is silent for the stall limit.");
const MESSAGES: Reason = Because("A message may come at any time; a connection that is lost ends the wait.");
const MIGRATION: Reason = Because(
    "Only a lock may take long, and has a limit in Postgres; how long a change of a large table takes nobody knows.",
);

pub(crate) const ALLOWED: &[Allowed] = &[
    allowed("worker/src/copy.rs", "*", "*", LOAD),
    allowed("worker/src/load.rs", "*", "*", LOAD),
    allowed("worker/src/large_file.rs", "*", "*", LOAD),
    allowed("worker/src/small_files.rs", "*", "*", LOAD),
    allowed("worker/src/outcomes.rs", "*", "*", LOAD),
    allowed("worker/src/places.rs", "*", "*", LOAD),
    allowed("worker/src/taken_keys.rs", "*", "*", LOAD),
    allowed("worker/src/read.rs", "ended", "ended", LOAD),
    allowed("common/src/database/fitness.rs", "check", "*", FITNESS),
    allowed("common/src/database/listener.rs", "open_listener", "*", LISTEN),
    allowed("common/src/database/migration.rs", "prepare", "*", MIGRATE),
    allowed("common/src/database/migration.rs", "refuse_other_encodings", "*", MIGRATE),
    allowed("common/src/database/migration.rs", "make_schema", "*", MIGRATE),
    allowed("common/src/database/migration.rs", "check_schema", "*", MIGRATE),
    allowed(
        "common/src/database/opening.rs",
        "open",
        "*",
        LimitOf("common/src/database/opening.rs", "open_within"),
    ),
    allowed("common/src/database/opening.rs", "is_kept", "*", FITNESS),
    allowed(
        "common/src/queue/link.rs",
        "connect",
        "Connection::connector",
        LimitOf("common/src/queue/connection.rs", "connect"),
    ),
    allowed(
        "common/src/queue/publisher.rs",
        "send",
        "basic_publish",
        LimitOf("common/src/queue/publisher.rs", "send_all"),
    ),
    allowed("common/src/queue/topology.rs", "*", "*", LimitOf("common/src/queue/connection.rs", "open")),
    allowed("worker/src/heartbeat.rs", "beat_once", "*", LimitOf("worker/src/heartbeat.rs", "beat")),
    allowed(
        "worker/src/service.rs",
        "open_published_tasks",
        "*",
        LimitOf("worker/src/service.rs", "is_drained"),
    ),
    allowed("worker/src/settle.rs", "settle", "*", LimitOf("worker/src/task.rs", "settle_failure")),
    allowed(
        "worker/src/settle.rs",
        "try_elsewhere",
        "*",
        LimitOf("worker/src/settle.rs", "settle_elsewhere"),
    ),
    allowed(
        "worker/src/unclaimed.rs",
        "try_to_leave",
        "*",
        LimitOf("worker/src/unclaimed.rs", "leave_to_relay"),
    ),
    allowed("scanner/src/audit.rs", "note", "*", DISCOVERY),
    allowed("scanner/src/pass.rs", "take", "*", DISCOVERY),
    allowed("scanner/src/rescue.rs", "*", "*", LimitOf("scanner/src/service.rs", "tick")),
    allowed("scanner/src/scan.rs", "send_due_batches", "*", TICK),
    allowed("scanner/src/schedule.rs", "due_since", "*", TICK),
    allowed("scanner/src/service.rs", "tick", "ledger::datasets", TICK),
    allowed("common/src/database.rs", "session", "get", POOL),
    allowed("common/src/database/migration.rs", "migrate", "get", POOL),
    allowed("worker/src/service.rs", "*", "heartbeat::connect", POOL),
    allowed(
        "common/src/store/after_load/objects.rs",
        "*",
        "*",
        LimitOf("scanner/src/after_load.rs", "try_all"),
    ),
    allowed("common/src/store/bucket.rs", "list_named", "list_with_delimiter", CLIENT),
    allowed("common/src/store/listed_keys.rs", "call", "*", CLIENT),
    allowed(
        "common/src/store/after_load.rs",
        "on_a_thread",
        "ended",
        LimitOf("scanner/src/after_load.rs", "try_all"),
    ),
    allowed("common/src/store/local.rs", "list_paths", "ended", DISCOVERY),
    allowed("scanner/src/watch/look.rs", "look_at", "ended", CLOCK),
    allowed("common/src/database/listener.rs", "heard", "next", MESSAGES),
    allowed("common/src/database/listener.rs", "until_lost", "next", LISTEN),
    allowed("common/src/database/listener.rs", "next", "next", MESSAGES),
    allowed("common/src/queue/consumer.rs", "next", "next", MESSAGES),
    allowed("worker/src/service.rs", "receive", "next", MESSAGES),
    allowed("common/src/database/migration.rs", "run_patiently", "run_async", MIGRATION),
];
