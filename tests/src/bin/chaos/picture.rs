//! A picture of what waits: tasks and loads, messages, sessions, processes. Nothing in it waits for long.

use std::{fmt::Write, fs, time::Duration};

use longshore_tests::limit::within;
use tokio_postgres::NoTls;

use crate::{queue::TaskQueue, watch::Watched};

/// How long a server may take for its part: it may be what hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// What moves when a site works.
const STATE: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM longshore.file),
        (SELECT md5(string_agg(concat(id, status, attempt), ',' ORDER BY id)) FROM longshore.task),
        (SELECT concat_ws(' ', count(*), count(finished_time), sum(bytes_read), sum(rows_read)) FROM longshore.attempt))";

const TASKS: &str = "SELECT format('%s %s, %s of them published; the oldest is %s, attempt %s, and was due %s ago', count(*), status,
        count(published_time), min(id::text), min(attempt), date_trunc('second', now() - min(due_time)))
    FROM longshore.task GROUP BY status ORDER BY status";

const LOADS: &str = "SELECT format('attempt %s of %s by %s: %s bytes, %s rows, last heartbeat %s ago', attempt, task_id, worker,
        bytes_read, rows_read, date_trunc('second', now() - heartbeat_time))
    FROM longshore.attempt WHERE finished_time IS NULL";

const SESSIONS: &str =
    "SELECT format('session %s of %s: %s since %s, waits for %s: %s', pid, application_name, state,
        date_trunc('second', now() - state_change), coalesce(wait_event_type || ' ' || wait_event, 'nothing'),
        left(regexp_replace(query, '\\s+', ' ', 'g'), 100))
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
    UNION ALL
    SELECT format('%s idle sessions of %s', count(*), application_name)
    FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' GROUP BY application_name";

/// How far the work of a site is.
pub(crate) async fn state(site: &Watched) -> anyhow::Result<String> {
    Ok(lines(site, STATE).await?.join(" "))
}

pub(crate) async fn of(sites: &[Watched]) -> String {
    let mut picture = String::new();
    for site in sites {
        let _ = writeln!(picture, "{}:", site.name);
        for (what, sql) in [("tasks", TASKS), ("loads", LOADS), ("sessions", SESSIONS)] {
            add(&mut picture, what, lines(site, sql).await);
        }
        add(&mut picture, "messages", messages(site).await);
    }
    let _ = writeln!(picture, "processes:");
    add(&mut picture, "", Ok(processes()));
    picture
}

fn add(picture: &mut String, what: &str, found: anyhow::Result<Vec<String>>) {
    for line in found.unwrap_or_else(|error| vec![format!("{what}: {error:#}")]) {
        let _ = writeln!(picture, "  {line}");
    }
}

async fn lines(site: &Watched, sql: &str) -> anyhow::Result<Vec<String>> {
    let asking = async {
        let (client, connection) = tokio_postgres::connect(&site.database_url, NoTls).await?;
        tokio::spawn(connection);
        client.query(sql, &[]).await
    };
    let rows = within("Postgres", LIMIT, asking).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn messages(site: &Watched) -> anyhow::Result<Vec<String>> {
    let queue = TaskQueue::new(&site.amqp_url, &site.prefix);
    let mut lines = Vec::new();
    for name in ["tasks", "dead"] {
        let counts = within("RabbitMQ", LIMIT, queue.counts(name)).await?;
        let plural = if counts.consumers == 1 { "" } else { "s" };
        lines.push(format!(
            "{}: {} ready, {} consumer{plural}",
            queue.name(name),
            counts.ready,
            counts.consumers
        ));
    }
    Ok(lines)
}

/// Our children, as the kernel has them.
fn processes() -> Vec<String> {
    let ours = std::process::id().to_string();
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let value =
            |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim();
        if value("PPid:") != ours {
            continue;
        }
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        processes.push(format!("process {}, {}: {}", value("Pid:"), value("State:"), command.trim()));
    }
    processes
}
