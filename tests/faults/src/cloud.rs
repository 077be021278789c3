//! AWS: DynamoDB (dynoxide, in process), SQS, S3 and `@connections`, as far as the product uses them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{LazyLock, Mutex},
    time::Duration,
};

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use clipbell_test_support::Template;
use dynoxide::{Database, DynoxideError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::wire::Trouble;

/// The time for which a message that was received is hidden: the function's time-out.
pub(crate) const HIDDEN_FOR: Duration = Duration::from_secs(300);

/// How often a message is received before it lies with the dead letters.
const RECEIVED_AT_MOST: u32 = 5;

/// A request of the SDK's.
pub(crate) struct Request {
    method: String,
    path: String,
    query: HashMap<String, String>,
    target: String,
    body: Vec<u8>,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// A message of the work queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) body: String,
    visible_at: Instant,
    received: u32,
}

pub(crate) struct Cloud {
    database: Database,
    inside: Mutex<Inside>,
    /// What becomes of the messages that anybody but `reconcile` sends, one after the other, and again from the first.
    fates: &'static [Fate],
}

/// What becomes of a message of the work queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives when it should.
    Kept,
    /// It never arrives.
    Lost,
    /// It arrives twice.
    Doubled,
    /// It arrives so many seconds late.
    Late(u64),
}

#[derive(Default)]
struct Inside {
    stream: Option<String>,
    messages: Vec<Message>,
    sent: u64,
    fated: usize,
    dead_letters: Vec<Message>,
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, (String, BTreeMap<usize, Vec<u8>>)>,
    uploads_begun: usize,
    connected: HashSet<String>,
    heard: HashMap<String, Vec<Value>>,
}

impl Request {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let uri: http::Uri = request.uri().parse().expect("a URI");
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        Self {
            method: request.method().to_owned(),
            path: uri.path().to_owned(),
            query: pairs.map(pair).collect(),
            target: request.headers().get("x-amz-target").unwrap_or_default().to_owned(),
            body: request.body().bytes().expect("a body in memory").to_vec(),
        }
    }

    /// The call's name: `DynamoDB PutItem JobsTable`, `S3 UploadPart`.
    pub(crate) fn name(&self) -> String {
        match self.target.split_once('.') {
            Some((service, operation)) if service.starts_with("DynamoDB") => {
                let body: Value = serde_json::from_slice(&self.body).unwrap();
                let table = body["TableName"]
                    .as_str()
                    .or_else(|| body["RequestItems"].as_object()?.keys().next().map(String::as_str));
                return format!("DynamoDB {operation} {}", table.unwrap_or("JobsTable"));
            }
            Some((_, operation)) => return format!("SQS {operation}"),
            None => {}
        }
        if self.path.starts_with("/ws/@connections/") {
            return format!("@connections {}", self.method);
        }
        format!("S3 {}", self.s3_operation())
    }

    /// What AWS says when it does not do it.
    pub(crate) fn refused_for(&self, trouble: Trouble) -> Reply {
        let xml = |status, code| Reply::new(status, "application/xml", format!("<Error><Code>{code}</Code></Error>"));
        let json = |status, kind: &str| Reply::json(status, &json!({"__type": kind, "message": "Not now."}));
        let is_transaction = self.target.ends_with(".TransactWriteItems");
        let name = self.name();
        match (name.split(' ').next().unwrap(), trouble) {
            ("DynamoDB", Trouble::Throttled) => json(400, "ProvisionedThroughputExceededException"),
            ("DynamoDB", Trouble::InConflict) if is_transaction => {
                let reasons = json!([{"Code": "None"}, {"Code": "TransactionConflict"}]);
                let kind = "TransactionCanceledException";
                Reply::json(400, &json!({"__type": kind, "message": kind, "CancellationReasons": reasons}))
            }
            ("DynamoDB", Trouble::InConflict) => json(400, "TransactionConflictException"),
            ("DynamoDB", _) => json(500, "InternalServerError"),
            ("SQS", Trouble::Throttled) => json(400, "com.amazonaws.sqs#RequestThrottled"),
            ("SQS", _) => json(500, "com.amazonaws.sqs#InternalFailure"),
            ("S3", Trouble::Throttled) => xml(503, "SlowDown"),
            ("S3", _) => xml(500, "InternalError"),
            (_, Trouble::Throttled) => json(429, "").with("x-amzn-errortype", "LimitExceededException"),
            _ => json(500, "").with("x-amzn-errortype", "InternalServerErrorException"),
        }
    }

    fn s3_operation(&self) -> &'static str {
        let has = |name: &str| self.query.contains_key(name);
        match (self.method.as_str(), has("uploadId"), has("partNumber")) {
            ("PUT", false, false) => "PutObject",
            ("POST", false, false) if has("uploads") => "CreateMultipartUpload",
            ("PUT", true, true) => "UploadPart",
            ("POST", true, false) => "CompleteMultipartUpload",
            ("DELETE", true, false) => "AbortMultipartUpload",
            _ => panic!("no S3 call of the product's: {} {} {:?}", self.method, self.path, self.query),
        }
    }
}

