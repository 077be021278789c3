//! OpenAI's Videos API, and the servers of its shape: vLLM-Omni, `SGLang`, the `LiteLLM` proxy.
//!
//! Source: `openapi.yaml` of openai/openai-openapi, `/videos`. The hosted API was shut on 2026-09-24; the shape lives on.

pub mod wire;

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, multipart::Form, redirect};

use crate::{
    CancelError, Cause, Content, Provider, ReadError, Submission, SubmitError, Variant, Video, retry_after::retry_after,
};

/// The most that an answer in JSON may have: a page of the list with a hundred of the longest prompts.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// How many pages of the list are read, of a hundred videos each.
const PAGES: usize = 100;

/// The longest id of a video, in bytes: it is a key in our tables, and the part of a URL. OpenAI's have about 70.
const LONGEST_ID: usize = 512;

/// A server of OpenAI's Videos API.
#[derive(Clone)]
pub struct OpenAi {
    /// For what is asked once: never a connection that was used before (the far end may be closing it), never a redirect.
    once: Client,
    /// For reads.
    reads: Client,
    timeout: Duration,
    base_url: Url,
    api_key: String,
}

/// The base URL can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the base URL is not an http or https URL")]
pub struct InvalidBaseUrl;

impl OpenAi {
    /// `base_url` is like `https://api.openai.com/v1`. `timeout` bounds each call, and each piece of a file.
    ///
    /// # Errors
    /// When the URL is none, or the HTTP client can't be built.
    pub fn new(base_url: &str, api_key: &str, timeout: Duration) -> Result<Self, Cause> {
        let mut base_url = Url::parse(base_url).map_err(|_| InvalidBaseUrl)?;
        if !matches!(base_url.scheme(), "http" | "https") || base_url.cannot_be_a_base() {
            return Err(InvalidBaseUrl.into());
        }
        base_url.path_segments_mut().map_err(|()| InvalidBaseUrl)?.pop_if_empty();
        // Shorter than the whole: what fails to connect in time has certainly sent nothing.
        let client = || Client::builder().connect_timeout(timeout / 2).retry(reqwest::retry::never());
        let once = client().redirect(redirect::Policy::none()).pool_max_idle_per_host(0).build()?;
        // A function sleeps between invocations, and a connection may die meanwhile: it is not kept for long.
        let reads =
            client().pool_idle_timeout(Duration::from_secs(4)).redirect(redirect::Policy::limited(3)).build()?;
        Ok(Self { once, reads, timeout, base_url, api_key: api_key.to_owned() })
    }

    /// The same server with another key.
    #[must_use]
    pub fn with_api_key(&self, api_key: &str) -> Self {
        Self { api_key: api_key.to_owned(), ..self.clone() }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        url
    }

    async fn get(&self, url: Url) -> Result<Response, ReadError> {
        let response = self.reads.get(url).bearer_auth(&self.api_key).send().await.map_err(unavailable)?;
        match response.status() {
            status if status.is_success() => Ok(response),
            // 405: of a server that takes videos and has no list of them.
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED => Err(ReadError::NotFound),
            status => Err(ReadError::Unavailable {
                retry_after: retry_after(response.headers(), SystemTime::now()),
                source: format!("it answered {status}").into(),
            }),
        }
    }

    async fn get_json<T: serde::de::DeserializeOwned>(&self, url: Url) -> Result<T, ReadError> {
        let read = async {
            let response = self.get(url).await?;
            let body = whole(response).await.map_err(unavailable)?;
            serde_json::from_slice(&body).map_err(unavailable)
        };
        bounded(self.timeout, read).await?
    }
}

