//! Loan applications of a test, written by hand.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

/// The header of a loan file, without line break.
pub const HEADER: &str = ",SeriousDlqin2yrs,RevolvingUtilizationOfUnsecuredLines,age,\
    NumberOfTime30-59DaysPastDueNotWorse,DebtRatio,MonthlyIncome,NumberOfOpenCreditLinesAndLoans,\
    NumberOfTimes90DaysLate,NumberRealEstateLoansOrLines,NumberOfTime60-89DaysPastDueNotWorse,NumberOfDependents";

/// A good line with this application id, without line break.
pub fn loan_line(application_id: u64) -> String {
    format!("{application_id},0,0.766126609,45,2,0.802982129,9120,13,0,6,0,2")
}

/// A file of good lines with these application ids.
pub fn loan_file(application_ids: impl IntoIterator<Item = u64>) -> String {
    let mut text = format!("{HEADER}\n");
    for id in application_ids {
        text.push_str(&loan_line(id));
        text.push('\n');
    }
    text
}

/// The text as a gzip archive.
pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}
