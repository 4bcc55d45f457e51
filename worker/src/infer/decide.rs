//! From the profile of each column to its type and notation.

use longshore_common::dataset::{Column, ColumnType};

use super::{
    catalog::{Catalog, DayOrder, INTEGERS, NOTATIONS, Notation, TimeForm},
    profile::{Digits, Profile, is_null_word},
};

/// Longer fractions are what computers print of binary numbers.
const MAX_FRACTION: usize = 6;
/// Digits before the decimal point that are allowed for, more than any sample shows.
const ROOM: usize = 12;
/// What a whole number has at most, before it is a code.
const MAX_INTEGRAL: usize = 38;
/// Then the other values may be errors.
const MOSTLY: f64 = 0.9;
/// Words for true and false; where one letter or a short word alone could mean anything, both must appear.
const BOOLEANS: [(&str, &str, bool); 7] = [
    ("true", "false", false),
    ("t", "f", true),
    ("yes", "no", true),
    ("y", "n", true),
    ("ja", "nein", true),
    ("j", "n", true),
    ("oui", "non", true),
];
/// No value, whatever the column's type is: databases write it, and nobody else does.
const NEVER_TEXT: &str = "\\N";
/// How many of these need no words of their own in the spec.
const BUILT_IN_BOOLEANS: usize = 4;

/// What the whole file shows where a single column leaves it open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Evidence {
    decimal_comma: Option<bool>,
    day_order: Option<DayOrder>,
}

/// A column's type, without its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    /// `null` is not decided here.
    pub(super) column: Column,
    /// What to check, in words that hold no value of a file.
    pub(super) notes: Vec<String>,
}

impl Decision {
    pub(super) fn text() -> Self {
        Self { column: Column::new("", ColumnType::Text), notes: Vec::new() }
    }

    /// Text, because the column rejects values of its samples.
    pub(super) fn fallen_back(&self) -> Self {
        let note = format!("Looks like {}, but some of its values are not.", self.column.column_type);
        Self { notes: [self.notes.clone(), vec![note]].concat(), ..Self::text() }
    }

    fn plain(column_type: ColumnType) -> Self {
        Self { column: Column::new("", column_type), notes: Vec::new() }
    }

