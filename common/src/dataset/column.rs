//! One column of a dataset.

use serde::{Deserialize, Serialize};

use super::{column_type::ColumnType, literal::Literal};

/// A column of the target table, where its values come from, how they are written there and which are allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name in Postgres.
    pub name: String,
    /// Name in the file's header; the same as `name` if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Type in Postgres.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// A row without a value is rejected, and the table's column is `NOT NULL`.
    #[serde(default)]
    pub required: bool,
    /// Becomes the column's comment.
    #[serde(default)]
    pub description: String,
    /// Unquoted fields with one of these texts have no value; instead of `csv.null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<Vec<String>>,
    /// White space around a text is no part of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trim: bool,
    /// The least value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Literal>,
    /// The greatest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Literal>,
    /// The only values allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<Literal>>,
    /// Regular expression that a whole text must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Characters that a text may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// How dates or times are written, in strftime's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The comma is the decimal point.
    #[serde(default, skip_serializing_if = "is_false")]
    pub decimal_comma: bool,
    /// What may stand between groups of three digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// Words for true, instead of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub true_values: Option<Vec<String>>,
    /// Words for false, instead of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_values: Option<Vec<String>>,
    /// NaN and the infinities are values.
    #[serde(default, skip_serializing_if = "is_false")]
    pub non_finite: bool,
}

impl Column {
    /// A column of this name and type without further rules.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            source: None,
            column_type,
            required: false,
            description: String::new(),
            null: None,
            trim: false,
            min: None,
            max: None,
            allowed: None,
            pattern: None,
            max_length: None,
            format: None,
            decimal_comma: false,
            thousands: None,
            true_values: None,
            false_values: None,
            non_finite: false,
        }
    }

    /// The column's name in the file's header.
    pub fn header_name(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.name)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
