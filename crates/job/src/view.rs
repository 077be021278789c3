//! What the outside sees of a job, over HTTP and WebSocket.

use serde::Serialize;

use crate::{Job, JobError, JobId, Millis, Status};

/// A job's public state: the body of `GET /api/status` and the heart of every WebSocket message about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView<'a> {
    /// The job.
    pub job_id: &'a JobId,
    /// `queued`, `in_progress`, `completed`, `failed` or `canceled`.
    pub status: Status,
    /// 0 to 100; 100 only with `completed`.
    pub progress: u8,
    /// One sentence for a person.
    pub message: &'a str,
    /// Grows with every public change; a client keeps the highest.
    pub version: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; when something public last changed.
    pub updated_at: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a JobError>,
    /// Where to download the video; there when it is completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
}

impl Job {
    /// The job as the outside sees it.
    pub fn view(&self) -> JobView<'_> {
        let id = self.id();
        JobView {
            job_id: id,
            status: self.status(),
            progress: self.progress(),
            message: self.message(),
            version: self.version(),
            created_at: self.created_at().rfc3339(),
            updated_at: self.updated_at().rfc3339(),
            error: self.error(),
            download_url: (self.status() == Status::Completed)
                .then(|| format!("/api/download?jobId={id}&renderVersion=v3")),
        }
    }
}

/// A message from the server to a browser.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum ServerMessage<'a> {
    /// The answer to `subscribe`, with the job's present state.
    Subscribed {
        /// The state.
        #[serde(flatten)]
        job: JobView<'a>,
        /// When this was said; RFC 3339.
        timestamp: String,
    },
    /// A job has changed.
    Progress {
        /// The state.
        #[serde(flatten)]
        job: JobView<'a>,
        /// When this was said; RFC 3339.
        timestamp: String,
    },
    /// The answer to `unsubscribe`.
    Unsubscribed {
        /// The job.
        job_id: &'a JobId,
        /// When this was said; RFC 3339.
        timestamp: String,
    },
    /// The answer to `ping`.
    Pong {
        /// When this was said; RFC 3339.
        timestamp: String,
    },
    /// The client's message could not be followed.
    Error {
        /// The job that was named, when it was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        job_id: Option<&'a str>,
        /// One sentence for a person.
        error: &'a str,
        /// Stable, `snake_case`.
        code: &'a str,
        /// When this was said; RFC 3339.
        timestamp: String,
    },
}

impl<'a> ServerMessage<'a> {
    /// The present state, in answer to `subscribe`.
    pub fn subscribed(job: &'a Job, now: Millis) -> Self {
        Self::Subscribed { job: job.view(), timestamp: now.rfc3339() }
    }

    /// News of a job.
    pub fn progress(job: &'a Job, now: Millis) -> Self {
        Self::Progress { job: job.view(), timestamp: now.rfc3339() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewJob, VideoRequest};

    #[test]
    fn a_progress_message_is_flat_and_holds_what_the_contract_names() {
        let request = VideoRequest {
            prompt: Some("secret prompt".to_owned()),
            model: "sora-2".to_owned(),
            seconds: "8".to_owned(),
            size: "1280x720".to_owned(),
            audio_key: None,
        };
        let new = NewJob {
            job_id: JobId::random(),
            fingerprint: String::new(),
            request,
            provider: "openai".to_owned(),
            credentials: "OPENAI_API_KEY".to_owned(),
        };
        let job = Job::new(new, Millis(1_764_003_368_123));
        let message = serde_json::to_value(ServerMessage::progress(&job, Millis(1_764_003_369_000))).unwrap();
        assert_eq!(message["type"], "progress");
        assert_eq!(message["status"], "queued");
        assert_eq!(message["version"], 1_764_003_368_123_i64);
        assert_eq!(message["timestamp"], "2025-11-24T16:56:09.000Z");
        assert!(!message.to_string().contains("secret"));
    }
}
