//! What comes out: a table for people, a JSON line a figure for programs.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use longshore_tests::{append_line, median, rounded, thousands};
use serde::Serialize;

use crate::{figures::Figure, pairs::Measured};

#[derive(Serialize)]
struct Line<'a> {
    figure: &'a str,
    value: f64,
    unit: &'a str,
    goal: f64,
    runs: usize,
    ours: u64,
    /// `null` where there is no peer.
    peer: Option<u64>,
}

/// Appends the figure's line to the file.
pub(crate) fn append(path: &Path, figure: &Figure, measured: &Measured) -> anyhow::Result<()> {
    let line = Line {
        figure: figure.name,
        value: rounded(median(&measured.values)),
        unit: figure.unit,
        goal: figure.goal.limit(),
        runs: measured.values.len(),
        ours: median(&measured.ours) as u64,
        peer: (!measured.peer.is_empty()).then(|| median(&measured.peer) as u64),
    };
    append_line(path, &line)
}

/// All figures with their goals.
pub(crate) fn table(results: &[(&Figure, Measured)]) -> String {
    let mut table = Table::new();
    let header = ["figure", "goal", "ours", "peer", "in", "median", "min–max", "runs", "goal met"];
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (figure, measured) in results {
        let value = median(&measured.values);
        let min = measured.values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = measured.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        table.add_row([
            figure.name.to_owned(),
            figure.goal.to_string(),
            shown(&measured.ours),
            shown(&measured.peer),
            figure.measured_in.to_owned(),
            format!("{value:.2}"),
            format!("{min:.2}–{max:.2}"),
            measured.values.len().to_string(),
            if figure.goal.is_met_by(value) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table.trim_fmt()
}

/// The median in whole numbers.
fn shown(values: &[f64]) -> String {
    if values.is_empty() { "–".to_owned() } else { thousands(median(values) as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_one_line_of_its_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench.jsonl");
        let measured = Measured { values: vec![1.3, 1.3125, 1.4], ours: vec![131.4], peer: vec![100.0] };
        append(&path, &crate::figures::ALL[0], &measured).unwrap();
        let expected = "{\"figure\":\"bulk_1_vs_psql\",\"value\":1.313,\"unit\":\"ratio\",\"goal\":1.4,\"runs\":3,\
                        \"ours\":131,\"peer\":100}\n";
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }
}
