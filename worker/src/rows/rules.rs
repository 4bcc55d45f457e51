//! What a column allows of the values that fit its type. Rules are held against a value's binary form, so that they
//! compare values, however these are written.

use std::{cmp::Ordering, collections::HashSet};

use longshore_common::dataset::{Column, ColumnType, Literal};
use regex::bytes::{Regex, RegexBuilder};

use super::{
    spec_text::{shortened, shortened_list},
    value::{self, Notation},
};

/// A compiled pattern may have this many bytes, and as many again while it is matched.
const PATTERN_BYTES: usize = 4 << 20;

/// A rule of the spec that a value breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Min,
    Max,
    Allowed,
    Pattern,
    MaxLength,
}

/// A column's rules.
#[derive(Debug, Default)]
pub(super) struct Rules {
    min: Option<Bound>,
    max: Option<Bound>,
    allowed: Option<Allowed>,
    pattern: Option<Regex>,
    /// In characters.
    max_length: Option<usize>,
    /// What `pattern` was made of.
    pattern_text: String,
}

#[derive(Debug)]
struct Bound {
    encoded: Vec<u8>,
    text: String,
}

#[derive(Debug)]
struct Allowed {
    encoded: HashSet<Vec<u8>>,
    text: String,
}

impl Rule {
    /// Its key in the spec, which is also its name where rejects are counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Allowed => "allowed",
            Self::Pattern => "pattern",
            Self::MaxLength => "max_length",
        }
    }
}

impl Rules {
    /// An error is the key and what is wrong with it.
    pub(super) fn compile(column: &Column) -> Result<Self, (&'static str, String)> {
        let column_type = column.column_type;
        let bound = |key, literal: &Option<Literal>| match literal {
            None => Ok(None),
            Some(literal) => Bound::compile(column, literal).map(Some).map_err(|message| (key, message)),
        };
        let (min, max) = (bound("min", &column.min)?, bound("max", &column.max)?);
        if let (Some(min), Some(max)) = (&min, &max)
            && value::compare(column_type, &min.encoded, &max.encoded) == Some(Ordering::Greater)
        {
            return Err(("min", format!("`{}` is above `max`, which is `{}`", min.text, max.text)));
        }
        let allowed = column.allowed.as_ref().map(|literals| Allowed::compile(column, literals)).transpose();
        let pattern = column.pattern.as_deref().map(compile_pattern).transpose();
        Ok(Self {
            min,
            max,
            allowed: allowed.map_err(|message| ("allowed", message))?,
            pattern: pattern.map_err(|message| ("pattern", message))?,
            max_length: column.max_length.map(|length| length as usize),
            pattern_text: column.pattern.clone().unwrap_or_default(),
        })
    }

    /// Whether every value is allowed.
    pub(super) fn is_empty(&self) -> bool {
        let Self { min, max, allowed, pattern, max_length, pattern_text: _ } = self;
        min.is_none() && max.is_none() && allowed.is_none() && pattern.is_none() && max_length.is_none()
    }

    /// Holds the rules against a value's binary form, without its length.
    pub(super) fn check(&self, column_type: ColumnType, encoded: &[u8]) -> Result<(), Rule> {
        // A NaN is neither above nor below anything, so that it passes no bound.
        let order = |bound: &Bound| value::compare(column_type, encoded, &bound.encoded);
        if self.min.as_ref().is_some_and(|min| !order(min).is_some_and(Ordering::is_ge)) {
            return Err(Rule::Min);
        }
        if self.max.as_ref().is_some_and(|max| !order(max).is_some_and(Ordering::is_le)) {
            return Err(Rule::Max);
        }
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.encoded.contains(encoded)) {
            return Err(Rule::Allowed);
        }
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(encoded)) {
            return Err(Rule::Pattern);
        }
        if self.max_length.is_some_and(|max_length| is_longer(encoded, max_length)) {
            return Err(Rule::MaxLength);
        }
        Ok(())
    }

    /// What the rule expects, in one sentence.
    pub(super) fn reason(&self, rule: Rule) -> String {
        let text =
            |bound: &Option<Bound>| bound.as_ref().map_or(String::new(), |bound| shortened(&bound.text));
        match rule {
            Rule::Min => format!("less than {}, the least value allowed", text(&self.min)),
            Rule::Max => format!("more than {}, the greatest value allowed", text(&self.max)),
            Rule::Allowed => {
                let text = self.allowed.as_ref().map_or("", |allowed| &allowed.text);
                format!("not one of the values allowed: {text}")
            }
            Rule::Pattern => format!("does not match the pattern `{}`", shortened(&self.pattern_text)),
            Rule::MaxLength => {
                format!("longer than {} characters", self.max_length.unwrap_or_default())
            }
        }
    }
}

impl Bound {
    fn compile(column: &Column, literal: &Literal) -> Result<Self, String> {
        let encoded = encode(column, literal.as_str())?;
        if value::compare(column.column_type, &encoded, &encoded).is_none() {
            return Err("a NaN is no bound; nothing is above or below it".to_owned());
        }
        Ok(Self { encoded, text: literal.as_str().to_owned() })
    }
}

impl Allowed {
    fn compile(column: &Column, literals: &[Literal]) -> Result<Self, String> {
        let mut encoded = HashSet::new();
        for literal in literals {
            let value = encode(column, literal.as_str())?;
            // The two zeros are equal and have different bytes.
            encoded.extend(value::other_zero(column.column_type, &value));
            encoded.insert(value);
        }
        Ok(Self { encoded, text: shortened_list(literals.iter().map(Literal::as_str)) })
    }
}

/// The binary form of a value that stands in the spec, where it is written as SQL writes it, whatever the files do.
fn encode(column: &Column, literal: &str) -> Result<Vec<u8>, String> {
    let column_type = column.column_type;
    let column = Column { non_finite: column.non_finite, ..Column::new("", column_type) };
    let notation = Notation::compile(&column).map_err(|(_, message)| message)?;
    let mut out = Vec::new();
    let appended = notation.append(column_type, literal.as_bytes(), &mut Vec::new(), &mut out);
    appended.map_err(|misfit| {
        format!("`{literal}` is {}", misfit.reason(column_type, &notation.expected(column_type)))
    })?;
    // Without the length.
    out.drain(..4);
    Ok(out)
}

/// The whole value must match.
fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let compile = |pattern: &str| {
        RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build()
    };
    let refused = |error: regex::Error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!(
                "larger than {limit} bytes when compiled; write a simpler pattern, and `max_length` for lengths"
            )
        }
        error => error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    };
    // By itself first: `a)|(b` becomes a pattern only by the parentheses around it.
    compile(pattern).map_err(refused)?;
    compile(&format!(r"\A(?:{pattern})\z")).map_err(refused)
}

/// Whether a text, known to be UTF-8, has more characters.
fn is_longer(text: &[u8], max_length: usize) -> bool {
    // A character has one byte that is no continuation.
    text.len() > max_length && text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() > max_length
}
