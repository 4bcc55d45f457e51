//! Texts that one takes and the other refuses, as named classes. `docs/postgres.md` is made from them.

use regex::Regex;

/// Who takes it; the other refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Longshore,
    Postgres,
}

/// A class of texts that only one of the two takes.
pub(super) struct Difference {
    pub(super) types: &'static [&'static str],
    pub(super) taker: Taker,
    pub(super) what: &'static str,
    pub(super) example: &'static str,
    /// The whole text matches this, without the spaces around it.
    pattern: &'static str,
    /// And not this.
    unless: &'static str,
    /// The first version of Postgres in which it is so.
    pub(super) since: i64,
}

const EXACT: &[&str] = &["smallint", "integer", "bigint", "numeric"];
const WHOLE: &[&str] = &["smallint", "integer", "bigint"];
const FLOATS: &[&str] = &["real", "double", "real with non_finite", "double with non_finite"];
const TIMES: &[&str] = &["date", "timestamp", "timestamptz"];
const ALL_BUT_TEXT: &[&str] = &[
    "smallint",
    "integer",
    "bigint",
    "real",
    "double",
    "real with non_finite",
    "double with non_finite",
    "numeric",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "uuid",
];

const ISO_DATE: &str = r"[0-9]{4}-[0-9]{2}-[0-9]{2}";
const ISO_TIME: &str = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?";
const ISO_MOMENT: &str =
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?";

const BASE: Difference = Difference {
    types: &[],
    taker: Taker::Postgres,
    what: "",
    example: "",
    pattern: "",
    unless: "[^\0-\u{10ffff}]",
    since: 0,
};

