//! The JSON of OpenAI's Videos API, read with tolerance for what compatible servers vary: `seconds` and `progress` as a
//! number or a text, `error` as an object, a text, or with a numeric code, fields that are missing or unknown.

use clipbell_job::JobError;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::VideoState;

/// The longest message of a provider's that is handed on, in characters.
const LONGEST_MESSAGE: usize = 500;

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) data: Vec<Video>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) has_more: bool,
}

/// A video as a server writes it: [`crate::Video`] is what it says.
#[derive(Debug, Deserialize)]
pub struct Video {
    id: String,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    progress: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    created_at: Value,
    #[serde(default)]
    prompt: Value,
    #[serde(default)]
    model: Value,
    #[serde(default)]
    seconds: Value,
    #[serde(default)]
    size: Value,
}

impl From<Video> for crate::Video {
    fn from(video: Video) -> Self {
        let progress = number(&video.progress).unwrap_or(0.0).clamp(0.0, 100.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
        let progress = progress as u8;
        let state = match video.status.as_str().unwrap_or_default() {
            "queued" | "pending" => VideoState::Queued,
            "completed" | "succeeded" => VideoState::Completed,
            "failed" => VideoState::Failed(failure(&video.error)),
            "expired" => {
                let message = "The provider no longer has this video.";
                VideoState::Failed(JobError::new("video_lost", message, true))
            }
            "cancelled" | "canceled" => VideoState::Canceled,
            _ => VideoState::Rendering(progress),
        };
        #[expect(clippy::cast_possible_truncation, reason = "a float saturates, and a far year is no year of ours")]
        let created_at = number(&video.created_at).map(|seconds| seconds as i64);
        Self {
            id: video.id,
            state,
            created_at,
            prompt: text(&video.prompt),
            model: text(&video.model),
            seconds: text(&video.seconds),
            size: text(&video.size),
        }
    }
}

/// Why a video failed, in the product's codes.
fn failure(error: &Value) -> JobError {
    let code = text(error.get("code").unwrap_or(&Value::Null)).unwrap_or_default();
    if is_moderation(&code) {
        return rejected(error);
    }
    JobError::new(
        "render_failed",
        &message(error).unwrap_or("The provider could not make this video.".to_owned()),
        true,
    )
}

/// Why a submission was answered with this 4xx, in the product's codes.
pub fn refusal(status: u16, body: &[u8]) -> JobError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    // OpenAI's envelope has `error`, FastAPI's `detail`.
    let error = body.get("error").or_else(|| body.get("detail")).unwrap_or(&body);
    let code = text(error.get("code").unwrap_or(&Value::Null)).unwrap_or_default();
    if is_moderation(&code) {
        return rejected(error);
    }
    match status {
        401 | 403 => JobError::new("provider_unauthorized", "The provider did not accept our credentials.", false),
        _ => {
            let message = message(error).unwrap_or_else(|| format!("The provider refused the request ({status})."));
            JobError::new("provider_refused", &message, false)
        }
    }
}

fn rejected(error: &Value) -> JobError {
    let message = message(error).unwrap_or("The provider's moderation rejected this request.".to_owned());
    JobError::new("content_rejected", &message, false)
}

fn is_moderation(code: &str) -> bool {
    ["moderation", "content_policy", "content_filter", "safety", "sensitive"].iter().any(|word| code.contains(word))
}

fn message(error: &Value) -> Option<String> {
    let text = error.as_str().or_else(|| error.get("message")?.as_str())?.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST_MESSAGE).collect())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_end_matches('%').parse().ok(),
        _ => None,
    }
}

fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer).map(|value| value.as_bool().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(video: Value) -> crate::Video {
        serde_json::from_value::<Video>(video).unwrap().into()
    }

    #[test]
    fn openai_s_own_shape_is_read() {
        let video = read(json!({
            "id": "video_1", "object": "video", "model": "sora-2", "status": "in_progress", "progress": 33,
            "created_at": 1_758_941_485, "completed_at": null, "expires_at": null, "size": "1280x720", "seconds": "8",
            "prompt": "A bell", "remixed_from_video_id": null, "error": null, "quality": "standard",
        }));
        assert_eq!(video.state, VideoState::Rendering(33));
        assert_eq!(video.created_at, Some(1_758_941_485));
        let asked = crate::Submission { prompt: "A bell", model: "sora-2", seconds: "8", size: "1280x720" };
        assert!(video.is_of(&asked));
        assert!(!video.is_of(&crate::Submission { seconds: "4", ..asked }));
    }

    #[test]
    fn what_compatible_servers_vary_is_read_too() {
        let video =
            read(json!({"id": "v", "status": "in_progress", "progress": 12.7, "seconds": 8, "created_at": 1.5e9}));
        assert_eq!((video.state, video.seconds.as_deref()), (VideoState::Rendering(12), Some("8")));
        assert_eq!(
            read(json!({"id": "v", "status": "post_processing", "progress": "40%"})).state,
            VideoState::Rendering(40)
        );
        assert_eq!(read(json!({"id": "v"})).state, VideoState::Rendering(0));
        assert_eq!(read(json!({"id": "v", "progress": -7})).state, VideoState::Rendering(0));
        assert_eq!(read(json!({"id": "v", "progress": 1e300})).state, VideoState::Rendering(100));
        assert!(serde_json::from_value::<Video>(json!({"status": "queued"})).is_err());
    }

    #[test]
    fn an_error_is_read_in_every_shape() {
        let failed = |error: Value| match read(json!({"id": "v", "status": "failed", "error": error})).state {
            VideoState::Failed(error) => (error.code, error.retryable),
            state => panic!("{state:?}"),
        };
        assert_eq!(
            failed(json!({"code": "moderation_blocked", "message": "No."})),
            ("content_rejected".to_owned(), false)
        );
        for other in
            [json!({"code": 500, "message": "x"}), json!("out of memory"), json!(null), json!({}), json!(7), json!([])]
        {
            assert_eq!(failed(other.clone()), ("render_failed".to_owned(), true), "{other}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_providers_reason() {
        let body = json!({"error": {"message": "Invalid size.", "code": "invalid_value"}}).to_string();
        let error = refusal(400, body.as_bytes());
        assert_eq!((error.code.as_str(), error.message.as_str()), ("provider_refused", "Invalid size."));
        assert_eq!(refusal(422, br#"{"detail":"No such model"}"#).message, "No such model");
        assert_eq!(refusal(404, b"<html>").message, "The provider refused the request (404).");
        assert_eq!(refusal(401, b"").code, "provider_unauthorized");
        let long = json!({"error": "é".repeat(2000)}).to_string();
        assert_eq!(refusal(400, long.as_bytes()).message.chars().count(), LONGEST_MESSAGE);
    }
}
