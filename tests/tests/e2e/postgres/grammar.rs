//! The grammar of `COPY … CSV` and ours: small files that come out differently.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt;
use longshore_tests::{Stage, assert_section, markdown_table};
use tokio_postgres::Client;

/// A file with the header `a,b`, and what comes of it: rows, rejected lines, or the failure of the whole.
struct Case {
    what: &'static str,
    input: &'static [u8],
    /// With `escape = "\\"` in the spec and `ESCAPE '\'` for COPY.
    escape: bool,
    longshore: &'static str,
    postgres: &'static str,
    /// The first version of Postgres that does otherwise.
    until: i64,
}

const fn case(
    what: &'static str,
    input: &'static [u8],
    longshore: &'static str,
    postgres: &'static str,
) -> Case {
    Case { what, input, escape: false, longshore, postgres, until: i64::MAX }
}

const fn alike(what: &'static str, input: &'static [u8], outcome: &'static str) -> Case {
    case(what, input, outcome, outcome)
}

const CASES: [Case; 21] = [
    case(
        "a quote that does not open its field",
        b"a,b\n1,5\" pipe\n2,x\n",
        "(1, 5\" pipe) (2, x)",
        "fails: unterminated CSV quoted field",
    ),
    case(
        "two of them: Postgres takes them away, and what they enclose for quoted",
        b"a,b\n1,x\"y\"z\n",
        "(1, x\"y\"z)",
        "(1, xyz)",
    ),
    case(
        "the same with a delimiter between them",
        b"a,b\n1,x\n2\"y,z\"\n",
        "(1, x) line 3: quote_ambiguous",
        "fails: missing data for column \"b\"",
    ),
    case("a space before the opening quote", b"a,b\n1, \"x\"\n", "(1,  \"x\")", "(1,  x)"),
    case(
        "text after the closing quote",
        b"a,b\n1,\"x\"y\n2,z\n",
        "(2, z) line 2: quote_text_after",
        "(1, xy) (2, z)",
    ),
    case(
        "a quote that is never closed",
        b"a,b\n1,\"x\n2,y\n",
        "(2, y) line 2: quote_unclosed",
        "fails: unterminated CSV quoted field",
    ),
    case(
        "a field too few",
        b"a,b\n1\n2,y\n",
        "(2, y) line 2: field_count",
        "fails: missing data for column \"b\"",
    ),
    case(
        "a field too many",
        b"a,b\n1,x,\n2,y\n",
        "(2, y) line 2: field_count",
        "fails: extra data after last expected column",
    ),
    case("a blank line", b"a,b\n\n1,x\n", "(1, x)", "fails: missing data for column \"b\""),
    case("columns in another order", b"b,a\n1,x\n", "(x, 1)", "(1, x)"),
    case(
        "different line breaks",
        b"a,b\n1,x\r\n2,y\n",
        "(1, x) (2, y)",
        "fails: unquoted carriage return found in data",
    ),
    case(
        "bytes that are not UTF-8",
        b"a,b\n1,caf\xe9\n2,y\n",
        "(2, y) line 2: encoding",
        "fails: invalid byte sequence for encoding \"UTF8\"",
    ),
    case(
        "a NUL",
        b"a,b\n1,x\0\n2,y\n",
        "(2, y) line 2: nul_byte",
        "fails: invalid byte sequence for encoding \"UTF8\"",
    ),
    Case {
        until: 18,
        ..case(
            "a line with `\\.` alone, which ends the data for Postgres before 18",
            b"a,b\n1,x\n\\.\n2,y\n",
            "(1, x) (2, y) line 3: field_count",
            "(1, x)",
        )
    },
    Case {
        escape: true,
        ..case(
            "with an escape, a doubled quote, of which Postgres keeps none",
            b"a,b\n1,\"x\"\"y\"\n",
            "(1, x\"y)",
            "(1, xy)",
        )
    },
    Case { escape: true, ..alike("an escape in quotes", b"a,b\n1,\"x\\\"y\\\\z\\n\"\n", "(1, x\"y\\z\\n)") },
    alike("a doubled quote", b"a,b\n1,\"x\"\"y\"\n", "(1, x\"y)"),
    alike("a line break in quotes", b"a,b\n1,\"x\ny\"\n2,z\n", "(1, x\ny) (2, z)"),
    alike("no value and an empty text", b"a,b\n,\"\"\n", "(NULL, )"),
    alike("CRLF", b"a,b\r\n1,x\r\n", "(1, x)"),
    alike("a backslash without an escape", b"a,b\n1,\\.\n\\N,\\\\\n", "(1, \\.) (\\N, \\\\)"),
];

