//! What a spec says of its columns, through the real binary: names, notations and rules.

use longshore_tests::Stage;

/// A dataset of this stage's inbox with these columns, applied.
async fn apply(stage: &Stage, table: &str, columns: &str) {
    let spec = format!(
        "name = \"columns\"\nsource = \"file://{}\"\n[discovery]\nsettle = \"0s\"\n[batch]\nmax_wait = \"0s\"\n\
         [target]\ntable = '''{table}'''\n{columns}",
        stage.inbox.display()
    );
    let path = stage.folder().join("columns.toml");
    std::fs::write(&path, spec).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
}

async fn load(stage: &Stage, file: &str) {
    stage.put("a.csv", file);
    stage.scan().await;
    stage.drain().await;
}

#[tokio::test]
async fn awkward_names_are_names_and_nothing_else() {
    let stage = Stage::new().await;
    let names = [
        r#"x"; DROP TABLE reporting.victim; --"#,
        "select",
        "Größe in %",
        " padded ",
        "a'b\\c",
        "$1",
        "x.y",
        r#""""#,
    ];
    stage.client().await.batch_execute("CREATE TABLE reporting.victim ()").await.unwrap();
    let column = |name: &&str| {
        format!(
            "[[columns]]\nname = '''{name}'''\nsource = '''{name}'''\ntype = \"text\"\ndescription = '''It's \"{name}\"'''\n"
        )
    };
    let columns: String = names.iter().map(column).collect();
    let table = r#"reporting.Odd "table"; DROP TABLE reporting.victim; --"#;
    apply(&stage, table, &columns).await;
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    load(&stage, &format!("{}\n1,2,3,4,5,6,7,8\n", quoted.join(","))).await;

    let found = "SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relname = 'Odd \"table\"; DROP TABLE reporting.victim; --' AND attnum > 0 ORDER BY attnum";
    let found = stage.texts(found).await;
    assert_eq!(found[..names.len()], names);
    let table = r#"reporting."Odd ""table""; DROP TABLE reporting.victim; --""#;
    let row = stage.texts(&format!("SELECT concat_ws(' ', {}) FROM {table}", quoted.join(", "))).await;
    assert_eq!(row, ["1 2 3 4 5 6 7 8"]);
    assert_eq!(stage.number("SELECT count(*) FROM reporting.victim").await, 0);
}

const RULES: &str = r#"
[rejects]
max_rows = 100
[[columns]]
name = "id"
type = "integer"
required = true
min = 1
max = 99
[[columns]]
name = "country"
type = "text"
null = ["-"]
trim = true
allowed = ["DE", "FR", ""]
[[columns]]
name = "code"
type = "text"
pattern = '[A-Z]{2}\d|free text'
max_length = 8
[[columns]]
name = "amount"
type = "numeric(9,2)"
decimal_comma = true
thousands = "."
min = "-0.5"
[[columns]]
name = "ratio"
type = "double"
non_finite = true
[[columns]]
name = "active"
type = "boolean"
true_values = ["J"]
false_values = ["N"]
[[columns]]
name = "born"
type = "date"
format = "%d.%m.%Y"
max = 2024-12-31
[[columns]]
name = "seen"
type = "timestamptz"
format = "%d.%m.%Y %H:%M:%S%.f %z"
"#;

const GOOD: [&str; 3] = [
    "1,DE,AB1,\"1.234.567,89\",0.5,J,29.02.2024,29.02.2024 23:05:06.5 +0100",
    "2.0,  FR ,AB2,\"-0,50\",-Infinity,n,31.12.2024,1.1.2024 0:00:00 +0000",
    "99,-,NA,7,NaN,NA,,",
];