impl Provider for OpenAi {
    async fn submit(&self, submission: &Submission<'_>) -> Result<Video, SubmitError> {
        // Multipart is what all servers of this shape take; JSON is not.
        let form = [
            ("prompt", submission.prompt),
            ("model", submission.model),
            ("seconds", submission.seconds),
            ("size", submission.size),
        ]
        .into_iter()
        .fold(Form::new(), |form, (name, value)| form.text(name, value.to_owned()));
        let request: RequestBuilder = self.once.post(self.url(&["videos"])).bearer_auth(&self.api_key);
        let response = request.multipart(form).timeout(self.timeout).send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                SubmitError::NotTaken { retry_after: None, source: error.into() }
            } else {
                SubmitError::Unknown(error.into())
            }
        })?;
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let not_taken = match status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::SERVICE_UNAVAILABLE => retry_after.is_some(),
            _ => false,
        };
        if not_taken {
            return Err(SubmitError::NotTaken { retry_after, source: format!("it answered {status}").into() });
        }
        // 408 comes from a proxy whose upstream did not answer in time: that may have taken it.
        if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT {
            let body = whole(response).await.unwrap_or_default();
            return Err(SubmitError::Refused(wire::refusal(status.as_u16(), &body)));
        }
        if !status.is_success() {
            return Err(SubmitError::Unknown(format!("it answered {status}").into()));
        }
        let body = whole(response).await.map_err(SubmitError::Unknown)?;
        let video: wire::Video = serde_json::from_slice(&body).map_err(|error| SubmitError::Unknown(error.into()))?;
        let video = Video::from(video);
        if has_usable_id(&video) { Ok(video) } else { Err(SubmitError::Unknown("the video has no usable id".into())) }
    }

    async fn video(&self, id: &str) -> Result<Video, ReadError> {
        self.get_json::<wire::Video>(self.url(&["videos", id])).await.map(Video::from)
    }

    async fn videos_since(&self, since: i64) -> Result<Vec<Video>, ReadError> {
        let mut found: Vec<Video> = Vec::new();
        for _ in 0..PAGES {
            let mut url = self.url(&["videos"]);
            url.query_pairs_mut().append_pair("limit", "100").append_pair("order", "desc");
            if let Some(last) = found.last() {
                url.query_pairs_mut().append_pair("after", &last.id);
            }
            let page: wire::Page = self.get_json(url).await?;
            let before = found.len();
            // A server that does not know `after` gives the first page again.
            for video in page.data.into_iter().map(Video::from) {
                if !found.iter().any(|known| known.id == video.id) {
                    found.push(video);
                }
            }
            // One that does not know `order` begins with the oldest.
            let [first, last] = [found.first(), found.last()].map(|video| video.and_then(|video| video.created_at));
            let is_descending = first >= last;
            let reached = is_descending && last.is_some_and(|at| at < since);
            if !page.has_more || reached || found.len() == before {
                found.retain(|video| has_usable_id(video) && video.created_at.is_some_and(|at| at >= since));
                return Ok(found);
            }
        }
        Err(unavailable("the list is too long"))
    }

    async fn content(&self, id: &str, variant: Variant) -> Result<Content, ReadError> {
        let mut url = self.url(&["videos", id, "content"]);
        if variant == Variant::Thumbnail {
            url.query_pairs_mut().append_pair("variant", "thumbnail");
        }
        let response = bounded(self.timeout, self.get(url)).await??;
        Ok(Content::new(response, self.timeout))
    }

    /// `DELETE` is the only way to end a video in this API. Some servers refuse it (409) while they render.
    async fn cancel(&self, id: &str) -> Result<(), CancelError> {
        let request = self.once.delete(self.url(&["videos", id])).bearer_auth(&self.api_key).timeout(self.timeout);
        match request.send().await.map_err(|error| CancelError(error.into()))?.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(CancelError(format!("it answered {status}").into())),
        }
    }
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenAi({})", self.base_url)
    }
}

fn has_usable_id(video: &Video) -> bool {
    (1..=LONGEST_ID).contains(&video.id.len())
}

async fn whole(mut response: Response) -> Result<Bytes, Cause> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > LARGEST_ANSWER {
            return Err("the answer is too large".into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

async fn bounded<T>(timeout: Duration, read: impl Future<Output = T>) -> Result<T, ReadError> {
    tokio::time::timeout(timeout, read).await.map_err(unavailable)
}

fn unavailable(error: impl Into<Cause>) -> ReadError {
    ReadError::Unavailable { retry_after: None, source: error.into() }
}

#[cfg(test)]
mod tests;
