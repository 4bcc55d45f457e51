//! What a case plays: who steps next, and what it does, as numbers that can be drawn and shrunk.

use proptest::{prelude::*, sample::select};

use super::part::{FAULTLESS, FAULTS};

/// The players. Their order is the one in which they step when everything is to finish.
pub(super) const CAST: [&str; 8] =
    ["worker 1", "worker 2", "worker 3", "relay 1", "relay 2", "rescuer 1", "rescuer 2", "fate"];
/// The place of the last.
pub(super) const FATE: usize = CAST.len() - 1;
/// How often each is chosen.
const WEIGHTS: [usize; CAST.len()] = [6, 6, 4, 6, 2, 3, 2, 2];

/// One player's cue, or those of two that step at the same time.
#[derive(Debug, Clone)]
pub(super) struct Beat {
    pub(super) cue: (usize, u8),
    pub(super) beside: Option<(usize, u8)>,
}

impl Beat {
    /// The player goes on, and nothing goes wrong.
    pub(super) fn plain(player: usize) -> Self {
        Self { cue: (player, 0), beside: None }
    }
}

pub(super) fn scripts() -> impl Strategy<Value = Vec<Beat>> {
    prop::collection::vec(beat(), 40..120)
}

fn beat() -> impl Strategy<Value = Beat> {
    let alone = cue().prop_map(|cue| Beat { cue, beside: None });
    let two = (cue(), cue()).prop_map(|(cue, other)| {
        // Fate ends sessions: whether a call on one was made before its end, no order of the two could tell.
        let can_meet = cue.0 != other.0 && cue.0 != FATE && other.0 != FATE;
        Beat { cue, beside: can_meet.then_some(other) }
    });
    prop_oneof![4 => alone, 1 => two]
}

fn cue() -> impl Strategy<Value = (usize, u8)> {
    let players: Vec<usize> =
        WEIGHTS.iter().enumerate().flat_map(|(player, weight)| vec![player; *weight]).collect();
    // Many steps just go on; one in forty is a fault.
    (select(players), prop_oneof![18 => Just(0), 21 => FAULTLESS, 1 => FAULTS])
}
