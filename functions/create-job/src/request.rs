//! The body of `POST /api/generate`.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The largest body, in bytes. API Gateway hands a function at most 6 MB, its own envelope included.
const LARGEST_BODY: usize = 5_500_000;

/// The largest narration, decoded, in bytes.
const LARGEST_AUDIO: usize = 4_000_000;

/// The longest script, in characters: what the provider takes as a prompt.
const LONGEST_SCRIPT: usize = 32_000;

/// The longest `model`, `seconds`, `size` or media type, in bytes. What they may be is the provider's to say.
const LONGEST_WORD: usize = 100;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateRequest {
    /// What is to be seen; 1 to 32,000 characters, not blank.
    pub script_or_question: String,
    /// Narration.
    pub audio: Option<Audio>,
    /// The model, when one is named.
    pub model: Option<String>,
    /// The length in seconds, when one is named; as text, although a number is taken too.
    pub seconds: Option<String>,
    /// The size, when one is named: `1280x720`.
    pub size: Option<String>,
}

/// Narration, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Audio {
    /// The media type that a `data:` URL named.
    pub media_type: Option<String>,
    /// The file.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Audio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Audio({} bytes)", self.bytes.len())
    }
}

/// The body can't be followed. The text is for the person who wrote the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Over 5.5 MB.
    #[error("The body is over 5.5 MB. Narration may have 4 MB; sent as base64 it fits.")]
    BodyTooLarge,
    /// Nothing at all.
    #[error("The body is empty: send a JSON object with scriptOrQuestion.")]
    Empty,
    /// No JSON.
    #[error("The body is not JSON.")]
    NotJson,
    /// Some other JSON.
    #[error("The body is not a JSON object.")]
    NotAnObject,
    /// No script.
    #[error("scriptOrQuestion is missing.")]
    ScriptMissing,
    /// A script that is not a text.
    #[error("scriptOrQuestion is not a string.")]
    ScriptNotText,
    /// Nothing in it.
    #[error("scriptOrQuestion is empty or blank.")]
    ScriptBlank,
    /// Over 32,000 characters.
    #[error("scriptOrQuestion has {0} characters: at most 32,000 are allowed.")]
    ScriptTooLong(usize),
    /// `model`, `seconds` or `size`.
    #[error("{0} is not a text of 1 to 100 characters.")]
    Option(&'static str),
    /// `{}`.
    #[error(
        "audioBuffer is an empty object: an ArrayBuffer or Blob was not encoded. Send base64, a data: URL or an array of \
         bytes."
    )]
    AudioNotEncoded,
    /// No bytes.
    #[error("audioBuffer is empty. Leave it out when there is no narration.")]
    AudioEmpty,
    /// Nothing that audio can be.
    #[error("audioBuffer is not audio in a known form: {0}.")]
    AudioInvalid(&'static str),
    /// Over 4 MB.
    #[error("audioBuffer is over 4 MB when decoded: at most 4,000,000 bytes are allowed.")]
    AudioTooLarge,
}

impl RequestError {
    /// Stable, `snake_case`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BodyTooLarge => "body_too_large",
            Self::Empty | Self::NotJson | Self::NotAnObject => "invalid_body",
            Self::ScriptMissing | Self::ScriptNotText | Self::ScriptBlank => "invalid_script",
            Self::ScriptTooLong(_) => "script_too_long",
            Self::Option(_) => "invalid_option",
            Self::AudioNotEncoded | Self::AudioEmpty | Self::AudioInvalid(_) => "invalid_audio",
            Self::AudioTooLarge => "audio_too_large",
        }
    }

    /// The HTTP status: 413 for what is too large, else 400.
    pub fn status(&self) -> u16 {
        if matches!(self, Self::BodyTooLarge | Self::AudioTooLarge) { 413 } else { 400 }
    }
}