#[tokio::test]
async fn the_grammar_differs_from_copy_csv_where_the_page_says() {
    let stage = Stage::new().await;
    apply(&stage, "plain", "").await;
    apply(&stage, "escaped", "escape = '\\'").await;
    for (index, case) in CASES.iter().enumerate() {
        stage.put(&format!("{}/{index}.csv", dataset(case)), case.input);
    }
    stage.scan().await;
    stage.drain().await;
    let client = stage.client().await;
    client.batch_execute("CREATE TEMP TABLE copied (a text, b text)").await.unwrap();
    let version = stage.number("SELECT current_setting('server_version_num')").await / 10_000;
    for (index, case) in CASES.iter().enumerate() {
        assert_eq!(of_longshore(&client, index, case).await, case.longshore, "{}", case.what);
        let found = of_postgres(&client, case).await;
        // A message may name bytes behind what the page shows of it.
        let is_message = case.postgres.starts_with("fails") && found.starts_with(case.postgres);
        assert!(is_message || found == case.postgres || version >= case.until, "{}: {found}", case.what);
    }
}

#[test]
fn the_page_lists_every_difference_in_grammar() {
    let shown = |input: &[u8]| {
        let text = input.escape_ascii().to_string().replace("\\\"", "\"").replace("\\\\", "\\");
        format!("`` {text} ``")
    };
    let differences = CASES.iter().filter(|case| case.longshore != case.postgres);
    let rows = differences.map(|case| {
        let outcome = |text: &str| format!("`` {text} ``");
        [case.what.to_owned(), shown(case.input), outcome(case.longshore), outcome(case.postgres)]
    });
    assert_section(
        "postgres.md",
        "grammar",
        &markdown_table(["what", "file", "Longshore", "Postgres"], rows),
    );
}

fn dataset(case: &Case) -> &'static str {
    if case.escape { "escaped" } else { "plain" }
}

async fn apply(stage: &Stage, dataset: &str, csv: &str) {
    let spec = format!(
        "name = \"{dataset}\"\nsource = \"file://{}/{dataset}\"\n\
         [batch]\nmax_wait = \"0s\"\n[discovery]\nsettle = \"0s\"\n[csv]\nnull = [\"\"]\n{csv}\n\
         [target]\ntable = \"reporting.{dataset}\"\n\
         [[columns]]\nname = \"a\"\ntype = \"text\"\n[[columns]]\nname = \"b\"\ntype = \"text\"\n",
        stage.inbox.display()
    );
    let path = stage.folder().join(format!("{dataset}.toml"));
    std::fs::write(&path, spec).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
}

/// Rows, then rejected lines.
async fn of_longshore(client: &Client, index: usize, case: &Case) -> String {
    let file =
        "SELECT file.id FROM longshore.file JOIN longshore.file_load ON file_id = file.id WHERE uri LIKE $1";
    let file: i64 = client.query_one(file, &[&format!("%/{index}.csv")]).await.unwrap().get(0);
    let table = dataset(case);
    let select = format!("SELECT a, b FROM reporting.{table} WHERE _file_id = {file} ORDER BY _line");
    let rejects = "SELECT line, rule FROM longshore.reject WHERE file_id = $1 ORDER BY line";
    let mut shown = rows(client, &select).await;
    for reject in client.query(rejects, &[&file]).await.unwrap() {
        shown.push(format!("line {}: {}", reject.get::<_, i32>(0), reject.get::<_, &str>(1)));
    }
    shown.join(" ")
}

async fn of_postgres(client: &Client, case: &Case) -> String {
    client.batch_execute("TRUNCATE copied").await.unwrap();
    let escape = if case.escape { ", ESCAPE '\\'" } else { "" };
    let statement = format!("COPY copied FROM STDIN (FORMAT csv, HEADER true{escape})");
    let mut copy = pin!(client.copy_in(&statement).await.unwrap());
    copy.send(Bytes::from_static(case.input)).await.unwrap();
    match copy.finish().await {
        Ok(_) => rows(client, "SELECT a, b FROM copied").await.join(" "),
        Err(error) => format!("fails: {}", error.as_db_error().expect("an answer").message()),
    }
}

async fn rows(client: &Client, select: &str) -> Vec<String> {
    let value =
        |row: &tokio_postgres::Row, index| row.get::<_, Option<String>>(index).unwrap_or("NULL".to_owned());
    let rows = client.query(select, &[]).await.unwrap();
    rows.iter().map(|row| format!("({}, {})", value(row, 0), value(row, 1))).collect()
}
