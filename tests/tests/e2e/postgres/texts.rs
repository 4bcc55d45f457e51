//! Texts to be typed: regular ones, near misses and what belongs to another type. The same at every run.

use std::collections::BTreeSet;

use proptest::{prelude::*, strategy::ValueTree, string::string_regex, test_runner::TestRunner};

/// How many each pattern gives.
const TEXTS_A_PATTERN: usize = 130;

/// Spaces of every kind, some of which only Unicode calls so.
const SPACE: &str = "[ \t\n\r\u{b}\u{c}\u{a0}\u{2009}]";

const WHOLE: [&str; 11] = [
    "[+-]?[0-9]{1,5}",
    "[+-]?[0-9]{4,21}",
    "[+-]?0{1,3}[0-9]{1,4}(\\.0{0,3})?",
    "[+-]?[0-9]{0,5}\\.[0-9]{0,3}",
    "[+-]?[0-9]{1,3}[eE][+-]?[0-9]{0,3}",
    "-?0[xXoObB]_?[0-9a-fA-F]{0,5}",
    "[0-9]{1,3}(_{1,2}[0-9]{1,3}){1,2}_?",
    "[0-9]{1,3}([,' .][0-9]{3}){1,2}",
    "-?3276[5-9]|-?214748364[5-9]|-?922337203685477580[5-9]|-?1844674407370955161[4-7]",
    "[+-]{0,3}[0-9]?",
    "[\u{660}-\u{669}\u{ff10}-\u{ff19}]{1,3}|\u{2212}[0-9]|[0-9]\u{bd}|[0-9][a-z]",
];
const DECIMAL: [&str; 8] = [
    "[+-]?[0-9]{1,3}\\.[0-9]{1,2}",
    "[+-]?[0-9]{0,25}\\.[0-9]{0,25}",
    "[+-]?[0-9]{0,3}\\.?[0-9]{0,3}[eE][+-]?[0-9]{1,3}",
    "-?0[eE]-?[0-9]{1,10}|1[eE][+-]?[0-9]{3,10}",
    "[+-]?(nan|NaN|NAN|inf|Inf|INF|infinity|Infinity|infinit|nan\\(1\\))",
    "-?0[xX][0-9a-f]{0,2}\\.?[0-9a-f]{1,2}(p[+-]?[0-9]{1,2})?",
    "[0-9]{1,3},[0-9]{1,2}|[$\u{20ac}][0-9]{1,3}|[0-9]{1,2}%|[0-9]{1,2}[dfDF]",
    "3\\.402823[45][0-9]e38|1\\.797693134862315[789]e308|[1-9]e-(4[3-7]|32[2-5])|1\\.17549[0-9]{3}e-38",
];
const BOOLEAN: [&str; 2] = [
    "([tT]|[tT]r|TRU|true|True|tRuE|[fF]|fa|Fals|false|FALSE|[yY]|ye|yes|YES|[nN]|no|No|on|ON|of|off|OFF|o)",
    "[01]{1,2}|[2-9]|-1|1\\.0|truee|yess|ja|nein|\u{221a}|x",
];
const DATE: [&str; 9] = [
    "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    "[0-9]{4}-[01][0-9]-[0-3][0-9]",
    "(1900|2000|2023|2024|2100|0004)-02-(28|29|30)",
    "[0-9]{1,4}[-/. ][0-9]{1,2}[-/. ][0-9]{1,4}",
    "[0-9]{6,8}|[0-9]{1,6}-[0-9]{1,3}|J[0-9]{7}|[0-9]{4}\\.[0-9]{3}",
    "-?[0-9]{5,7}-[01][0-9]-[0-3][0-9]|[0-9]{4}-[01][0-9]-[0-3][0-9] (BC|AD|bc)",
    "(Jan|feb|MARCH|Sept|dec|Foo) [0-9]{1,2},? [0-9]{4}|[0-9]{1,2}[- ](jan|Feb|August)[- ]([0-9]{4}|[0-9]{2})",
    "infinity|-infinity|epoch|today|tomorrow|yesterday|now|NULL|0000-00-00",
    "(Mon|tuesday|Sun),? [0-9]{4}-0[1-9]-1[0-9]|[0-9]{4}-0[1-9]-1[0-9]T?",
];
const TIME: [&str; 9] = [
    "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9])[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
    "2024-0[1-9]-1[0-9][ T]1[0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{1,6}",
    "2024-0[1-9]-1[0-9][ T]1[0-9]:[0-5][0-9]:[0-5][0-9][.,][0-9]{0,9}",
    "2024-02-(28|29|30)[ Tt_]{0,2}(23|24|25)(:[0-6][0-9]){0,3}",
    "(0001|1582|9999)-(01|12)-(01|31)[ T](00:00|23:59)(:00|:60|:61)?",
    "2024-0[1-9]-1[0-9] [0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2})?( ?(am|PM))?",
    "2024-0[1-9]-1[0-9]T?[0-9]{4,6}|2024[01][0-9][0-3][0-9]T[0-9]{4,6}|[0-9]{10}",
    "[0-9]{1,2}/[0-9]{1,2}/(20)?[0-9]{2} 1[0-9]:[0-5][0-9]|2024-0[1-9]-1[0-9] 10:00:00 BC",
    "2024-0[1-9]-1[0-9]( |  |\t|T)10:[0-5][0-9](:00)?",
];
const ZONE: [&str; 6] = [
    "2024-(0[1-9]|1[0-2])-1[0-9][ T]1[0-9]:[0-5][0-9]:00([Zz]|[+-][01][0-9](:?[0-5][0-9])?)",
    "2024-0[1-9]-1[0-9] 10:00:00 ?[+-][0-9]{1,2}(:?[0-9]{1,2}){0,2}",
    "2024-0[1-9]-1[0-9] 10:00( UTC| ?GMT| CET| ?EST| PST8PDT| Europe/Berlin| Mars/Base|UTC[+-]1| zulu)",
    "(0001|9999)-(01|12)-(01|31) (00:00|23:59)[+-](14|15:59|16|00)",
    "2024-0[1-9]-1[0-9] 10:00:00\\.[0-9]{1,8}(Z|\\+01|-0330)",
    "2024-03-1[0-9] 10:00 ?[+-](1[4-7]|0)(:?[56][0-9])?",
];
const UUID: [&str; 4] = [
    "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
    "[{(]?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}[})]?",
    "([0-9a-f]{4}-?){7}[0-9a-g]{4}|urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
];
const TEXT: [&str; 3] = ["[a-z \",;'\\\\\n\r\t]{0,12}", "[^\u{0}]{0,12}", "\\\\\\.|\\\\[nNt]|NULL|NA| {1,3}"];

