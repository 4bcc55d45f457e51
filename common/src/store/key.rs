//! Object keys and their URIs: `s3://bucket/` and the key, percent-encoded, so that each key has one URI and back.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::dataset::split_bucket;

/// What a path of a URI may hold as it is (RFC 3986) stays readable.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The URI of an object.
pub(super) fn uri(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{}", utf8_percent_encode(key, ENCODED))
}

/// Bucket and key of an object's URI.
pub(super) fn of_uri(uri: &str) -> Option<(&str, String)> {
    let (bucket, encoded) = split_bucket(uri)?;
    let key = percent_decode_str(encoded).decode_utf8().ok()?;
    Some((bucket, key.into_owned()))
}

/// The one spelling of an object's URI that scans record; `None` if this is no `s3://` URI.
pub fn canonical_object_uri(text: &str) -> Option<String> {
    of_uri(text).map(|(bucket, key)| uri(bucket, &key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_uri_and_comes_back_from_it() {
        for key in
            ["a.csv", "a, b.csv", "100%25 #1?.csv", "ü\u{1f600}\n.csv", "//a/../b/", "'\"`$(x)\\", "\u{1}"]
        {
            let uri = uri("bucket", key);
            assert!(uri.is_ascii() && !uri.contains(' ') && !uri.contains('\n'), "{uri}");
            assert_eq!(of_uri(&uri), Some(("bucket", key.to_owned())));
            assert_eq!(canonical_object_uri(&uri), Some(uri));
        }
        assert_eq!(uri("b", "2026/a, b%.csv"), "s3://b/2026/a,%20b%25.csv");
    }

    #[test]
    fn other_spellings_of_a_uri_lead_to_the_same_object() {
        let expected = Some("s3://bucket/a,%20b.csv".to_owned());
        for text in ["s3://bucket/a, b.csv", "s3://bucket/a%2C%20b.csv", "s3://bucket/%61,%20b.csv"] {
            assert_eq!(canonical_object_uri(text), expected);
        }
        assert_eq!(canonical_object_uri("file:///a.csv"), None);
    }
}
