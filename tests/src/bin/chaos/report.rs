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
    seed: u32,
}

/// What the rounds that were run have measured.
fn figures(findings: &Findings, world: &World) -> Vec<Figure> {
    let at_least = |number: u32| Goal::AtLeast(f64::from(number));
    let checked = format!("of {} generated", thousands(findings.rows_checked));
    let hits = findings.edges.values().map(Vec::len).sum::<usize>();
    let (kills, restarts) = (at_least(world.size.kills), at_least(world.size.restarts));
    let edges = (findings.edges.len() as u64, Goal::AtLeast(edge::ALL.len() as f64));
    let ran = |round, figure: Figure| world.rounds.contains(&round).then_some(figure);
    let restarted = |name, number: u32| count(name, number.into(), "restarts", restarts, String::new());
    let counts = [
        Some(count("rows_lost", findings.rows_lost, "rows", Goal::AtMost(0.0), checked)),
        Some(count("rows_twice", findings.rows_twice, "rows", Goal::AtMost(0.0), String::new())),
        ran(
            Round::Kills,
            count("kills", findings.kills().into(), "kills", kills, "on unfinished work".to_owned()),
        ),
        ran(Round::Edges, count("edges", edges.0, "edges", edges.1, format!("{hits} hits"))),
        ran(Round::Broker, restarted("broker_restarts", findings.broker_restarts)),
        ran(Round::Database, restarted("database_restarts", findings.database_restarts)),
    ];
    let times = [
        seconds("worker_takeover_s", &findings.worker_takeovers, 3.0),
        seconds("scanner_takeover_s", &findings.scanner_takeovers, 3.0),
        seconds("broker_recovery_s", &findings.broker_recoveries, 5.0),
    ];
    let without_goal = [("rows_checked", findings.rows_checked, "rows"), ("seed", world.seed.into(), "seed")]
        .map(|(name, value, unit)| Figure {
            name,
            value: value as f64,
            unit,
            goal: None,
            remark: String::new(),
        });
    counts.into_iter().chain(times).flatten().chain(without_goal).collect()
}

fn count(name: &'static str, value: u64, unit: &'static str, goal: Goal, remark: String) -> Figure {
    Figure { name, value: value as f64, unit, goal: Some(goal), remark }
}

/// The longest time is the figure.
fn seconds(name: &'static str, seconds: &[f64], goal: f64) -> Option<Figure> {
    let maximum = seconds.iter().copied().reduce(f64::max)?;
    let remark = format!("median {:.2}, maximum {maximum:.2} of {}", median(seconds), seconds.len());
    Some(Figure { name, value: maximum, unit: "s", goal: Some(Goal::AtMost(goal)), remark })
}

/// All figures with their goals, and what was done to whom.
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
    for Figure { name, value, unit, goal, .. } in figures(findings, world) {
        let goal = goal.map(Goal::limit);
        append_line(path, &Line { figure: name, value: rounded(value), unit, goal, seed: world.seed })?;
    }
    Ok(())
}
