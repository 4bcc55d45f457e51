//! What commands print: tables that line up, one JSON value, errors in one line.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{CellAlignment, ContentArrangement, presets};
pub(crate) use longshore_common::telemetry::one_line;
use longshore_common::{database::SettingError, dataset::SpecError, ledger};
use longshore_worker::rows::PlanError;
use serde::Serialize;
use thiserror::Error;
use tokio_postgres::{Client, error::SqlState};

/// The caller asked for something that does not exist or is not allowed: exit code 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct WrongCall(pub(crate) String);

impl WrongCall {
    pub(crate) fn unknown_dataset(name: &str) -> Self {
        Self(format!("there is no dataset `{name}`; `longshore dataset list` shows those that exist"))
    }
}

/// A list of a dataset that does not exist would be empty for ever.
pub(crate) async fn refuse_unknown_dataset(client: &Client, name: Option<&str>) -> anyhow::Result<()> {
    match name {
        Some(name) if !ledger::dataset_names(client).await?.iter().any(|known| known == name) => {
            Err(WrongCall::unknown_dataset(name).into())
        }
        _ => Ok(()),
    }
}

pub(crate) fn is_wrong_call(error: &anyhow::Error) -> bool {
    let is_wrong = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<SettingError>() || cause.is::<SpecError>() || cause.is::<PlanError>()
    };
    error.is::<WrongCall>() || error.chain().any(is_wrong)
}

/// Whether a table of ours is missing, or the whole schema.
pub(crate) fn lacks_schema(error: &anyhow::Error) -> bool {
    let code = error.chain().find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>()?.code());
    code.is_some_and(|code| [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME].contains(code))
}

/// Prints one JSON value and a line break.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Prints a line; a reader that went away, such as `head`, is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_to_reader(text).map(|_| ())
}

/// The same; gives whether somebody still reads, for what would go on printing.
pub(crate) fn print_to_reader(text: &str) -> anyhow::Result<bool> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => Ok(written.map(|()| true)?),
    }
}

/// Takes a reader of stdout that went away for the end of the work.
pub(crate) fn unless_reader_left(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A table without lines whose texts stay in their cells, whatever is in them.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// The columns named by `numbers` are aligned to the right.
    pub(crate) fn new(header: &[&str], numbers: &[usize]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_header(header.to_vec());
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding(if index == 0 { (0, 1) } else { (1, 1) });
            if numbers.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self(table)
    }

    pub(crate) fn add_row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells.map(|cell| one_line(&cell)));
    }

    /// Folds long cells so that a line fits the terminal; elsewhere a row stays one line, whatever its width.
    pub(crate) fn fit(&mut self) {
        let size = terminal_size::terminal_size_of(io::stdout());
        if let Some((terminal_size::Width(width), _)) = size {
            self.0.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.trim_fmt())
    }
}

/// A moment as people and programs read it: RFC 3339, UTC, seconds.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// 1234567 as 1,234,567.
pub(crate) fn thousands(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0 { format!("-{grouped}") } else { grouped }
}

/// What the relay saw of the broker.
pub(crate) fn broker_alarm(since: DateTime<Utc>) -> String {
    format!(
        "RabbitMQ is under a memory or disk alarm since {}: nothing is published until it ends",
        time(since)
    )
}

/// "1 task", "1,234 tasks".
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// The last part of a URI, as it is written there.
pub(crate) fn file_name(uri: &str) -> String {
    uri.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The first `max_chars` characters on a terminal; all of them elsewhere, where nothing has to fit.
pub(crate) fn shortened(text: &str, max_chars: usize) -> String {
    if io::stdout().is_terminal() { cut(text, max_chars) } else { one_line(text) }
}

fn cut(text: &str, max_chars: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= max_chars {
        return text;
    }
    text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (-1234, "-1,234")];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn text_stays_in_its_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(cut("abcdef", 4), "abc…");
    }

    #[test]
    fn no_text_breaks_out_of_its_cell() {
        let mut table = Table::new(&["RULE", "REASON"], &[]);
        table.add_row([
            "pattern".to_owned(),
            "does not match `a\nb\u{1b}]0;x\u{7}\u{9b}2J\u{202e}`".to_owned(),
        ]);
        let text = table.to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}
