//! One object, read in the version that was scanned.

use std::{
    error::Error,
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, ObjectMeta, ObjectStore, path::Path};
use tokio::{runtime::Handle, time::timeout};

use super::{
    cause::plain,
    file::{LastCheck, OpenFile, StoreError, StoredFile},
    time::microseconds,
};

/// Beyond the client's own time-outs and retries: whatever they miss, a reading thread does not wait for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens this version of an object; for a thread of a runtime that may block.
pub(super) fn open_version(
    version: &StoredFile,
    store: &Arc<dyn ObjectStore>,
    path: &Path,
) -> Result<OpenFile, StoreError> {
    let runtime = Handle::try_current().map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    // By HTTP's rules a weak etag matches nothing; the answer's is compared below in any case.
    let is_strong = !version.etag.is_empty() && !version.etag.starts_with("W/");
    let options = GetOptions { if_match: is_strong.then(|| version.etag.clone()), ..GetOptions::default() };
    let object = runtime.block_on(answered(store.get_opts(path, options)))?;
    let object = match object {
        Ok(object) => object,
        Err(object_store::Error::Precondition { .. }) => {
            return Err(runtime.block_on(changed(version, store, path)));
        }
        Err(error) => return Err(store_error(&error, version)),
    };
    // Not every server heeds a condition.
    if is_another(version, &object.meta) {
        return Err(StoreError::changed(version, &found(version, &object.meta)));
    }
    let content = ObjectContent {
        runtime,
        version: version.clone(),
        chunks: object.into_stream(),
        chunk: Bytes::new(),
        bytes_given: 0,
    };
    Ok(OpenFile { content: Box::new(content), check: LastCheck::OneVersion, changed_time: None })
}

/// Whether this is not the version that was scanned. Etags are compared without the quotes, which not every answer has;
/// times only where there is no etag, and to the second, as HTTP gives them.
pub(super) fn is_another(version: &StoredFile, found: &ObjectMeta) -> bool {
    let bare = |etag: &str| etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"').to_owned();
    let is_same = match found.e_tag.as_deref() {
        Some(etag) if !version.etag.is_empty() => bare(etag) == bare(&version.etag),
        _ => found.last_modified.timestamp() == version.modified_time.timestamp(),
    };
    !is_same || u64::try_from(version.size_in_bytes) != Ok(found.size)
}

fn found(version: &StoredFile, meta: &ObjectMeta) -> StoredFile {
    StoredFile {
        uri: version.uri.clone(),
        modified_time: microseconds(meta.last_modified.timestamp(), 0),
        size_in_bytes: i64::try_from(meta.size).unwrap_or(i64::MAX),
        etag: meta.e_tag.clone().unwrap_or_default(),
    }
}

/// The store has said that it has another version: which?
async fn changed(version: &StoredFile, store: &Arc<dyn ObjectStore>, path: &Path) -> StoreError {
    let head = store.get_opts(path, GetOptions { head: true, ..GetOptions::default() });
    match answered(head).await {
        Ok(Ok(object)) if is_another(version, &object.meta) => {
            StoreError::changed(version, &found(version, &object.meta))
        }
        // It had changed and changes again.
        Ok(Ok(_)) => StoreError::unavailable("the object is being changed right now".to_owned()),
        Ok(Err(error)) => store_error(&error, version),
        Err(error) => error,
    }
}

async fn answered<T>(answer: impl Future<Output = T>) -> Result<T, StoreError> {
    let late = |_| StoreError::unavailable(format!("the object store did not answer for {ANSWER_TIMEOUT:?}"));
    timeout(ANSWER_TIMEOUT, answer).await.map_err(late)
}

/// What an error of the store says about the file. Denied access is an outage: credentials expire, and are renewed.
fn store_error(error: &object_store::Error, version: &StoredFile) -> StoreError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    // A read that is taken up again after a break wraps what it met.
    while let Some(error) = cause {
        match error.downcast_ref::<object_store::Error>() {
            Some(error @ object_store::Error::NotFound { .. }) => {
                // Without its bucket it is the store that is not there.
                return match plain(error) {
                    told if told.contains("NoSuchBucket") => StoreError::unavailable(told),
                    _ => StoreError::Gone,
                };
            }
            Some(object_store::Error::Precondition { .. }) => {
                let then = format!("etag {}", version.etag);
                return StoreError::Changed { then, now: "another".to_owned() };
            }
            _ => cause = error.source(),
        }
    }
    StoreError::unavailable(plain(error))
}

/// The bytes of an object, chunk by chunk. All of them are of one version: the first request was answered with it, and
/// object_store takes a broken read up again only under the same etag. Their number is compared at the end.
struct ObjectContent {
    runtime: Handle,
    version: StoredFile,
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
    /// The rest of the last one.
    chunk: Bytes,
    bytes_given: i64,
}

impl ObjectContent {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let chunk = self.runtime.block_on(answered(self.chunks.next()))?;
        chunk.transpose().map_err(|error| store_error(&error, &self.version))
    }
}

impl Read for ObjectContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.next_chunk().map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None if self.bytes_given == self.version.size_in_bytes => return Ok(0),
                None => {
                    let (given, all) = (self.bytes_given, self.version.size_in_bytes);
                    let short = format!("the object store gave {given} of {all} bytes");
                    return Err(io::Error::other(StoreError::unavailable(short)));
                }
            }
        }
        let length = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        self.bytes_given += i64::try_from(length).unwrap_or(0);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_by_size_and_etag_and_by_its_time_where_there_is_no_etag() {
        let second = |second: i64| microseconds(second, 250_000_000);
        let version = |etag: &str| StoredFile {
            uri: "s3://bucket/a.csv".to_owned(),
            modified_time: second(7),
            size_in_bytes: 5,
            etag: etag.to_owned(),
        };
        let meta = |etag: &str, time: i64, size: u64| ObjectMeta {
            location: Path::from("a.csv"),
            last_modified: microseconds(time, 0),
            size,
            e_tag: Some(etag.to_owned()).filter(|etag| !etag.is_empty()),
            version: None,
        };
        let cases = [
            ("\"x\"", meta("\"x\"", 7, 5), false),
            ("\"x\"", meta("x", 8, 5), false),
            ("W/\"x\"", meta("\"x\"", 7, 5), false),
            ("\"x\"", meta("\"y\"", 7, 5), true),
            ("\"x\"", meta("\"x\"", 7, 6), true),
            ("\"x\"", meta("", 7, 5), false),
            ("\"x\"", meta("", 8, 5), true),
            ("", meta("\"x\"", 7, 5), false),
            ("", meta("\"x\"", 8, 5), true),
        ];
        for (etag, meta, expected) in cases {
            assert_eq!(is_another(&version(etag), &meta), expected, "{etag}: {meta:?}");
        }
    }
}
