//! A model test of the ledger: the statements that move tasks, through seeded interleavings on a real Postgres.
//!
//! Workers, relays and rescuers are played by coroutines that make the calls of the real ones in their order, one a cue; so
//! whatever the calls of others may come in between does come. A script, drawn from a seed, says who steps next, what goes
//! wrong, and when two step at the same time. After each beat the tables must say what the model says, and the invariants
//! must hold; and when the script is over and nothing goes wrong any more, every task must become LOADED.

mod books;
mod case;
mod event;
mod fate;
mod invariants;
mod load;
mod part;
mod queue;
mod scanner;
mod script;
mod seen;
mod settling;
mod task;
mod theatre;
mod worker;
mod world;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use script::scripts;
use theatre::Theatre;
use tokio::{sync::Mutex, task::LocalSet};

/// Plays this case alone.
const SEED: &str = "LONGSHORE_MODEL_SEED";
/// Plays so many cases.
const CASES: &str = "LONGSHORE_MODEL_CASES";
const DEFAULT_CASES: u64 = 2_000;
/// Cases that are played at once, each lane in a database of its own.
const LANES: u64 = 4;

#[test]
fn rows_are_there_once_whatever_the_order_of_claim_load_settle_rescue_and_retry() {
    let number = |variable| std::env::var(variable).ok().map(|text| text.parse::<u64>().expect(variable));
    let first = number(SEED);
    let cases = number(CASES).unwrap_or(if first.is_some() { 1 } else { DEFAULT_CASES });
    let first = first.unwrap_or_else(|| rand::random_range(0..u64::from(u32::MAX)));
    let seeds = first..first + cases;
    let (next, steps, began) = (AtomicU64::new(seeds.start), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        let lane = || play_cases(&next, seeds.end, &steps);
        let lanes: Vec<_> = (0..LANES.min(seeds.end - seeds.start)).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            if let Err(failure) = lane.join().expect("a lane") {
                next.store(seeds.end, Ordering::Relaxed);
                panic!("{failure}");
            }
        }
    });
    let steps = steps.into_inner();
    println!("{cases} interleavings, {steps} steps, {:.1} s", began.elapsed().as_secs_f64());
}

/// Plays the case of one seed after the other, until there are no more or one fails.
fn play_cases(next: &AtomicU64, end: u64, steps: &AtomicU64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = LocalSet::new();
    let theatre = Mutex::new(local.block_on(&runtime, Theatre::open()));
    let began = Instant::now();
    let result = loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break Ok(());
        }
        let config =
            Config { cases: 1, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let played = TestRunner::new_with_rng(config, rng).run(&scripts(), |script| {
            let play = async { theatre.lock().await.play(&script).await };
            let t = Instant::now();
            let r = local.block_on(&runtime, play);
            eprintln!("DBG {seed} {} {} {:.3}", script.len(), r.is_ok(), t.elapsed().as_secs_f64());
            if let Err(e) = &r {
                eprintln!("ERR {e}");
            }
            r.map_err(TestCaseError::fail)
        });
        if let Err(failure) = played {
            break Err(described(seed, &failure));
        }
    };
    println!("lane {:.1} s", began.elapsed().as_secs_f64());
    let theatre = theatre.into_inner();
    steps.fetch_add(theatre.steps, Ordering::Relaxed);
    local.block_on(&runtime, async { drop(theatre) });
    result
}

fn described<T: std::fmt::Debug>(seed: u64, failure: &TestError<T>) -> String {
    match failure {
        TestError::Fail(reason, _) => format!("{SEED}={seed} plays this again.\n{}", reason.message()),
        TestError::Abort(reason) => format!("{SEED}={seed}: {}", reason.message()),
    }
}
