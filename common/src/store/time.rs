//! Times as the ledger keeps them.

use chrono::{DateTime, Utc};

/// Postgres keeps microseconds: a time is cut to them here, once, so that it compares equal for ever after.
pub(super) fn microseconds(seconds: i64, nanoseconds: i64) -> DateTime<Utc> {
    let microseconds = seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000);
    let inside = microseconds.clamp(DAY_ONE_US, DAY_LAST_US);
    DateTime::from_timestamp_micros(inside).unwrap_or_default()
}

/// 0001-01-01 and 9999-12-31 in microseconds since 1970: what every client can show.
const DAY_ONE_US: i64 = -62_135_596_800_000_000;
const DAY_LAST_US: i64 = 253_402_300_799_000_000;