/// The texts for a type.
pub(super) fn of(type_name: &str) -> Vec<String> {
    let own: &[&[&str]] = match type_name {
        "smallint" | "integer" | "bigint" => &[&WHOLE],
        "real" | "double" | "numeric(12,4)" => &[&WHOLE, &DECIMAL],
        "boolean" => &[&BOOLEAN],
        "date" => &[&DATE, &TIME],
        "timestamp" | "timestamptz" => &[&DATE, &TIME, &ZONE],
        "uuid" => &[&UUID],
        "text" => &[&TEXT],
        other => panic!("no texts for {other}"),
    };
    let all = [&WHOLE[..], &DECIMAL, &BOOLEAN, &DATE, &TIME, &ZONE, &UUID, &TEXT];
    let mut runner = TestRunner::deterministic();
    let mut texts = BTreeSet::from([String::new()]);
    for pattern in own.iter().copied().flatten() {
        draw(&mut runner, spaced(pattern), TEXTS_A_PATTERN, &mut texts);
        draw(&mut runner, mistyped(pattern), TEXTS_A_PATTERN / 2, &mut texts);
    }
    for pattern in all.into_iter().flatten() {
        draw(&mut runner, text(pattern), 5, &mut texts);
    }
    texts.into_iter().collect()
}

fn draw(
    runner: &mut TestRunner,
    strategy: impl Strategy<Value = String>,
    count: usize,
    texts: &mut BTreeSet<String>,
) {
    texts.extend((0..count).map(|_| strategy.new_tree(runner).unwrap().current()));
}

fn text(pattern: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

/// Now and then with something like a space around it.
fn spaced(pattern: &str) -> impl Strategy<Value = String> + use<> {
    let around = || prop_oneof![12 => Just(String::new()), 1 => text(&format!("{SPACE}{{1,2}}"))];
    (around(), text(pattern), around()).prop_map(|(before, text, after)| before + &text + &after)
}

/// With one character changed, left out, doubled or put in.
fn mistyped(pattern: &str) -> impl Strategy<Value = String> + use<> {
    let typed = text("[0-9a-fzTZ+:,./ _-]");
    (text(pattern), any::<prop::sample::Index>(), 0..4, typed).prop_map(|(text, place, slip, typed)| {
        let mut letters: Vec<char> = text.chars().collect();
        let at = place.index(letters.len() + 1);
        let typed = typed.chars().next().unwrap_or('0');
        match slip {
            0 if at < letters.len() => letters[at] = typed,
            1 if at < letters.len() => drop(letters.remove(at)),
            2 if at < letters.len() => letters.insert(at, letters[at]),
            _ => letters.insert(at, typed),
        }
        letters.into_iter().collect()
    })
}
