//! S3, as far as the product uses it: `PutObject` and multipart uploads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use clipbell_aws::Videos;

use crate::{Call, Calls, Reply, StandIn, reply, sdk_config};

/// The bucket's name.
const NAME: &str = "videos";

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A bucket in memory.
#[derive(Debug)]
pub struct Bucket {
    server: StandIn,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Calls<String>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    objects: BTreeMap<String, Object>,
    uploads: HashMap<String, Upload>,
    begun: usize,
    refusals: HashMap<String, usize>,
}

#[derive(Debug)]
struct Upload {
    key: String,
    media_type: String,
    parts: BTreeMap<usize, Bytes>,
}

impl Bucket {
    /// Starts it, empty.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let asked = state.clone();
        let server = StandIn::start(move |call| {
            let answer = asked.answer(&call);
            async move { answer }
        })
        .await;
        Self { server, state }
    }

    /// The product's way to it.
    pub fn videos(&self) -> Videos {
        Videos::new(&sdk_config(self.server.url()), NAME.to_owned())
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The next so many calls of this operation (`UploadPart`) are answered with 500.
    pub fn refuse(&self, operation: &str, times: usize) {
        self.state.inside.lock().unwrap().refusals.insert(operation.to_owned(), times);
    }

    /// The operations that were called, those that were refused among them.
    pub fn calls(&self) -> &Calls<String> {
        &self.state.calls
    }

    /// What is in it.
    pub fn objects(&self) -> BTreeMap<String, Object> {
        self.state.inside.lock().unwrap().objects.clone()
    }

    /// How many multipart uploads are neither completed nor aborted.
    pub fn uploads_left(&self) -> usize {
        self.state.inside.lock().unwrap().uploads.len()
    }
}

impl State {
    fn answer(&self, call: &Call) -> Reply {
        let (upload_id, part) = (call.query("uploadId"), call.query("partNumber"));
        let operation = match (call.method.as_str(), upload_id, part) {
            ("PUT", None, None) => "PutObject",
            ("POST", None, None) if call.query("uploads").is_some() => "CreateMultipartUpload",
            ("PUT", Some(_), Some(_)) => "UploadPart",
            ("POST", Some(_), None) => "CompleteMultipartUpload",
            ("DELETE", Some(_), None) => "AbortMultipartUpload",
            _ => panic!(
                "the product calls {} {}?{}, which S3's stand-in does not know",
                call.method, call.path, call.query
            ),
        };
        assert_eq!(call.header("content-encoding"), "", "the stand-in takes bodies as they are");
        self.calls.push(operation.to_owned());
        let mut inside = self.inside.lock().unwrap();
        if let Some(left @ 1..) = inside.refusals.get_mut(operation) {
            *left -= 1;
            return error(500, "InternalError");
        }
        let key = call.path.strip_prefix(&format!("/{NAME}/")).expect("a key in the bucket").to_owned();
        let media_type = call.header("content-type").to_owned();
        match operation {
            "PutObject" => {
                inside.objects.insert(key, Object { media_type, bytes: call.body.clone() });
                reply(200, &[("etag", "\"whole\"")], "")
            }
            "CreateMultipartUpload" => {
                inside.begun += 1;
                let id = format!("upload-{}", inside.begun);
                inside.uploads.insert(id.clone(), Upload { key, media_type, parts: BTreeMap::new() });
                let tag = "InitiateMultipartUploadResult";
                xml(&format!("<{tag}><UploadId>{id}</UploadId></{tag}>"))
            }
            "UploadPart" => {
                let (id, number) = (upload_id.unwrap(), part.unwrap());
                let Some(upload) = inside.uploads.get_mut(id) else { return error(404, "NoSuchUpload") };
                upload.parts.insert(number.parse().unwrap(), call.body.clone());
                reply(200, &[("etag", &format!("\"part-{number}\""))], "")
            }
            "CompleteMultipartUpload" => {
                let Some(upload) = inside.uploads.remove(upload_id.unwrap()) else { return error(404, "NoSuchUpload") };
                let named = String::from_utf8_lossy(&call.body).matches("<PartNumber>").count();
                assert_eq!(named, upload.parts.len(), "all parts are named");
                let bytes = upload.parts.into_values().flatten().collect();
                inside.objects.insert(upload.key, Object { media_type: upload.media_type, bytes });
                xml("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
            }
            _ => match inside.uploads.remove(upload_id.unwrap()) {
                Some(_) => reply(204, &[], ""),
                None => error(404, "NoSuchUpload"),
            },
        }
    }
}

fn xml(body: &str) -> Reply {
    reply(200, &[("content-type", "application/xml")], body.to_owned())
}

fn error(status: u16, code: &str) -> Reply {
    let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    reply(status, &[("content-type", "application/xml")], body)
}
