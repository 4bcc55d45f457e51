//! What a dataset's source may be: a local folder, or a bucket and a prefix in it.

use percent_encoding::percent_decode_str;

/// A source that is a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSource {
    /// The bucket's name.
    pub bucket: String,
    /// What the keys of the source begin with, without the slash behind it; empty for the whole bucket.
    pub prefix: String,
}

impl BucketSource {
    /// Reads an `s3://` URL; `None` if it has another scheme.
    pub fn parse(source: &str) -> Option<Self> {
        let (bucket, prefix) = split_bucket(source)?;
        let prefix = percent_decode_str(prefix).decode_utf8_lossy().trim_end_matches('/').to_owned();
        Some(Self { bucket: bucket.to_owned(), prefix })
    }

    fn check(&self) -> Result<(), &'static str> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.chars().all(allowed) {
            return Err("a bucket's name has 3 to 63 letters, digits, dots and hyphens");
        }
        let is_wrong = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
        if !self.prefix.is_empty() && self.prefix.split('/').any(is_wrong) {
            return Err("a prefix has neither empty parts nor `.`, `..` or control characters");
        }
        Ok(())
    }
}

/// The bucket and what stands behind its slash, percent-encoded.
pub(crate) fn split_bucket(uri: &str) -> Option<(&str, &str)> {
    let behind = uri.strip_prefix("s3://")?;
    Some(behind.split_once('/').unwrap_or((behind, "")))
}

/// An error is one sentence.
pub(super) fn check(source: &str) -> Result<(), String> {
    let allowed = "allowed is an absolute folder such as `file:///var/lib/longshore/inbox`, or a bucket and a prefix such \
                   as `s3://bucket/prefix`";
    if source.contains('@') && !source.starts_with("file:") {
        // Not repeated: what stands before the `@` may be a secret, and a secret may hold slashes.
        return Err(format!(
            "no `@` is allowed (%40 in a prefix), and credentials come from the environment (AWS_ACCESS_KEY_ID …): {allowed}"
        ));
    }
    let url =
        url::Url::parse(source).map_err(|error| format!("`{source}` is not a URL ({error}): {allowed}"))?;
    let is_plain = url.query().is_none() && url.fragment().is_none();
    match (url.scheme(), BucketSource::parse(source)) {
        ("s3", Some(bucket)) if is_plain => {
            bucket.check().map_err(|reason| format!("`{source}`: {reason}; {allowed}"))
        }
        ("file", _) if is_plain && url.host().is_none() => Ok(()),
        _ => Err(format!("`{source}`: {allowed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_source_has_a_bucket_and_perhaps_a_prefix() {
        let parsed = |source| BucketSource::parse(source).map(|source| (source.bucket, source.prefix));
        let expected = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(parsed("s3://bucket"), expected("bucket", ""));
        assert_eq!(parsed("s3://bucket/"), expected("bucket", ""));
        assert_eq!(parsed("s3://bucket/a/b%20c/"), expected("bucket", "a/b c"));
        assert_eq!(parsed("file:///srv"), None);
    }

    #[test]
    fn what_no_store_could_list_is_refused_with_what_is_allowed() {
        for source in ["file:///srv/in", "s3://bucket", "s3://my-bucket.eu/a/b%20c", "s3://my_bucket/2026"] {
            assert_eq!(check(source), Ok(()));
        }
        let wrong = [
            "s3://b/x",
            "s3://",
            "s3:///x",
            "s3://key:secret@bucket/x",
            "s3://bucket:9000/x",
            "s3://bucket/a//b",
            "s3://bucket/a/../b",
            "s3://bucket/a%0Ab",
            "s3://bucket/a?b",
            "s3://bucket/a#b",
            "S3://bucket/a",
            "gs://bucket/x",
            "file://host/x",
            "srv/in",
        ];
        for source in wrong {
            let message = check(source).unwrap_err();
            assert!(
                message.contains("allowed is an absolute folder") && message.contains("s3://"),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
