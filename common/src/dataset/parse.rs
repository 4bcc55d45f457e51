//! From a spec's text to a checked [`Dataset`].

use super::{error::SpecError, spec::Dataset};

/// Reads and checks a spec. `path` is what errors call the file; `variable` gives the value of an environment variable.
pub fn parse_spec(
    path: &str,
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Dataset, SpecError> {
    let expanded = expand_variables(text, variable).map_err(|(line, message)| SpecError::Syntax {
        path: path.to_owned(),
        line,
        key: None,
        message,
    })?;
    let mut dataset: Dataset = toml::from_str(&expanded).map_err(|error| syntax(path, &expanded, &error))?;
    trim_slashes(&mut dataset.source);
    if let Some(move_to) = &mut dataset.discovery.move_to {
        trim_slashes(move_to);
    }
    dataset.check().map_err(|(key, message)| SpecError::Rule { path: path.to_owned(), key, message })?;
    Ok(dataset)
}

/// `file:///` alone keeps its slashes: it is the root.
fn trim_slashes(url: &mut String) {
    let trimmed = url.trim_end_matches('/').len();
    if trimmed > "file://".len() {
        url.truncate(trimmed);
    }
}

fn syntax(path: &str, text: &str, error: &toml::de::Error) -> SpecError {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text[..offset].matches('\n').count() + 1;
    let key = text
        .lines()
        .nth(line - 1)
        .and_then(|content| content.split_once('='))
        .map(|(key, _)| key.trim().trim_matches('"').to_owned());
    let message = error.message().trim().replace('\n', " ");
    SpecError::Syntax { path: path.to_owned(), line, key, message }
}

/// Replaces `${NAME}` and `${NAME:-default}`; comment lines stay as they are. An error is a line and a sentence.
fn expand_variables(
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, (usize, String)> {
    let mut expanded = String::with_capacity(text.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_start().starts_with('#') {
            expanded.push_str(line);
        } else {
            expand_line(line, &variable, &mut expanded).map_err(|message| (index + 1, message))?;
        }
    }
    Ok(expanded)
}

fn expand_line(
    line: &str,
    variable: &impl Fn(&str) -> Option<String>,
    expanded: &mut String,
) -> Result<(), String> {
    let mut rest = line;
    while let Some(start) = rest.find("${") {
        expanded.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end = inside.find('}').ok_or("`${` without its `}`; write ${NAME} or ${NAME:-default}")?;
        let (name, default) = match inside[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        let value = variable(name).filter(|value| !value.is_empty()).or(default.map(str::to_owned));
        let value = value.ok_or_else(|| {
            format!("the environment variable `{name}` is not set; set it or write ${{{name}:-default}}")
        })?;
        // The value lands inside a TOML string: what could end that string is refused, not escaped by guess.
        if value.contains(['"', '\\', '\n', '\r']) {
            return Err(format!(
                "the value of `{name}` has a quote, backslash or line break, which a spec cannot hold"
            ));
        }
        expanded.push_str(&value);
        rest = &inside[end + 1..];
    }
    expanded.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Csv, FileEncoding, HeaderLines, OnChange, StrayQuotes};
    use super::*;

    const SMALLEST: &str = r#"
name = "orders"
source = "file:///srv/orders/"
[target]
table = "reporting.orders"
[[columns]]
name = "id"
type = "bigint"
required = true
"#;

    fn parse(text: &str) -> Result<Dataset, String> {
        parse_spec("orders.toml", text, |_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_smallest_spec_has_the_documented_defaults() {
        let dataset = parse(SMALLEST).unwrap();
        assert_eq!(dataset.source, "file:///srv/orders");
        assert_eq!(dataset.schedule.to_string(), "0 * * * *");
        assert_eq!(dataset.batch.max_bytes.0, 64 << 20);
        assert_eq!(dataset.csv.null, ["", "NA"]);
        assert!(!dataset.discovery.follow_links);
        assert_eq!(dataset.columns[0].header_name(), "id");
        assert_eq!(String::from(dataset.discovery.audit.clone()), "0 3 * * *");
        assert_eq!(String::from(dataset.discovery.partition), "");
    }

    #[test]
    fn what_becomes_of_changed_files_is_one_of_four() {
        assert_eq!(parse(SMALLEST).unwrap().discovery.on_change, OnChange::Replace);
        let values = [
            ("replace", OnChange::Replace),
            ("append", OnChange::Append),
            ("ignore", OnChange::Ignore),
            ("fail", OnChange::Fail),
        ];
        for (text, expected) in values {
            let spec =
                SMALLEST.replace("[target]", &format!("[discovery]\non_change = \"{text}\"\n[target]"));
            assert_eq!(parse(&spec).unwrap().discovery.on_change, expected);
        }
    }

    #[test]
    fn a_source_may_be_a_bucket_and_a_prefix_where_no_links_are() {
        let bucket = SMALLEST.replace("file:///srv/orders/", "s3://bucket/orders/");
        assert_eq!(parse(&bucket).unwrap().source, "s3://bucket/orders");
        let follows = |spec: &str| parse(&format!("{spec}[discovery]\nfollow_links = true\n"));
        assert!(follows(SMALLEST).unwrap().discovery.follow_links);
        let message = follows(&bucket).unwrap_err();
        assert!(message.contains("key `discovery.follow_links`") && message.contains("file://"), "{message}");
    }

    #[test]
    fn a_stored_spec_reads_back_equal() {
        let continuous = SMALLEST.replace("[target]", "schedule = \"continuous\"\n[target]");
        for text in [SMALLEST, &continuous] {
            let dataset = parse(text).unwrap();
            let stored = serde_json::to_value(&dataset).unwrap();
            assert_eq!(serde_json::from_value::<Dataset>(stored).unwrap(), dataset);
        }
    }

    #[test]
    fn a_spec_that_was_stored_before_a_key_existed_has_the_keys_default() {
        let mut stored = serde_json::to_value(parse(SMALLEST).unwrap()).unwrap();
        stored["csv"] = serde_json::json!({
            "delimiter": ";", "quote": "'", "null": [""], "max_record_bytes": "1 MiB", "extra_columns": "ignore"
        });
        let csv = serde_json::from_value::<Dataset>(stored).unwrap().csv;
        assert_eq!((csv.delimiter, csv.quote.0, csv.escape.0, csv.comment.0), (';', Some(b'\''), None, None));
        assert_eq!((csv.header, csv.skip_lines, csv.encoding), (HeaderLines(1), 0, FileEncoding::Auto));
        assert_eq!(csv.stray_quotes, StrayQuotes::RejectAmbiguous);
        assert_eq!((csv.max_rows, csv.max_bytes.0, csv.max_ratio), (100_000_000, 64 << 30, 200));
    }

    #[test]
    fn every_key_about_the_files_is_read_and_stored() {
        let csv = "[csv]\ndelimiter = \"¦\"\nquote = \"'\"\nescape = \"\\\\\"\ncomment = \"#\"\n\
                   header = 2\nskip_lines = 3\nencoding = \"Latin1\"\n\
                   max_rows = 5\nmax_bytes = \"2 GiB\"\nmax_ratio = 50\nstray_quotes = \"literal\"\n[target]";
        let dataset = parse(&SMALLEST.replace("[target]", csv)).unwrap();
        let Csv { delimiter, quote, escape, comment, header, skip_lines, encoding, .. } = &dataset.csv;
        assert_eq!(
            (*delimiter, quote.0, escape.0, comment.0),
            ('\u{a6}', Some(b'\''), Some(b'\\'), Some(b'#'))
        );
        assert_eq!((*header, *skip_lines), (HeaderLines(2), 3));
        assert_eq!(String::from(*encoding), "windows-1252");
        let bounds = (dataset.csv.max_rows, dataset.csv.max_bytes.0, dataset.csv.max_ratio);
        assert_eq!((bounds, dataset.csv.stray_quotes), ((5, 2 << 30, 50), StrayQuotes::Literal));
        let stored = serde_json::to_value(&dataset).unwrap();
        assert_eq!(serde_json::from_value::<Dataset>(stored).unwrap(), dataset);
        for (header, lines) in [("true", 1), ("false", 0), ("0", 0), ("100", 100)] {
            let spec = SMALLEST.replace("[target]", &format!("[csv]\nheader = {header}\n[target]"));
            assert_eq!(parse(&spec).unwrap().csv.header, HeaderLines(lines));
        }
    }

    #[test]
    fn what_a_file_cannot_look_like_is_refused_by_key() {
        let single = "one ASCII character";
        let cases = [
            ("delimiter = \"\"", "`delimiter`", "a character"),
            ("delimiter = \", \"", "`delimiter`", "a character"),
            ("delimiter = \"\\n\"", "`csv.delimiter`", "no line break"),
            ("quote = \"ab\"", "`quote`", single),
            ("quote = \"»\"", "`quote`", single),
            ("quote = \",\"", "`csv.quote`", "csv.delimiter"),
            ("escape = \"\\r\"", "`escape`", single),
            ("escape = \"\\\"\"", "`csv.escape`", "doubled quotes"),
            ("escape = \",\"", "`csv.escape`", "csv.delimiter"),
            ("quote = \"\"\nescape = \"!\"", "`csv.escape`", "csv.quote"),
            ("comment = \"//\"", "`comment`", single),
            ("comment = \",\"", "`csv.comment`", "csv.delimiter"),
            ("header = 101", "`header`", "from 0 to 100"),
            ("header = -1", "`header`", "from 0 to 100"),
            ("header = \"yes\"", "`header`", "true, false or a number"),
            ("skip_lines = -1", "`skip_lines`", "-1"),
            ("encoding = \"utf-9\"", "`encoding`", "`windows-1252`"),
            ("encoding = \"iso-2022-kr\"", "`encoding`", "`auto`"),
            ("stray_quotes = \"text\"", "`stray_quotes`", "`literal`"),
            ("max_rows = 0", "`csv.max_rows`", "one row"),
            ("max_rows = -1", "`max_rows`", "-1"),
            ("max_bytes = \"0 B\"", "`csv.max_bytes`", "`64 GiB`"),
            ("max_bytes = 5", "`max_bytes`", "a string"),
            ("max_ratio = 0", "`csv.max_ratio`", "200"),
            ("max_record_bytes = \"1 B\"", "`csv.max_record_bytes`", "`16 MiB`"),
        ];
        for (keys, place, allowed) in cases {
            let message =
                parse(&SMALLEST.replace("[target]", &format!("[csv]\n{keys}\n[target]"))).unwrap_err();
            assert!(message.contains(place) && message.contains(allowed), "{keys}: {message}");
        }
        let by_position = SMALLEST
            .replace("[target]", "[csv]\nheader = false\n[target]")
            .replace("name = \"id\"", "name = \"id\"\nsource = \"ID\"");
        let message = parse(&by_position).unwrap_err();
        assert!(message.contains("`columns.source`") && message.contains("position"), "{message}");
    }

    #[test]
    fn a_refusal_names_file_line_key_and_what_is_allowed() {
        let cases = [
            ("name = \"orders\"", "nmae = \"orders\"", "line 2", "unknown field `nmae`"),
            ("[target]", "schedule = \"hourly\"\n[target]", "key `schedule`", "five fields"),
            ("[target]", "schedule = \"always\"\n[target]", "key `schedule`", "or `continuous`"),
            ("type = \"bigint\"", "type = \"int\"", "key `type`", "smallint, integer"),
            ("[target]", "[batch]\nmax_bytes = \"lots\"\n[target]", "key `max_bytes`", "orders.toml"),
            ("[target]", "[batch]\nmax_wait = \"5\"\n[target]", "key `max_wait`", "`5s`"),
            ("file:///srv/orders/", "gs://bucket/x", "key `source`", "s3://bucket/prefix"),
            ("file:///srv/orders/", "srv/orders", "key `source`", "file:///"),
            ("reporting.orders", "public.orders", "key `target.table`", "`reporting.`"),
            ("name = \"id\"", "name = \"_line\"", "key `columns.name`", "lineage"),
            ("name = \"orders\"", "name = \"Or ders\"", "key `name`", "lower-case"),
            ("[target]", "include = []\n[target]", "key `include`", "**/*.csv"),
            (
                "[target]",
                "[discovery]\nmin_rows_ratio = 0.0\n[target]",
                "`discovery.min_rows_ratio`",
                "up to 1.0",
            ),
            (
                "[target]",
                "[discovery]\nmin_rows_ratio = nan\n[target]",
                "`discovery.min_rows_ratio`",
                "up to 1.0",
            ),
            (
                "[target]",
                "[discovery]\nmin_rows_ratio = 0.5\non_change = \"append\"\n[target]",
                "`discovery.min_rows_ratio`",
                "only with",
            ),
            ("[target]", "[discovery]\non_change = \"reload\"\n[target]", "key `on_change`", "`replace`"),
            ("[target]", "partition = \"%Y\"\n[target]", "line 4", "unknown field"),
            ("[target]", "[discovery]\npartition = \"%H\"\n[target]", "key `partition`", "%Y/%m/%d/%H/"),
            ("[target]", "[discovery]\naudit = \"daily\"\n[target]", "key `audit`", "five fields"),
            (
                "[target]",
                "[discovery]\npartition = \"%Y/%j/%H%M\"\nlookback = \"10y\"\n[target]",
                "key `discovery.lookback`",
                "allowed are 10000",
            ),
        ];
        for (from, to, place, allowed) in cases {
            let message = parse(&SMALLEST.replace(from, to)).unwrap_err();
            assert!(message.starts_with("orders.toml, "), "{message}");
            assert!(message.contains(place) && message.contains(allowed), "{to}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn variables_are_expanded_with_defaults_and_a_missing_one_is_named() {
        let lookup = |name: &str| (name == "SET").then(|| "value".to_owned());
        let expand = |text: &str| expand_variables(text, lookup);
        assert_eq!(expand("a = \"${SET}-${UNSET:-other}\"").unwrap(), "a = \"value-other\"");
        assert_eq!(expand("# ${UNSET}\n").unwrap(), "# ${UNSET}\n");
        let (line, message) = expand("\na = \"${UNSET}\"").unwrap_err();
        assert_eq!(line, 2);
        assert!(message.contains("`UNSET`"));
        assert!(expand("a = \"${SET\"").is_err());
        assert!(expand_variables("${X}", |_| Some("a\"b".to_owned())).is_err());
    }
}
