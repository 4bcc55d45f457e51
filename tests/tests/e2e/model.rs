//! A model test of the ledger: the statements that move tasks, through seeded interleavings on a real Postgres.
//!
//! Workers, relays and rescuers are played by coroutines that make the calls of the real ones in their order, one a cue; so
//! whatever the calls of others may come in between does come. A script, drawn from a seed, says who steps next, what goes
//! wrong, and when two step at the same time. After each beat the tables must say what the model says, and the invariants
//! must hold; and when the script is over and nothing goes wrong any more, every task must become LOADED.

mod books;
mod case;
mod claiming;
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
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use script::scripts;
use theatre::Theatre;
use tokio::{sync::Mutex, task::LocalSet};

/// Plays this case alone, or begins with it.
const SEED: &str = "LONGSHORE_MODEL_SEED";
/// So many cases are played.
const CASES: &str = "LONGSHORE_MODEL_CASES";
const DEFAULT_CASES: u64 = 500;
/// Cases that are played at once, each lane in a database of its own.
const LANES: u64 = 4;
/// So often a failing script is shortened.
const MAX_SHRINKS: u32 = 400;

#[test]
fn rows_are_there_once_whatever_the_order_of_claim_load_settle_rescue_and_retry() {
    // The test below breaks the ledger by FAILPOINTS.
    let _scenario = fail::FailScenario::setup();
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
                panic!("{failure}");
            }
        }
    });
    let steps = steps.into_inner();
    println!("{cases} interleavings, {steps} steps, {:.1} s", began.elapsed().as_secs_f64());
}

/// In a process of its own, because what breaks the ledger breaks it for all tests of a process.
#[test]
fn a_ledger_whose_settlements_check_no_attempt_is_found_out() {
    assert!(fail::has_failpoints(), "build with --features longshore/failpoints, as `make test` does");
    let test = "model::rows_are_there_once_whatever_the_order_of_claim_load_settle_rescue_and_retry";
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env("FAILPOINTS", "sabotage::no_fence=return")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env_remove(SEED)
        .output()
        .expect("this program again");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("violated: "), "no violation was found: {output:?}");
}

/// Plays the case of one seed after the other, until there are no more or one fails.
fn play_cases(next: &AtomicU64, end: u64, steps: &AtomicU64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = LocalSet::new();
    let theatre = Mutex::new(local.block_on(&runtime, Theatre::open()));
    let result = loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break Ok(());
        }
        let config = Config { cases: 1, failure_persistence: None, ..Config::default() };
        let config = Config { max_shrink_iters: config.max_shrink_iters.min(MAX_SHRINKS), ..config };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let played = TestRunner::new_with_rng(config, rng).run(&scripts(), |script| {
            let play = async { theatre.lock().await.play(&script).await };
            local.block_on(&runtime, play).map_err(|fault| {
                // A shorter script takes a while to find.
                eprintln!("{SEED}={seed}: {}", fault.lines().next().unwrap_or_default());
                TestCaseError::fail(fault)
            })
        });
        if let Err(failure) = played {
            next.store(end, Ordering::Relaxed);
            break Err(described(seed, &failure));
        }
    };
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
