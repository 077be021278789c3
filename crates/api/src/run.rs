//! The loop around a handler.

use clipbell_log::Chain;
use lambda_http::{
    Adapter, Body, Request, RequestExt, Response, request::LambdaRequest, service_fn, tower::ServiceBuilder,
};
use lambda_runtime::LambdaEvent;

use crate::ApiError;

/// Serves `handler` as a Lambda function behind an HTTP API, for as long as the function lives.
///
/// # Errors
/// When the Lambda runtime can't be reached.
pub async fn run<App, Handler, Answer>(app: App, handler: Handler) -> Result<(), lambda_runtime::Error>
where
    App: Sync + 'static,
    Handler: Fn(&'static App, Request) -> Answer + Copy + Send + Sync + 'static,
    Answer: Future<Output = Result<Response<Body>, ApiError>> + Send,
{
    // It lives as long as the process.
    let app: &'static App = Box::leak(Box::new(app));
    let service = Adapter::from(service_fn(move |request: Request| async move {
        let request_id = request.lambda_context_ref().map_or_else(String::new, |context| context.request_id.clone());
        let answer = handler(app, request).await;
        Ok::<_, lambda_runtime::Error>(answer.unwrap_or_else(|error| {
            log(&error);
            error.into_response(&request_id)
        }))
    }));
    lambda_runtime::run(ServiceBuilder::new().map_request(parseable).service(service)).await
}

fn log(error: &ApiError) {
    let (status, code) = (error.status().as_u16(), error.code());
    match error.cause() {
        Some(cause) if error.status().is_server_error() => {
            tracing::error!(status, code, error = %Chain(cause), "request failed");
        }
        Some(cause) => tracing::info!(status, code, error = %Chain(cause), "request refused"),
        None => tracing::info!(status, code, "request refused"),
    }
}

/// `lambda_http` builds a URI from host, path and query, and panics when that is none. Nothing of ours needs the host;
/// what is odd in the query is percent-encoded.
fn parseable(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV2(request) = &mut event.payload {
        request.headers.remove(lambda_http::http::header::HOST);
        request.request_context.domain_name = None;
        if let Some(query) = &mut request.raw_query_string {
            *query = percent_encoded(query);
        }
    }
    event
}

fn percent_encoded(query: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(query.len());
    for byte in query.bytes() {
        let is_plain = byte.is_ascii_graphic() && !br##""#<>\^`{|}"##.contains(&byte);
        if is_plain {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_runtime::Context;

    #[test]
    fn no_query_and_no_host_makes_the_conversion_panic() {
        for query in ["", "a=<b>", "a=\"#\\^`{|}", "a=é%", "a=\u{0}\n \u{7f}", "%", "&&==", "?"] {
            for host in [None, Some("not a host/"), Some("[")] {
                let event = serde_json::json!({
                    "version": "2.0", "routeKey": "GET /api/status", "rawPath": "/api/status", "rawQueryString": query,
                    "headers": host.map_or_else(|| serde_json::json!({}), |host| serde_json::json!({"host": host})),
                    "requestContext": {"http": {"method": "GET", "path": "/api/status"}, "stage": "$default"},
                    "isBase64Encoded": false,
                });
                let payload: LambdaRequest = serde_json::from_value(event).unwrap();
                let request: Request = parseable(LambdaEvent::new(payload, Context::default())).payload.into();
                assert_eq!(request.uri().path(), "/api/status", "{query:?}");
            }
        }
    }

    #[test]
    fn an_ordinary_query_arrives_as_it_was_sent() {
        assert_eq!(
            percent_encoded("jobId=job_1&renderVersion=v3&x=%C3%A9+1"),
            "jobId=job_1&renderVersion=v3&x=%C3%A9+1"
        );
    }
}
