//! The Postgres types that a column can have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Postgres type that a value can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnType {
    /// Whole number of 2 bytes.
    SmallInt,
    /// Whole number of 4 bytes.
    Integer,
    /// Whole number of 8 bytes.
    BigInt,
    /// Floating point number of 4 bytes.
    Real,
    /// Floating point number of 8 bytes.
    Double,
    /// Exact decimal number.
    Numeric {
        /// Digits in all, 1 to 1000.
        precision: u16,
        /// Digits after the point, at most `precision`.
        scale: u16,
    },
    /// True or false.
    Boolean,
    /// Text of any length.
    Text,
    /// Calendar day.
    Date,
    /// Date and time of day without a zone.
    Timestamp,
    /// A moment; text without a zone is taken as UTC.
    TimestampTz,
    /// A UUID.
    Uuid,
}

const ALLOWED: &str = "smallint, integer, bigint, real, double, numeric(p,s), boolean, text, date, \
                       timestamp, timestamptz, uuid";

impl TryFrom<String> for ColumnType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = match text.as_str() {
            "smallint" => Self::SmallInt,
            "integer" => Self::Integer,
            "bigint" => Self::BigInt,
            "real" => Self::Real,
            "double" => Self::Double,
            "boolean" => Self::Boolean,
            "text" => Self::Text,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            "uuid" => Self::Uuid,
            other => return numeric(other),
        };
        Ok(known)
    }
}

fn numeric(text: &str) -> Result<ColumnType, String> {
    let refusal = || format!("unknown type `{text}`, expected one of {ALLOWED}");
    let arguments =
        text.strip_prefix("numeric(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(refusal)?;
    let (precision, scale) = arguments.split_once(',').ok_or_else(refusal)?;
    let precision: u16 = precision.trim().parse().map_err(|_| refusal())?;
    let scale: u16 = scale.trim().parse().map_err(|_| refusal())?;
    if !(1..=1000).contains(&precision) || scale > precision {
        return Err(format!("`{text}`: the precision is 1 to 1000 digits, the scale 0 to the precision"));
    }
    Ok(ColumnType::Numeric { precision, scale })
}

impl From<ColumnType> for String {
    fn from(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Double => "double".to_owned(),
            other => other.to_string(),
        }
    }
}

/// The type as Postgres itself spells it in `format_type`, except for the two time types, which keep their short names.
impl fmt::Display for ColumnType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallInt => formatter.write_str("smallint"),
            Self::Integer => formatter.write_str("integer"),
            Self::BigInt => formatter.write_str("bigint"),
            Self::Real => formatter.write_str("real"),
            Self::Double => formatter.write_str("double precision"),
            Self::Numeric { precision, scale } => write!(formatter, "numeric({precision},{scale})"),
            Self::Boolean => formatter.write_str("boolean"),
            Self::Text => formatter.write_str("text"),
            Self::Date => formatter.write_str("date"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::TimestampTz => formatter.write_str("timestamptz"),
            Self::Uuid => formatter.write_str("uuid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_as_it_is_written() {
        for text in ["smallint", "double", "numeric(14,2)", "timestamptz", "uuid"] {
            let column_type = ColumnType::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(column_type), text);
        }
    }

    #[test]
    fn an_unknown_type_is_refused_with_the_list() {
        for text in ["int", "numeric", "numeric(5)", "numeric(x,y)", "varchar(3)", ""] {
            let message = ColumnType::try_from(text.to_owned()).unwrap_err();
            assert!(message.contains("numeric(p,s)"), "{message}");
        }
        assert!(ColumnType::try_from("numeric(2,3)".to_owned()).is_err());
        assert!(ColumnType::try_from("numeric(1001,3)".to_owned()).is_err());
    }
}
