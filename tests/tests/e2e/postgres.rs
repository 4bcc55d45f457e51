//! Longshore against Postgres' own `COPY … CSV`: what both take is stored the same, and where only one takes a text,
//! `docs/postgres.md` says so.

mod differences;
mod grammar;
mod texts;

use std::{collections::BTreeMap, pin::pin};

use bytes::Bytes;
use differences::{Classes, DIFFERENCES, Taker};
use futures_util::SinkExt;
use longshore_tests::{Stage, assert_section, markdown_table};
use tokio_postgres::Client;

/// A column: its type in a spec and in Postgres, another key of the spec, and the function that gives a value's bytes.
struct Kind {
    name: &'static str,
    spec: &'static str,
    postgres: &'static str,
    send: &'static str,
}

const fn kind(name: &'static str, postgres: &'static str, send: &'static str) -> Kind {
    Kind { name, spec: "", postgres, send }
}

const KINDS: [Kind; 14] = [
    kind("smallint", "smallint", "int2send"),
    kind("integer", "integer", "int4send"),
    kind("bigint", "bigint", "int8send"),
    kind("real", "real", "float4send"),
    kind("double", "double precision", "float8send"),
    Kind { spec: "non_finite = true", ..kind("real", "real", "float4send") },
    Kind { spec: "non_finite = true", ..kind("double", "double precision", "float8send") },
    kind("numeric(12,4)", "numeric(12,4)", "numeric_send"),
    kind("boolean", "boolean", "boolsend"),
    kind("text", "text", "textsend"),
    kind("date", "date", "date_send"),
    kind("timestamp", "timestamp", "timestamp_send"),
    kind("timestamptz", "timestamptz", "timestamptz_send"),
    kind("uuid", "uuid", "uuid_send"),
];

impl Kind {
    /// As the page calls it.
    fn title(&self) -> String {
        let type_name = self.name.split('(').next().unwrap_or_default();
        if self.spec.is_empty() { type_name.to_owned() } else { format!("{type_name} with non_finite") }
    }

    fn dataset(&self) -> String {
        format!("of_{}", self.title().replace(' ', "_"))
    }
}

#[tokio::test]
async fn what_postgres_takes_too_is_stored_the_same_and_each_difference_is_on_the_page() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    client.batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'").await.unwrap();
    let texts: Vec<_> = KINDS.iter().map(|kind| texts::of(kind.name)).collect();
    for (kind, texts) in KINDS.iter().zip(&texts) {
        load_by_longshore(&stage, kind, texts).await;
    }
    stage.scan().await;
    stage.drain().await;
    let version = stage.number("SELECT current_setting('server_version_num')").await / 10_000;
    let classes = Classes::new();
    let mut seen = vec![false; DIFFERENCES.len()];
    let mut unlisted = Vec::new();
    for (kind, texts) in KINDS.iter().zip(&texts) {
        let by_longshore = stored(&client, kind, &format!("reporting.{}", kind.dataset())).await;
        let by_postgres = copy_one_by_one(&client, kind, texts).await;
        for (id, text) in texts.iter().enumerate() {
            let id = id as i64;
            let taker = match (by_longshore.get(&id), by_postgres.get(&id)) {
                (Some(longshore), Some(postgres)) => {
                    assert_eq!(longshore, postgres, "{} {text:?}: Longshore, then Postgres", kind.title());
                    continue;
                }
                (None, None) => continue,
                (Some(_), None) => Taker::Longshore,
                (None, Some(_)) => Taker::Postgres,
            };
            match classes.of(&kind.title(), taker, text) {
                Some(index) => seen[index] = true,
                None => unlisted.push(format!("{} {text:?}: only {taker:?}", kind.title())),
            }
        }
    }
    assert!(unlisted.is_empty(), "{} differences are not listed:\n{}", unlisted.len(), unlisted.join("\n"));
    for (class, seen) in DIFFERENCES.iter().zip(seen) {
        assert!(seen || version < class.since, "no text shows the difference `{}`", class.what);
    }
}

#[test]
fn the_page_lists_every_difference_in_types() {
    let rows = DIFFERENCES.iter().map(differences::Difference::row);
    let table = markdown_table(["types", "text", "Longshore", "Postgres"], rows);
    assert_section("postgres.md", "types", &table);
}

/// One file of all texts, each a row with its number; loaded by the next scan.
async fn load_by_longshore(stage: &Stage, kind: &Kind, texts: &[String]) {
    let Kind { name, spec: keys, .. } = kind;
    let dataset = kind.dataset();
    let spec = format!(
        "name = \"{dataset}\"\nsource = \"file://{}/{dataset}\"\n\
         [batch]\nmax_wait = \"0s\"\n[discovery]\nsettle = \"0s\"\n\
         [rejects]\nmax_rows = 1000000\nmax_ratio = 1.0\n[target]\ntable = \"reporting.{dataset}\"\n\
         [[columns]]\nname = \"id\"\ntype = \"bigint\"\n[[columns]]\nname = \"value\"\ntype = \"{name}\"\n{keys}\n",
        stage.inbox.display()
    );
    let path = stage.folder().join(format!("{dataset}.toml"));
    std::fs::write(&path, spec).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
    let rows: String = texts.iter().enumerate().map(|(id, text)| row(id, text)).collect();
    stage.put(&format!("{dataset}/texts.csv"), format!("id,value\n{rows}"));
}

/// The same bytes for both.
fn row(id: usize, text: &str) -> String {
    format!("{id},\"{}\"\n", text.replace('"', "\"\""))
}

/// One COPY a text, so that each stands for itself; gives what is stored then.
async fn copy_one_by_one(
    client: &Client,
    kind: &Kind,
    texts: &[String],
) -> BTreeMap<i64, Option<(String, Vec<u8>)>> {
    let table = format!("copied_{}", kind.dataset());
    let create = format!("CREATE TEMP TABLE {table} (id bigint, value {})", kind.postgres);
    client.batch_execute(&create).await.unwrap();
    let statement = format!("COPY {table} FROM STDIN (FORMAT csv)");
    let statement = client.prepare(&statement).await.unwrap();
    for (id, text) in texts.iter().enumerate() {
        let mut copy = pin!(client.copy_in(&statement).await.unwrap());
        copy.send(Bytes::from(row(id, text))).await.unwrap();
        // A text that Postgres refuses is one that is not there afterwards.
        let _ = copy.finish().await;
    }
    stored(client, kind, &table).await
}

/// By id, what Postgres shows and the bytes that it holds; `None` is NULL.
async fn stored(client: &Client, kind: &Kind, table: &str) -> BTreeMap<i64, Option<(String, Vec<u8>)>> {
    let select = format!("SELECT id, value::text, {}(value) FROM {table}", kind.send);
    let rows = client.query(&select, &[]).await.unwrap();
    let value = |row: &tokio_postgres::Row| Some((row.get::<_, Option<String>>(1)?, row.get(2)));
    rows.iter().map(|row| (row.get(0), value(row))).collect()
}
