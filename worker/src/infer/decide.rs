//! From the profile of each column to its type and notation.

use longshore_common::dataset::{Column, ColumnType};

use super::{
    catalog::{Catalog, DayOrder},
    numbers::{decimal_comma, number},
    profile::{Profile, is_null_word},
    times::{day_order, day_without_signs, time},
};

/// If so many values look like numbers, the others may be errors.
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
/// How many of these need no words of their own in the spec.
const BUILT_IN_BOOLEANS: usize = 4;
/// No value, whatever the column's type is: databases write it, and nobody else does.
const NEVER_TEXT: &str = "\\N";

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

    pub(super) fn plain(column_type: ColumnType) -> Self {
        Self { column: Column::new("", column_type), notes: Vec::new() }
    }

    pub(super) fn noted(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Decides on all columns; `names` are theirs.
pub(super) fn decide(profiles: &[Profile], names: &[String], catalog: &Catalog) -> Vec<Decision> {
    let with_values = || profiles.iter().filter(|profile| profile.values > 0);
    let evidence = Evidence {
        decimal_comma: agreed(with_values().filter_map(decimal_comma)),
        day_order: agreed(with_values().filter_map(|profile| day_order(profile, catalog))),
    };
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
            .or_else(|| number(profile, evidence.decimal_comma))
            .or_else(|| time(profile, evidence.day_order, catalog))
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

/// What all say.
pub(super) fn agreed<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// The null texts of the whole dataset, and of the columns that need others.
///
/// Words count where a type tells them from values. In a text column they may be values, such as a country's code.
pub(super) fn nulls(profiles: &[Profile], decisions: &[Decision]) -> (Vec<String>, Vec<Option<Vec<String>>>) {
    let columns = || profiles.iter().zip(decisions);
    let mut common = vec![String::new()];
    for (profile, decision) in columns() {
        let takes_words = tells_words(profile, decision);
        let counts = |token: &str| is_never_text(token) || (takes_words && is_null_word(token));
        for token in profile.tokens.keys().filter(|token| counts(token)) {
            if !common.iter().any(|known| known == token) {
                common.push((*token).to_owned());
            }
        }
    }
    let own = columns().map(|(profile, decision)| {
        let own = match tells_words(profile, decision) {
            true => {
                let is_number = |text: &str| decision.column.non_finite && text.eq_ignore_ascii_case("nan");
                let words = common.iter().filter(|text| !is_number(text)).cloned();
                let signs = profile.tokens.keys().filter(|token| !is_null_word(token));
                words.chain(signs.map(|token| (*token).to_owned())).collect()
            }
            false => common.iter().filter(|text| is_never_text(text)).cloned().collect::<Vec<_>>(),
        };
        (own != common).then_some(own)
    });
    let own = own.collect();
    (common, own)
}

/// Whether what stands for no value cannot be a value: the column has a type, or nothing else.
fn tells_words(profile: &Profile, decision: &Decision) -> bool {
    decision.column.column_type != ColumnType::Text || (profile.values == 0 && profile.quoted_tokens == 0)
}

fn is_never_text(token: &str) -> bool {
    token.is_empty() || token == NEVER_TEXT
}

/// What to check where a text column keeps words that stand for no value elsewhere.
pub(super) fn kept_words(profile: &Profile, decision: &Decision) -> Option<String> {
    let kept = profile.tokens.iter().filter(|(token, _)| is_null_word(token) && !is_never_text(token));
    let kept: Vec<_> = kept.map(|(token, count)| format!("\"{token}\" ({count} times)")).collect();
    (!kept.is_empty() && !tells_words(profile, decision)).then(|| {
        format!("Texts here: {}. What means \"no value\" belongs into this column's null.", kept.join(", "))
    })
}

#[cfg(test)]
mod tests;
