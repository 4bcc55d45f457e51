//! Messages that were lost after their confirm: a queue purged or deleted, a broker built anew. What tells is a task that
//! stays published and NEW. A false alarm costs a second message for the task, which workers shrug off.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::Client;

/// What has been published longest and no worker has claimed.
#[derive(Debug, Clone, Copy)]
pub struct LongestPublished {
    /// Now, by the server's clock.
    pub now: DateTime<Utc>,
    /// When it was published; `None` if nothing waits.
    pub published_time: Option<DateTime<Utc>>,
}

/// Looks from `from` on: before it lie the entries of tasks that were claimed meanwhile, which a long load keeps from being removed.
pub async fn longest_published(
    client: &ClientWrapper,
    from: Option<DateTime<Utc>>,
) -> Result<LongestPublished, tokio_postgres::Error> {
    // In the order of the index, so that no plan looks at other tasks, whatever the statistics say.
    let statement = client
        .prepare_cached(
            "SELECT now(), (SELECT published_time FROM longshore.task
                            WHERE status = 'NEW' AND published_time IS NOT NULL
                              AND published_time >= coalesce($1::timestamptz, '-infinity')
                            ORDER BY published_time LIMIT 1)",
        )
        .await?;
    let row = client.query_one(&statement, &[&from]).await?;
    Ok(LongestPublished { now: row.try_get(0)?, published_time: row.try_get(1)? })
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

/// Tasks whose mark one call takes back: more at once would outlast what a statement may take, and begin anew each time.
const UNPUBLISHED_AT_ONCE: i64 = 10_000;

/// Takes back the mark of tasks that were published before `limit` and that no worker has claimed, the longest published first, from `from`
/// on. Gives their number and, if there may be more, from where to go on.
///
/// Status and published time are the fence: a task that was claimed, or published again since, is left alone.
///
/// Messages that are lost again and again go to somebody else, as where two databases share the queues of one prefix: from a
/// task's fourth message on that led to no claim, each is given twice as long as the one before, at most some forty minutes.
pub async fn unpublish_page(
    client: &Client,
    from: Option<DateTime<Utc>>,
    limit: DateTime<Utc>,
) -> Result<(u64, Option<DateTime<Utc>>), tokio_postgres::Error> {
    let row = client
        .query_one(
            "WITH lost AS (
                 SELECT id, published_time FROM longshore.task
                 WHERE status = 'NEW' AND published_time < $2 AND published_time >= coalesce($1::timestamptz, '-infinity')
                   AND published_time < $2 - make_interval(secs => 10 * (power(2, least(greatest(publications - attempt - 3, 0), 8)) - 1))
                 ORDER BY published_time LIMIT $3
             ), unpublished AS (
                 UPDATE longshore.task SET published_time = NULL, modified_time = now()
                 FROM lost
                 WHERE task.id = lost.id AND task.status || '' = 'NEW' AND task.published_time = lost.published_time
                 RETURNING task.id
             )
             SELECT (SELECT count(*) FROM unpublished),
                    (SELECT max(published_time) FROM lost HAVING count(*) = $3)",
            &[&from, &limit, &UNPUBLISHED_AT_ONCE],
        )
        .await?;
    Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get(1)?))
}
