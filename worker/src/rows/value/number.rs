//! Numbers in other notations than SQL's: a decimal comma, groups of thousands, words for what is not finite.

use longshore_common::dataset::{Column, ColumnType};

use super::{Misfit, append_4, append_8, signed};

/// People cannot tell them apart, so that a spec which names one of them means all.
const SPACES: [&str; 4] = [" ", "\u{a0}", "\u{2009}", "\u{202f}"];

/// How a column's numbers are written.
#[derive(Debug)]
pub(in crate::rows) struct NumberNotation {
    decimal_point: u8,
    /// What may stand between groups of thousands; none if no groups are written.
    separators: Vec<Vec<u8>>,
    non_finite: bool,
}

impl NumberNotation {
    /// `None` if the column's numbers are written as in SQL.
    pub(super) fn compile(column: &Column) -> Option<Self> {
        let separators = column.thousands.map_or(Vec::new(), |thousands| {
            let thousands = thousands.to_string();
            let chosen: &[&str] = if SPACES.contains(&thousands.as_str()) { &SPACES } else { &[&thousands] };
            chosen.iter().map(|separator| separator.as_bytes().to_vec()).collect()
        });
        let is_special = column.decimal_comma || column.non_finite || !separators.is_empty();
        let decimal_point = if column.decimal_comma { b',' } else { b'.' };
        is_special.then_some(Self { decimal_point, separators, non_finite: column.non_finite })
    }

    /// Appends the value; `scratch` is overwritten.
    pub(super) fn append(
        &self,
        column_type: ColumnType,
        text: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        if self.non_finite
            && let Some(number) = non_finite(text)
        {
            match column_type {
                ColumnType::Real => append_4((number as f32).to_be_bytes(), out),
                _ => append_8(number.to_be_bytes(), out),
            }
            return Ok(());
        }
        scratch.clear();
        self.rewrite(text, scratch)?;
        super::append(column_type, scratch, out)
    }

    /// Appends the number to `sql` as SQL writes it; whether it is a number there, the type tells.
    fn rewrite(&self, text: &[u8], sql: &mut Vec<u8>) -> Result<(), Misfit> {
        let (negative, unsigned) = signed(text);
        if negative {
            sql.push(b'-');
        }
        let ends_integral = |&byte: &u8| byte == self.decimal_point || matches!(byte, b'e' | b'E');
        let end = unsigned.iter().position(ends_integral).unwrap_or(unsigned.len());
        let (integral, mut rest) = unsigned.split_at(end);
        self.rewrite_integral(integral, sql)?;
        if let [point, after @ ..] = rest
            && *point == self.decimal_point
        {
            sql.push(b'.');
            rest = after;
        }
        // Another point would be one that SQL reads and this notation does not have.
        if rest.contains(&b'.') {
            return Err(Misfit::Type);
        }
        sql.extend_from_slice(rest);
        Ok(())
    }

    fn rewrite_integral(&self, integral: &[u8], sql: &mut Vec<u8>) -> Result<(), Misfit> {
        let length = integral.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (first, mut rest) = integral.split_at(length);
        sql.extend_from_slice(first);
        if !rest.is_empty() && !(1..=3).contains(&length) {
            return Err(Misfit::Type);
        }
        while !rest.is_empty() {
            let grouped =
                self.separators.iter().find_map(|separator| rest.strip_prefix(separator.as_slice()));
            let (group, after) =
                grouped.and_then(|rest| rest.split_first_chunk::<3>()).ok_or(Misfit::Type)?;
            if !group.iter().all(u8::is_ascii_digit) {
                return Err(Misfit::Type);
            }
            sql.extend_from_slice(group);
            rest = after;
        }
        Ok(())
    }

    /// What the notation adds to what the type expects.
    pub(super) fn expected(&self) -> String {
        let mut text = String::new();
        if self.decimal_point == b',' {
            text.push_str("; the decimal point is a comma");
        }
        if let Some(separator) = self.separators.first() {
            let separator = String::from_utf8_lossy(separator);
            text.push_str(&format!("; groups of three digits may be separated by `{separator}`"));
        }
        if self.non_finite {
            text.push_str("; or NaN, Infinity, -Infinity");
        }
        text
    }
}

fn non_finite(text: &[u8]) -> Option<f64> {
    let (negative, word) = signed(text);
    if text.eq_ignore_ascii_case(b"nan") {
        return Some(f64::NAN);
    }
    let is_infinite = word.eq_ignore_ascii_case(b"infinity") || word.eq_ignore_ascii_case(b"inf");
    is_infinite.then_some(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
}
