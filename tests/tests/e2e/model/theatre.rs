//! Plays a script: cues the players, compares model and tables after each beat, and in the end lets everything finish.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};
use tokio_postgres::Config;
use uuid::Uuid;

use super::{
    books::Books,
    case::{self, Case},
    claiming::statements,
    event::Event,
    fate::fate,
    invariants,
    part::Part,
    scanner::{relay, rescuer},
    script::{Beat, CAST, FATE},
    seen::{Observer, Seen},
    worker::Worker,
    world::World,
};
use longshore_tests::Stage;

/// A call that takes longer waits for what no other step will give it.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

struct Player {
    cues: UnboundedSender<u8>,
    reports: UnboundedReceiver<Vec<Event>>,
    is_idle: Rc<Cell<bool>>,
}

/// A database and a cast that play one case after another. To be used inside a `LocalSet`.
pub(super) struct Theatre {
    stage: Stage,
    house: case::House,
    observer: Observer,
    world: Rc<World>,
    players: Vec<Player>,
    /// A case has failed: nobody knows what the players hold.
    is_spoilt: bool,
    pub(super) steps: u64,
}

/// How far a case is.
struct Play {
    case: Case,
    /// The states that explain all that was seen so far: one, but for races.
    explanations: Vec<Books>,
    seen: BTreeMap<Uuid, Seen>,
    trace: Vec<String>,
}

impl Theatre {
    pub(super) async fn open() -> Self {
        let stage = Stage::new().await;
        let house = case::House::open(&stage).await;
        let observer = Observer::new(stage.client().await).await;
        let (world, players) = engage(&stage).await;
        Self { stage, house, observer, world, players, is_spoilt: false, steps: 0 }
    }

    /// Plays the script on fresh tasks. The error tells what was wrong, after which steps.
    pub(super) async fn play(&mut self, script: &[Beat]) -> Result<(), String> {
        if self.is_spoilt {
            (self.world, self.players) = engage(&self.stage).await;
            self.house.clear().await;
        }
        let case = self.house.new_case().await;
        *self.world.tasks.borrow_mut() = case.tasks.clone();
        let books = Books::new(case.tasks.iter().map(|task| (task.id, task.files.clone())));
        let seen = books.expected();
        let mut play = Play { case, explanations: vec![books], seen, trace: Vec::new() };
        let played = self.perform(&mut play, script).await;
        self.is_spoilt = played.is_err();
        played.map_err(|fault| format!("{fault}\nafter these steps:\n{}", play.trace.join("\n")))
    }

    async fn perform(&mut self, play: &mut Play, script: &[Beat]) -> Result<(), String> {
        self.check(play, vec![]).await?;
        for beat in script {
            self.beat(play, beat).await?;
        }
        self.finish(play).await
    }

    /// One player makes a step, or two at the same time.
    async fn beat(&mut self, play: &mut Play, beat: &Beat) -> Result<(), String> {
        let cues: Vec<(usize, u8)> = [Some(beat.cue), beat.beside].into_iter().flatten().collect();
        for (player, cue) in &cues {
            self.players[*player].cues.send(*cue).map_err(|_| "a player has left".to_owned())?;
        }
        let mut reports = Vec::new();
        for (player, cue) in &cues {
            let report = timeout(ANSWER_LIMIT, self.players[*player].reports.recv()).await;
            let report = report.map_err(|_| format!("{} ({cue}) does not answer", CAST[*player]))?;
            let report = report.ok_or_else(|| format!("{} ({cue}) has panicked", CAST[*player]))?;
            let texts: Vec<String> = report.iter().map(Event::text).collect();
            play.trace.push(format!("{} ({cue}): {}", CAST[*player], texts.join(", then ")));
            reports.push(report);
            self.steps += 1;
        }
        self.check(play, reports).await
    }

    /// Holds what was reported, and what the tables say, against the model.
    async fn check(&mut self, play: &mut Play, reports: Vec<Vec<Event>>) -> Result<(), String> {
        // What would show nevertheless, shows at the next look.
        if reports.iter().flatten().all(Event::is_invisible) && !reports.is_empty() {
            return Ok(());
        }
        let seen = self.observer.look(&play.case.files).await;
        if let Some(broken) = invariants::broken(&play.seen, &seen) {
            return Err(broken);
        }
        let queue = self.world.queue.borrow();
        let is_stranded =
            |task: &&Seen| task.status == "NEW" && task.is_published && !queue.will_bring(task.id);
        if let Some(task) = seen.values().find(is_stranded) {
            return Err(format!("violated: a published task has a message: {task:?}"));
        }
        let (mut explanations, mut objections) = (Vec::new(), Vec::new());
        for books in &play.explanations {
            for order in orders(&reports) {
                match books.after(&order) {
                    Ok(states) => add_new(&mut explanations, states),
                    Err(objection) => objections.push(objection),
                }
            }
        }
        let expected: Vec<_> = explanations.iter().map(Books::expected).collect();
        let mut agrees = expected.iter().map(|expected| *expected == seen);
        explanations.retain(|_| agrees.next() == Some(true));
        if explanations.is_empty() {
            return Err(format!(
                "violated: the model says {objections:?} {expected:#?}\nthe tables {seen:#?}"
            ));
        }
        (play.explanations, play.seen) = (explanations, seen);
        Ok(())
    }

