//! What is written as CSV comes back equal.

use longshore_common::dataset::AsciiOrNone;
use proptest::prelude::*;

use super::super::testing::{dataset, read, texts};
use super::any_cuts;

/// How a table is written.
#[derive(Debug, Clone)]
struct Style {
    delimiter: u8,
    quote: u8,
    escape: Option<u8>,
    terminator: csv::Terminator,
    quote_style: csv::QuoteStyle,
}

fn any_style() -> impl Strategy<Value = Style> {
    let terminators = vec![csv::Terminator::CRLF, csv::Terminator::Any(b'\n'), csv::Terminator::Any(b'\r')];
    let styles = vec![csv::QuoteStyle::Always, csv::QuoteStyle::Necessary, csv::QuoteStyle::NonNumeric];
    let characters = (
        prop::sample::select(b",;\t| \x01".as_slice()),
        prop::sample::select(b"\"'".as_slice()),
        prop::sample::select(vec![None, Some(b'\\'), Some(b'!')]),
    );
    (characters, prop::sample::select(terminators), prop::sample::select(styles)).prop_map(
        |((delimiter, quote, escape), terminator, quote_style)| Style {
            delimiter,
            quote,
            escape,
            terminator,
            quote_style,
        },
    )
}

fn any_table() -> impl Strategy<Value = Vec<Vec<String>>> {
    (1..5_usize).prop_flat_map(|width| {
        let row = prop::collection::vec(
            "[ab,;|\t\"'\\\\!\r\n \u{e9}\u{feff}]{0,6}|[^\u{0}]{0,4}|[0-9.]{1,3}",
            width,
        );
        prop::collection::vec(row, 0..8)
    })
}

fn write(table: &[Vec<String>], names: &[String], style: &Style) -> Vec<u8> {
    let mut builder = csv::WriterBuilder::new();
    builder
        .delimiter(style.delimiter)
        .quote(style.quote)
        .quote_style(style.quote_style)
        .terminator(style.terminator)
        .double_quote(style.escape.is_none())
        .escape(style.escape.unwrap_or(b'\\'));
    let mut writer = builder.from_writer(Vec::new());
    writer.write_record(names).unwrap();
    table.iter().for_each(|row| writer.write_record(row).unwrap());
    writer.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_table_that_is_written_as_csv_comes_back_equal(
        mut table in any_table(),
        style in any_style(),
        cuts in any_cuts(),
    ) {
        // The writer leaves the escape character itself as it is, so that it could not be read back before a quote.
        if let Some(escape) = style.escape {
            table.iter_mut().flatten().for_each(|cell| *cell = cell.replace(char::from(escape), "e"));
        }
        let names: Vec<_> = (0..table.first().map_or(1, Vec::len)).map(|index| format!("c{index}")).collect();
        let columns: Vec<_> = names.iter().map(|name| (name.as_str(), "text")).collect();
        let mut dataset = dataset(&columns);
        dataset.csv.delimiter = char::from(style.delimiter);
        dataset.csv.quote = AsciiOrNone(Some(style.quote));
        dataset.csv.escape = AsciiOrNone(style.escape);
        dataset.csv.null = Vec::new();

        let input = write(&table, &names, &style);
        let (_, out, result) = read(&dataset, &input, &cuts);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(&out.rejects, &[]);
        prop_assert_eq!(texts(&out), table);
    }
}
