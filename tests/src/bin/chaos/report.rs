//! What comes out: the conditions, a table for people, a JSON line a figure for programs.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use longshore_tests::{Goal, append_line, median, rounded, thousands};
use serde::Serialize;

use crate::{findings::Findings, rounds::edges, site::SPEC_SETTINGS, world::World};

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
            edges::ALL.len()
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

/// A number with its goal.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
    /// What else there is to say.
    remark: String,
}

#[derive(Serialize)]
struct Line<'a> {
    figure: &'a str,
    value: f64,
    unit: &'a str,
    goal: Option<f64>,
    seed: u64,
}

/// All figures that were measured.
fn figures(findings: &Findings, world: &World) -> Vec<Figure> {
    let size = &world.size;
    let count = |name, value: u64, unit, goal: Option<Goal>, remark: String| Figure {
        name,
        value: value as f64,
        unit,
        goal,
        remark,
    };
    let at_least = |number: u32| Some(Goal::AtLeast(f64::from(number)));
    let hits: usize = findings.edges.values().map(Vec::len).sum();
    let checked = format!("of {} generated", thousands(findings.rows_checked));
    let mut figures = vec![
        count("rows_lost", findings.rows_lost, "rows", Some(Goal::AtMost(0.0)), checked),
        count("rows_twice", findings.rows_twice, "rows", Some(Goal::AtMost(0.0)), String::new()),
        count("rows_checked", findings.rows_checked, "rows", None, String::new()),
        count("kills", findings.kills().into(), "kills", at_least(size.kills), kills(findings)),
        count(
            "edges",
            findings.edges.len() as u64,
            "edges",
            Some(Goal::AtLeast(edges::ALL.len() as f64)),
            format!("{hits} hits"),
        ),
        count(
            "broker_restarts",
            findings.broker_restarts.into(),
            "restarts",
            at_least(size.restarts),
            String::new(),
        ),
        count(
            "database_restarts",
            findings.database_restarts.into(),
            "restarts",
            at_least(size.restarts),
            String::new(),
        ),
    ];
    let times = [
        ("worker_takeover_s", &findings.worker_takeovers, 3.0),
        ("scanner_takeover_s", &findings.scanner_takeovers, 3.0),
        ("broker_recovery_s", &findings.broker_recoveries, 5.0),
    ];
    for (name, seconds, goal) in times.into_iter().filter(|(_, seconds, _)| !seconds.is_empty()) {
        let maximum = seconds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let remark = format!("median {:.2}, maximum {maximum:.2} of {}", median(seconds), seconds.len());
        figures.push(Figure { name, value: maximum, unit: "s", goal: Some(Goal::AtMost(goal)), remark });
    }
    figures.push(count("seed", world.seed, "seed", None, String::new()));
    figures
}

fn kills(findings: &Findings) -> String {
    let kills: Vec<String> =
        findings.kills.iter().map(|((kind, state), count)| format!("{kind} at {state}: {count}")).collect();
    kills.join("; ")
}

/// All figures with their goals, and what was done at which edge.
pub(crate) fn table(findings: &Findings, world: &World) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["figure", "value", "unit", "goal", "goal met", ""]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for Figure { name, value, unit, goal, remark } in figures(findings, world) {
        let (limit, met) = match goal {
            Some(goal) => (goal.to_string(), if goal.is_met_by(value) { "yes" } else { "no" }),
            None => (String::new(), ""),
        };
        table.add_row([name, &rounded(value).to_string(), unit, &limit, met, &remark]);
    }
    let faults: Vec<String> =
        findings.faults.iter().map(|(fault, count)| format!("{fault}: {count}")).collect();
    let edges: Vec<String> =
        findings.edges.iter().map(|(edge, actions)| format!("  {edge}: {}", actions.join(", "))).collect();
    format!("{}\n\nother faults  {}\nedges\n{}", table.trim_fmt(), faults.join("; "), edges.join("\n"))
}

/// Appends a line for each figure.
pub(crate) fn append(path: &Path, findings: &Findings, world: &World) -> anyhow::Result<()> {
    for Figure { name, value, unit, goal, .. } in figures(findings, world) {
        let goal = goal.map(Goal::limit);
        append_line(path, &Line { figure: name, value: rounded(value), unit, goal, seed: world.seed })?;
    }
    Ok(())
}
