//! Errors as a caller sees them, and as we do.
//!
//! A caller gets a status, a stable code and a sentence. What went wrong inside stays inside: a 5xx carries the request
//! id, under which the log has the whole chain, written once by [`crate::run`].

use std::borrow::Cow;

use clipbell_aws::AwsError;
use lambda_http::{
    Body, Response,
    http::{StatusCode, header},
};
use serde_json::json;

use crate::json;

/// An answer that is an error.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    retry_after: Option<u32>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// An error with this status, stable `snake_case` code, and sentence for a person.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), retry_after: None, cause: None }
    }

    /// 400: the request can't be followed as it is.
    pub fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404: there is no such job, or no longer.
    pub fn job_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "job_not_found", "There is no job with this jobId.")
    }

    /// 503: something that this answer needs is not there right now.
    pub fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let message = "This could not be done right now. Try again in a moment.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        Self { cause: Some(cause.into()), retry_after: Some(1), ..error }
    }

    /// Says when to try again, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Keeps what went wrong, for the log alone.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong inside.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }

    /// The answer: `{"error", "code"}`, and a 5xx's `"requestId"`.
    pub fn into_response(self, request_id: &str) -> Response<Body> {
        let mut body = json!({"error": self.message, "code": self.code});
        if self.status.is_server_error()
            && let Some(fields) = body.as_object_mut()
        {
            fields.insert("requestId".to_owned(), request_id.into());
        }
        let mut response = json(self.status, &body);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AwsError> for ApiError {
    fn from(error: AwsError) -> Self {
        Self::unavailable(error)
    }
}
