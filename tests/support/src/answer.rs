//! An HTTP answer, as a caller sees it.

use clipbell_api::ApiError;
use lambda_http::{Body, Response};
use serde_json::Value;

/// The request id that an [`Answer`]'s 5xx carries.
const REQUEST_ID: &str = "request-1";

/// What a caller gets.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    response: Response<Body>,
}

impl Answer {
    /// What a handler's result becomes on its way to the caller.
    pub fn of(result: Result<Response<Body>, ApiError>) -> Self {
        let response = result.unwrap_or_else(|error| error.into_response(REQUEST_ID));
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        Self { status: response.status().as_u16(), body, response }
    }

    /// A header's text, or an empty one.
    pub fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body in JSON")
    }

    /// Status and code of an error. An error is a sentence and a code, and from 500 on the request's id; nothing else.
    pub fn error(&self) -> (u16, String) {
        let Value::Object(mut fields) = self.json() else { panic!("{self:?} is no error") };
        let sentence = fields.remove("error").expect("a sentence");
        assert!(sentence.as_str().is_some_and(|text| text.ends_with('.')), "{sentence} is no sentence");
        let code = fields.remove("code").expect("a code");
        if self.status >= 500 {
            assert_eq!(fields.remove("requestId").expect("a request id"), REQUEST_ID);
        }
        assert!(fields.is_empty(), "an error says more than it should: {fields:?}");
        (self.status, code.as_str().unwrap().to_owned())
    }
}
