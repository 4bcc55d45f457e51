//! Two sides in turns: what disturbs the machine for a while disturbs both.

use std::time::Duration;

use crate::{progress::Progress, report::thousands};

/// What the runs of a figure gave.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The figure, a value a run.
    pub(crate) values: Vec<f64>,
    /// Our rate a run, per second.
    pub(crate) ours: Vec<f64>,
    /// The peer's rate a run, per second.
    pub(crate) peer: Vec<f64>,
}

/// Times `ours` and `peer` in turns, first once to warm up. A value is our rate divided by the peer's of the same pair.
pub(crate) async fn measure(
    name: &'static str,
    runs: u32,
    rows: u64,
    ours: impl AsyncFn() -> anyhow::Result<Duration>,
    peer: impl AsyncFn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Measured> {
    let progress = Progress::new(name, 2 * (u64::from(runs) + 1));
    let rate = |elapsed: Duration| rows as f64 / elapsed.as_secs_f64();
    let mut measured = Measured { values: Vec::new(), ours: Vec::new(), peer: Vec::new() };
    for run in 0..=runs {
        let pair = if run == 0 { "warm-up".to_owned() } else { format!("pair {run}/{runs}") };
        progress.begin(&format!("{pair}: ours"));
        let our_rate = rate(ours().await?);
        progress.begin(&format!("{pair}: peer"));
        let peer_rate = rate(peer().await?);
        let value = our_rate / peer_rate;
        let (shown_ours, shown_peer) = (thousands(our_rate as u64), thousands(peer_rate as u64));
        progress.say(&format!("{pair}: ours {shown_ours}/s, peer {shown_peer}/s, ratio {value:.3}"));
        if run > 0 {
            measured.values.push(value);
            measured.ours.push(our_rate);
            measured.peer.push(peer_rate);
        }
    }
    Ok(measured)
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let cases: [(&[f64], f64); 4] =
            [(&[1.0], 1.0), (&[3.0, 1.0], 2.0), (&[9.0, 1.0, 2.0], 2.0), (&[4.0, 1.0, 3.0, 2.0], 2.5)];
        for (values, expected) in cases {
            assert!((median(values) - expected).abs() < 1e-9, "{values:?}");
        }
        assert!(median(&[]).is_nan());
    }
}
