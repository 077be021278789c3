//! The provider's JSON: a video, and why a submission was refused.

use clipbell_provider::{Video, VideoState, wire};
use serde_json::Value;

use crate::{Verdict, is_code};

/// Reads the same bytes as a video and as the body of each refusal; only the former is a verdict.
pub fn video(input: &[u8]) -> Verdict {
    for status in [400, 401, 404, 422] {
        let error = wire::refusal(status, input);
        assert!(["content_rejected", "provider_refused", "provider_unauthorized"].contains(&&*error.code), "{error:?}");
        assert!(!error.retryable, "{error:?}");
        is_sentence(&error.message);
    }
    let Ok(video) = serde_json::from_slice::<wire::Video>(input).map(Video::from) else { return Verdict::Refused };
    match &video.state {
        VideoState::Rendering(progress) => assert!(*progress <= 100, "{progress}"),
        VideoState::Failed(error) => {
            assert!(is_code(&error.code), "{error:?}");
            assert_eq!(error.retryable, error.code != "content_rejected", "{error:?}");
            is_sentence(&error.message);
        }
        VideoState::Queued | VideoState::Completed | VideoState::Canceled => {}
    }
    // A field that is not read may hold what is not quite JSON (a number beyond all floats), and a list may stand in the
    // object's place.
    let Some(value) = serde_json::from_slice::<Value>(input).ok().filter(Value::is_object) else {
        return Verdict::Taken;
    };
    assert_eq!(value["id"].as_str(), Some(&*video.id), "{value}");
    for (name, text) in
        [("prompt", &video.prompt), ("model", &video.model), ("seconds", &video.seconds), ("size", &video.size)]
    {
        assert!(text.is_none() || matches!(value[name], Value::String(_) | Value::Number(_)), "{value}");
    }
    Verdict::Taken
}

fn is_sentence(message: &str) {
    assert!((1..=500).contains(&message.chars().count()) && !message.trim().is_empty(), "{message:?}");
}
