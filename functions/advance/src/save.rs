//! Saving a finished video to the bucket.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clipbell_aws::{AwsError, VideoUpload};
use clipbell_job::{AttemptId, Job, OpenJob, Stage, StoredVideo};
use clipbell_log::Chain;
use clipbell_provider::{Content, Provider, ReadError, Variant};

use crate::{LEASE_MARGIN, Step, Worker, failure, mp4, schedule};

/// How long fetching a thumbnail may take, and storing it: the video may be waiting for it.
const THUMBNAIL_WITHIN: Duration = Duration::from_secs(5);

/// The largest thumbnail, in bytes.
const LARGEST_THUMBNAIL: usize = 5 * 1024 * 1024;

struct Thumbnail {
    bytes: Bytes,
    ending: &'static str,
    media_type: &'static str,
}

/// Why a save did not succeed.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    /// What came is not a whole MP4.
    #[error("the provider's file is no whole video")]
    Invalid(#[from] mp4::InvalidMp4),
    /// Fetching it broke off.
    #[error("the video could not be fetched")]
    Fetch(#[from] ReadError),
    /// Storing it did not work.
    #[error("the video could not be stored")]
    Store(#[from] AwsError),
    /// The invocation has not enough time left.
    #[error("the save took too long")]
    OutOfTime,
}

impl<P: Provider> Worker<'_, P> {
    /// ```text
    /// webhook and look at once                           a worker that dies
    /// A: claim (rev 5 → 6) ──▶ upload ──▶ completed      A: claim (rev 5 → 6) ──▶ upload ──▶ ✗
    /// B: claim (rev 5 → 6) ──▶ lost: nothing is fetched  B: after A's lease: claim, upload under a key of its own
    /// ```
    pub(crate) async fn save(&self, job: OpenJob) -> Result<Step, AwsError> {
        let attempt = AttemptId::random();
        let claim = job.claim_save(attempt.clone(), self.lease_until(), self.now());
        let job = match self.claim(&claim).await? {
            Ok(job) => job,
            Err(lost) => return Ok(lost),
        };
        let video_id = job.video_id().unwrap_or_default();
        let (saved, thumbnail) =
            tokio::join!(self.store_video(&job, video_id, &attempt), self.fetch_thumbnail(&job, video_id));
        match saved {
            Ok((key, bytes)) => {
                let thumbnail_key = self.store_thumbnail(&job, thumbnail, &attempt).await;
                let now = self.now();
                let expires_at = now.plus(self.deadlines().video);
                let video = StoredVideo { key, bytes, thumbnail_key, expires_at };
                self.write_outcome(job, |job| job.completed(video.clone(), self.deadlines(), now)).await
            }
            Err(error) => {
                tracing::warn!(job_id = %job.id(), video_id, error = %Chain(&error), "not saved");
                self.write_outcome(job, |job| self.not_saved(job, &error)).await
            }
        }
    }

    fn not_saved(&self, job: &OpenJob, error: &SaveError) -> Job {
        let (failed_saves, bad_since) = match *job.stage() {
            Stage::Saving { failed_saves, bad_since, .. } => (failed_saves, bad_since),
            _ => (0, None),
        };
        let believed = bad_since.is_some_and(|since| self.now().since(since) >= self.bad_file_believed_after());
        let retry_after = if let SaveError::Fetch(error) = error { error.retry_after() } else { None };
        let next = self.next(job, schedule::retry_delay(failed_saves, retry_after));
        match error {
            SaveError::Invalid(_) if believed => self.give_up(job, failure::invalid_video()),
            SaveError::Fetch(ReadError::NotFound) if believed => self.give_up(job, failure::video_lost()),
            _ if self.is_late(job) => self.give_up(job, failure::timeout()),
            SaveError::Invalid(_) | SaveError::Fetch(ReadError::NotFound) => {
                job.file_was_bad(&error.to_string(), next, self.now())
            }
            error => job.save_failed(&error.to_string(), next, self.now()),
        }
    }

    /// For how long a file has to be none, or not there, and nothing else, before the job fails: ten minutes, with the
    /// provider's usual time-out. A page that says "back soon" is no video either.
    fn bad_file_believed_after(&self) -> Duration {
        self.app.settings.provider_timeout * 20
    }

    async fn store_video(
        &self,
        job: &OpenJob,
        video_id: &str,
        attempt: &AttemptId,
    ) -> Result<(String, u64), SaveError> {
        let mut content = self.provider.content(video_id, Variant::Video).await?;
        let key = format!("videos/{}/{attempt}.mp4", job.id());
        let mut upload = self.app.videos.upload(key.clone(), "video/mp4");
        // What follows needs time, too: the thumbnail, and the write that says where the video is.
        let left = self.until.minus(THUMBNAIL_WITHIN + 2 * LEASE_MARGIN).since(self.now());
        let stored = async {
            copy(&mut content, &mut upload).await?;
            Ok(upload.finish().await?)
        };
        match tokio::time::timeout(left, stored).await.unwrap_or(Err(SaveError::OutOfTime)) {
            Ok(bytes) => Ok((key, bytes)),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    /// Fetches the thumbnail, while the video is stored. One that can't be had fails nothing.
    async fn fetch_thumbnail(&self, job: &OpenJob, video_id: &str) -> Option<Thumbnail> {
        let fetch = async {
            let mut content = self.provider.content(video_id, Variant::Thumbnail).await?;
            let (ending, media_type) = match content.media_type().as_deref() {
                Some("image/webp") => ("webp", "image/webp"),
                Some("image/png") => ("png", "image/png"),
                Some("image/jpeg") => ("jpg", "image/jpeg"),
                // A page that asks to sign in, perhaps.
                _ => return Ok(None),
            };
            let picture = small(&mut content).await?;
            Ok::<_, ReadError>(picture.map(|bytes| Thumbnail { bytes, ending, media_type }))
        };
        match tokio::time::timeout(THUMBNAIL_WITHIN, fetch).await {
            Ok(Ok(thumbnail)) => thumbnail,
            Ok(Err(error)) => {
                tracing::info!(job_id = %job.id(), video_id, error = %Chain(&error), "no thumbnail");
                None
            }
            Err(_) => {
                tracing::info!(job_id = %job.id(), video_id, "no thumbnail in time");
                None
            }
        }
    }

    /// Stores it beside the video that has been stored, so that a save that fails leaves nothing behind.
    async fn store_thumbnail(
        &self,
        job: &OpenJob,
        thumbnail: Option<Thumbnail>,
        attempt: &AttemptId,
    ) -> Option<String> {
        let Thumbnail { bytes, ending, media_type } = thumbnail?;
        let key = format!("videos/{}/{attempt}.{ending}", job.id());
        match tokio::time::timeout(THUMBNAIL_WITHIN, self.app.videos.put(&key, media_type, bytes)).await {
            Ok(Ok(())) => Some(key),
            Ok(Err(error)) => {
                tracing::warn!(job_id = %job.id(), error = %Chain(&error), "the thumbnail was not stored");
                None
            }
            Err(_) => {
                tracing::warn!(job_id = %job.id(), "the thumbnail was not stored in time");
                None
            }
        }
    }
}

/// Copies the whole file, in constant memory, and checks on the way that it is one.
async fn copy(content: &mut Content, upload: &mut VideoUpload) -> Result<(), SaveError> {
    let mut boxes = mp4::Boxes::default();
    while let Some(piece) = content.next().await? {
        boxes.read(&piece)?;
        upload.write(piece).await?;
    }
    boxes.finish().map_err(SaveError::Invalid)
}

/// A whole file, or none when it is empty or larger than any thumbnail.
async fn small(content: &mut Content) -> Result<Option<Bytes>, ReadError> {
    let mut file = BytesMut::new();
    while let Some(piece) = content.next().await? {
        if file.len() + piece.len() > LARGEST_THUMBNAIL {
            return Ok(None);
        }
        file.extend_from_slice(&piece);
    }
    Ok((!file.is_empty()).then(|| file.freeze()))
}
