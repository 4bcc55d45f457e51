//! The types and notations that a column is tried on, each by the code that types a load's rows.

use longshore_common::dataset::{Column, ColumnType};

use crate::rows::{PlanError, ValueTest};

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notation {
    pub(super) decimal_comma: bool,
    pub(super) thousands: Option<char>,
}

impl Notation {
    pub(super) const PLAIN: Self = Self { decimal_comma: false, thousands: None };

    pub(super) fn decimal_point(self) -> u8 {
        if self.decimal_comma { b',' } else { b'.' }
    }
}

/// In the order in which they are preferred where several fit.
pub(super) const NOTATIONS: [Notation; 7] = [
    Notation::PLAIN,
    Notation { decimal_comma: false, thousands: Some(',') },
    Notation { decimal_comma: true, thousands: None },
    Notation { decimal_comma: true, thousands: Some('.') },
    Notation { decimal_comma: true, thousands: Some(' ') },
    Notation { decimal_comma: false, thousands: Some(' ') },
    Notation { decimal_comma: false, thousands: Some('\'') },
];

/// The whole numbers' types, the narrowest first.
pub(super) const INTEGERS: [ColumnType; 3] = [ColumnType::SmallInt, ColumnType::Integer, ColumnType::BigInt];

/// Which of day and month comes first, where a format alone does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayOrder {
    DayFirst,
    MonthFirst,
}

/// A type of dates or times, and its format if it is not ISO 8601's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeForm {
    pub(super) column_type: ColumnType,
    pub(super) format: Option<String>,
    pub(super) order: Option<DayOrder>,
}

/// Days, the likelier first. Two digits of a year come behind four.
const DATE_FORMATS: [(&str, Option<DayOrder>); 18] = [
    ("%Y-%m-%d", None),
    ("%Y/%m/%d", None),
    ("%Y.%m.%d", None),
    ("%d.%m.%Y", None),
    ("%d/%m/%Y", Some(DayOrder::DayFirst)),
    ("%m/%d/%Y", Some(DayOrder::MonthFirst)),
    ("%d-%m-%Y", Some(DayOrder::DayFirst)),
    ("%m-%d-%Y", Some(DayOrder::MonthFirst)),
    ("%d.%m.%y", None),
    ("%d/%m/%y", Some(DayOrder::DayFirst)),
    ("%m/%d/%y", Some(DayOrder::MonthFirst)),
    ("%d-%b-%Y", None),
    ("%d-%b-%y", None),
    ("%d %b %Y", None),
    ("%d %B %Y", None),
    ("%b %d, %Y", None),
    ("%B %d, %Y", None),
    ("%Y%m%d", None),
];

/// How many of the date formats are tried with a time behind them.
const DATES_WITH_TIMES: usize = 11;
const TIME_FORMATS: [&str; 5] = ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p"];

/// The tests of all types and notations, shared by all columns.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) notations: Vec<NotationTests>,
    pub(super) times: Vec<TimeTest>,
    pub(super) uuid: ValueTest,
}

/// Whether a text is a date or time in one form.
#[derive(Debug)]
pub(super) struct TimeTest {
    pub(super) form: TimeForm,
    test: ValueTest,
}

/// Whether a text is a number in one notation, and a whole one.
#[derive(Debug)]
pub(super) struct NotationTests {
    pub(super) number: ValueTest,
    pub(super) integers: [ValueTest; 3],
}

impl Catalog {
    pub(super) fn new() -> Result<Self, PlanError> {
        let notations = NOTATIONS.into_iter().map(NotationTests::new).collect::<Result<_, _>>()?;
        let times = time_forms().into_iter().map(|form| {
            let column = Column { format: form.format.clone(), ..Column::new("value", form.column_type) };
            Ok(TimeTest { form, test: ValueTest::compile(&column)? })
        });
        let uuid = ValueTest::compile(&Column::new("value", ColumnType::Uuid))?;
        Ok(Self { notations, times: times.collect::<Result<_, _>>()?, uuid })
    }
}

