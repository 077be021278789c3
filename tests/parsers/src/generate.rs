//! The body of `POST /api/generate`.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE},
};
use create_job::{Audio, GenerateRequest, RequestError};
use serde_json::{Map, Value, json};

use crate::{Verdict, is_code};

/// Reads a body; what is taken keeps the limits, and means the same in every form that its audio can be sent in.
pub fn generate(input: &[u8]) -> Verdict {
    let request = match GenerateRequest::parse(input) {
        Ok(request) => request,
        Err(error) => {
            refused(&error);
            return Verdict::Refused;
        }
    };
    let characters = request.script_or_question.chars().count();
    assert!((1..=32_000).contains(&characters) && !request.script_or_question.trim().is_empty());
    for word in [&request.model, &request.seconds, &request.size].into_iter().flatten() {
        assert!((1..=100).contains(&word.len()) && word.trim() == word, "{word:?}");
    }
    if let Some(audio) = &request.audio {
        assert!((1..=4_000_000).contains(&audio.bytes.len()));
        let media_type = audio.media_type.as_deref().unwrap_or("audio/mpeg");
        assert!(media_type.contains('/') && media_type.len() <= 100, "{media_type:?}");
        assert!(media_type.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{media_type:?}");
    }

    let fingerprint = request.fingerprint();
    assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    for (form, media_type) in forms(request.audio.as_ref()) {
        let asked = GenerateRequest {
            audio: request.audio.clone().map(|audio| Audio { media_type, ..audio }),
            ..request.clone()
        };
        let written = json!({
            "scriptOrQuestion": request.script_or_question,
            "audioBuffer": form,
            "model": request.model,
            "seconds": request.seconds,
            "size": request.size,
        });
        let again = GenerateRequest::parse(written.to_string().as_bytes());
        assert_eq!(again.as_ref().map(GenerateRequest::fingerprint).as_ref(), Ok(&fingerprint), "{written}");
        assert_eq!(again, Ok(asked), "{written}");
    }
    Verdict::Taken
}

/// The audio in every form, with the media type that remains of it.
fn forms(audio: Option<&Audio>) -> Vec<(Value, Option<String>)> {
    // As numbers, more would be over the limit of a body.
    let Some(Audio { media_type, bytes }) = audio.filter(|audio| audio.bytes.len() < 500_000) else {
        return Vec::new();
    };
    let url = format!("data:{};base64,{}", media_type.as_deref().unwrap_or_default(), STANDARD.encode(bytes));
    let indexed: Map<_, _> = bytes.iter().enumerate().map(|(index, byte)| (index.to_string(), json!(byte))).collect();
    vec![
        (json!(url), media_type.clone()),
        (json!(STANDARD.encode(bytes)), None),
        (json!(STANDARD_NO_PAD.encode(bytes)), None),
        (json!(URL_SAFE.encode(bytes)), None),
        (json!(bytes), None),
        (json!({"type": "Buffer", "data": bytes}), None),
        (Value::Object(indexed), None),
    ]
}

fn refused(error: &RequestError) {
    assert!(is_code(error.code()), "{error:?}");
    assert!(matches!(error.status(), 400 | 413), "{error:?}");
    assert!(error.to_string().ends_with('.'), "{error:?}");
}
