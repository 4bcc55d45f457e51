//! Why an object store failed, in plain words: its answers are XML, and the client's errors tell of requests and retries.

use std::error::Error;

use super::listed_keys::NoListing;
use crate::error::chain;

/// One line without a secret: only the answer's code and message, or the last cause, are taken over.
pub(super) fn plain(error: &object_store::Error) -> String {
    if let Some(no_listing) = last_cause(error).downcast_ref::<NoListing>() {
        return one_line(&no_listing.to_string());
    }
    let whole = chain(error);
    if let Some(code) = element(&whole, "Code") {
        let said = element(&whole, "Message").filter(|said| !said.is_empty());
        let said = said.map(|said| format!("; it says: {}", one_line(said))).unwrap_or_default();
        return format!("{} ({}{said})", meaning(code), one_line(code));
    }
    // Where roles of machines are asked for.
    if whole.contains("/latest/api/token") || whole.contains("/latest/meta-data") {
        return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
            .to_owned();
    }
    if whole.contains("URL scheme is not allowed") {
        return "the endpoint is http://, which AWS_ALLOW_HTTP=true has to allow".to_owned();
    }
    match error {
        object_store::Error::NotFound { .. } => "it is not there".to_owned(),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            "access is denied: check the AWS_… credentials and what they allow".to_owned()
        }
        _ => match status(&whole) {
            Some(status) => format!("the endpoint answers {status}"),
            None => format!(
                "the endpoint fails or cannot be reached: {}",
                one_line(&last_cause(error).to_string())
            ),
        },
    }
}

/// What the codes that an operator can do something about mean.
fn meaning(code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => "there is no such bucket",
        "NoSuchKey" => "there is no such object",
        "InvalidAccessKeyId" | "NotSignedUp" => "the endpoint does not know AWS_ACCESS_KEY_ID",
        "SignatureDoesNotMatch" => "AWS_SECRET_ACCESS_KEY is wrong",
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            "the credentials have expired or are invalid"
        }
        "AccessDenied" | "AllAccessDisabled" => "access is denied: check what the credentials allow",
        "RequestTimeTooSkewed" => "this machine's clock is wrong",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket lies in another region: set AWS_REGION"
        }
        "SlowDown" | "ServiceUnavailable" | "InternalError" => "the store is overloaded or has failed",
        _ => "the store refuses the request",
    }
}

/// Text of the first element of this name in an answer.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    behind.split_once("</").map(|(content, _)| content)
}

/// Such as `503 Service Unavailable`.
fn status(whole: &str) -> Option<&str> {
    let (_, behind) = whole.split_once("non-2xx status code: ")?;
    behind.split(':').next()
}

fn last_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last
}

/// What came from outside stays on its line and short.
fn one_line(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use object_store::client::{HttpError, HttpErrorKind};

    use super::*;

    fn told(text: &str) -> String {
        plain(&object_store::Error::Generic { store: "S3", source: text.to_owned().into() })
    }

    #[test]
    fn an_answer_is_told_by_its_code_and_message_and_nothing_else() {
        let answer = "Error performing GET http://127.0.0.1:1/b in 3ms - Server returned non-2xx status code: 403 \
                      Forbidden: <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>It does \
                      not\nmatch.</Message><StringToSign>AWS4 secret</StringToSign></Error>";
        assert_eq!(
            told(answer),
            "AWS_SECRET_ACCESS_KEY is wrong (SignatureDoesNotMatch; it says: It does not match.)"
        );
        assert_eq!(told("<Error><Code>Odd</Code></Error>"), "the store refuses the request (Odd)");
    }

    #[test]
    fn an_answer_that_is_no_listing_is_told_as_such() {
        let source = HttpError::new(HttpErrorKind::Decode, NoListing::WithoutToken);
        let error = object_store::Error::Generic { store: "S3", source: source.into() };
        assert_eq!(plain(&error), NoListing::WithoutToken.to_string());
    }

    #[test]
    fn failures_without_an_answer_name_what_to_look_at() {
        assert!(
            told("Error performing PUT http://169.254.169.254/latest/api/token in 1s")
                .contains("no credentials")
        );
        assert!(
            told("Server returned non-2xx status code: 502 Bad Gateway: <html>").contains("502 Bad Gateway")
        );
        assert!(told("connection refused").contains("cannot be reached: connection refused"));
    }
}
