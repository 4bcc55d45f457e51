//! The type and format of a column that holds dates or times.

use super::{
    catalog::{Catalog, DayOrder, TimeForm},
    decide::{Decision, agreed},
    profile::Profile,
};

/// Eight digits are a day only if the column says so.
pub(super) fn day_without_signs(profile: &Profile, name: &str, catalog: &Catalog) -> Option<Decision> {
    let says_so = ["date", "day", "datum"].iter().any(|word| name.contains(word));
    let form = forms(profile, catalog).find(|form| form.format.as_deref() == Some("%Y%m%d"))?;
    (says_so && profile.numbers.fit).then(|| timed(form))
}

/// `day_order` is what other columns say of days and months. None if the column holds other texts too.
pub(super) fn time(profile: &Profile, day_order: Option<DayOrder>, catalog: &Catalog) -> Option<Decision> {
    let first = forms(profile, catalog).next()?;
    let order = |wanted: DayOrder| forms(profile, catalog).find(|form| form.order == Some(wanted));
    match (first.order, order(DayOrder::DayFirst), order(DayOrder::MonthFirst)) {
        (Some(_), Some(day_first), Some(month_first)) => match day_order {
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
    catalog.times.iter().enumerate().filter(move |(place, _)| fits(*place)).map(|(_, test)| &test.form)
}

fn timed(form: &TimeForm) -> Decision {
    let mut decision = Decision::plain(form.column_type);
    decision.column.format.clone_from(&form.format);
    match form.has_short_year() {
        true => {
            decision.noted("Two digits of a year: 70 to 99 are of the last century, 00 to 69 of this one.")
        }
        false => decision,
    }
}

/// Which of day and month comes first, if the column's values leave no choice.
pub(super) fn day_order(profile: &Profile, catalog: &Catalog) -> Option<DayOrder> {
    agreed(forms(profile, catalog).map(|form| form.order)).flatten()
}
