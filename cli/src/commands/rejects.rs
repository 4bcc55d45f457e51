use std::{borrow::Cow, io, process::ExitCode};

use clap::Args;
use futures_util::{Stream, TryStreamExt};
use longshore_common::{
    ledger::{self, RejectRow},
    store,
};
use tokio::pin;

use crate::{
    connect::DatabaseArgs,
    output::{self, Table, WrongCall},
};

/// How many rejects are listed where no --limit is given.
const LISTED_ROWS: i64 = 50;

/// List the rejected rows of a dataset or a file, and why
///
/// --csv prints them all, for whoever wrote the files, as CSV with the header
/// file_name,line,byte_offset,column,rule,reason,raw. `raw` is the row as it stands in its file, at most 8 KiB of it.
/// A cell that begins with = + - @, a tab or a carriage return would be taken for a formula by spreadsheet programs: it
/// gets an apostrophe (') in front. --json and the reject table in the database have every text as it is.
#[derive(Debug, Args)]
pub(crate) struct RejectsArgs {
    /// A dataset's name, or a file's URI as `longshore files` shows it
    #[arg(value_name = "DATASET|URI")]
    scope: String,
    /// The first ones, at most this many [default: 50, with --csv all]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: RejectsArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore rejects", 1).await?;
    let client = pool.get().await?;
    let named = store::canonical_object_uri(&args.scope).unwrap_or_else(|| args.scope.clone());
    let scope = ledger::find_reject_scope(&client, &named).await?;
    let scope = scope.ok_or_else(|| {
        WrongCall(format!("`{}` is no dataset and no known file; see `longshore files`", args.scope))
    })?;
    if args.csv {
        let rows = ledger::read_rejects(&client, &scope, args.limit).await?;
        write_csv(rows, io::stdout()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let limit = args.limit.unwrap_or(LISTED_ROWS);
    let rows: Vec<RejectRow> =
        ledger::read_rejects(&client, &scope, Some(limit)).await?.try_collect().await?;
    if args.json {
        output::print_json(&rows)?;
    } else if rows.is_empty() {
        output::print(
            "no rejects (a file that FAILED keeps none: `longshore tasks --status FAILED` says why it did, and \
             `longshore validate` shows what would be rejected of it)",
        )?;
    } else {
        print_tables(&rows)?;
        if rows.len() as i64 == limit {
            output::print(&format!("the first {limit}; --limit shows more"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A table a file, so that its name need not stand in every line.
fn print_tables(rows: &[RejectRow]) -> anyhow::Result<()> {
    for rows in rows.chunk_by(|row, next| row.file_name == next.file_name) {
        let mut table = Table::new(&["LINE", "COLUMN", "RULE", "REASON", "TEXT"], &[0]);
        for row in rows {
            table.add_row([
                row.line.to_string(),
                row.column.clone().unwrap_or_default(),
                row.rule.clone(),
                row.reason.clone(),
                output::shortened(&row.raw, 40),
            ]);
        }
        table.fit();
        output::print(&output::one_line(&rows[0].file_name))?;
        output::print(&format!("{table}\n"))?;
    }
    Ok(())
}

/// Writes row by row: there may be more of them than memory holds.
async fn write_csv(
    rows: impl Stream<Item = Result<RejectRow, tokio_postgres::Error>>,
    out: impl io::Write,
) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    pin!(rows);
    let mut written = writer.write_record(CSV_HEADER);
    while written.is_ok() {
        let Some(row) = rows.try_next().await? else { break };
        written = write_row(&mut writer, &row);
    }
    let flushed = written.map_err(io_error).and_then(|()| writer.flush());
    output::unless_reader_left(flushed)
}

/// With its kind, which csv's own conversion loses.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

const CSV_HEADER: [&str; 7] = ["file_name", "line", "byte_offset", "column", "rule", "reason", "raw"];

fn write_row(writer: &mut csv::Writer<impl io::Write>, row: &RejectRow) -> csv::Result<()> {
    let (line, byte_offset) = (row.line.to_string(), row.byte_offset.to_string());
    let column = row.column.as_deref().unwrap_or_default();
    let cells = [&row.file_name, line.as_str(), &byte_offset, column, &row.rule, &row.reason, &row.raw];
    writer.write_record(cells.map(|cell| harmless(cell).into_owned()))
}

/// No spreadsheet program takes the cell for a formula.
fn harmless(cell: &str) -> Cow<'_, str> {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn row(column: Option<&str>, raw: &str) -> RejectRow {
        RejectRow {
            file_name: "file:///srv/a.csv".to_owned(),
            line: 3,
            byte_offset: 17,
            column: column.map(str::to_owned),
            rule: "type".to_owned(),
            reason: "not a date: YYYY-MM-DD".to_owned(),
            raw: raw.to_owned(),
        }
    }

    async fn written(rows: Vec<RejectRow>) -> Vec<u8> {
        let mut out = Vec::new();
        write_csv(stream::iter(rows.into_iter().map(Ok)), &mut out).await.unwrap();
        out
    }

    #[tokio::test]
    async fn every_text_comes_back_from_the_csv_and_formulas_are_made_harmless() {
        let plain = ["", "1,\"a \"\"b\"\"\",2", "a\nb\r\nc", "é ␀ '=1", " =1", "a=1+1", "'"];
        let formulas = ["=1+1", "+1", "-1,2", "@SUM(A1)", "\t=1", "\r=1", "=\"a\"\nb"];
        let rows = plain.iter().chain(&formulas).map(|raw| row(Some("-x"), raw)).collect();
        let csv = written(rows).await;
        let mut reader = csv::Reader::from_reader(csv.as_slice());
        assert_eq!(reader.headers().unwrap(), &CSV_HEADER[..]);
        let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let expected = plain.iter().map(|raw| (*raw).to_owned());
        let expected: Vec<_> = expected.chain(formulas.iter().map(|raw| format!("'{raw}"))).collect();
        assert_eq!(read.iter().map(|record| record[6].to_owned()).collect::<Vec<_>>(), expected);
        assert_eq!(&read[0][3], "'-x");
        assert_eq!((&read[0][0], &read[0][1], &read[0][2]), ("file:///srv/a.csv", "3", "17"));
    }

    /// The end of a pipe that nobody reads.
    struct LeftPipe;

    impl io::Write for LeftPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_has_seen_enough_is_no_error() {
        let rows = stream::iter((0..1000).map(|_| Ok(row(None, &"x".repeat(100)))));
        assert!(write_csv(rows, LeftPipe).await.is_ok());
    }

    #[tokio::test]
    async fn without_rejects_the_csv_is_its_header() {
        assert_eq!(written(Vec::new()).await, b"file_name,line,byte_offset,column,rule,reason,raw\n");
    }
}
