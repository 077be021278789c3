//! What a browser may say.

use clipbell_job::JobId;
use serde_json::Value;

/// A message from a browser: `{"action": "subscribe" | "unsubscribe", "jobId"}` or `{"action": "ping"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Tell me about this job, now and whenever it changes.
    Subscribe(JobId),
    /// No longer.
    Unsubscribe(JobId),
    /// Are you there?
    Ping,
}

/// The message can't be followed. The text is for the person who wrote the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not a JSON object.
    #[error("A message is a JSON object like {{\"action\":\"subscribe\",\"jobId\":\"job_…\"}}.")]
    NotAnObject,
    /// No `action`, or one that is no text.
    #[error("The message has no action: it is subscribe, unsubscribe or ping.")]
    NoAction,
    /// An action of another word.
    #[error("This action is not known: it is subscribe, unsubscribe or ping.")]
    UnknownAction,
    /// No `jobId`, or one that is no text.
    #[error("The message has no jobId.")]
    NoJobId,
    /// A `jobId` that can't be one.
    #[error("This is not a jobId: it looks like job_ and 32 hexadecimal digits.")]
    InvalidJobId,
}

impl MessageError {
    /// Stable, `snake_case`.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAnObject => "invalid_message",
            Self::NoAction => "missing_action",
            Self::UnknownAction => "unknown_action",
            Self::NoJobId => "missing_job_id",
            Self::InvalidJobId => "invalid_job_id",
        }
    }
}

impl ClientMessage {
    /// Reads one message; unknown fields are ignored.
    ///
    /// # Errors
    /// What is wrong with it, for the sender.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else { return Err(MessageError::NotAnObject) };
        let word = |name: &str| fields.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
        let job_id = || {
            let id = word("jobId").ok_or(MessageError::NoJobId)?;
            id.parse::<JobId>().map_err(|_| MessageError::InvalidJobId)
        };
        match word("action").ok_or(MessageError::NoAction)? {
            "subscribe" => job_id().map(Self::Subscribe),
            "unsubscribe" => job_id().map(Self::Unsubscribe),
            "ping" => Ok(Self::Ping),
            _ => Err(MessageError::UnknownAction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "job_0123456789abcdef0123456789abcdef";

    #[test]
    fn each_action_is_read() {
        let id: JobId = ID.parse().unwrap();
        let parse = |text: String| ClientMessage::parse(&text);
        assert_eq!(
            parse(format!(r#"{{"action":"subscribe","jobId":"{ID}"}}"#)),
            Ok(ClientMessage::Subscribe(id.clone()))
        );
        assert_eq!(
            parse(format!(r#"{{"jobId":"{ID}","action":"unsubscribe","x":1}}"#)),
            Ok(ClientMessage::Unsubscribe(id))
        );
        assert_eq!(parse(r#"{"action":"ping"}"#.to_owned()), Ok(ClientMessage::Ping));
    }

    #[test]
    fn what_can_t_be_followed_is_named() {
        for (text, code) in [
            ("", "invalid_message"),
            ("hello", "invalid_message"),
            ("[]", "invalid_message"),
            ("null", "invalid_message"),
            ("{}", "missing_action"),
            (r#"{"action":7}"#, "missing_action"),
            (r#"{"action":"dance"}"#, "unknown_action"),
            (r#"{"action":"subscribe"}"#, "missing_job_id"),
            (r#"{"action":"subscribe","jobId":7}"#, "missing_job_id"),
            (r#"{"action":"subscribe","jobId":"job_x"}"#, "invalid_job_id"),
        ] {
            assert_eq!(ClientMessage::parse(text).map_err(MessageError::code), Err(code), "{text}");
        }
    }
}
