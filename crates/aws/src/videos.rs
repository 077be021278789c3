//! The bucket: videos, their thumbnails, and narration.

use std::time::Duration;

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    Client,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use clipbell_log::Chain;

use crate::{
    AwsError,
    env::{self, EnvError},
};

/// How much of an upload is held in memory, and sent as one part. With the 10,000 parts that S3 takes: 80 GB.
const PART: usize = 8 * 1024 * 1024;

/// How long the removal of a broken-off upload may take.
const ABORTED_WITHIN: Duration = Duration::from_secs(3);

/// The bucket.
#[derive(Clone, Debug)]
pub struct Videos {
    client: Client,
    bucket: String,
}

impl Videos {
    /// The bucket of this name. A try may take a minute: a part of 8 MB goes up in it. Whoever uploads bounds the whole.
    pub fn new(sdk: &SdkConfig, bucket: String) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(60))
            // Else the bound of `load_sdk_config` holds for all tries together.
            .disable_operation_timeout()
            .build();
        let config = aws_sdk_s3::config::Builder::from(sdk)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .build();
        Self { client: Client::from_conf(config), bucket }
    }

    /// The bucket that `VIDEOS_BUCKET` names.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, EnvError> {
        env::required("VIDEOS_BUCKET").map(|bucket| Self::new(sdk, bucket))
    }

    /// Stores a small object. It takes 16 s at most, whatever S3 does: a browser may be waiting, for no longer than 29 s.
    pub async fn put(&self, key: &str, media_type: &str, bytes: Bytes) -> Result<(), AwsError> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(7))
            .operation_timeout(Duration::from_secs(16))
            .build();
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(media_type)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts))
            .send()
            .await
            .map(drop)
            .map_err(|error| AwsError::call("PutObject", error))
    }

    /// A URL under which anyone can download the object as `filename` for as long as `valid_for`.
    pub async fn presigned_url(&self, key: &str, filename: &str, valid_for: Duration) -> Result<String, AwsError> {
        let call = "presigning GetObject";
        let expiry = PresigningConfig::expires_in(valid_for)
            .map_err(|error| AwsError::Call { call, source: Box::new(error) })?;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .response_content_disposition(format!("attachment; filename=\"{filename}\""))
            .presigned(expiry)
            .await
            .map_err(|error| AwsError::call(call, error))?;
        Ok(request.uri().to_owned())
    }

    /// Begins the upload of an object of unknown size.
    pub fn upload(&self, key: String, media_type: &'static str) -> VideoUpload {
        VideoUpload {
            videos: self.clone(),
            key,
            media_type,
            buffer: BytesMut::new(),
            bytes: 0,
            upload_id: None,
            parts: Vec::new(),
        }
    }
}

/// An upload under way, in constant memory. Nothing is in the bucket before [`VideoUpload::finish`].
///
/// An object of up to 8 MB is one `PutObject`; a larger one a multipart upload. One that is not finished has to be
/// aborted; what a worker that dies leaves behind is removed by the bucket's lifecycle rule after a day.
#[derive(Debug)]
pub struct VideoUpload {
    videos: Videos,
    key: String,
    media_type: &'static str,
    buffer: BytesMut,
    bytes: u64,
    upload_id: Option<String>,
    parts: Vec<CompletedPart>,
}

impl VideoUpload {
    /// Adds bytes; sends them when a part is full.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), AwsError> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        while !bytes.is_empty() {
            if self.buffer.len() == PART {
                self.send_part().await?;
            }
            let taken = bytes.split_to(bytes.len().min(PART - self.buffer.len()));
            self.buffer.extend_from_slice(&taken);
        }
        Ok(())
    }

    /// Puts the object into the bucket; gives its length in bytes. [`VideoUpload::abort`] it when that fails.
    pub async fn finish(&mut self) -> Result<u64, AwsError> {
        if self.upload_id.is_none() {
            let whole = self.buffer.split().freeze();
            self.videos.put(&self.key, self.media_type, whole).await?;
            return Ok(self.bytes);
        }
        self.send_part().await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.parts))).build();
        self.videos
            .client
            .complete_multipart_upload()
            .bucket(&self.videos.bucket)
            .key(&self.key)
            .set_upload_id(self.upload_id.clone())
            .multipart_upload(parts)
            .send()
            .await
            .map_err(|error| AwsError::call("CompleteMultipartUpload", error))?;
        Ok(self.bytes)
    }

    /// Leaves nothing behind. A failure is logged: the lifecycle rule removes what stayed.
    pub async fn abort(self) {
        let Some(upload_id) = self.upload_id else { return };
        let s3 = &self.videos;
        let abort = s3.client.abort_multipart_upload().bucket(&s3.bucket).key(&self.key).upload_id(upload_id).send();
        match tokio::time::timeout(ABORTED_WITHIN, abort).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let error = AwsError::call("AbortMultipartUpload", error);
                tracing::warn!(key = self.key, error = %Chain(&error), "an upload was not aborted");
            }
            Err(_) => tracing::warn!(key = self.key, "an upload was not aborted in time"),
        }
    }

    async fn send_part(&mut self) -> Result<(), AwsError> {
        let s3 = &self.videos;
        if self.upload_id.is_none() {
            let created = s3
                .client
                .create_multipart_upload()
                .bucket(&s3.bucket)
                .key(&self.key)
                .content_type(self.media_type)
                .send()
                .await
                .map_err(|error| AwsError::call("CreateMultipartUpload", error))?;
            self.upload_id = created.upload_id;
        }
        let number = i32::try_from(self.parts.len()).unwrap_or(i32::MAX).saturating_add(1);
        let part = s3
            .client
            .upload_part()
            .bucket(&s3.bucket)
            .key(&self.key)
            .set_upload_id(self.upload_id.clone())
            .part_number(number)
            .body(ByteStream::from(self.buffer.split().freeze()))
            .send()
            .await
            .map_err(|error| AwsError::call("UploadPart", error))?;
        self.parts.push(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
        Ok(())
    }
}
