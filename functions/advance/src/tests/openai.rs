//! A server of OpenAI's Videos API on loopback.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clipbell_provider::OpenAi;
use clipbell_test_support::{Call, Calls, Reply, StandIn, reply};
use serde_json::json;

use super::PROVIDER_TIMEOUT;

/// Its one video.
pub(super) const VIDEO: &str = "video_1";

#[derive(Debug)]
pub(super) struct Server {
    stand_in: StandIn,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    calls: Calls<Call>,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    status: &'static str,
    progress: u8,
    file: Bytes,
    thumbnail: Option<Bytes>,
    deleted: bool,
}

impl Server {
    /// A server whose video is queued, has a small file and a thumbnail.
    pub(super) async fn start() -> Self {
        let thumbnail = Some(Bytes::from_static(b"RIFF"));
        let inside = Inside { status: "queued", progress: 0, file: mp4(1000), thumbnail, deleted: false };
        let state = Arc::new(State { calls: Calls::default(), inside: Mutex::new(inside) });
        let asked = state.clone();
        let stand_in = StandIn::start(move |call| {
            let answer = asked.answer(call);
            async move { answer }
        })
        .await;
        Self { stand_in, state }
    }

    /// A server whose video is done.
    pub(super) async fn with_file(file: Bytes) -> Self {
        let server = Self::start().await;
        server.render("completed", 100);
        server.set_file(file);
        server
    }

    /// The product's way to it.
    pub(super) fn client(&self) -> OpenAi {
        OpenAi::new(&format!("{}/v1", self.stand_in.url()), "key", PROVIDER_TIMEOUT).unwrap()
    }

    /// Brings the video to a state.
    pub(super) fn render(&self, status: &'static str, progress: u8) {
        let mut inside = self.state.inside.lock().unwrap();
        (inside.status, inside.progress) = (status, progress);
    }

    pub(super) fn set_file(&self, file: Bytes) {
        self.state.inside.lock().unwrap().file = file;
    }

    pub(super) fn lose_thumbnail(&self) {
        self.state.inside.lock().unwrap().thumbnail = None;
    }

    /// What it was asked: `POST /v1/videos`, `GET /v1/videos/video_1/content`.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.calls.all().into_iter().map(|call| format!("{} {}", call.method, call.path)).collect()
    }

    /// How often the file itself was fetched.
    pub(super) fn fetches(&self) -> usize {
        let calls = self.state.calls.all().into_iter();
        calls.filter(|call| call.path.ends_with("/content") && call.query.is_empty()).count()
    }
}

impl State {
    fn answer(&self, call: Call) -> Reply {
        assert_eq!(call.header("authorization"), "Bearer key");
        let mut inside = self.inside.lock().unwrap();
        let was_deleted = inside.deleted;
        inside.deleted |= call.method == "DELETE";
        let video = || {
            let video = json!({
                "id": VIDEO, "object": "video", "status": inside.status, "progress": inside.progress,
                "created_at": super::NOON.unix_seconds(), "model": "sora-2", "seconds": "8", "size": "1280x720",
            });
            reply(200, &[("content-type", "application/json")], video.to_string())
        };
        let of_video = call.path.strip_prefix(&format!("/v1/videos/{VIDEO}"));
        let answer = match (call.method.as_str(), of_video, call.query("variant")) {
            ("POST", None, None) if call.path == "/v1/videos" => video(),
            (_, Some(_), _) if was_deleted => reply(404, &[], "{}"),
            ("DELETE", Some(""), None) => reply(200, &[], r#"{"deleted":true}"#),
            ("GET", Some(""), None) => video(),
            ("GET", Some("/content"), None) => reply(200, &[("content-type", "video/mp4")], inside.file.clone()),
            ("GET", Some("/content"), Some("thumbnail")) => match &inside.thumbnail {
                Some(picture) => reply(200, &[("content-type", "image/webp")], picture.clone()),
                None => reply(404, &[], "{}"),
            },
            _ => reply(404, &[], "{}"),
        };
        drop(inside);
        self.calls.push(call);
        answer
    }
}

/// An MP4 of `ftyp`, `moov` and so many bytes of media.
pub(super) fn mp4(media: usize) -> Bytes {
    let mut file = Vec::with_capacity(media + 64);
    let media: Vec<u8> = (0_u8..=255).cycle().take(media).collect();
    for (kind, body) in [(b"ftyp", &b"isom\0\0\0\0"[..]), (b"moov", b"the index"), (b"mdat", &media)] {
        file.extend(u32::try_from(body.len() + 8).unwrap().to_be_bytes());
        file.extend(kind);
        file.extend(body);
    }
    file.into()
}
