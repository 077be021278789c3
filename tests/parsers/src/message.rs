//! A browser's message.

use serde_json::{Value, json};
use ws_message::{ClientMessage, MessageError};

use crate::{Verdict, is_code};

/// Reads a message, the bytes that are no text replaced as API Gateway does; what it says is what the JSON in it says.
pub fn message(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let message = ClientMessage::parse(&text);
    assert_eq!(message, read(&text), "{text}");
    let written = match message {
        Ok(ClientMessage::Subscribe(id)) => json!({"action": "subscribe", "jobId": id.as_str()}),
        Ok(ClientMessage::Unsubscribe(id)) => json!({"action": "unsubscribe", "jobId": id.as_str()}),
        Ok(ClientMessage::Ping) => json!({"action": "ping"}),
        Err(error) => {
            assert!(is_code(error.code()) && error.to_string().ends_with('.'), "{error:?}");
            return Verdict::Refused;
        }
    };
    assert_eq!(ClientMessage::parse(&written.to_string()), message_of(&written), "{written}");
    Verdict::Taken
}

/// The rules once more.
fn read(text: &str) -> Result<ClientMessage, MessageError> {
    message_of(&serde_json::from_str(text).map_err(|_| MessageError::NotAnObject)?)
}

fn message_of(value: &Value) -> Result<ClientMessage, MessageError> {
    if !value.is_object() {
        return Err(MessageError::NotAnObject);
    }
    let job_id = || match value["jobId"].as_str() {
        None | Some("") => Err(MessageError::NoJobId),
        Some(id) => {
            let digits = id.strip_prefix("job_").ok_or(MessageError::InvalidJobId)?;
            let lower = digits.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
            if digits.len() == 32 && lower { Ok(id.parse().unwrap()) } else { Err(MessageError::InvalidJobId) }
        }
    };
    match value["action"].as_str() {
        None | Some("") => Err(MessageError::NoAction),
        Some("subscribe") => job_id().map(ClientMessage::Subscribe),
        Some("unsubscribe") => job_id().map(ClientMessage::Unsubscribe),
        Some("ping") => Ok(ClientMessage::Ping),
        Some(_) => Err(MessageError::UnknownAction),
    }
}
