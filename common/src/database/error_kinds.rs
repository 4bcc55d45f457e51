//! Which errors of Postgres another try may mend.

use tokio_postgres::error::{ErrorPosition, SqlState};

/// Whether an error may be gone the next time: by its SQLSTATE; because it has none, which is a lost connection; or because it
/// comes from the code that works on the server's own files: there, a quota that is used up is an internal error.
pub fn is_transient(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return true };
    let is_internal = *error.code() == SqlState::INTERNAL_ERROR;
    is_transient_state(error.code()) || is_internal && error.file().is_some_and(is_storage_code)
}

/// An error of this SQLSTATE may be gone the next time: lost connections, serialization failures, deadlocks, a lack of
/// resources, an operator's intervention, a server that is read-only for a while, time-outs of the session, statements and
/// cursors that a pooler gave to another server, errors of a disk, snapshots that grew too old, and what is locked or in use.
fn is_transient_state(state: &SqlState) -> bool {
    let code = state.code();
    matches!(&code[..2], "08" | "26" | "40" | "53" | "57" | "58" | "72")
        || matches!(code, "25006" | "25P03" | "25P04" | "55006" | "55P03")
}

/// A source file of Postgres: not translated, as messages are.
fn is_storage_code(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    let storage = [
        "md.c",
        "fd.c",
        "smgr.c",
        "bufmgr.c",
        "localbuf.c",
        "buffile.c",
        "bulk_write.c",
        "xlog.c",
        "slru.c",
        "copydir.c",
        "rewriteheap.c",
    ];
    storage.contains(&name)
}

/// Whether a statement of ours met a table or a column that is not there: program and schema do not belong together for now,
/// and no file is at fault. New sessions are refused then, until one of the two has followed the other.
pub fn is_of_another_schema(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return false };
    match *error.code() {
        // In any language, the name stands in the message.
        SqlState::UNDEFINED_TABLE => error.message().contains("longshore."),
        // COPY's own complaint of a target's column names no place in a statement, and a trigger's one in another statement.
        SqlState::UNDEFINED_COLUMN => matches!(error.position(), Some(ErrorPosition::Original(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_try_may_mend_is_told_from_what_it_cannot() {
        for code in [
            "08006", "25006", "25P03", "26000", "40001", "53100", "55006", "55P03", "57014", "58030",
            "58P01", "72000",
        ] {
            assert!(is_transient_state(&SqlState::from_code(code)), "{code}");
        }
        for code in [
            "22003", "23505", "25001", "25P02", "42501", "44000", "54000", "55000", "P0001", "XX000", "XX001",
        ] {
            assert!(!is_transient_state(&SqlState::from_code(code)), "{code}");
        }
        assert!(is_storage_code("md.c") && is_storage_code("../src/backend/storage/file/fd.c"));
        assert!(!is_storage_code("adaptive_executor.c") && !is_storage_code("heapam.c"));
    }
}
