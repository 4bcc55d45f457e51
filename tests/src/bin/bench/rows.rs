//! The rows that a run must leave in a table, and the proof that they are there.

use sha2::{Digest, Sha256};

use crate::server::Server;

/// Stands for the table in a checksum's query.
pub(crate) const TABLE: &str = "{table}";

/// How many rows, and which.
pub(crate) struct Rows {
    pub(crate) count: u64,
    /// `None` where only the number is compared.
    pub(crate) checksum: Option<Checksum>,
}

/// A number over all rows in any order, and how Postgres finds it.
pub(crate) struct Checksum {
    pub(crate) value: String,
    /// Gives it for [`TABLE`].
    pub(crate) query: String,
}

impl Rows {
    /// Fails unless the table has these rows and no others.
    pub(crate) async fn verify(&self, server: &Server, table: &str) -> anyhow::Result<()> {
        let (expected, found) =
            (self.count.to_string(), server.value(&format!("SELECT count(*) FROM {table}")).await?);
        anyhow::ensure!(found == expected, "{table} has {found} rows instead of {expected}");
        if let Some(Checksum { value, query }) = &self.checksum {
            let found = server.value(&query.replace(TABLE, table)).await?;
            anyhow::ensure!(
                found == *value,
                "the rows of {table} have the checksum {found} instead of {value}"
            );
        }
        Ok(())
    }
}

/// The checksum of rows of text columns, as they are written: the sum of 60 bits of each row's SHA-256.
#[derive(Default)]
pub(crate) struct TextChecksum {
    sum: u128,
    joined: String,
}

impl TextChecksum {
    /// Adds a row.
    pub(crate) fn add<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) {
        self.joined.clear();
        for (index, field) in fields.into_iter().enumerate() {
            if index > 0 {
                self.joined.push('|');
            }
            self.joined.push_str(field);
        }
        let digest = Sha256::digest(self.joined.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        self.sum += u128::from(u64::from_be_bytes(first) >> 4);
    }

    /// With the query that gives the same over the loaded columns.
    pub(crate) fn finish(&self, columns: &[&str]) -> Checksum {
        let columns = columns.join(", ");
        let query = format!(
            "SELECT coalesce(sum(('x' || left(encode(sha256(convert_to(concat_ws('|', {columns}), 'UTF8')), 'hex'), 15))
             ::bit(60)::bigint), 0) FROM {TABLE}"
        );
        Checksum { value: self.sum.to_string(), query }
    }
}
