//! What a webhook says.

use serde::Deserialize;
use serde_json::Value;

/// An event in OpenAI's envelope: `{"id", "type", "created_at", "data": {"id"}}`.
///
/// It is thin: it names the video and nothing of its state, which is read at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The body's `id` (`evt_…`); not the `webhook-id` by which deliveries are told apart.
    pub id: String,
    /// The body's `type`.
    pub kind: EventKind,
    /// The body's `data.id`, where there is one.
    pub video_id: Option<String>,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `video.completed`
    VideoCompleted,
    /// `video.failed`
    VideoFailed,
    /// Some other type; stored, and otherwise none of our business.
    Other(String),
}

impl EventKind {
    /// The word in the body.
    pub fn as_str(&self) -> &str {
        match self {
            Self::VideoCompleted => "video.completed",
            Self::VideoFailed => "video.failed",
            Self::Other(kind) => kind,
        }
    }
}

/// The body is no event.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// Not a JSON object.
    #[error("not an object")]
    NotAnObject,
    /// A JSON object without the fields of an event, or no JSON.
    #[error("not an event")]
    Shape(#[source] serde_json::Error),
    /// A field is empty, or so long that it can't be meant.
    #[error("the event's {0} is empty or too long")]
    Field(&'static str),
    /// A video event that names no video.
    #[error("a video event without data.id")]
    NoVideo,
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    r#type: String,
    /// Other types of event may have anything here: only an object's text `id` is of interest.
    #[serde(default)]
    data: Value,
}

/// The longest id or type. OpenAI's have some 40 characters; the limit of a key in DynamoDB is 2048 bytes.
const LONGEST: usize = 512;

impl Event {
    /// Reads the body of a verified webhook.
    ///
    /// # Errors
    /// When it is no event, or a video event without a video.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidEvent> {
        // Serde would read a list as an object without its names.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(InvalidEvent::NotAnObject);
        }
        let envelope: Envelope = serde_json::from_slice(body).map_err(InvalidEvent::Shape)?;
        let video_id = envelope.data.get("id").and_then(Value::as_str).map(str::to_owned);
        let kind = match envelope.r#type.as_str() {
            "video.completed" => EventKind::VideoCompleted,
            "video.failed" => EventKind::VideoFailed,
            _ => EventKind::Other(envelope.r#type),
        };
        let fields = [("id", Some(&*envelope.id)), ("type", Some(kind.as_str())), ("data.id", video_id.as_deref())];
        for (name, value) in fields {
            if value.is_some_and(|value| value.is_empty() || value.len() > LONGEST) {
                return Err(InvalidEvent::Field(name));
            }
        }
        if video_id.is_none() && !matches!(kind, EventKind::Other(_)) {
            return Err(InvalidEvent::NoVideo);
        }
        Ok(Self { id: envelope.id, kind, video_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_event_is_read() {
        let body = br#"{"id":"evt_1","object":"event","created_at":1758941485,"type":"video.completed","data":{"id":"video_1","x":1}}"#;
        let event = Event::parse(body).unwrap();
        assert_eq!(event.id, "evt_1");
        assert_eq!(event.kind, EventKind::VideoCompleted);
        assert_eq!(event.video_id.as_deref(), Some("video_1"));
    }

    #[test]
    fn other_types_may_carry_anything() {
        for data in [r#"{"id":"resp_1"}"#, "[1,2]", "null", "7", r#"{"id":7}"#, "{}"] {
            let event = Event::parse(format!(r#"{{"id":"evt_1","type":"response.done","data":{data}}}"#).as_bytes());
            assert_eq!(event.unwrap().kind.as_str(), "response.done", "{data}");
        }
        assert!(Event::parse(br#"{"id":"evt_1","type":"ping"}"#).is_ok());
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let long = format!(r#"{{"id":"{}","type":"ping"}}"#, "x".repeat(LONGEST + 1));
        for body in [
            "",
            "hello",
            "[]",
            "null",
            r#"["evt_1","ping"]"#,
            "{}",
            r#"{"id":"evt_1"}"#,
            r#"{"type":"video.completed"}"#,
            r#"{"id":7,"type":"video.completed","data":{"id":"v"}}"#,
            r#"{"id":"","type":"ping"}"#,
            r#"{"id":"evt_1","type":"video.completed"}"#,
            r#"{"id":"evt_1","type":"video.completed","data":{}}"#,
            r#"{"id":"evt_1","type":"video.failed","data":{"id":""}}"#,
            r#"{"id":"evt_1","type":"video.failed","data":["video_1"]}"#,
            &long,
        ] {
            assert!(Event::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Event::parse(b"{\"id\":\"\xff\",\"type\":\"ping\"}").is_err());
    }
}
