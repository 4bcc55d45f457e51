//! Messages that were lost after their confirm: a queue purged or deleted, a broker built anew. What tells is a task that
//! stays published and NEW. A false alarm costs a second message for the task, which workers shrug off.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Client;

/// Now, by the server's clock, if any task was published longer than `grace` ago and no worker has claimed it.
pub async fn long_published(
    client: &Client,
    grace: Duration,
) -> Result<Option<DateTime<Utc>>, tokio_postgres::Error> {
    // In the order of the index, so that no plan looks at other tasks, whatever the statistics say.
    let row = client
        .query_opt(
            "SELECT now()
             FROM (SELECT published_time FROM longshore.task
                   WHERE status = 'NEW' AND published_time IS NOT NULL
                   ORDER BY published_time LIMIT 1) AS longest
             WHERE published_time < now() - make_interval(secs => $1)",
            &[&grace.as_secs_f64()],
        )
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// When the task was published that shows how far workers are in the queue: of all tasks claimed at least `grace` ago, the
/// one published last. The queue is in order, so the messages before it have reached a worker as well, or are lost.
pub async fn overtaken_until(
    client: &Client,
    grace: Duration,
) -> Result<Option<DateTime<Utc>>, tokio_postgres::Error> {
    // modified_time is that of the claim, or later. A time of publishing that a clock put into the future tells nothing.
    let row = client
        .query_opt(
            "SELECT published_time FROM longshore.task
             WHERE status IN ('PROCESSING', 'LOADED') AND publications = 1 AND published_time IS NOT NULL
               AND modified_time < now() - make_interval(secs => $1)
               AND published_time < now() - make_interval(secs => $1)
             ORDER BY published_time DESC LIMIT 1",
            &[&grace.as_secs_f64()],
        )
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Takes back the mark of tasks that were published before `limit` and that no worker has claimed; gives their number.
///
/// Status and published time are the fence: a task that was claimed, or published again since, is left alone.
///
/// Messages that are lost again and again go to somebody else, as where two databases share the queues of one prefix: from a
/// task's fourth message on, each is given twice as long as the one before, at most some forty minutes.
pub async fn unpublish(client: &Client, limit: DateTime<Utc>) -> Result<u64, tokio_postgres::Error> {
    client
        .execute(
            "UPDATE longshore.task SET published_time = NULL, modified_time = now()
             WHERE status = 'NEW' AND published_time < $1
               AND published_time < $1 - make_interval(secs => 10 * (power(2, least(greatest(publications - 3, 0), 8)) - 1))",
            &[&limit],
        )
        .await
}
