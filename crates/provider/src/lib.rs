//! Providers: whoever renders the videos.
//!
//! [`Provider`] is what the product needs of one; [`OpenAi`] is the first, for every server of that shape.

mod openai;
mod retry_after;

use std::time::Duration;

use bytes::Bytes;
use clipbell_job::JobError;

pub use openai::{InvalidBaseUrl, OpenAi, wire};

/// What the product needs of a provider.
pub trait Provider: Sync {
    /// Asks for a video. This costs money: it is sent once, on a connection of its own, and never repeated in here.
    ///
    /// # Errors
    /// What is known of the outcome.
    fn submit(&self, submission: &Submission<'_>) -> impl Future<Output = Result<Video, SubmitError>> + Send;

    /// Reads a video's state. This, and not a webhook, is the truth about it.
    fn video(&self, id: &str) -> impl Future<Output = Result<Video, ReadError>> + Send;

    /// The videos that were created at `since` (Unix seconds) or later, as far as the provider's list goes back.
    fn videos_since(&self, since: i64) -> impl Future<Output = Result<Vec<Video>, ReadError>> + Send;

    /// Begins to fetch a video's file or its thumbnail.
    fn content(&self, id: &str, variant: Variant) -> impl Future<Output = Result<Content, ReadError>> + Send;

    /// Asks for a video not to be rendered any further. One that the provider does not have needs no stopping.
    ///
    /// # Errors
    /// When the provider may still be at it.
    fn cancel(&self, id: &str) -> impl Future<Output = Result<(), CancelError>> + Send;
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// What is to be seen.
    pub prompt: &'a str,
    /// `sora-2`
    pub model: &'a str,
    /// `8`
    pub seconds: &'a str,
    /// `1280x720`
    pub size: &'a str,
}

/// A video at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// The provider's name for it.
    pub id: String,
    /// How far it is.
    pub state: VideoState,
    /// When it was created, in Unix seconds, where the provider says so.
    pub created_at: Option<i64>,
    /// What was asked for, where the provider says so.
    pub prompt: Option<String>,
    /// See `prompt`.
    pub model: Option<String>,
    /// See `prompt`; a number is read as text.
    pub seconds: Option<String>,
    /// See `prompt`.
    pub size: Option<String>,
}

impl Video {
    /// Whether this is certainly what was asked for: the provider repeats every part of it.
    pub fn is_of(&self, submission: &Submission<'_>) -> bool {
        self.prompt.as_deref() == Some(submission.prompt)
            && self.model.as_deref() == Some(submission.model)
            && self.seconds.as_deref() == Some(submission.seconds)
            && self.size.as_deref() == Some(submission.size)
    }
}

/// How far a video is at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoState {
    /// Not begun.
    Queued,
    /// Rendering, or in a state of a name that we don't know; 0 to 100 percent.
    Rendering(u8),
    /// It can be fetched.
    Completed,
    /// It ended without a video.
    Failed(JobError),
    /// Ended at somebody's wish.
    Canceled,
}

/// What can be fetched of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The MP4.
    Video,
    /// A picture.
    Thumbnail,
}

/// What is known of a submission that was not answered with a video.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It was certainly not taken; trying again later is safe.
    #[error("the provider did not take the submission")]
    NotTaken {
        /// When the provider wants to be asked again.
        retry_after: Option<Duration>,
        /// What happened.
        source: Cause,
    },
    /// It was certainly not taken, and will not be: what was asked for can't be had.
    #[error("the provider refused the submission: {}", .0.code)]
    Refused(JobError),
    /// It may have been taken.
    #[error("the outcome of the submission is unknown")]
    Unknown(#[source] Cause),
}

/// A read brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The provider knows no such video, or no longer has it.
    #[error("the provider has no such video")]
    NotFound,
    /// Trying again can help.
    #[error("the provider could not be read")]
    Unavailable {
        /// When the provider wants to be asked again.
        retry_after: Option<Duration>,
        /// What happened.
        source: Cause,
    },
}

impl ReadError {
    /// When the provider wants to be asked again, where it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotFound => None,
            Self::Unavailable { retry_after, .. } => *retry_after,
        }
    }
}

/// A video may still be rendered, although the provider was asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("the provider did not stop the video")]
pub struct CancelError(#[source] pub Cause);

/// What happened underneath.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A file that is being fetched, piece by piece.
#[derive(Debug)]
pub struct Content {
    response: reqwest::Response,
    /// How long the next piece may take once it is asked for. The HTTP client's own time-out runs on while the last
    /// piece is being stored.
    timeout: Duration,
}

impl Content {
    /// The body of an answer. `timeout` is how long each next piece may take once it is asked for.
    pub fn new(response: reqwest::Response, timeout: Duration) -> Self {
        Self { response, timeout }
    }

    /// The media type that was announced, without parameters and in lower case.
    pub fn media_type(&self) -> Option<String> {
        let value = self.response.headers().get(reqwest::header::CONTENT_TYPE)?.to_str().ok()?;
        value.split(';').next().map(|media_type| media_type.trim().to_ascii_lowercase())
    }

    /// The next piece, or none after the last.
    ///
    /// # Errors
    /// When the connection breaks off, falls silent, or ends before the announced length.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let unavailable = |source| ReadError::Unavailable { retry_after: None, source };
        let piece = tokio::time::timeout(self.timeout, self.response.chunk()).await;
        piece.map_err(|error| unavailable(error.into()))?.map_err(|error| unavailable(error.into()))
    }
}
