//! Edges: the places between two effects at which tests make the process die, wait or fail, and switches that break the
//! order of effects on purpose, so that the tests prove that they would notice. Only the feature `failpoints` builds any of
//! it; a release passes an edge without a trace.

/// A test made this edge fail.
#[derive(Debug, thiserror::Error)]
#[error("a test made `{0}` fail")]
pub struct Injected(pub &'static str);

/// Passes an edge, unless a test has other plans.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn pass(_name: &'static str) -> Result<(), Injected> {
    Ok(())
}

/// Passes an edge, unless `FAILPOINTS` gives it `return(kill)`, `return(pause)` or `return(error)`.
#[cfg(feature = "failpoints")]
pub fn pass(name: &'static str) -> Result<(), Injected> {
    fail::fail_point!(name, |action| {
        let action = action.unwrap_or_default();
        // For the tests, which count the edges that were reached.
        eprintln!("fail point {name}: {action}");
        match action.as_str() {
            // Like kill -9: nothing is cleaned up, nobody is told.
            "kill" => std::process::abort(),
            "pause" => std::thread::sleep(std::time::Duration::from_secs(3)),
            _ => return Err(Injected(name)),
        }
        Ok(())
    });
    Ok(())
}

/// Passes an edge that one of several files has, say.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn pass_of(_name: &'static str, _subject: &str) -> Result<(), Injected> {
    Ok(())
}

/// Passes an edge that one of several files has, say, unless `FAILPOINTS` gives it `return(kill PART)`, `return(panic PART)` or
/// `return(error PART)`, with a part of this subject's name.
#[cfg(feature = "failpoints")]
pub fn pass_of(name: &'static str, subject: &str) -> Result<(), Injected> {
    fail::fail_point!(name, |action| {
        match action.as_deref().and_then(|action| action.split_once(' ')) {
            Some((_, part)) if !subject.contains(part) => Ok(()),
            Some(("kill", _)) => std::process::abort(),
            #[expect(clippy::panic, reason = "a test asked for it")]
            Some(("panic", _)) => panic!("a test made `{name}` panic"),
            _ => Err(Injected(name)),
        }
    });
    Ok(())
}

/// Whether a test breaks the order of effects here on purpose.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn is_sabotaged(_name: &'static str) -> bool {
    false
}

/// Whether a test breaks the order of effects here on purpose: `FAILPOINTS` gives `sabotage::…` a `return`.
#[cfg(feature = "failpoints")]
pub fn is_sabotaged(name: &'static str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// Whether a test makes a long time a short one here.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn is_hurried(_name: &'static str) -> bool {
    false
}

/// Whether a test makes a long time a short one here: `FAILPOINTS` gives `hurry::…` a `return`.
#[cfg(feature = "failpoints")]
pub fn is_hurried(name: &'static str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// The wall clock of the scanner's schedules.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

/// The wall clock of the scanner's schedules, ahead by the seconds that a test writes into the file which `LONGSHORE_CLOCK_AHEAD`
/// names.
#[cfg(feature = "failpoints")]
pub fn now() -> chrono::DateTime<chrono::Utc> {
    let read = |path| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    let ahead: i64 = std::env::var_os("LONGSHORE_CLOCK_AHEAD").and_then(read).unwrap_or(0);
    chrono::Utc::now() + chrono::TimeDelta::seconds(ahead)
}
