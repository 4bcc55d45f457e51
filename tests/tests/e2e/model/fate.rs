//! What happens beside the processes: time passes, the broker loses and doubles messages, a silent session is ended, an
//! operator retries what FAILED.

use super::{event::Event, part::Part, world::Known};

pub(super) async fn fate(mut part: Part) {
    while let Some(cue) = part.begin().await {
        let event = strike(&part, cue).await;
        part.report([event]);
    }
}

async fn strike(part: &Part, cue: u8) -> Event {
    let world = &part.world;
    let task: Option<Known> = {
        let tasks = world.tasks.borrow();
        tasks.get(usize::from(cue / 16) % tasks.len().max(1)).cloned()
    };
    let Some(task) = task else { return Event::Said("no task".to_owned()) };
    let said = |what: &str, task| Event::Said(format!("{what} {task:?}"));
    match cue % 16 {
        0..=5 => world.wait_until_due(task.id).await,
        6..=8 => world.retry(task.id).await,
        9..=11 => said("doubled", world.queue.borrow_mut().double(cue)),
        12..=13 => said("lost", world.queue.borrow_mut().lose(cue)),
        _ => world.evict(&task).await,
    }
}
