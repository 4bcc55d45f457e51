//! Values that stand in a spec itself.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::value::Datetime;

/// So many digits of any decimal number survive in a TOML float, which is an `f64`.
const FLOAT_DIGITS: usize = 15;

/// A value that a spec names, such as a bound: a TOML number, string, date or time, kept as text until its column's type
/// is at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Literal(String);

impl Literal {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LiteralVisitor)
    }
}

struct LiteralVisitor;

impl<'de> Visitor<'de> for LiteralVisitor {
    type Value = Literal;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, a string, a date or a time")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Literal, E> {
        Ok(Literal(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Literal, E> {
        Ok(Literal(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Literal, E> {
        Ok(Literal(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Literal, E> {
        // The digits before `e`: the shortest that give this float.
        let digits = format!("{:e}", number.abs())
            .bytes()
            .take_while(|&byte| byte != b'e')
            .filter(u8::is_ascii_digit)
            .count();
        if !number.is_finite() || digits > FLOAT_DIGITS {
            return Err(E::custom(format!(
                "a TOML float keeps {FLOAT_DIGITS} digits; write the number in quotes to keep all of them"
            )));
        }
        Ok(Literal(number.to_string()))
    }

    /// A date or a time: TOML gives it to serde as a map.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Literal, A::Error> {
        let datetime = Datetime::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Literal(datetime.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Holder {
        value: Literal,
    }

    fn read(value: &str) -> Result<String, String> {
        let holder: Result<Holder, _> = toml::from_str(&format!("value = {value}"));
        holder.map(|holder| holder.value.0).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn numbers_strings_dates_and_times_are_kept_as_text() {
        let cases = [
            ("0", "0"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1_000", "1000"),
            ("0.1", "0.1"),
            ("-12.50", "-12.5"),
            ("1e3", "1000"),
            ("123456789.012345", "123456789.012345"),
            ("\"1.10\"", "1.10"),
            ("\"\"", ""),
            ("2030-12-31", "2030-12-31"),
            ("2030-12-31 10:00:00", "2030-12-31T10:00:00"),
            ("2030-12-31T10:00:00.5+01:00", "2030-12-31T10:00:00.5+01:00"),
        ];
        for (value, text) in cases {
            assert_eq!(read(value).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn what_would_lose_digits_or_is_no_value_is_refused() {
        for value in ["0.12345678901234567", "1234567890123456.7", "nan", "-inf"] {
            let message = read(value).unwrap_err();
            assert!(message.contains("in quotes"), "{value}: {message}");
        }
        for value in ["true", "[1]", "{ a = 1 }"] {
            assert!(read(value).is_err(), "{value}");
        }
        assert!(read("true").unwrap_err().contains("a number, a string, a date or a time"));
    }

    #[test]
    fn a_stored_literal_reads_back_equal() {
        for text in ["", "1.10", "2030-12-31", "NaN", "00012"] {
            let stored = serde_json::to_string(&Literal::from(text)).unwrap();
            assert_eq!(serde_json::from_str::<Literal>(&stored).unwrap().as_str(), text);
        }
    }
}
