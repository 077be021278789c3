//! Reading a request.

use std::fmt;

use clipbell_job::JobId;
use lambda_http::{
    Request, RequestExt,
    http::{StatusCode, header},
};
use subtle::ConstantTimeEq;

use crate::ApiError;

/// The first value of a query parameter, percent-decoded.
pub fn query(request: &Request, name: &str) -> Option<String> {
    request.query_string_parameters_ref()?.first(name).map(str::to_owned)
}

/// Refuses every `renderVersion` but `v3`.
pub fn render_version(request: &Request) -> Result<(), ApiError> {
    let message = match query(request, "renderVersion").as_deref() {
        Some("v3") => return Ok(()),
        Some(_) => "This renderVersion is not known: use renderVersion=v3.",
        None => "The query parameter renderVersion is missing: add renderVersion=v3.",
    };
    Err(ApiError::bad_request("unsupported_render_version", message))
}

/// The job that the query names.
pub fn job_id(request: &Request) -> Result<JobId, ApiError> {
    let id = query(request, "jobId").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ApiError::bad_request("missing_job_id", "The query parameter jobId is missing."))?;
    id.parse().map_err(|_| {
        ApiError::bad_request("invalid_job_id", "This is not a jobId: it looks like job_ and 32 hexadecimal digits.")
    })
}

/// The token that guards a route: `Authorization: Bearer <token>`.
#[derive(Clone)]
pub struct BearerToken(Option<String>);

impl BearerToken {
    /// Only who sends this token may pass.
    pub fn required(token: String) -> Self {
        Self(Some(token))
    }

    /// Anyone may pass; only the local stack is set up so.
    pub fn open() -> Self {
        Self(None)
    }

    /// Refuses a request without the token, with 401. Takes the same time however much of a token is right.
    pub fn check(&self, request: &Request) -> Result<(), ApiError> {
        let Some(token) = &self.0 else { return Ok(()) };
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        let message = match given {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => {
                if bool::from(given.trim().as_bytes().ct_eq(token.as_bytes())) {
                    return Ok(());
                }
                "The access token is not right."
            }
            _ => "An access token is needed: send Authorization: Bearer <token>.",
        };
        Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "BearerToken(…)" } else { "BearerToken(open)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Body;

    fn request(authorization: Option<&str>) -> Request {
        let mut builder = lambda_http::http::Request::builder();
        if let Some(value) = authorization {
            builder = builder.header("authorization", value);
        }
        builder.body(Body::Empty).unwrap()
    }

    #[test]
    fn only_the_right_token_passes() {
        let token = BearerToken::required("s3cret".to_owned());
        assert!(token.check(&request(Some("Bearer s3cret"))).is_ok());
        assert!(token.check(&request(Some("bearer s3cret"))).is_ok());
        for bad in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer s3cre"),
            Some("Basic s3cret"),
            Some("s3cret"),
        ] {
            let error = token.check(&request(bad)).unwrap_err();
            assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{bad:?}");
        }
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn an_open_route_asks_for_nothing() {
        assert!(BearerToken::open().check(&request(None)).is_ok());
    }
}
