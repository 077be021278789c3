//! Events as AWS sends them to a function.

use base64::{Engine, engine::general_purpose::STANDARD};
use clipbell_job::{Job, Millis};
use lambda_http::{Request, request::LambdaRequest};
use lambda_runtime::{Context, LambdaEvent};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// A request that an HTTP API (payload format 2.0) hands to a function.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    method: &'static str,
    path: &'static str,
    query: String,
    headers: Map<String, Value>,
    body: Option<Vec<u8>>,
    base64: bool,
}

impl HttpRequest {
    /// `GET` of a path with a query.
    pub fn get(path: &'static str, query: &str) -> Self {
        let query = query.to_owned();
        Self { method: "GET", path, query, headers: Map::new(), body: None, base64: false }
    }

    /// `POST` to a path with a query and a body.
    pub fn post(path: &'static str, query: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "POST", body: Some(body.into()), ..Self::get(path, query) }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }

    /// With the body in base64, as API Gateway sends what it does not take for text.
    #[must_use]
    pub fn base64(self) -> Self {
        Self { base64: true, ..self }
    }

    /// The request, as a handler gets it.
    pub fn event(self) -> Request {
        let route = format!("{} {}", self.method, self.path);
        let body = self.body.map(|body| {
            if self.base64 { STANDARD.encode(body) } else { String::from_utf8(body).expect("text, or base64()") }
        });
        let event = json!({
            "version": "2.0",
            "routeKey": route,
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": self.headers,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "abcdef",
                "domainName": "abcdef.execute-api.eu-central-1.amazonaws.com",
                "domainPrefix": "abcdef",
                "http": {
                    "method": self.method,
                    "path": self.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "test",
                },
                "requestId": "gateway-1",
                "routeKey": route,
                "stage": "$default",
                "time": "24/Nov/2026:12:00:00 +0000",
                "timeEpoch": 1_795_521_600_000_i64,
            },
            "body": body,
            "isBase64Encoded": self.base64,
        });
        read::<LambdaRequest>(event).into()
    }
}

/// What a WebSocket API hands to a function for `route` (`$connect`, `$default` …).
pub fn web_socket<T: DeserializeOwned>(route: &str, connection: &str, body: Option<&str>) -> T {
    let kind = match route {
        "$connect" => "CONNECT",
        "$disconnect" => "DISCONNECT",
        _ => "MESSAGE",
    };
    read(json!({
        "requestContext": {
            "routeKey": route,
            "eventType": kind,
            "extendedRequestId": "extended-1",
            "requestTime": "24/Nov/2026:12:00:00 +0000",
            "messageDirection": "IN",
            "stage": "ws",
            "connectedAt": 1_795_521_599_000_i64,
            "requestTimeEpoch": 1_795_521_600_000_i64,
            "identity": {"userAgent": "test", "sourceIp": "192.0.2.1"},
            "requestId": "gateway-1",
            "domainName": "abcdef.execute-api.eu-central-1.amazonaws.com",
            "connectionId": connection,
            "apiId": "abcdef",
        },
        "body": body,
        "isBase64Encoded": false,
    }))
}

/// A batch that SQS hands to a function which is ended at `until`. The messages are `message-0`, `message-1` …
pub fn sqs<T: DeserializeOwned>(bodies: &[String], until: Millis) -> LambdaEvent<T> {
    let records: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| {
            json!({
                "messageId": format!("message-{index}"),
                "receiptHandle": "receipt",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1795521600000",
                    "SenderId": "AIDATEST",
                    "ApproximateFirstReceiveTimestamp": "1795521600001",
                },
                "messageAttributes": {},
                "md5OfBody": "0",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:work",
                "awsRegion": "eu-central-1",
            })
        })
        .collect();
    let mut context = Context::default();
    context.deadline = u64::try_from(until.0).unwrap();
    LambdaEvent::new(read(json!({"Records": records})), context)
}

/// A record of the jobs table's stream. `event_name` is `INSERT`, `MODIFY` or `REMOVE`.
pub fn stream_record(event_name: &str, sequence_number: u32, before: Option<&Value>, after: Option<&Value>) -> Value {
    let mut change = json!({
        "ApproximateCreationDateTime": 1_795_521_600,
        "Keys": {"jobId": before.or(after).expect("an image")["jobId"]},
        "SequenceNumber": sequence_number.to_string(),
        "SizeBytes": 1000,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    });
    for (name, image) in [("OldImage", before), ("NewImage", after)] {
        if let Some(image) = image {
            change[name] = image.clone();
        }
    }
    json!({
        "eventID": format!("event-{sequence_number}"),
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": change,
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/jobs/stream/2026-11-24T00:00:00.000",
    })
}

/// The record of a job's change.
pub fn change(sequence_number: u32, before: &Job, after: &Job) -> Value {
    stream_record("MODIFY", sequence_number, Some(&image(before)), Some(&image(after)))
}

/// A row as a stream shows it, with DynamoDB's types: `{"jobId": {"S": "job_…"}, …}`.
pub fn image(row: &impl Serialize) -> Value {
    let item: serde_dynamo::Item = serde_dynamo::to_item(row).unwrap();
    serde_json::to_value(item).unwrap()
}

/// A batch of the stream.
pub fn stream<T: DeserializeOwned>(records: &[Value]) -> T {
    read(json!({"Records": records}))
}

fn read<T: DeserializeOwned>(event: Value) -> T {
    serde_json::from_value(event).expect("an event as AWS sends it")
}