    fn noted(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Decides on all columns; `names` are theirs.
pub(super) fn decide(profiles: &[Profile], names: &[String], catalog: &Catalog) -> Vec<Decision> {
    let evidence = Evidence::of(profiles, catalog);
    profiles.iter().zip(names).map(|(profile, name)| decide_one(profile, name, evidence, catalog)).collect()
}

fn decide_one(profile: &Profile, name: &str, evidence: Evidence, catalog: &Catalog) -> Decision {
    let decision = match () {
        () if profile.values == 0 && profile.quoted_tokens == 0 && profile.rows > 0 => {
            Decision::text().noted("No value in the sample, so its type is not known.")
        }
        () if profile.values == 0 => Decision::text(),
        () if profile.is_uuid => Decision::plain(ColumnType::Uuid),
        () => boolean(profile)
            .or_else(|| day_without_signs(profile, name, catalog))
            .or_else(|| number(profile, evidence))
            .or_else(|| time(profile, evidence, catalog))
            .unwrap_or_else(|| text(profile)),
    };
    let is_typed = decision.column.column_type != ColumnType::Text;
    match profile.quoted_tokens {
        count if count > 0 && is_typed => Decision::text().noted(format!(
            "Looks like {}, but words for \"no value\" stand in quotes there ({count} times), and what is quoted is a text.",
            decision.column.column_type
        )),
        _ => decision,
    }
}

fn text(profile: &Profile) -> Decision {
    let Profile { values, number_like, .. } = *profile;
    if profile.numbers.leading_zeros && number_like == values {
        return Decision::text().noted("Digits with zeros before them are codes, and codes are text.");
    }
    if number_like < values && number_like as f64 >= MOSTLY * values as f64 {
        return Decision::text().noted(format!(
            "{number_like} of {values} values look like numbers: if the others are errors, set a number's type, and their \
             rows are rejected."
        ));
    }
    Decision::text()
}

fn boolean(profile: &Profile) -> Option<Decision> {
    let words = profile.words.as_ref()?;
    let place = BOOLEANS.iter().position(|(yes, no, needs_both)| {
        words.iter().all(|word| word == yes || word == no) && (words.len() == 2 || !needs_both)
    })?;
    let mut decision = Decision::plain(ColumnType::Boolean);
    if place >= BUILT_IN_BOOLEANS {
        let (yes, no, _) = BOOLEANS[place];
        decision.column.true_values = Some(vec![yes.to_owned()]);
        decision.column.false_values = Some(vec![no.to_owned()]);
    }
    Some(decision)
}

/// Eight digits are a day only if the column says so.
fn day_without_signs(profile: &Profile, name: &str, catalog: &Catalog) -> Option<Decision> {
    let says_so = ["date", "day", "datum"].iter().any(|word| name.contains(word));
    let form = forms(profile, catalog).find(|form| form.format.as_deref() == Some("%Y%m%d"))?;
    (says_so && profile.numbers.fit).then(|| timed(form))
}

fn number(profile: &Profile, evidence: Evidence) -> Option<Decision> {
    let numbers = &profile.numbers;
    if !numbers.fit || numbers.infinite == profile.values {
        return None;
    }
    let place = match notation(profile, evidence) {
        Ok(place) => place,
        Err(note) => return Some(Decision::text().noted(note)),
    };
    let digits = numbers.plain.join(numbers.notations[place].unwrap_or_default());
    let has_gaps = profile.empty > 0 || !profile.tokens.is_empty();
    let column_type = number_type(digits, numbers.infinite > 0, has_gaps)?;
    let mut decision = Decision::plain(column_type);
    let Notation { decimal_comma, thousands } = NOTATIONS[place];
    decision.column.decimal_comma = decimal_comma;
    decision.column.thousands = thousands;
    decision.column.non_finite = numbers.infinite > 0;
    if digits.integer < INTEGERS.len() && digits.fraction > 0 && INTEGERS.contains(&column_type) {
        decision = decision.noted("Whole numbers, all written with a decimal point.");
    }
    Some(decision)
}

/// The narrowest type that holds all of them. A numeric has room before its point: there it costs nothing.
fn number_type(digits: Digits, is_infinite: bool, has_gaps: bool) -> Option<ColumnType> {
    // pandas writes whole numbers as `2.0` if values are missing among them.
    let is_whole = digits.fraction == 0 || (digits.fraction == 1 && has_gaps);
    let numeric = |integral: usize, scale: usize| {
        let precision = u16::try_from(integral + scale).ok().filter(|&digits| digits <= 1000)?;
        Some(ColumnType::Numeric { precision, scale: u16::try_from(scale).ok()? })
    };
    match digits {
        _ if is_infinite || digits.has_exponent || digits.fraction > MAX_FRACTION => Some(ColumnType::Double),
        Digits { integer, .. } if integer < INTEGERS.len() && is_whole => Some(INTEGERS[integer]),
        Digits { integral, fraction: 0, .. } if integral <= MAX_INTEGRAL => numeric(integral, 0),
        Digits { fraction: 0, .. } => None,
        Digits { integral, fraction, .. } => numeric(integral.max(ROOM), fraction),
    }
}

/// The place of the notation in which all values are read; an error is a note on what they could be.
fn notation(profile: &Profile, evidence: Evidence) -> Result<usize, &'static str> {
    let fits = |place: usize| profile.numbers.notations[place].is_some();
    let untouched = |place: usize| profile.numbers.notations[place] == Some(Digits::default());
    let first = (0..NOTATIONS.len()).find(|&place| fits(place)).unwrap_or(0);
    if untouched(first) {
        return Ok(0);
    }
    let comma = |place: &usize| fits(*place) && NOTATIONS[*place].decimal_comma;
    let point = |place: &usize| fits(*place) && !NOTATIONS[*place].decimal_comma;
    let find = |fits: &dyn Fn(&usize) -> bool| (0..NOTATIONS.len()).find(|place| fits(place));
    match (find(&point), find(&comma), evidence.decimal_comma) {
        (Some(_), Some(comma), Some(true)) => Ok(comma),
        (Some(point), Some(_), Some(false)) => Ok(point),
        // `1.234`: a point is what it mostly is. `1,234`: nobody can know.
        (Some(0), Some(_), None) => Ok(0),
        (Some(_), Some(_), None) if is_ambiguous(profile) => Err(
            "Numbers with a comma: if it is the decimal point, set a number's type and decimal_comma = true; \
                 if it groups thousands, thousands = \",\".",
        ),
        (Some(point), _, _) => Ok(point),
        (None, Some(comma), _) => Ok(comma),
        (None, None, _) => Ok(0),
    }
}

/// Whether the commas could be decimal points as well as separators of thousands.
fn is_ambiguous(profile: &Profile) -> bool {
    let with = |wanted: Notation| {
        NOTATIONS
            .iter()
            .position(|notation| *notation == wanted)
            .is_some_and(|place| profile.numbers.notations[place].is_some())
    };
    with(Notation { decimal_comma: false, thousands: Some(',') })
        && with(Notation { decimal_comma: true, thousands: None })
}

fn time(profile: &Profile, evidence: Evidence, catalog: &Catalog) -> Option<Decision> {
    let first = forms(profile, catalog).next()?;
    let order = |wanted: DayOrder| forms(profile, catalog).find(|form| form.order == Some(wanted));
    match (first.order, order(DayOrder::DayFirst), order(DayOrder::MonthFirst)) {
        (Some(_), Some(day_first), Some(month_first)) => match evidence.day_order {
            Some(DayOrder::DayFirst) => Some(timed(day_first)),
            Some(DayOrder::MonthFirst) => Some(timed(month_first)),
            None => {
                let formats = [day_first, month_first].map(|form| form.format.clone().unwrap_or_default());
                let column_type = first.column_type;
                Some(Decision::text().noted(format!(
                    "Each value is a {column_type}, but of which order no value tells: set type = \"{column_type}\" and \
                     format = \"{}\" or \"{}\".",
                    formats[0], formats[1]
                )))
            }
        },
        _ => Some(timed(first)),
    }
}

fn forms<'a>(profile: &'a Profile, catalog: &'a Catalog) -> impl Iterator<Item = &'a TimeForm> {
    let fits = |place: usize| profile.times & (1 << place) != 0;
    catalog.times.iter().enumerate().filter(move |(place, _)| fits(*place)).map(|(_, (form, _))| form)
}

fn timed(form: &TimeForm) -> Decision {
    let mut decision = Decision::plain(form.column_type);
    decision.column.format.clone_from(&form.format);
    decision
}

impl Evidence {
    /// What columns that leave nothing open agree on.
    fn of(profiles: &[Profile], catalog: &Catalog) -> Self {
        let with_values = || profiles.iter().filter(|profile| profile.values > 0);
        let decimal_commas = with_values().filter_map(decimal_comma);
        let day_orders = with_values().filter_map(|profile| {
            let mut orders = forms(profile, catalog).map(|form| form.order);
            let first = orders.next()?;
            orders.all(|order| order == first).then_some(first)?
        });
        Self { decimal_comma: agreed(decimal_commas), day_order: agreed(day_orders) }
    }
}

/// Whether a column's decimal point is a comma, if it has one and nothing else fits.
fn decimal_comma(profile: &Profile) -> Option<bool> {
    let numbers = &profile.numbers;
    if !numbers.fit {
        return None;
    }
    let fitting = NOTATIONS.iter().zip(&numbers.notations).filter(|(_, digits)| digits.is_some());
    let touched = fitting.clone().any(|(_, digits)| *digits != Some(Digits::default()));
    if !touched {
        return None;
    }
    agreed(fitting.map(|(notation, _)| notation.decimal_comma))
}

/// What all say.
fn agreed<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// The null texts of the whole dataset, and of the columns that need others.
pub(super) fn nulls(profiles: &[Profile], decisions: &[Decision]) -> (Vec<String>, Vec<Option<Vec<String>>>) {
    let is_typed = |decision: &Decision| decision.column.column_type != ColumnType::Text;
    let mut common = vec![String::new()];
    for (profile, decision) in profiles.iter().zip(decisions) {
        let counts = |token: &str| token == NEVER_TEXT || (is_typed(decision) && is_null_word(token));
        for token in profile.tokens.keys().filter(|token| counts(token)) {
            if !common.iter().any(|known| known == token) {
                common.push((*token).to_owned());
            }
        }
    }
    let own = profiles.iter().zip(decisions).map(|(profile, decision)| {
        let signs =
            profile.tokens.keys().filter(|token| !is_null_word(token)).map(|token| (*token).to_owned());
        let is_number = |text: &String| decision.column.non_finite && text.eq_ignore_ascii_case("nan");
        let mut own: Vec<String> = common.iter().filter(|text| !is_number(text)).cloned().collect();
        if is_typed(decision) {
            own.extend(signs);
        }
        (own != common).then_some(own)
    });
    let own = own.collect();
    (common, own)
}

#[cfg(test)]
mod tests;
