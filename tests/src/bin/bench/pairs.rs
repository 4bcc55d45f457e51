//! Two sides in turns: what disturbs the machine for a while disturbs both.

use crate::{figures::Figure, progress::Progress, report::thousands};

/// What the runs of a figure gave.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The figure, a value a run.
    pub(crate) values: Vec<f64>,
    /// What was measured of ours, a run each.
    pub(crate) ours: Vec<f64>,
    /// The same of the peer; nothing where there is none.
    pub(crate) peer: Vec<f64>,
}

/// One of two that are compared.
pub(crate) struct Side<F> {
    pub(crate) name: &'static str,
    /// Runs it once, and gives what the figure compares.
    pub(crate) measure: F,
}

/// Measures `ours` and `peer` in turns, first once to warm up. A value is ours divided by the peer's of the same pair.
pub(crate) async fn measure(
    figure: &Figure,
    runs: u32,
    ours: Side<impl AsyncFn() -> anyhow::Result<f64>>,
    peer: Side<impl AsyncFn() -> anyhow::Result<f64>>,
) -> anyhow::Result<Measured> {
    let progress = Progress::new(figure.name, 2 * (u64::from(runs) + 1));
    let shown = |name: &str, value: f64| format!("{name} {} {}", thousands(value as u64), figure.measured_in);
    let mut measured = Measured { values: Vec::new(), ours: Vec::new(), peer: Vec::new() };
    for run in 0..=runs {
        let pair = if run == 0 { "warm-up".to_owned() } else { format!("pair {run}/{runs}") };
        progress.begin(&format!("{pair}: {}", ours.name));
        let our_value = (ours.measure)().await?;
        progress.begin(&format!("{pair}: {}", peer.name));
        let peer_value = (peer.measure)().await?;
        let value = our_value / peer_value;
        let (shown_ours, shown_peer) = (shown(ours.name, our_value), shown(peer.name, peer_value));
        progress.say(&format!("{pair}: {shown_ours}, {shown_peer}, ratio {value:.3}"));
        if run > 0 {
            measured.values.push(value);
            measured.ours.push(our_value);
            measured.peer.push(peer_value);
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
