//! Lets a listing give keys that object_store cannot hold. Its `Path` knows no empty, `.` or `..` parts, no control
//! characters and no slash at an end: one such key would fail the whole listing, or pass for another key. So the answer's
//! keys are percent-encoded before it reads them, slashes as well. And object_store takes any answer for a whole listing: one
//! that is none, or says that more follows and not how to ask for it, is refused here.

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::{
    Reader,
    escape::{EscapeError, unescape},
    events::Event,
};

/// Connections whose listings have encoded keys.
#[derive(Debug, Default)]
pub(super) struct EncodedKeys(ReqwestConnector);

impl HttpConnector for EncodedKeys {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Encoding(self.0.connect(options)?)))
    }
}

/// The key that stands in such a listing.
pub(super) fn decode(listed: &str) -> String {
    percent_decode_str(listed).decode_utf8_lossy().into_owned()
}

#[derive(Debug)]
struct Encoding(HttpClient);

#[async_trait]
impl HttpService for Encoding {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_listing = request.uri().query().is_some_and(|query| query.contains("list-type=2"));
        let response = self.0.execute(request).await?;
        if !is_listing || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let page = String::from_utf8(body.bytes().await?.into()).map_err(unreadable)?;
        check(&page).map_err(unreadable)?;
        let encoded = encode_keys(&page).map_err(unreadable)?;
        Ok(HttpResponse::from_parts(parts, encoded.into()))
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Decode, error)
}

/// An answer from which nobody can tell which files there are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoListing {
    /// Such as a page to log in.
    #[error(
        "the endpoint answered {0}, not a listing (ListBucketResult); it does not list by version 2 of the S3 protocol"
    )]
    Other(String),
    /// As version 1 of the protocol has it.
    #[error(
        "the endpoint answered that more follows (IsTruncated), but without NextContinuationToken; it does not list by \
         version 2 of the S3 protocol"
    )]
    WithoutToken,
}

fn check(page: &str) -> Result<(), NoListing> {
    match root(page) {
        Some(name) if name == "ListBucketResult" => {}
        Some(name) => return Err(NoListing::Other(format!("a document \"{name}\""))),
        None => return Err(NoListing::Other("something else than XML".to_owned())),
    }
    let is_truncated = matches!(element(page, "IsTruncated"), Some("true" | "True" | "TRUE" | "1"));
    if is_truncated && element(page, "NextContinuationToken").is_none_or(str::is_empty) {
        return Err(NoListing::WithoutToken);
    }
    Ok(())
}

/// Name of the outermost element.
fn root(page: &str) -> Option<String> {
    let mut reader = Reader::from_str(page);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                return Some(String::from_utf8_lossy(element.name().as_ref()).into_owned());
            }
            Event::Text(text) if !text.iter().all(u8::is_ascii_whitespace) => return None,
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// Text of the first element of this name; a key cannot pass for one, because no text holds `<`.
fn element<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = page.split_once(&format!("<{name}>"))?;
    behind.split_once("</").map(|(content, _)| content.trim())
}

/// A key's text holds no `<`, so that its element needs no parser.
fn encode_keys(page: &str) -> Result<String, EscapeError> {
    let mut encoded = String::with_capacity(page.len() * 5 / 4);
    let mut rest = page;
    while let Some((before, behind)) = rest.split_once("<Key>") {
        let (key, after) = behind.split_once("</Key>").unwrap_or((behind, ""));
        encoded.push_str(before);
        encoded.push_str("<Key>");
        encoded.extend(utf8_percent_encode(&unescape(key)?, NON_ALPHANUMERIC));
        encoded.push_str("</Key>");
        rest = after;
    }
    encoded.push_str(rest);
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_and_everything_else_stays() {
        let page = "<R><Prefix>a&amp;b/</Prefix><Contents><Key>a&amp;b/&lt;Key&gt; .csv</Key><Size>1</Size></Contents>\
                    <Contents><Key>//..&#x1;&#10;</Key></Contents></R>";
        let encoded = encode_keys(page).unwrap();
        assert_eq!(
            encoded,
            "<R><Prefix>a&amp;b/</Prefix><Contents><Key>a%26b%2F%3CKey%3E%20%2Ecsv</Key><Size>1</Size></Contents>\
             <Contents><Key>%2F%2F%2E%2E%01%0A</Key></Contents></R>"
        );
        assert_eq!(decode("a%26b%2F%3CKey%3E%20%2Ecsv"), "a&b/<Key> .csv");
        assert_eq!(encode_keys("<R></R>").unwrap(), "<R></R>");
    }

    #[test]
    fn an_answer_that_is_no_listing_does_not_pass_for_an_empty_one() {
        let error = |page| check(page).unwrap_err().to_string();
        for page in ["<!DOCTYPE html><html><body>Log in</body></html>", "<html><ListBucketResult/></html>"] {
            assert!(error(page).contains("answered a document \"html\", not a listing"), "{page}");
        }
        assert!(
            error("<ListAllMyBucketsResult></ListAllMyBucketsResult>").contains("ListAllMyBucketsResult")
        );
        for page in ["", "{\"files\": []}", "Log in first <ListBucketResult/>"] {
            assert!(error(page).contains("answered something else than XML"), "{page}");
        }
    }

    #[test]
    fn a_part_of_a_listing_does_not_pass_for_the_whole() {
        let page = |inner: &str| {
            format!(
                "\u{feff}<?xml version=\"1.0\"?>\n<!-- -->\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 {inner}<Contents><Key>a&lt;IsTruncated>.csv</Key></Contents></ListBucketResult>"
            )
        };
        let truncated = "<IsTruncated> true </IsTruncated>";
        for part in ["<NextMarker>a.csv</NextMarker>", "<NextContinuationToken></NextContinuationToken>"] {
            assert_eq!(check(&page(&format!("{truncated}{part}"))), Err(NoListing::WithoutToken));
        }
        let followed = format!("{truncated}<NextContinuationToken>b</NextContinuationToken>");
        for whole in ["", "<IsTruncated>false</IsTruncated>", &followed] {
            assert_eq!(check(&page(whole)), Ok(()), "{whole}");
        }
        assert_eq!(check("<ListBucketResult/>"), Ok(()));
    }

    #[test]
    fn a_key_that_cannot_be_read_fails_the_listing_rather_than_getting_lost() {
        assert!(encode_keys("<Key>a&nbsp;b</Key>").is_err());
    }
}