impl Reply {
    fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/x-amz-json-1.0", body.to_string())
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl Cloud {
    pub(crate) fn new(fates: &'static [Fate]) -> Self {
        static TABLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
            let template = Template::read();
            let tables = template.resources("AWS::DynamoDB::Table");
            tables.into_iter().map(|table| template.create_table(table)).collect()
        });
        let database = Database::memory().unwrap();
        for table in TABLES.iter() {
            database.create_table(serde_json::from_value(table.clone()).unwrap()).unwrap();
        }
        Self { database, inside: Mutex::default(), fates }
    }

    pub(crate) fn answer(&self, request: &Request) -> Reply {
        match request.target.split_once('.') {
            Some((service, operation)) if service.starts_with("DynamoDB") => self.dynamodb(operation, &request.body),
            Some((_, operation)) => self.sqs(operation, &request.body),
            None if request.path.starts_with("/ws/@connections/") => self.connections(request),
            None => self.s3(request),
        }
    }

    fn dynamodb(&self, operation: &str, body: &[u8]) -> Reply {
        let db = &self.database;
        let asked: Value = serde_json::from_slice(body).unwrap();
        // An index can't be read so. Whatever else is read decides about what is paid for, or who is told.
        let reads = operation == "GetItem" || (operation == "Query" && asked["IndexName"].is_null());
        assert!(!reads || asked["ConsistentRead"] == true, "an inconsistent {operation}: {asked}");
        let answer = match operation {
            "PutItem" => run(body, |request| db.put_item(request)),
            "GetItem" => run(body, |request| db.get_item(request)),
            "DeleteItem" => run(body, |request| db.delete_item(request)),
            "UpdateItem" => run(body, |request| db.update_item(request)),
            "BatchWriteItem" => run(body, |request| db.batch_write_item(request)),
            "Query" => run(body, |request| db.query(request)),
            "TransactWriteItems" => run(body, |request| db.transact_write_items(request)),
            other => panic!("no DynamoDB call of the product's: {other}"),
        };
        match answer {
            Ok(answer) => Reply::json(200, &answer),
            Err(error) => Reply::new(error.status_code(), "application/x-amz-json-1.0", error.to_json()),
        }
    }

    fn sqs(&self, operation: &str, body: &[u8]) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap();
        match operation {
            "SendMessage" => {
                let mut inside = self.inside.lock().unwrap();
                let fate = self.fates.get(inside.fated % self.fates.len().max(1)).copied().unwrap_or(Fate::Kept);
                inside.fated += 1;
                drop(inside);
                match fate {
                    Fate::Kept => self.send(&body, 0),
                    Fate::Lost => {}
                    Fate::Doubled => {
                        self.send(&body, 0);
                        self.send(&body, 0);
                    }
                    Fate::Late(seconds) => self.send(&body, seconds),
                }
                Reply::json(200, &json!({"MessageId": "m", "MD5OfMessageBody": "0"}))
            }
            "SendMessageBatch" => {
                let entries = body["Entries"].as_array().unwrap();
                for entry in entries {
                    self.send(entry, 0);
                }
                let sent = |entry: &Value| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"});
                Reply::json(200, &json!({"Successful": entries.iter().map(sent).collect::<Vec<_>>(), "Failed": []}))
            }
            other => panic!("no SQS call of the product's: {other}"),
        }
    }

    fn send(&self, message: &Value, late: u64) {
        let delay = Duration::from_secs(message["DelaySeconds"].as_u64().unwrap_or(0) + late);
        let mut inside = self.inside.lock().unwrap();
        inside.sent += 1;
        let message = Message {
            id: inside.sent,
            body: message["MessageBody"].as_str().unwrap().to_owned(),
            visible_at: Instant::now() + delay,
            received: 0,
        };
        inside.messages.push(message);
    }

    fn connections(&self, request: &Request) -> Reply {
        let connection = request.path.trim_start_matches("/ws/@connections/");
        let mut inside = self.inside.lock().unwrap();
        if !inside.connected.contains(connection) {
            return Reply::json(410, &json!({})).with("x-amzn-errortype", "GoneException");
        }
        if request.method == "DELETE" {
            inside.connected.remove(connection);
        } else {
            let message = serde_json::from_slice(&request.body).expect("a message in JSON");
            inside.heard.entry(connection.to_owned()).or_default().push(message);
        }
        Reply::json(200, &json!({}))
    }

    fn s3(&self, request: &Request) -> Reply {
        let key = request.path.strip_prefix("/videos/").expect("a key in the bucket").to_owned();
        let upload_id = request.query.get("uploadId").map(String::as_str).unwrap_or_default();
        let mut inside = self.inside.lock().unwrap();
        let xml = |body: String| Reply::new(200, "application/xml", body);
        let no_such_upload = || Reply::new(404, "application/xml", "<Error><Code>NoSuchUpload</Code></Error>");
        match request.s3_operation() {
            "PutObject" => {
                inside.objects.insert(key, request.body.clone());
                xml(String::new()).with("etag", "\"whole\"")
            }
            "CreateMultipartUpload" => {
                inside.uploads_begun += 1;
                let id = format!("upload-{}", inside.uploads_begun);
                inside.uploads.insert(id.clone(), (key, BTreeMap::new()));
                xml(format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
            }
            "UploadPart" => {
                let Some((_, parts)) = inside.uploads.get_mut(upload_id) else { return no_such_upload() };
                parts.insert(request.query["partNumber"].parse().unwrap(), request.body.clone());
                xml(String::new()).with("etag", "\"part\"")
            }
            "CompleteMultipartUpload" => {
                // AWS answers a second completion of an upload as it answered the first.
                if let Some((key, parts)) = inside.uploads.remove(upload_id) {
                    inside.objects.insert(key, parts.into_values().collect::<Vec<_>>().concat());
                } else if !inside.objects.contains_key(&key) {
                    return no_such_upload();
                }
                xml("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>".to_owned())
            }
            _ => match inside.uploads.remove(upload_id) {
                Some(_) => Reply::new(204, "application/xml", ""),
                None => no_such_upload(),
            },
        }
    }

    /// What is new in the jobs table's stream.
    pub(crate) fn stream_records(&self) -> Vec<Value> {
        let mut inside = self.inside.lock().unwrap();
        let iterator = inside.stream.take().unwrap_or_else(|| self.first_iterator());
        let request = serde_json::from_value(json!({"ShardIterator": iterator})).unwrap();
        let page = self.database.get_records(request).unwrap();
        inside.stream = page.next_shard_iterator;
        page.records.iter().map(|record| serde_json::to_value(record).unwrap()).collect()
    }

    fn first_iterator(&self) -> String {
        let streams = self.database.list_streams(serde_json::from_value(json!({"TableName": "JobsTable"})).unwrap());
        let arn = streams.unwrap().streams[0].stream_arn.clone();
        let described = self.database.describe_stream(serde_json::from_value(json!({"StreamArn": arn})).unwrap());
        let shard = described.unwrap().stream_description.shards[0].shard_id.clone();
        let wanted = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = self.database.get_shard_iterator(serde_json::from_value(wanted).unwrap());
        iterator.unwrap().shard_iterator.unwrap()
    }

    /// The next message whose time has come. It is hidden, and comes back unless it is deleted.
    pub(crate) fn receive(&self) -> Option<Message> {
        let now = Instant::now();
        let mut inside = self.inside.lock().unwrap();
        let due = inside.messages.iter().enumerate().filter(|(_, message)| message.visible_at <= now);
        let index = due.min_by_key(|(_, message)| (message.visible_at, message.id)).map(|(index, _)| index)?;
        if inside.messages[index].received == RECEIVED_AT_MOST {
            let dead = inside.messages.remove(index);
            inside.dead_letters.push(dead);
            drop(inside);
            return self.receive();
        }
        let message = &mut inside.messages[index];
        message.received += 1;
        message.visible_at = now + HIDDEN_FOR;
        Some(message.clone())
    }

    /// The message of this kind that was sent last, whoever may have it in hand: a queue delivers twice.
    pub(crate) fn newest(&self, kind: &str) -> Option<Message> {
        let is_of_kind =
            |message: &&Message| serde_json::from_str::<Value>(&message.body).is_ok_and(|body| body["kind"] == kind);
        self.inside.lock().unwrap().messages.iter().rev().find(is_of_kind).cloned()
    }

    pub(crate) fn delete(&self, message: &Message) {
        self.inside.lock().unwrap().messages.retain(|other| other.id != message.id);
    }

    /// When the next message is due.
    pub(crate) fn next_message_at(&self) -> Option<Instant> {
        self.inside.lock().unwrap().messages.iter().map(|message| message.visible_at).min()
    }

    pub(crate) fn dead_letters(&self) -> usize {
        self.inside.lock().unwrap().dead_letters.len()
    }

    /// How many videos lie in the bucket.
    pub(crate) fn stored_videos(&self) -> usize {
        let is_video = |key: &&String| key.rsplit_once('.').is_some_and(|(_, ending)| ending == "mp4");
        self.inside.lock().unwrap().objects.keys().filter(is_video).count()
    }

    /// How many uploads were begun and neither completed nor aborted.
    pub(crate) fn unfinished_uploads(&self) -> usize {
        self.inside.lock().unwrap().uploads.len()
    }

    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.inside.lock().unwrap().objects.get(key).cloned()
    }

    pub(crate) fn connect(&self, connection: &str) {
        self.inside.lock().unwrap().connected.insert(connection.to_owned());
    }

    /// The connection is gone, and nobody says so.
    pub(crate) fn vanish(&self, connection: &str) {
        self.inside.lock().unwrap().connected.remove(connection);
    }

    pub(crate) fn is_connected(&self, connection: &str) -> bool {
        self.inside.lock().unwrap().connected.contains(connection)
    }

    /// What was posted to a connection.
    pub(crate) fn heard(&self, connection: &str) -> Vec<Value> {
        self.inside.lock().unwrap().heard.get(connection).cloned().unwrap_or_default()
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<Value, DynoxideError> {
    let request = serde_json::from_slice(body).expect("a request that DynamoDB can read");
    operation(request).map(|answer| serde_json::to_value(answer).unwrap())
}