/// The first class that holds counts.
pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        types: ALL_BUT_TEXT,
        taker: Taker::Longshore,
        what: "an empty field in quotes is NULL",
        example: "\"\"",
        pattern: "",
        ..BASE
    },
    Difference {
        types: ALL_BUT_TEXT,
        what: "tabs and line breaks around a value, which Longshore does not take for spaces",
        example: "\"1⏎\"",
        pattern: r"[\t\n\x0b\x0c\r].*|.*[\t\n\x0b\x0c\r]",
        ..BASE
    },
    Difference {
        types: &["uuid"],
        taker: Taker::Longshore,
        what: "spaces around a value",
        example: " 0197f9a4-7c2e-7b1d-8f00-0123456789ab",
        pattern: r".{36}",
        ..BASE
    },
    Difference {
        types: WHOLE,
        taker: Taker::Longshore,
        what: "a whole number with a fraction of zeros",
        example: "2.0",
        pattern: r"[+-]?[0-9]+\.0*",
        ..BASE
    },
    Difference {
        types: FLOATS,
        what: "hexadecimal numbers",
        example: "0x1F",
        pattern: r"[+-]?0[xX].*",
        ..BASE
    },
    Difference {
        types: EXACT,
        what: "hexadecimal, octal and binary numbers, and underscores between digits",
        example: "0x1F",
        pattern: r"[+-]?0[xX].*|[+-]?0[oObB][0-9_]+|[+-]?[0-9.eE_+-]+_[0-9.eE_+-]+",
        since: 16,
        ..BASE
    },
    Difference {
        types: &["real with non_finite", "double with non_finite"],
        what: "a NaN with a sign or in parentheses",
        example: "nan(1)",
        pattern: r"(?i)[+-]nan|[+-]?nan\([a-z0-9_]*\)",
        ..BASE
    },
    Difference {
        types: &["real", "double"],
        what: "NaN and infinities, unless the spec says `non_finite`",
        example: "NaN",
        pattern: r"(?i)[+-]?(nan(\([a-z0-9_]*\))?|inf|infinity)",
        ..BASE
    },
    Difference { types: &["numeric"], what: "NaN", example: "NaN", pattern: r"(?i)nan", ..BASE },
    Difference {
        types: &["numeric"],
        what: "more digits after the point than the scale has, which Postgres rounds",
        example: "0.12345",
        pattern: r"[+-]?[0-9]*\.?[0-9]*([eE][+-]?[0-9]+)?",
        unless: r"[+-]?[0-9]*\.?[0-9]{0,4}0*",
        ..BASE
    },
    Difference {
        types: &["numeric"],
        taker: Taker::Longshore,
        what: "a zero with an exponent of any size",
        example: "0e99999999",
        pattern: r"[+-]?0*\.?0*[eE][+-]?[0-9]{4,}",
        ..BASE
    },
    Difference {
        types: &["boolean"],
        what: "`on`, `off` and the beginnings of words",
        example: "fals",
        pattern: r"(?i)on|of|off|tru?|fal?s?|ye",
        ..BASE
    },
    Difference {
        types: TIMES,
        what: "words for days",
        example: "today",
        pattern: r"(?i)[+-]?infinity|epoch|today|tomorrow|yesterday|now",
        ..BASE
    },
    Difference {
        types: &["date"],
        what: "a time behind the date, which Postgres drops",
        example: "2024-02-29 10:00",
        pattern: r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T].*",
        ..BASE
    },
    Difference {
        types: &["timestamp", "timestamptz"],
        what: "a date without a time, which Postgres takes for midnight",
        example: "2024-02-29",
        pattern: ISO_DATE,
        ..BASE
    },
    Difference {
        types: &["timestamp", "timestamptz"],
        what: "the hour 24 and the second 60, which are the next day and minute to Postgres",
        example: "2024-02-29 23:59:60",
        pattern: r".{10}[ T](24:00(:00(\.0*)?)?|[0-9]{2}:[0-9]{2}:60(\.0*)?)([Z+-].*)?",
        ..BASE
    },
    Difference {
        types: &["timestamp", "timestamptz"],
        what: "more than six digits of a second's fraction, which Postgres rounds",
        example: "2024-02-29 10:00:00.1234567",
        pattern: r".*\.[0-9]{6}[0-9]*[1-9][0-9]*([Z+-].*)?",
        ..BASE
    },
    Difference {
        types: &["timestamp"],
        what: "a zone, which Postgres drops",
        example: "2024-02-29 10:00:00+01",
        pattern: r".{10}[ T].*([Z+-].*)",
        ..BASE
    },
    Difference {
        types: &["timestamptz"],
        what: "zones by name, and offsets of one digit or with seconds",
        example: "2024-02-29 10:00 CET",
        pattern: r".{10}[ T][0-9:.]+ ?([A-Za-z][A-Za-z0-9/+-]*|[+-].*)",
        unless: ISO_MOMENT,
        ..BASE
    },
    Difference {
        types: &["date"],
        what: "any other writing than `YYYY-MM-DD`, such as other orders, names of months, BC and years after 9999",
        example: "2/29/2024",
        pattern: r".*",
        unless: ISO_DATE,
        ..BASE
    },
    Difference {
        types: &["timestamp"],
        what: "any other writing than `YYYY-MM-DD HH:MM[:SS[.ffffff]]`",
        example: "Feb 29 2024 10:00 PM",
        pattern: r".*",
        unless: ISO_TIME,
        ..BASE
    },
    Difference {
        types: &["timestamptz"],
        what: "any other writing than `YYYY-MM-DD HH:MM[:SS[.ffffff]]` with `Z`, `±HH`, `±HHMM` or `±HH:MM`",
        example: "Feb 29 2024 10:00 PM",
        pattern: r".*",
        unless: ISO_MOMENT,
        ..BASE
    },
    Difference {
        types: &["uuid"],
        what: "braces, no hyphens, hyphens elsewhere",
        example: "{0197f9a47c2e7b1d8f000123456789ab}",
        pattern: r"\{?([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\}?",
        unless: r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        ..BASE
    },
];

/// The classes, ready to be asked.
pub(super) struct Classes(Vec<(Regex, Regex)>);

impl Classes {
    pub(super) fn new() -> Self {
        let whole = |pattern: &str| Regex::new(&format!(r"(?s)\A(?:{pattern})\z")).unwrap();
        Self(DIFFERENCES.iter().map(|class| (whole(class.pattern), whole(class.unless))).collect())
    }

    /// Which of [`DIFFERENCES`] a text that only the taker takes belongs to.
    pub(super) fn of(&self, type_name: &str, taker: Taker, text: &str) -> Option<usize> {
        let text = text.trim_matches(' ');
        DIFFERENCES.iter().zip(&self.0).position(|(class, (pattern, unless))| {
            class.taker == taker
                && class.types.contains(&type_name)
                && pattern.is_match(text)
                && !unless.is_match(text)
        })
    }
}

impl Difference {
    /// As a row of the page's table.
    pub(super) fn row(&self) -> [String; 4] {
        let (longshore, postgres) = match (self.taker, self.since) {
            (Taker::Longshore, _) => ("takes it", "refuses it".to_owned()),
            (Taker::Postgres, 0) => ("refuses it", "takes it".to_owned()),
            (Taker::Postgres, since) => ("refuses it", format!("takes it since {since}")),
        };
        let text = format!("{}: `{}`", self.what, self.example);
        let types =
            if self.types == ALL_BUT_TEXT { "all but text".to_owned() } else { self.types.join(", ") };
        [types, text, longshore.to_owned(), postgres]
    }
}