    /// Without further faults all tasks are LOADED in the end, once what FAILED is retried.
    async fn finish(&mut self, play: &mut Play) -> Result<(), String> {
        play.trace.push("no more faults".to_owned());
        let ended = self.world.end_silence().await;
        self.happened(play, ended).await?;
        for _ in 0..200 {
            let is_idle = self.players.iter().all(|player| player.is_idle.get());
            if is_idle && play.seen.values().all(|task| task.status == "LOADED") {
                self.world.queue.borrow_mut().clear();
                return Ok(());
            }
            if is_idle {
                self.help(play).await?;
            }
            for player in 0..FATE {
                let is_wanted = is_idle || !self.players[player].is_idle.get();
                if is_wanted {
                    self.beat(play, &Beat::plain(player)).await?;
                }
            }
        }
        Err(format!("violated: everything is LOADED in the end: {:#?}", play.seen))
    }

    /// Time, the check for lost messages, and an operator.
    async fn help(&mut self, play: &mut Play) -> Result<(), String> {
        let tasks: Vec<Uuid> = play.seen.keys().copied().collect();
        for task in tasks {
            let seen = &play.seen[&task];
            let event = match seen.status.as_str() {
                "NEW" if !seen.is_due => Some(self.world.wait_until_due(task).await),
                "NEW" if self.world.queue.borrow().has_lost(task) => Some(self.world.find_lost().await),
                "FAILED" => Some(self.world.retry(task).await),
                _ => None,
            };
            self.happened(play, event).await?;
        }
        Ok(())
    }

    async fn happened(
        &mut self,
        play: &mut Play,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<(), String> {
        let events: Vec<Event> = events.into_iter().collect();
        play.trace.push(format!("{events:?}"));
        self.check(play, vec![events]).await
    }
}

fn add_new(explanations: &mut Vec<Books>, states: Vec<Books>) {
    for state in states {
        if !explanations.contains(&state) {
            explanations.push(state);
        }
    }
}

/// The orders in which the statements of two players may have come.
fn orders(reports: &[Vec<Event>]) -> Vec<Vec<Event>> {
    let mut reports = reports.iter().map(|events| events.iter().flat_map(statements).collect::<Vec<_>>());
    let (one, other) = (reports.next().unwrap_or_default(), reports.next().unwrap_or_default());
    interleaved(&one, &other)
}

fn interleaved(one: &[Event], other: &[Event]) -> Vec<Vec<Event>> {
    let (Some((first, rest)), Some((other_first, other_rest))) = (one.split_first(), other.split_first())
    else {
        return vec![[one, other].concat()];
    };
    let begin_with = |event: &Event, ways: Vec<Vec<Event>>| {
        ways.into_iter().map(|way| [vec![event.clone()], way].concat()).collect::<Vec<_>>()
    };
    let one_first = begin_with(first, interleaved(rest, other));
    [one_first, begin_with(other_first, interleaved(one, other_rest))].concat()
}

async fn engage(stage: &Stage) -> (Rc<World>, Vec<Player>) {
    let config: Config = stage.database_url().parse().expect("a URL");
    let world = Rc::new(World::new(config, stage.client().await));
    let players = CAST.iter().enumerate().map(|(place, name)| {
        let (cues, their_cues) = unbounded_channel();
        let (their_reports, reports) = unbounded_channel();
        let is_idle = Rc::new(Cell::new(true));
        let part = Part {
            name,
            world: world.clone(),
            cues: their_cues,
            reports: their_reports,
            is_idle: is_idle.clone(),
        };
        match place {
            0..=2 => tokio::task::spawn_local(Worker::new(part).play()),
            3..=4 => tokio::task::spawn_local(relay(part)),
            5..=6 => tokio::task::spawn_local(rescuer(part)),
            _ => tokio::task::spawn_local(fate(part)),
        };
        Player { cues, reports, is_idle }
    });
    let players = players.collect();
    (world, players)
}
