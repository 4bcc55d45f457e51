//! Lets a listing give keys that object_store cannot hold. Its `Path` knows no empty, `.` or `..` parts, no control
//! characters and no slash at an end: one such key would fail the whole listing, or pass for another key. So the answer's
//! keys are percent-encoded before it reads them, slashes as well.

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::escape::{EscapeError, unescape};

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
        let encoded = encode_keys(&page).map_err(unreadable)?;
        Ok(HttpResponse::from_parts(parts, encoded.into()))
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Decode, error)
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
    fn a_key_that_cannot_be_read_fails_the_listing_rather_than_getting_lost() {
        assert!(encode_keys("<Key>a&nbsp;b</Key>").is_err());
    }
}