impl TimeForm {
    /// Two digits of a year.
    pub(super) fn has_short_year(&self) -> bool {
        self.format.as_ref().is_some_and(|format| format.contains("%y"))
    }
}

impl TimeTest {
    pub(super) fn takes(&mut self, text: &[u8]) -> bool {
        (!self.form.has_short_year() || ends_in_short_year(text)) && self.test.takes(text)
    }
}

/// Whether the date, which a time may follow, ends in two digits: `1.2.3` is a version and no day.
fn ends_in_short_year(text: &[u8]) -> bool {
    let date = text.split(|&byte| byte == b' ').next().unwrap_or_default();
    let year = date.rsplit(|byte| !byte.is_ascii_digit()).next().unwrap_or_default();
    year.len() == 2
}

impl NotationTests {
    fn new(Notation { decimal_comma, thousands }: Notation) -> Result<Self, PlanError> {
        let test = |column_type| {
            ValueTest::compile(&Column { decimal_comma, thousands, ..Column::new("value", column_type) })
        };
        let [small, middle, big] = INTEGERS;
        Ok(Self { number: test(ColumnType::Double)?, integers: [test(small)?, test(middle)?, test(big)?] })
    }
}

/// In the order in which they are preferred where several fit.
fn time_forms() -> Vec<TimeForm> {
    let iso = [ColumnType::Date, ColumnType::Timestamp, ColumnType::TimestampTz];
    let mut forms: Vec<_> =
        iso.map(|column_type| TimeForm { column_type, format: None, order: None }).to_vec();
    let utc = TimeForm {
        column_type: ColumnType::TimestampTz,
        format: Some("%Y-%m-%d %H:%M:%S UTC".to_owned()),
        order: None,
    };
    forms.push(utc);
    for (format, order) in DATE_FORMATS {
        forms.push(TimeForm { column_type: ColumnType::Date, format: Some(format.to_owned()), order });
    }
    for (date, order) in &DATE_FORMATS[..DATES_WITH_TIMES] {
        for time in TIME_FORMATS {
            let format = Some(format!("{date} {time}"));
            forms.push(TimeForm { column_type: ColumnType::Timestamp, format, order: *order });
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Vec<String> {
        let mut catalog = Catalog::new().unwrap();
        let times = catalog.times.iter_mut().filter_map(|test| {
            let is_taken = test.takes(text.as_bytes());
            is_taken.then(|| test.form.format.clone().unwrap_or_else(|| test.form.column_type.to_string()))
        });
        times.collect()
    }

    #[test]
    fn the_first_form_that_takes_a_time_is_the_one_to_choose() {
        let cases = [
            ("2024-02-29", "date"),
            ("2024-02-29 10:00", "timestamp"),
            ("2024-02-29T10:00:00.5", "timestamp"),
            ("2024-02-29T10:00:00Z", "timestamptz"),
            ("2024-02-29 10:00:00+02:00", "timestamptz"),
            ("2024-02-29 10:00:00 UTC", "%Y-%m-%d %H:%M:%S UTC"),
            ("2024-2-9", "%Y-%m-%d"),
            ("29.02.2024", "%d.%m.%Y"),
            ("29.2.24", "%d.%m.%y"),
            ("29/02/2024", "%d/%m/%Y"),
            ("02/29/2024", "%m/%d/%Y"),
            ("29-Feb-2024", "%d-%b-%Y"),
            ("29 February 2024", "%d %B %Y"),
            ("Feb 29, 2024", "%b %d, %Y"),
            ("29.02.2024 10:00", "%d.%m.%Y %H:%M"),
            ("02/29/2024 10:00:00 PM", "%m/%d/%Y %I:%M:%S %p"),
            ("20240229", "%Y%m%d"),
        ];
        for (text, form) in cases {
            assert_eq!(taken(text).first().map(String::as_str), Some(form), "{text}: {:?}", taken(text));
        }
        for text in ["", "1", "2024", "10:00", "2.5", "1/2", "May", "1.2.3", "127.0.0.1"] {
            assert_eq!(taken(text), [""; 0], "{text}");
        }
    }
}
