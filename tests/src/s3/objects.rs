//! Objects in memory, behind the protocol of s3s: what S3 itself promises about keys, etags, order and conditions.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use s3s::{
    Body, S3, S3Request, S3Response, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
        DeleteObjectOutput, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput,
        HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object, StreamingBlob, Timestamp,
    },
    s3_error,
};
use sha2::{Digest, Sha256};

/// Buckets and their objects, by key in the order of its bytes.
#[derive(Default)]
pub(super) struct Objects {
    buckets: Mutex<HashMap<String, BTreeMap<String, Held>>>,
    /// What a page of a listing takes.
    pub(super) page_milliseconds: AtomicU64,
}

#[derive(Clone)]
struct Held {
    content: Bytes,
    etag: String,
    modified_time: SystemTime,
}

impl Objects {
    fn buckets(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, Held>>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn create_bucket(&self, bucket: &str) {
        self.buckets().entry(bucket.to_owned()).or_default();
    }

    pub(super) fn remove_bucket(&self, bucket: &str) {
        self.buckets().remove(bucket);
    }

    pub(super) fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        assert!(key.len() <= 1024, "S3 has no longer keys");
        let etag = Sha256::digest(content)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let held = Held { content: Bytes::copy_from_slice(content), etag, modified_time: SystemTime::now() };
        self.buckets().get_mut(bucket).expect("a bucket").insert(key.to_owned(), held);
    }

    pub(super) fn remove(&self, bucket: &str, key: &str) {
        self.buckets().get_mut(bucket).expect("a bucket").remove(key).expect("an object");
    }

    pub(super) fn keys(&self, bucket: &str) -> Vec<String> {
        self.buckets().get(bucket).expect("a bucket").keys().cloned().collect()
    }

    fn get(&self, bucket: &str, key: &str, if_match: Option<&ETagCondition>) -> S3Result<Held> {
        let buckets = self.buckets();
        let objects = buckets.get(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let held = objects.get(key).ok_or_else(|| s3_error!(NoSuchKey))?;
        match if_match {
            Some(ETagCondition::ETag(etag)) if !ETag::Strong(held.etag.clone()).strong_cmp(etag) => {
                Err(s3_error!(PreconditionFailed))
            }
            _ => Ok(held.clone()),
        }
    }
}

/// What s3s serves.
pub(super) struct Served(pub(super) Arc<Objects>);

#[async_trait::async_trait]
impl S3 for Served {
    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let page = Duration::from_millis(self.0.page_milliseconds.load(Ordering::Relaxed));
        tokio::time::sleep(page).await;
        let ListObjectsV2Input { bucket, prefix, continuation_token, max_keys, .. } = request.input;
        let prefix = prefix.unwrap_or_default();
        let most = max_keys.and_then(|keys| usize::try_from(keys).ok()).unwrap_or(1000).min(1000);
        let buckets = self.0.buckets();
        let objects = buckets.get(&bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        // As opaque as that of S3: a key may hold what XML cannot.
        let from = match continuation_token.as_deref().map(from_hex) {
            None => Bound::Included(prefix.clone()),
            Some(Some(last)) => Bound::Excluded(last),
            Some(None) => return Err(s3_error!(InvalidArgument)),
        };
        let mut found =
            objects.range((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(&prefix));
        let contents: Vec<_> = found.by_ref().take(most).map(|(key, held)| listed(key, held)).collect();
        let is_truncated = found.next().is_some();
        let last = contents.last().and_then(|object| object.key.as_deref());
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(bucket),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated).map(to_hex),
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let Held { content, etag, modified_time } =
            self.0.get(&input.bucket, &input.key, input.if_match.as_ref())?;
        let all = content.len();
        let (content, content_range) = match input.range {
            None => (content, None),
            Some(range) => {
                let range = range.check(all as u64)?;
                let said = format!("bytes {}-{}/{all}", range.start, range.end - 1);
                (content.slice(range.start as usize..range.end as usize), Some(said))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: i64::try_from(content.len()).ok(),
            content_range,
            body: Some(StreamingBlob::from(Body::from(content))),
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(Timestamp::from(modified_time)),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let held = self.0.get(&input.bucket, &input.key, input.if_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: i64::try_from(held.content.len()).ok(),
            e_tag: Some(ETag::Strong(held.etag)),
            last_modified: Some(Timestamp::from(held.modified_time)),
            ..HeadObjectOutput::default()
        }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let CopyObjectInput { bucket, key, copy_source, .. } = request.input;
        let CopySource::Bucket { bucket: from, key: source, .. } = copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        let held = Held { modified_time: SystemTime::now(), ..self.0.get(&from, &source, None)? };
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(held.etag.clone())),
            last_modified: Some(Timestamp::from(held.modified_time)),
            ..CopyObjectResult::default()
        };
        let mut buckets = self.0.buckets();
        buckets.get_mut(&bucket).ok_or_else(|| s3_error!(NoSuchBucket))?.insert(key, held);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let DeleteObjectInput { bucket, key, .. } = request.input;
        // That nothing was there is no error to S3.
        self.0.buckets().get_mut(&bucket).ok_or_else(|| s3_error!(NoSuchBucket))?.remove(&key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }
}

fn listed(key: &str, held: &Held) -> Object {
    Object {
        key: Some(key.to_owned()),
        size: i64::try_from(held.content.len()).ok(),
        e_tag: Some(ETag::Strong(held.etag.clone())),
        last_modified: Some(Timestamp::from(held.modified_time)),
        ..Object::default()
    }
}

fn to_hex(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(token: &str) -> Option<String> {
    let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
    let bytes = token.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}
