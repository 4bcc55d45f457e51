//! What comes out: the conditions, a table for people, a JSON line a figure for programs.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use longshore_tests::{Goal, append_line, median, rounded, thousands};
use serde::Serialize;

use crate::{edge, findings::Findings, rounds::Round, site::SPEC_SETTINGS, world::World};

/// What differs from a plain start, for people to read.
pub(crate) fn conditions(world: &World) -> String {
    let size = &world.size;
    let lines = [
        format!("seed      {}", world.seed),
        format!("program   {}", world.program.display()),
        format!(
            "faults    {} kills, {} restarts of each server, {} edges",
            size.kills,
            size.restarts,
            edge::ALL.len()
        ),
        format!("dataset   {SPEC_SETTINGS}"),
        format!(
            "settings  defaults, but LONGSHORE_MAX_DEATHS=1000 where processes are killed at random, and \
             LONGSHORE_STALL_LIMIT={:?} where they are stopped; workers of a slow store (fail point worker::read_chunk) where \
             loads have to last",
            size.stall_limit
        ),
        "proof     each generated row by file, number and hash: loaded or rejected, once; counts of each file; one LOADED a task;"
            .to_owned(),
        "          queues empty, no session in a transaction, no lease held, every process stops in an orderly way".to_owned(),
        format!("logs      {}", world.folder.display()),
    ];
    lines.join("\n")
}

/// A number with its goal, as a JSON line has it.
#[derive(Serialize)]
struct Figure {
    #[serde(rename = "figure")]
    name: &'static str,
    value: f64,
    unit: &'static str,
    #[serde(serialize_with = "limit")]
    goal: Option<Goal>,
    /// Of times, of which the longest is the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<f64>,
    seed: u32,
    /// What else there is to say.
    #[serde(skip)]
    remark: String,
}

fn limit<S: serde::Serializer>(goal: &Option<Goal>, serializer: S) -> Result<S::Ok, S::Error> {
    goal.map(Goal::limit).serialize(serializer)
}

/// What the rounds that were run have measured.
fn figures(findings: &Findings, world: &World) -> Vec<Figure> {
    let figure = |name, value: u64, unit, goal: Option<Goal>, remark: String| Figure {
        name,
        value: value as f64,
        unit,
        goal,
        median: None,
        seed: world.seed,
        remark,
    };
    let none = Some(Goal::AtMost(0.0));
    let at_least = |number: u32| Some(Goal::AtLeast(f64::from(number)));
    let checked = format!("of {} generated", thousands(findings.rows_checked));
    let mut figures = vec![
        figure("rows_lost", findings.rows_lost, "rows", none, checked),
        figure("rows_twice", findings.rows_twice, "rows", none, String::new()),
    ];
    let hits = format!("{} hits", findings.edges.values().map(Vec::len).sum::<usize>());
    let (kills, restarts) = (world.size.kills, world.size.restarts);
    let discovery = world.size.discovery;
    let of_discovery = "written, renamed, overwritten, back-dated".to_owned();
    let of_rounds = [
        (Round::Kills, "kills", findings.kills(), "kills", kills, "on unfinished work".to_owned()),
        (Round::Edges, "edges", findings.edges.len() as u32, "edges", edge::ALL.len() as u32, hits),
        (Round::Broker, "broker_restarts", findings.broker_restarts, "restarts", restarts, String::new()),
        (
            Round::Database,
            "database_restarts",
            findings.database_restarts,
            "restarts",
            restarts,
            String::new(),
        ),
        (
            Round::Discovery,
            "discovery_files",
            findings.discovery_files,
            "files",
            discovery.files,
            of_discovery,
        ),
        (
            Round::Discovery,
            "discovery_scans",
            findings.discovery_scans,
            "scans",
            discovery.scans,
            String::new(),
        ),
        (
            Round::Discovery,
            "discovery_kills",
            findings.discovery_kills,
            "kills",
            discovery.kills,
            "of scans and scanners".to_owned(),
        ),
    ];
    for (round, name, value, unit, goal, remark) in of_rounds {
        if world.rounds.contains(&round) {
            figures.push(figure(name, value.into(), unit, at_least(goal), remark));
        }
    }
    let times = [
        ("worker_takeover_s", &findings.worker_takeovers, 3.0),
        ("scanner_takeover_s", &findings.scanner_takeovers, 3.0),
        ("broker_recovery_s", &findings.broker_recoveries, 5.0),
    ];
    for (name, seconds, goal) in times {
        if let Some(maximum) = seconds.iter().copied().reduce(f64::max) {
            let median = median(seconds);
            let remark = format!("median {median:.2}, maximum {maximum:.2} of {}", seconds.len());
            let of_no_value = figure(name, 0, "s", Some(Goal::AtMost(goal)), remark);
            figures.push(Figure { value: rounded(maximum), median: Some(rounded(median)), ..of_no_value });
        }
    }
    figures.push(figure("rows_checked", findings.rows_checked, "rows", None, String::new()));
    figures.push(figure("seed", world.seed.into(), "seed", None, String::new()));
    figures
}

/// All figures with their goals, and what was done to whom.
pub(crate) fn table(findings: &Findings, world: &World) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["figure", "value", "unit", "goal", "goal met", ""]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for Figure { name, value, unit, goal, remark, .. } in figures(findings, world) {
        let (limit, met) = match goal {
            Some(goal) => (goal.to_string(), if goal.is_met_by(value) { "yes" } else { "no" }),
            None => (String::new(), ""),
        };
        table.add_row([name, &value.to_string(), unit, &limit, met, &remark]);
    }
    let kills = findings.kills.iter().map(|((kind, state), count)| format!("{kind} at {state}: {count}"));
    let edges = findings.edges.iter().map(|(edge, actions)| format!("{edge}: {}", actions.join(", ")));
    let faults = findings.faults.iter().map(|(fault, count)| format!("{fault}: {count}"));
    let sections: [(&str, Vec<String>); 4] = [
        ("kills", kills.collect()),
        ("edges", edges.collect()),
        ("other faults", faults.collect()),
        ("sabotage that was caught", findings.caught.clone()),
    ];
    let mut text = table.trim_fmt();
    for (title, lines) in sections.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        text.push_str(&format!("\n\n{title}\n  {}", lines.join("\n  ")));
    }
    text
}

/// Appends a line for each figure.
pub(crate) fn append(path: &Path, findings: &Findings, world: &World) -> anyhow::Result<()> {
    figures(findings, world).iter().try_for_each(|figure| append_line(path, figure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_one_line_of_its_form() {
        let lost = Figure {
            name: "rows_lost",
            value: 0.0,
            unit: "rows",
            goal: Some(Goal::AtMost(0.0)),
            median: None,
            seed: 7,
            remark: "of 100 generated".to_owned(),
        };
        let line = r#"{"figure":"rows_lost","value":0.0,"unit":"rows","goal":0.0,"seed":7}"#;
        assert_eq!(serde_json::to_string(&lost).unwrap(), line);
    }
}
