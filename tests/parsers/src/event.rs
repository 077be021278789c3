//! The webhook's body.

use clipbell_webhook::{Event, EventKind};
use serde_json::{Value, json};

use crate::Verdict;

/// The longest id or type, in bytes.
const LONGEST: usize = 512;

/// Reads a body; what it says is what the JSON in it says.
pub fn event(input: &[u8]) -> Verdict {
    let event = Event::parse(input).ok();
    if let Ok(value) = serde_json::from_slice::<Value>(input) {
        // Written again, no name is there twice: which of the two would count is not a rule of ours.
        assert_eq!(Event::parse(value.to_string().as_bytes()).ok(), read(&value), "{value}");
    }
    let Some(event) = event else { return Verdict::Refused };
    let written = json!({
        "id": event.id,
        "type": event.kind.as_str(),
        "data": event.video_id.as_ref().map(|id| json!({"id": id})),
    });
    assert_eq!(read(&written).as_ref(), Some(&event), "{written}");
    Verdict::Taken
}

/// The rules once more, over JSON of any kind.
fn read(value: &Value) -> Option<Event> {
    let word = |value: &Value| value.as_str().filter(|word| (1..=LONGEST).contains(&word.len())).map(str::to_owned);
    let fields = value.as_object()?;
    let id = word(fields.get("id")?)?;
    let kind = match word(fields.get("type")?)?.as_str() {
        "video.completed" => EventKind::VideoCompleted,
        "video.failed" => EventKind::VideoFailed,
        other => EventKind::Other(other.to_owned()),
    };
    let video_id = match fields.get("data").and_then(Value::as_object).and_then(|data| data.get("id")) {
        // A text that can't be an id makes it no event; anything else is not a name of a video.
        Some(id @ Value::String(_)) => Some(word(id)?),
        _ => None,
    };
    (video_id.is_some() || matches!(kind, EventKind::Other(_))).then_some(Event { id, kind, video_id })
}
