//! Hearing that a task has become due, so that the relay need not wait for its tick.

use std::time::Duration;

use longshore_common::{backoff::Backoff, database::Database, ledger::TASK_CHANNEL};
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, info, warn};

/// Wakes whoever waits for `woken` with each notification; those that come while nobody waits are one. Never returns.
///
/// Without the connection the tick goes on alone, so losing it costs no more than a tick's delay.
pub(crate) async fn by_notifications(database: &Database, woken: &Notify) {
    let mut backoff = Backoff::up_to(Duration::from_secs(2));
    let mut is_lost = false;
    loop {
        let opened = Instant::now();
        let error = match listen(database, woken, &mut is_lost).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if is_lost {
            debug!("still not listening: {error:#}");
        } else {
            warn!(
                "lost the connection that hears of new tasks; until it is back they wait for the tick: {error:#}"
            );
            is_lost = true;
        }
        tokio::time::sleep(backoff.next_wait_after(opened.elapsed())).await;
    }
}

async fn listen(
    database: &Database,
    woken: &Notify,
    is_lost: &mut bool,
) -> anyhow::Result<std::convert::Infallible> {
    let mut listener = database.listen(TASK_CHANNEL).await?;
    if std::mem::take(is_lost) {
        info!("hears of new tasks again");
    }
    loop {
        // Once at the beginning: what became due before that was heard by nobody.
        woken.notify_one();
        listener.heard().await?;
    }
}
