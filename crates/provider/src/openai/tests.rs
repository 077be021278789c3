//! Against a real socket that answers with prepared bytes, or does not answer.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::VideoState;

const TIMEOUT: Duration = Duration::from_millis(300);
const SUBMISSION: Submission<'static> =
    Submission { prompt: "A bell", model: "sora-2", seconds: "8", size: "1280x720" };

/// A server that gives each connection the next of `answers`, and keeps what it was asked. One that ends with `hang` goes
/// on without a word.
struct Server {
    base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen): (Vec<String>, _) =
            (answers.iter().map(|text| (*text).to_owned()).collect(), requests.clone());
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let request = read_request(&mut socket).await;
                seen.lock().unwrap().push(request);
                let (answer, hangs) = answer.strip_suffix("hang").map_or((&*answer, false), |answer| (answer, true));
                socket.write_all(answer.as_bytes()).await.unwrap();
                if hangs {
                    // Held open until the client leaves.
                    let _ = socket.read(&mut [0]).await;
                }
            }
        });
        Self { base_url, requests }
    }

    fn provider(&self) -> OpenAi {
        OpenAi::new(&self.base_url, "secret-key", TIMEOUT).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Head and body, whose length the head announces.
async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        if socket.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

#[tokio::test]
async fn a_submission_is_a_form_with_the_key_and_its_answer_a_video() {
    let server = Server::start(&[&answer("200 OK", "", r#"{"id":"video_1","status":"queued"}"#)]).await;
    let video = server.provider().submit(&SUBMISSION).await.unwrap();
    assert_eq!((video.id.as_str(), video.state), ("video_1", VideoState::Queued));
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /v1/videos HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer secret-key"), "{request}");
    for (name, value) in [("prompt", "A bell"), ("model", "sora-2"), ("seconds", "8"), ("size", "1280x720")] {
        assert!(request.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn only_what_was_certainly_not_taken_may_be_tried_again() {
    for (answer, outcome) in [
        (answer("429 Too Many Requests", "retry-after: 7\r\n", "{}"), "not taken, 7 s"),
        (answer("429 Too Many Requests", "", "{}"), "not taken"),
        (answer("503 Service Unavailable", "retry-after: 2\r\n", ""), "not taken, 2 s"),
        (answer("503 Service Unavailable", "", ""), "unknown"),
        (answer("500 Internal Server Error", "retry-after: 2\r\n", "{}"), "unknown"),
        (answer("502 Bad Gateway", "", "<html>"), "unknown"),
        (answer("504 Gateway Timeout", "", ""), "unknown"),
        (answer("302 Found", "location: /elsewhere\r\n", ""), "unknown"),
        (answer("200 OK", "", "not json"), "unknown"),
        (answer("200 OK", "", r#"{"status":"queued"}"#), "unknown"),
        (answer("200 OK", "content-type: x\r\n", "{").replace("content-length: 1", "content-length: 9"), "unknown"),
        ("hang".to_owned(), "unknown"),
        (String::new(), "unknown"),
        (answer("400 Bad Request", "", r#"{"error":{"message":"No.","code":"x"}}"#), "refused: provider_refused"),
        (answer("401 Unauthorized", "", ""), "refused: provider_unauthorized"),
    ] {
        let server = Server::start(&[&answer]).await;
        let outcome_of = match server.provider().submit(&SUBMISSION).await.unwrap_err() {
            SubmitError::NotTaken { retry_after: Some(wait), .. } => format!("not taken, {} s", wait.as_secs()),
            SubmitError::NotTaken { retry_after: None, .. } => "not taken".to_owned(),
            SubmitError::Refused(error) => format!("refused: {}", error.code),
            SubmitError::Unknown(_) => "unknown".to_owned(),
        };
        assert_eq!(outcome_of, outcome, "{answer}");
        assert_eq!(server.requests().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_has_taken_nothing() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let provider = OpenAi::new(&format!("http://{gone}/v1"), "k", TIMEOUT).unwrap();
    let error = provider.submit(&SUBMISSION).await.unwrap_err();
    assert!(matches!(error, SubmitError::NotTaken { retry_after: None, .. }), "{error:?}");
    assert!(matches!(provider.video("v").await, Err(ReadError::Unavailable { .. })));
}

#[tokio::test]
async fn a_read_tells_what_is_gone_from_what_may_come_back() {
    let server = Server::start(&[
        &answer("404 Not Found", "", "{}"),
        &answer("429 Too Many Requests", "retry-after: 3\r\n", ""),
        &answer("200 OK", "", "<html>"),
        "hang",
    ])
    .await;
    let provider = server.provider();
    assert!(matches!(provider.video("a/../b").await, Err(ReadError::NotFound)));
    assert!(server.requests()[0].starts_with("GET /v1/videos/a%2F..%2Fb HTTP/1.1\r\n"), "{:?}", server.requests());
    let wait = Some(Duration::from_secs(3));
    assert!(
        matches!(provider.video("v").await, Err(ReadError::Unavailable { retry_after, .. }) if retry_after == wait)
    );
    for _ in 0..2 {
        assert!(matches!(provider.video("v").await, Err(ReadError::Unavailable { retry_after: None, .. })));
    }
}

#[tokio::test]
async fn the_list_is_read_back_to_the_moment_asked_for() {
    let page = |ids: &[(&str, i64)], has_more: bool| {
        let videos: Vec<_> = ids.iter().map(|(id, at)| serde_json::json!({"id": id, "created_at": at})).collect();
        answer("200 OK", "", &serde_json::json!({"data": videos, "has_more": has_more}).to_string())
    };
    let pages = [page(&[("e", 50), ("d", 40)], true), page(&[("c", 30), ("b", 20)], true), page(&[("a", 10)], false)];
    let server = Server::start(&pages.each_ref().map(String::as_str)).await;
    let found = server.provider().videos_since(30).await.unwrap();
    assert_eq!(found.iter().map(|video| video.id.as_str()).collect::<Vec<_>>(), ["e", "d", "c"]);
    assert_eq!(server.requests().len(), 2);
    assert!(server.requests()[1].contains("after=d"), "{:?}", server.requests());

    // The oldest first, whatever was asked for.
    let pages = [page(&[("a", 10), ("b", 20)], true), page(&[("c", 30)], false)];
    let server = Server::start(&pages.each_ref().map(String::as_str)).await;
    let found = server.provider().videos_since(30).await.unwrap();
    assert_eq!(found.iter().map(|video| video.id.as_str()).collect::<Vec<_>>(), ["c"]);

    // What can't be a key is no video.
    let server = Server::start(&[&page(&[(&"v".repeat(513), 50)], false)]).await;
    assert_eq!(server.provider().videos_since(30).await.unwrap().len(), 0);

    let same_again = page(&[("x", 50)], true);
    let server = Server::start(&[&same_again, &same_again]).await;
    assert_eq!(server.provider().videos_since(30).await.unwrap().len(), 1);
}

async fn fetch(answer: &str) -> Result<Vec<u8>, ReadError> {
    let server = Server::start(&[answer]).await;
    let mut content = server.provider().content("v", Variant::Video).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = content.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_file_comes_whole_or_not_at_all() {
    let whole = answer("200 OK", "content-type: video/mp4\r\n", "0123456789");
    assert_eq!(fetch(&whole).await.unwrap(), b"0123456789");
    assert!(fetch(&whole[..whole.len() - 3]).await.is_err(), "cut off");
    assert!(matches!(fetch(&answer("404 Not Found", "", "")).await, Err(ReadError::NotFound)));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n";
    assert!(fetch(chunked).await.is_err(), "chunked and cut off");
    assert!(fetch("hang").await.is_err());
    assert!(fetch(&whole.replace("56789", "hang")).await.is_err(), "fell silent in the middle");
}

#[tokio::test]
async fn whoever_takes_his_time_with_a_piece_still_gets_the_rest() {
    let server = Server::start(&[&answer("200 OK", "", "0123456789")]).await;
    let mut content = server.provider().content("v", Variant::Video).await.unwrap();
    assert_eq!(content.next().await.unwrap().unwrap(), "0123456789");
    // Storing it takes longer than the provider may take for a piece.
    tokio::time::sleep(TIMEOUT * 2).await;
    assert_eq!(content.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_video_is_stopped_when_the_server_says_so_or_does_not_have_it() {
    for (answer, stopped) in [
        (answer("200 OK", "", r#"{"id":"v","object":"video.deleted","deleted":true}"#), true),
        (answer("204 No Content", "", ""), true),
        (answer("404 Not Found", "", "{}"), true),
        (answer("410 Gone", "", ""), true),
        // Some servers delete only what is done.
        (answer("409 Conflict", "", r#"{"error":{"message":"still running"}}"#), false),
        (answer("302 Found", "location: /elsewhere\r\n", ""), false),
        (answer("405 Method Not Allowed", "", ""), false),
        (answer("500 Internal Server Error", "", ""), false),
        ("hang".to_owned(), false),
        (String::new(), false),
    ] {
        let server = Server::start(&[&answer]).await;
        assert_eq!(server.provider().cancel("a/../b").await.is_ok(), stopped, "{answer}");
        let request = &server.requests()[0];
        assert!(request.starts_with("DELETE /v1/videos/a%2F..%2Fb HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer secret-key"), "{request}");
    }
}

#[test]
fn what_is_no_base_url_is_refused_and_no_key_is_printed() {
    for bad in ["", "api.openai.com", "ftp://x/", "mailto:x@y"] {
        assert!(OpenAi::new(bad, "k", TIMEOUT).is_err(), "{bad}");
    }
    let provider = OpenAi::new("https://api.openai.com/v1", "hush", TIMEOUT).unwrap();
    assert!(!format!("{provider:?}").contains("hush"));
    assert_eq!(provider.url(&["videos"]).as_str(), "https://api.openai.com/v1/videos");
}
