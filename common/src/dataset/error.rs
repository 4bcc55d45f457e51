use thiserror::Error;

/// Why a spec was refused, in one sentence that names the place and what is allowed.
#[derive(Debug, Error)]
pub enum SpecError {
    /// The text is not a spec: TOML syntax, an unknown key, or a value that is not allowed.
    #[error("{path}, line {line}{key}: {message}", key = key_suffix(.key.as_deref()))]
    Syntax {
        /// The file, as the caller named it.
        path: String,
        /// Line in the file, from 1.
        line: usize,
        /// The key that stands on that line, if one does.
        key: Option<String>,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// Each key is fine by itself, but they do not go together.
    #[error("{path}, key `{key}`: {message}")]
    Rule {
        /// The file, as the caller named it.
        path: String,
        /// The key to change.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

fn key_suffix(key: Option<&str>) -> String {
    key.map(|key| format!(", key `{key}`")).unwrap_or_default()
}
