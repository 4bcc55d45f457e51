//! Synthetic loan applications: the rows of the dataset that ships, and the checksum by which a load is proved.

use std::fmt::Write;

use rand::{RngExt, rngs::StdRng};
use sha2::{Digest, Sha256};

/// The header that files of this dataset have; the first name is empty.
pub(super) const HEADER: [&str; 12] = [
    "",
    "SeriousDlqin2yrs",
    "RevolvingUtilizationOfUnsecuredLines",
    "age",
    "NumberOfTime30-59DaysPastDueNotWorse",
    "DebtRatio",
    "MonthlyIncome",
    "NumberOfOpenCreditLinesAndLoans",
    "NumberOfTimes90DaysLate",
    "NumberRealEstateLoansOrLines",
    "NumberOfTime60-89DaysPastDueNotWorse",
    "NumberOfDependents",
];

/// One application, each field as its file has it; `None` is written as `NA`.
#[derive(Debug, Clone, Default)]
pub(super) struct Loan {
    pub(super) fields: [Option<String>; 12],
}

impl Loan {
    /// A plausible application; the same for the same state of `random`.
    pub(super) fn draw(application_id: u64, random: &mut StdRng) -> Self {
        let utilization: u32 = random.random_range(0..1_200_000);
        let times_90_days_late = late_count(random);
        // As in life, who uses much of the credit line or was late before is late more often: from 15 to 205 in 1,000.
        let was_late = times_90_days_late != "0";
        let is_late = random.random_ratio(15 + utilization / 20_000 + if was_late { 130 } else { 0 }, 1000);
        let income = random.random_ratio(8, 10).then(|| {
            let dollars: u32 = random.random_range(800..15_000);
            let cents: u32 = if random.random_ratio(1, 10) { random.random_range(0..100) } else { 0 };
            format!("{dollars}.{cents:02}")
        });
        let dependents = random.random_ratio(97, 100).then(|| random.random_range(0..6_u8).to_string());
        let fields = [
            Some(application_id.to_string()),
            Some(u8::from(is_late).to_string()),
            Some(millionths(utilization)),
            Some(random.random_range(21..96_u8).to_string()),
            Some(late_count(random)),
            Some(millionths(random.random_range(0..2_500_000))),
            income,
            Some(random.random_range(0..24_u8).to_string()),
            Some(times_90_days_late),
            Some(random.random_range(0..5_u8).to_string()),
            Some(late_count(random)),
            dependents,
        ];
        Self { fields }
    }

    /// The line in the file, without its line break.
    pub(super) fn write_line(&self, line: &mut String) {
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            line.push_str(field.as_deref().unwrap_or("NA"));
        }
    }

    /// What this row adds to the checksum: 60 bits of the SHA-256 of its fields, joined by `|`, no value as nothing.
    ///
    /// The same in SQL over the loaded row: see `CHECKSUM_SQL`.
    pub(super) fn checksum(&self, scratch: &mut String) -> u64 {
        scratch.clear();
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                scratch.push('|');
            }
            scratch.push_str(field.as_deref().unwrap_or_default());
        }
        let digest = Sha256::digest(scratch.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first) >> 4
    }

    /// A line that breaks one rule; the kinds take turns.
    pub(super) fn write_broken_line(&self, kind: u64, line: &mut String) {
        let mut broken = self.clone();
        let field = |index: usize, text: &str| {
            let mut fields = self.fields.clone();
            fields[index] = Some(text.to_owned());
            Self { fields }
        };
        match kind % 6 {
            0 => broken = field(3, "forty"),
            1 => broken = field(3, "99999"),
            2 => broken = field(11, "2.5"),
            3 => broken = field(6, "\"1\"2"),
            4 => broken.fields[0] = Some(String::new()),
            _ => {}
        }
        broken.write_line(line);
        if kind % 6 == 5 {
            line.push_str(",one too many");
        }
    }
}

/// The checksum of all rows of the loaded table, as SQL that gives one number.
pub(super) const CHECKSUM_SQL: &str = "SELECT coalesce(sum(('x' || left(encode(sha256(convert_to(concat_ws('|', \
     application_id, serious_dlqin_2yrs::integer, revolving_utilization_of_unsecured_lines, age, \
     number_of_time_30_59_days_past_due_not_worse, debt_ratio, coalesce(monthly_income::text, ''), \
     number_of_open_credit_lines_and_loans, number_of_times_90_days_late, number_real_estate_loans_or_lines, \
     number_of_time_60_89_days_past_due_not_worse, coalesce(number_of_dependents::text, '')), 'UTF8')), 'hex'), 15)) \
     ::bit(60)::bigint), 0) FROM reporting.loan_applications";

/// A number of millionths in the shortest form, as Postgres prints the double; never so small that it would use an exponent.
fn millionths(number: u32) -> String {
    let number = if number < 100 { 0 } else { number };
    let mut text = String::new();
    let _ = write!(text, "{}.{:06}", number / 1_000_000, number % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn late_count(random: &mut StdRng) -> String {
    let count: u8 = match random.random_range(0..1000_u16) {
        0..840 => 0,
        840..996 => random.random_range(1..7),
        996..998 => 96,
        _ => 98,
    };
    count.to_string()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_lines() {
        let lines = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            let mut text = String::new();
            (0..100).for_each(|id| Loan::draw(id, &mut random).write_line(&mut text));
            text
        };
        assert_eq!(lines(1), lines(1));
        assert_ne!(lines(1), lines(2));
    }

    #[test]
    fn fractions_are_written_in_their_shortest_form() {
        let cases = [
            (0, "0"),
            (99, "0"),
            (100, "0.0001"),
            (500_000, "0.5"),
            (1_000_000, "1"),
            (1_234_567, "1.234567"),
        ];
        for (number, text) in cases {
            assert_eq!(millionths(number), text);
        }
    }
}