/// A broken row, the column at fault, and the rule that it breaks.
const BROKEN: [(&str, &str, &str); 17] = [
    ("100,DE,AB1,1,1,J,,", "id", "max"),
    ("0,DE,AB1,1,1,J,,", "id", "min"),
    ("NA,DE,AB1,1,1,J,,", "id", "required"),
    ("2.5,DE,AB1,1,1,J,,", "id", "type"),
    ("3000000000,DE,AB1,1,1,J,,", "id", "range"),
    ("3,GB,AB1,1,1,J,,", "country", "allowed"),
    ("3,NA,AB1,1,1,J,,", "country", "allowed"),
    ("3,DE,AB12,1,1,J,,", "code", "pattern"),
    ("3,DE,free text,1,1,J,,", "code", "max_length"),
    ("3,DE,AB1,1.5,1,J,,", "amount", "type"),
    ("3,DE,AB1,\"0,001\",1,J,,", "amount", "range"),
    ("3,DE,AB1,\"-0,51\",1,J,,", "amount", "min"),
    ("3,DE,AB1,1,infinite,J,,", "ratio", "type"),
    ("3,DE,AB1,1,1,true,,", "active", "type"),
    ("3,DE,AB1,1,1,J,29.02.2023,", "born", "range"),
    ("3,DE,AB1,1,1,J,01.01.2025,", "born", "max"),
    ("3,DE,AB1,1,1,J,,29.02.2024", "seen", "type"),
];

#[tokio::test]
async fn every_rule_of_a_column_lets_the_good_rows_in_and_rejects_the_others() {
    let stage = Stage::new().await;
    apply(&stage, "reporting.ruled", RULES).await;
    let mut file = "id,country,code,amount,ratio,active,born,seen\n".to_owned();
    for (row, _, _) in BROKEN {
        file += &format!("{row}\n");
    }
    file += &GOOD.join("\n");
    load(&stage, &file).await;

    let rows =
        "SELECT concat_ws('|', id, coalesce(country, '∅'), coalesce(code, '∅'), amount, ratio, active, born,
        seen AT TIME ZONE 'UTC', _line) FROM reporting.ruled ORDER BY id";
    let expected = [
        "1|DE|AB1|1234567.89|0.5|t|2024-02-29|2024-02-29 22:05:06.5|19",
        "2|FR|AB2|-0.50|-Infinity|f|2024-12-31|2024-01-01 00:00:00|20",
        "99|∅|∅|7.00|NaN|21",
    ];
    assert_eq!(stage.texts(rows).await, expected);

    let rejects = stage.ok(&["rejects", "columns", "--json"]).await.json();
    let rejects = rejects.as_array().unwrap();
    assert_eq!(rejects.len(), BROKEN.len());
    for (index, (reject, (raw, column, rule))) in rejects.iter().zip(BROKEN).enumerate() {
        assert_eq!(reject["line"], index + 2, "{reject}");
        assert_eq!(
            (&reject["raw"], &reject["column"], &reject["rule"]),
            (&raw.into(), &column.into(), &rule.into())
        );
        assert!(reject["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{reject}");
    }
}

#[tokio::test]
async fn a_rule_that_cannot_hold_is_refused_when_the_spec_is_applied() {
    let stage = Stage::new().await;
    let cases = [
        ("type = \"integer\"\nmin = 0.5", "`columns.age.min`: `0.5` is not an integer"),
        ("type = \"integer\"\npattern = \"x\"", "`columns.age.pattern`: not for a column of type integer"),
        ("type = \"text\"\npattern = \"(\"", "`columns.age.pattern`: "),
        ("type = \"date\"\nformat = \"%d.%m.\"", "`columns.age.format`: `%d.%m.` does not give a whole date"),
    ];
    for (keys, expected) in cases {
        let spec = format!(
            "name = \"columns\"\nsource = \"file://{}\"\n[target]\ntable = \"reporting.t\"\n[[columns]]\nname = \"age\"\n{keys}\n",
            stage.inbox.display()
        );
        let path = stage.folder().join("columns.toml");
        std::fs::write(&path, spec).unwrap();
        let refused = stage.run(&["dataset", "apply", path.to_str().unwrap()]).await;
        assert!(refused.code != 0 && refused.stderr.contains(expected), "{keys}: {refused:?}");
    }
    assert_eq!(stage.number("SELECT count(*) FROM longshore.dataset").await, 0);
}