impl GenerateRequest {
    /// Reads a body; unknown fields are ignored, `null` counts as absent.
    ///
    /// # Errors
    /// What is wrong with it, for the sender.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > LARGEST_BODY {
            return Err(RequestError::BodyTooLarge);
        }
        if body.trim_ascii().is_empty() {
            return Err(RequestError::Empty);
        }
        let fields = match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(RequestError::NotAnObject),
            Err(_) => return Err(RequestError::NotJson),
        };
        let script = match given(&fields, "scriptOrQuestion") {
            None => return Err(RequestError::ScriptMissing),
            Some(Value::String(script)) => script,
            Some(_) => return Err(RequestError::ScriptNotText),
        };
        if script.trim().is_empty() {
            return Err(RequestError::ScriptBlank);
        }
        let characters = script.chars().count();
        if characters > LONGEST_SCRIPT {
            return Err(RequestError::ScriptTooLong(characters));
        }
        Ok(Self {
            script_or_question: script.clone(),
            audio: given(&fields, "audioBuffer").map(Audio::read).transpose()?,
            model: word(&fields, "model")?,
            seconds: word(&fields, "seconds")?,
            size: word(&fields, "size")?,
        })
    }

    /// What makes two requests the same under one `Idempotency-Key`: everything that was asked, before defaults, however
    /// it was written. A hash in hexadecimal.
    pub fn fingerprint(&self) -> String {
        #[derive(Serialize)]
        struct Asked<'a>(&'a str, Option<String>, [&'a Option<String>; 3]);
        let audio = self.audio.as_ref().map(Audio::digest);
        let asked = Asked(&self.script_or_question, audio, [&self.model, &self.seconds, &self.size]);
        // Texts and options of texts always serialize.
        hex_sha256(&serde_json::to_vec(&asked).unwrap_or_default())
    }
}

impl Audio {
    /// The SHA-256 of its bytes, in hexadecimal.
    pub fn digest(&self) -> String {
        hex_sha256(&self.bytes)
    }

    /// Reads every form that `JSON.stringify` gives to bytes: base64, a `data:` URL, Node's `Buffer`, an array, an object
    /// with indexes for names.
    fn read(value: &Value) -> Result<Self, RequestError> {
        let (media_type, bytes) = match value {
            Value::String(text) => match text.get(..5) {
                Some(scheme) if scheme.eq_ignore_ascii_case("data:") => {
                    from_data_url(text.get(5..).unwrap_or_default())?
                }
                _ => (None, from_base64(text)?),
            },
            Value::Array(bytes) => (None, from_numbers(bytes.iter())?),
            Value::Object(fields) => (None, from_object(fields)?),
            _ => return Err(RequestError::AudioInvalid("it is neither a string, an array nor an object")),
        };
        if bytes.is_empty() {
            return Err(RequestError::AudioEmpty);
        }
        if bytes.len() > LARGEST_AUDIO {
            return Err(RequestError::AudioTooLarge);
        }
        Ok(Self { media_type, bytes })
    }
}

fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn word(fields: &Map<String, Value>, name: &'static str) -> Result<Option<String>, RequestError> {
    let word = match given(fields, name) {
        None => return Ok(None),
        Some(Value::String(word)) => word.trim().to_owned(),
        // Compatible servers and their clients write `"seconds": 8`.
        Some(Value::Number(number)) if name == "seconds" => number.to_string(),
        Some(_) => return Err(RequestError::Option(name)),
    };
    if word.is_empty() || word.len() > LONGEST_WORD { Err(RequestError::Option(name)) } else { Ok(Some(word)) }
}

fn from_base64(text: &str) -> Result<Vec<u8>, RequestError> {
    // Decoded, four characters are three bytes: what is too large is not decoded first.
    if text.len() > LARGEST_AUDIO.div_ceil(3) * 4 {
        return Err(RequestError::AudioTooLarge);
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let url_safe = text.contains(['-', '_']);
    let alphabet = if url_safe { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, config)
        .decode(text)
        .map_err(|_| RequestError::AudioInvalid("the string is neither base64 nor a data: URL with base64"))
}

/// `[<media type>][;<parameter>]…;base64,<data>`, without the scheme (RFC 2397).
fn from_data_url(rest: &str) -> Result<(Option<String>, Vec<u8>), RequestError> {
    let (head, data) = rest.split_once(',').ok_or(RequestError::AudioInvalid("the data: URL has no comma"))?;
    let mut parts = head.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    if !parts.any(|part| part.eq_ignore_ascii_case("base64")) {
        return Err(RequestError::AudioInvalid("the data: URL is not base64"));
    }
    let is_media_type = media_type.len() <= LONGEST_WORD
        && media_type.contains('/')
        && media_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte));
    Ok((is_media_type.then_some(media_type), from_base64(data)?))
}

