//! Two sides in turns: what disturbs the machine for a while disturbs both.

use longshore_tests::{Progress, thousands};

use crate::figures::Figure;

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
