//! Which names wait, and which are limits.

/// What takes a future and gives up waiting for it. The rooms' own: `within` of the queue, `answered` of scanner, store and
/// migrations, `answer` of a message's receipt, and `wait_for`, each of whose tries has a limit.
pub(crate) const LIMITS: &[&str] = &["timeout", "timeout_at", "within", "answered", "answer", "wait_for"];

/// The limits of libraries, and the clock of a load: what a function must call that counts as a limit.
const CLOCKS: &[&str] = &["timeout", "timeout_at", "timeouts", "with_read_timeout", "stalled"];

/// Waits for a thread, also for what it sends: a mount that is dead keeps it. In all of the product.
const THREADS: &[&str] = &["spawn_blocking", "ended"];

/// Waits for a child process. In all of the product.
const PROCESSES: &[&str] = &["status", "output", "wait", "wait_with_output"];

/// Waits for RabbitMQ, by the names of its client. Besides these, all that begin with one of [`BROKER_PREFIXES`].
const BROKER: &[&str] = &[
    "connector",
    "connect",
    "connect_with_config_async",
    "create_channel",
    "confirm_select",
    "ack",
    "nack",
    "reject",
    "next",
    "close",
];
const BROKER_PREFIXES: &[&str] = &["basic_", "queue_", "exchange_", "tx_"];

/// Waits for an object store, by the names of its client.
const OBJECT_STORE: &[&str] = &[
    "get",
    "get_opts",
    "get_range",
    "get_ranges",
    "head",
    "put",
    "put_opts",
    "copy",
    "copy_if_not_exists",
    "rename",
    "delete",
    "list_with_delimiter",
    "next",
    "try_next",
    "execute",
    "bytes",
];

/// The sink of a COPY.
const COPY: &[&str] = &["send", "finish"];

/// Waits for Postgres: the pool and the driver. Besides these, all of the books: `ledger::…`. A `database::session` is none,
/// because the pool has limits.
const POSTGRES: &[&str] = &[
    "get",
    "connect",
    "query",
    "query_one",
    "query_opt",
    "query_raw",
    "simple_query",
    "execute",
    "batch_execute",
    "prepare",
    "prepare_cached",
    "copy_in",
    "copy_out",
    "next",
    "transaction",
    "savepoint",
    "commit",
    "rollback",
    "run_async",
];

/// Whether this name, awaited in this file, waits for a server, a thread or a process.
///
/// The books themselves are not looked at: who calls them sets the limit. Nor are the commands' statements: somebody sits
/// before those, and can end them.
pub(crate) fn is_wait(file: &str, name: &str) -> bool {
    let last = last_segment(name);
    let is_in = |folders: &[&str]| folders.iter().any(|folder| file.starts_with(folder));
    let is_of_broker =
        || BROKER.contains(&last) || BROKER_PREFIXES.iter().any(|prefix| last.starts_with(prefix));
    let is_of_postgres = || POSTGRES.contains(&last) || name.contains("ledger::");
    THREADS.contains(&last)
        || PROCESSES.contains(&last)
        || (is_in(&["worker/src/copy.rs"]) && COPY.contains(&last))
        || (is_in(&["common/src/queue/"]) && is_of_broker())
        || (is_in(&["common/src/store/"]) && OBJECT_STORE.contains(&last))
        || (is_in(&["scanner/", "worker/", "common/src/database"]) && is_of_postgres())
}

/// Whether what is passed to this name stands under its limit.
pub(crate) fn is_limit(name: &str) -> bool {
    LIMITS.contains(&last_segment(name))
}

/// Whether this name is a limit that rests on no other.
pub(crate) fn is_clock(name: &str) -> bool {
    CLOCKS.contains(&last_segment(name))
}

fn last_segment(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}