fn from_object(fields: &Map<String, Value>) -> Result<Vec<u8>, RequestError> {
    if fields.is_empty() {
        return Err(RequestError::AudioNotEncoded);
    }
    if fields.get("type").and_then(Value::as_str) == Some("Buffer") {
        return match fields.get("data") {
            Some(Value::Array(bytes)) => from_numbers(bytes.iter()),
            _ => Err(RequestError::AudioInvalid("a Buffer has an array of bytes as its data")),
        };
    }
    // Each index from 0 on is asked for: their order in the text says nothing, and a gap is no audio.
    let indexed = (0..fields.len()).map(|index| fields.get(&index.to_string()).unwrap_or(&Value::Null));
    from_numbers(indexed)
}

fn from_numbers<'a>(numbers: impl ExactSizeIterator<Item = &'a Value>) -> Result<Vec<u8>, RequestError> {
    if numbers.len() > LARGEST_AUDIO {
        return Err(RequestError::AudioTooLarge);
    }
    numbers
        .map(|number| number.as_u64().and_then(|number| u8::try_from(number).ok()))
        .collect::<Option<Vec<u8>>>()
        .ok_or(RequestError::AudioInvalid("its elements are not bytes from 0 to 255"))
}

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<GenerateRequest, RequestError> {
        GenerateRequest::parse(body.to_string().as_bytes())
    }

    fn with_audio(audio: Value) -> Result<Vec<u8>, RequestError> {
        let mut body = json!({"scriptOrQuestion": "A bell"});
        body["audioBuffer"] = audio;
        parse(&body).map(|request| request.audio.map_or_else(Vec::new, |audio| audio.bytes))
    }

    #[test]
    fn every_form_that_json_gives_to_bytes_is_audio() {
        let bytes = vec![0xfb, 0xff, 0x00, 0x68];
        for form in [
            json!("+/8AaA=="),
            json!("+/8AaA"),
            json!("-_8AaA=="),
            json!("-_8AaA"),
            json!("data:audio/mpeg;base64,+/8AaA=="),
            json!("DATA:;BASE64,+/8AaA=="),
            json!("data:audio/webm;codecs=opus;base64,+/8AaA=="),
            json!({"type": "Buffer", "data": [251, 255, 0, 104]}),
            json!([251, 255, 0, 104]),
            json!({"0": 251, "1": 255, "2": 0, "3": 104}),
            json!({"3": 104, "2": 0, "1": 255, "0": 251}),
        ] {
            assert_eq!(with_audio(form.clone()), Ok(bytes.clone()), "{form}");
        }
    }

    #[test]
    fn a_data_url_names_the_media_type() {
        let media_type = |url: &str| {
            let body = json!({"scriptOrQuestion": "A bell", "audioBuffer": url});
            parse(&body).unwrap().audio.unwrap().media_type
        };
        assert_eq!(media_type("data:audio/MPEG;base64,aGk=").as_deref(), Some("audio/mpeg"));
        assert_eq!(media_type("data:;base64,aGk="), None);
        assert_eq!(media_type("data:a\r\nb/c;base64,aGk="), None);
    }

    #[test]
    fn absent_or_null_is_no_audio() {
        assert_eq!(with_audio(Value::Null), Ok(Vec::new()));
        assert_eq!(parse(&json!({"scriptOrQuestion": "A bell"})).unwrap().audio, None);
    }

    #[test]
    fn what_is_no_audio_is_refused() {
        assert_eq!(with_audio(json!({})), Err(RequestError::AudioNotEncoded));
        for empty in [json!(""), json!([]), json!({"type": "Buffer", "data": []}), json!("data:audio/mpeg;base64,")] {
            assert_eq!(with_audio(empty.clone()), Err(RequestError::AudioEmpty), "{empty}");
        }
        for bad in [
            json!(7),
            json!(true),
            json!("https://example.com/a.mp3"),
            json!("aGk=="),
            json!("a"),
            json!("aGk=\n!"),
            json!("data:audio/mpeg,hello"),
            json!("data:audio/mpeg;base64"),
            json!([256]),
            json!([-1]),
            json!([1.5]),
            json!(["1"]),
            json!({"0": 0.5, "1": -0.5}),
            json!({"0": 1, "2": 3}),
            json!({"a": 1}),
            json!({"type": "Buffer"}),
            json!({"type": "Buffer", "data": "aGk="}),
            json!({"0": 1, "length": 1}),
        ] {
            let refused = with_audio(bad.clone());
            assert!(matches!(refused, Err(RequestError::AudioInvalid(_))), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn the_limits_are_where_they_are_said_to_be() {
        let base64 = |bytes: usize| json!(base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]));
        assert_eq!(with_audio(base64(LARGEST_AUDIO)).map(|audio| audio.len()), Ok(LARGEST_AUDIO));
        assert_eq!(with_audio(base64(LARGEST_AUDIO + 1)), Err(RequestError::AudioTooLarge));

        let script = |characters: usize| json!({"scriptOrQuestion": "é".repeat(characters)});
        assert!(parse(&script(LONGEST_SCRIPT)).is_ok());
        assert_eq!(parse(&script(LONGEST_SCRIPT + 1)), Err(RequestError::ScriptTooLong(LONGEST_SCRIPT + 1)));

        let mut body = br#"{"scriptOrQuestion":"A bell"}"#.to_vec();
        body.resize(LARGEST_BODY, b' ');
        assert!(GenerateRequest::parse(&body).is_ok());
        body.push(b' ');
        assert_eq!(GenerateRequest::parse(&body), Err(RequestError::BodyTooLarge));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (body, error) in [
            ("", RequestError::Empty),
            (" \n", RequestError::Empty),
            ("hello", RequestError::NotJson),
            ("{", RequestError::NotJson),
            ("[]", RequestError::NotAnObject),
            ("\"x\"", RequestError::NotAnObject),
            ("null", RequestError::NotAnObject),
            ("{}", RequestError::ScriptMissing),
            (r#"{"scriptOrQuestion":null}"#, RequestError::ScriptMissing),
            (r#"{"scriptOrQuestion":7}"#, RequestError::ScriptNotText),
            (r#"{"scriptOrQuestion":["x"]}"#, RequestError::ScriptNotText),
            (r#"{"scriptOrQuestion":""}"#, RequestError::ScriptBlank),
            (r#"{"scriptOrQuestion":" \n\t\u00a0"}"#, RequestError::ScriptBlank),
            (r#"{"scriptOrQuestion":"x","model":7}"#, RequestError::Option("model")),
            (r#"{"scriptOrQuestion":"x","seconds":true}"#, RequestError::Option("seconds")),
            (r#"{"scriptOrQuestion":"x","size":""}"#, RequestError::Option("size")),
        ] {
            assert_eq!(GenerateRequest::parse(body.as_bytes()), Err(error), "{body}");
        }
        assert_eq!(GenerateRequest::parse(b"{\"scriptOrQuestion\":\"\xff\"}"), Err(RequestError::NotJson));
        assert_eq!(GenerateRequest::parse("[".repeat(100_000).as_bytes()), Err(RequestError::NotJson));
    }

    #[test]
    fn a_fingerprint_is_of_what_is_asked_and_not_of_how_it_is_written() {
        let of = |body: &str| GenerateRequest::parse(body.as_bytes()).unwrap().fingerprint();
        let plain = of(r#"{"scriptOrQuestion":"A bell","seconds":"8","audioBuffer":"aGk="}"#);
        assert_eq!(of(r#"{ "x":1, "audioBuffer":[104,105],"seconds":8, "scriptOrQuestion":"A \u0062ell"}"#), plain);
        for other in [
            r#"{"scriptOrQuestion":"A bell.","seconds":"8","audioBuffer":"aGk="}"#,
            r#"{"scriptOrQuestion":"A bell","seconds":"8"}"#,
            r#"{"scriptOrQuestion":"A bell","audioBuffer":"aGk="}"#,
            r#"{"scriptOrQuestion":"A bell","size":"8","audioBuffer":"aGk="}"#,
        ] {
            assert_ne!(of(other), plain, "{other}");
        }
    }

    #[test]
    fn a_number_of_seconds_is_as_good_as_a_text() {
        assert_eq!(parse(&json!({"scriptOrQuestion": "x", "seconds": 12})).unwrap().seconds.as_deref(), Some("12"));
    }
}
