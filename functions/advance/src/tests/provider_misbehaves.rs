//! Whole jobs against a server of the Videos API that misbehaves in one way, with the product's own client over a socket:
//! how the job ends, how often a video was asked for, and how many the server made.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use clipbell_provider::OpenAi;
use clipbell_test_support::HandClock;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{openai::mp4, *};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A submission that the server does not take.
    Untaken,
    /// A submission that it takes.
    Taken,
    /// The third read of the video, which has got to 40 percent; or that and all later ones.
    Read,
    /// The list, after a submission that was taken and whose answer was lost.
    List,
    File,
    Thumbnail,
}

impl At {
    /// The call, and how many of it go well before.
    fn call(self) -> (Call, usize) {
        match self {
            Untaken | Taken => (Call::Submit, 0),
            Read => (Call::Read, 2),
            List => (Call::List, 0),
            File => (Call::File, 0),
            Thumbnail => (Call::Thumbnail, 0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Answers with this status, `Retry-After` and body.
    Answers(u16, Option<u64>, &'static str),
    /// Takes the request and never says a word.
    Hangs,
    /// Says half of its answer, and no more.
    HangsHalfway,
    Resets,
    ResetsHalfway,
    /// Announces more than comes.
    LengthTooLong,
    /// Announces less than there is.
    LengthTooShort,
    /// Says this of the video.
    Says(&'static str),
    EmptyList,
    /// From now on the video is `expired`, and its file gone.
    Expires,
    /// From now on there is no such video.
    Vanishes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Often {
    Once,
    Always,
}

use At::{File, List, Read, Taken, Thumbnail, Untaken};
use Fault::{
    Answers, EmptyList, Expires, Hangs, HangsHalfway, LengthTooLong, LengthTooShort, Resets, ResetsHalfway, Says,
    Vanishes,
};
use Often::{Always, Once};

const TOO_MANY: Fault = Answers(429, None, r#"{"error":{"code":"rate_limit_exceeded","message":"Slow down."}}"#);
const TOO_MANY_WAIT: Fault = Answers(429, Some(60), r#"{"error":{"code":"rate_limit_exceeded"}}"#);
const BROKEN: Fault = Answers(500, None, r#"{"error":{"code":"server_error","message":"Sorry."}}"#);
const BAD_GATEWAY: Fault = Answers(502, None, "<html><h1>502 Bad Gateway</h1></html>");
const AWAY: Fault = Answers(503, None, "");
const AWAY_WAIT: Fault = Answers(503, Some(60), "");
const NOT_FOUND: Fault = Answers(404, None, r#"{"error":{"message":"No such video."}}"#);
const GONE: Fault = Answers(410, None, "");
const NOT_ALLOWED: Fault = Answers(405, None, r#"{"detail":"Method Not Allowed"}"#);
const TIMED_OUT: Fault = Answers(408, None, r#"{"error":{"message":"Timeout error from the upstream."}}"#);
const A_PAGE: Fault = Answers(200, None, "<html>Please sign in</html>");
const EMPTY: Fault = Answers(200, None, "");

/// What goes wrong, how often; how the job ends (`completed`, or its error's code), submissions, videos that were made.
const SUBMISSIONS: &[(At, Fault, Often, &str, usize, usize)] = &[
    // What was certainly not taken is asked for again.
    (Untaken, TOO_MANY, Once, "completed", 2, 1),
    (Untaken, TOO_MANY_WAIT, Once, "completed", 2, 1),
    (Untaken, AWAY_WAIT, Once, "completed", 2, 1),
    (Untaken, TOO_MANY, Always, "timeout", 7, 0),
    (Untaken, TOO_MANY_WAIT, Always, "timeout", 3, 0),
    // What may have been taken never is, although a second submission would go well.
    (Untaken, BROKEN, Once, "submit_outcome_unknown", 1, 0),
    (Untaken, BAD_GATEWAY, Once, "submit_outcome_unknown", 1, 0),
    (Untaken, AWAY, Once, "submit_outcome_unknown", 1, 0),
    (Untaken, TIMED_OUT, Once, "submit_outcome_unknown", 1, 0),
    (Untaken, A_PAGE, Once, "submit_outcome_unknown", 1, 0),
    (Untaken, Hangs, Once, "submit_outcome_unknown", 1, 0),
    (Untaken, Resets, Once, "submit_outcome_unknown", 1, 0),
    // It is found in the list.
    (Taken, BROKEN, Once, "completed", 1, 1),
    (Taken, BAD_GATEWAY, Once, "completed", 1, 1),
    (Taken, AWAY, Once, "completed", 1, 1),
    (Taken, TIMED_OUT, Once, "completed", 1, 1),
    (Taken, A_PAGE, Once, "completed", 1, 1),
    (Taken, EMPTY, Once, "completed", 1, 1),
    (Taken, Hangs, Once, "completed", 1, 1),
    (Taken, HangsHalfway, Once, "completed", 1, 1),
    (Taken, Resets, Once, "completed", 1, 1),
    (Taken, ResetsHalfway, Once, "completed", 1, 1),
    (Taken, LengthTooLong, Once, "completed", 1, 1),
    (Taken, LengthTooShort, Once, "completed", 1, 1),
    (Taken, Says(r#"{"status":"thinking"}"#), Once, "completed", 1, 1),
    (Taken, Says(r#"{"id":""}"#), Once, "completed", 1, 1),
    // Refused, for reasons of every shape.
    (Untaken, Answers(400, None, r#"{"error":{"message":"No.","code":7}}"#), Once, "provider_refused", 1, 0),
    (Untaken, Answers(400, None, r#"{"error":"No."}"#), Once, "provider_refused", 1, 0),
    (Untaken, Answers(400, None, r#"{"error":7}"#), Once, "provider_refused", 1, 0),
    (Untaken, Answers(400, None, r#"{"error":{"code":"moderation_blocked"}}"#), Once, "content_rejected", 1, 0),
    (Untaken, Answers(400, None, "<html>"), Once, "provider_refused", 1, 0),
];

/// What goes wrong, how often, how the job ends; here and below, of one submission and its one video.
const READS: &[(Fault, Often, &str)] = &[
    (TOO_MANY, Once, "completed"),
    (TOO_MANY, Always, "timeout"),
    (TOO_MANY_WAIT, Once, "completed"),
    (TOO_MANY_WAIT, Always, "timeout"),
    (BROKEN, Once, "completed"),
    (BROKEN, Always, "timeout"),
    (BAD_GATEWAY, Once, "completed"),
    (BAD_GATEWAY, Always, "timeout"),
    (A_PAGE, Once, "completed"),
    (A_PAGE, Always, "timeout"),
    (Hangs, Once, "completed"),
    (Hangs, Always, "timeout"),
    (HangsHalfway, Once, "completed"),
    (HangsHalfway, Always, "timeout"),
    (Resets, Once, "completed"),
    (Resets, Always, "timeout"),
    (ResetsHalfway, Once, "completed"),
    (ResetsHalfway, Always, "timeout"),
    (LengthTooLong, Once, "completed"),
    (LengthTooLong, Always, "timeout"),
    (LengthTooShort, Once, "completed"),
    (LengthTooShort, Always, "timeout"),
    (NOT_FOUND, Once, "completed"),
    (NOT_FOUND, Always, "video_lost"),
    // Unknown statuses.
    (Says(r#"{"status":"thinking"}"#), Once, "completed"),
    (Says(r#"{"status":"thinking"}"#), Always, "timeout"),
    (Says(r#"{"status":null}"#), Once, "completed"),
    (Says(r#"{"status":null}"#), Always, "timeout"),
    (Says(r#"{"status":7}"#), Once, "completed"),
    // Progress that jumps back, and progress that is none.
    (Says(r#"{"progress":5}"#), Once, "completed"),
    (Says(r#"{"progress":5}"#), Always, "timeout"),
    (Says(r#"{"progress":null}"#), Once, "completed"),
    (Says(r#"{"progress":-7}"#), Once, "completed"),
    (Says(r#"{"progress":"NaN"}"#), Once, "completed"),
    (Says(r#"{"progress":1e300}"#), Once, "completed"),
    (Says(r#"{"status":"queued","progress":0}"#), Once, "completed"),
    // `error` in every shape; one that a video has beside its progress is no end.
    (Says(r#"{"status":"failed","error":{"code":"gpu","message":"Out of memory."}}"#), Once, "render_failed"),
    (Says(r#"{"status":"failed","error":{"code":500}}"#), Once, "render_failed"),
    (Says(r#"{"status":"failed","error":{"code":"moderation_blocked"}}"#), Once, "content_rejected"),
    (Says(r#"{"status":"failed","error":"Out of memory."}"#), Once, "render_failed"),
    (Says(r#"{"status":"failed","error":500}"#), Once, "render_failed"),
    (Says(r#"{"status":"failed","error":null}"#), Once, "render_failed"),
    (Says(r#"{"error":"A warning."}"#), Once, "completed"),
    (Says(r#"{"error":7}"#), Once, "completed"),
    // It expired.
    (Says(r#"{"status":"expired"}"#), Once, "video_lost"),
    (Vanishes, Once, "video_lost"),
];

const LISTS: &[(Fault, Often, &str)] = &[
    (TOO_MANY, Once, "completed"),
    (TOO_MANY, Always, "submit_outcome_unknown"),
    (TOO_MANY_WAIT, Once, "completed"),
    (TOO_MANY_WAIT, Always, "submit_outcome_unknown"),
    (BROKEN, Once, "completed"),
    (BROKEN, Always, "submit_outcome_unknown"),
    (BAD_GATEWAY, Once, "completed"),
    (BAD_GATEWAY, Always, "submit_outcome_unknown"),
    (A_PAGE, Once, "completed"),
    (A_PAGE, Always, "submit_outcome_unknown"),
    (NOT_FOUND, Once, "completed"),
    (NOT_FOUND, Always, "submit_outcome_unknown"),
    (NOT_ALLOWED, Always, "submit_outcome_unknown"),
    (Hangs, Once, "completed"),
    (Hangs, Always, "submit_outcome_unknown"),
    (HangsHalfway, Once, "completed"),
    (Resets, Once, "completed"),
    (Resets, Always, "submit_outcome_unknown"),
    (ResetsHalfway, Once, "completed"),
    (LengthTooLong, Once, "completed"),
    (LengthTooLong, Always, "submit_outcome_unknown"),
    (LengthTooShort, Once, "completed"),
    (LengthTooShort, Always, "submit_outcome_unknown"),
    (EmptyList, Once, "completed"),
    (EmptyList, Always, "submit_outcome_unknown"),
];

const FILES: &[(Fault, Often, &str)] = &[
    (TOO_MANY, Once, "completed"),
    (TOO_MANY, Always, "timeout"),
    (TOO_MANY_WAIT, Once, "completed"),
    (TOO_MANY_WAIT, Always, "timeout"),
    (BROKEN, Once, "completed"),
    (BROKEN, Always, "timeout"),
    (BAD_GATEWAY, Once, "completed"),
    (BAD_GATEWAY, Always, "timeout"),
    (Hangs, Once, "completed"),
    (Hangs, Always, "timeout"),
    (HangsHalfway, Once, "completed"),
    (HangsHalfway, Always, "timeout"),
    (Resets, Once, "completed"),
    (Resets, Always, "timeout"),
    (ResetsHalfway, Once, "completed"),
    (ResetsHalfway, Always, "timeout"),
    (LengthTooLong, Once, "completed"),
    (LengthTooLong, Always, "timeout"),
    (LengthTooShort, Once, "completed"),
    (LengthTooShort, Always, "invalid_video"),
    (A_PAGE, Once, "completed"),
    (A_PAGE, Always, "invalid_video"),
    (EMPTY, Once, "completed"),
    (EMPTY, Always, "invalid_video"),
    // It expired before it was saved.
    (NOT_FOUND, Once, "completed"),
    (NOT_FOUND, Always, "video_lost"),
    (GONE, Once, "completed"),
    (GONE, Always, "video_lost"),
    (Expires, Once, "video_lost"),
    (Vanishes, Once, "video_lost"),
];

const THUMBNAILS: &[Fault] = &[
    TOO_MANY,
    TOO_MANY_WAIT,
    BROKEN,
    BAD_GATEWAY,
    NOT_FOUND,
    GONE,
    A_PAGE,
    EMPTY,
    Hangs,
    HangsHalfway,
    Resets,
    ResetsHalfway,
    LengthTooLong,
];

#[tokio::test]
async fn no_misbehaviour_at_the_submission_makes_two_videos() {
    let rows = SUBMISSIONS.iter();
    play_all(rows.map(|&(at, fault, often, end, posts, videos)| Row { at, fault, often, end, posts, videos })).await;
}

#[tokio::test]
async fn no_misbehaviour_at_a_read_loses_a_video_or_takes_progress_back() {
    play_all(READS.iter().map(|&(fault, often, end)| Row::of_one_video(Read, fault, often, end))).await;
}

#[tokio::test]
async fn no_misbehaviour_of_the_list_submits_a_second_time() {
    play_all(LISTS.iter().map(|&(fault, often, end)| Row::of_one_video(List, fault, often, end))).await;
}

#[tokio::test]
async fn no_misbehaviour_at_the_file_completes_a_job_without_all_its_bytes() {
    play_all(FILES.iter().map(|&(fault, often, end)| Row::of_one_video(File, fault, often, end))).await;
}

#[tokio::test]
async fn no_misbehaviour_at_the_thumbnail_keeps_a_video_from_its_end() {
    play_all(THUMBNAILS.iter().map(|&fault| Row::of_one_video(Thumbnail, fault, Always, "completed"))).await;
}

#[derive(Clone, Copy)]
struct Row {
    at: At,
    fault: Fault,
    often: Often,
    end: &'static str,
    posts: usize,
    videos: usize,
}

impl Row {
    fn of_one_video(at: At, fault: Fault, often: Often, end: &'static str) -> Self {
        Self { at, fault, often, end, posts: 1, videos: 1 }
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(match (self.fault, self.often) {
            // Each try costs a second of ours.
            (Hangs | HangsHalfway, Always) => 30,
            // So long a provider has to say that there is no such video.
            (NOT_FOUND | Vanishes, _) => 15 * 60,
            _ => 3 * 60,
        })
    }

    /// A list that says that there is no such video, or that is not there, is believed earlier than one that can't be read.
    fn ends_at_its_deadline(&self) -> bool {
        let is_list_for_ever = self.at == List && self.often == Always;
        self.end == "timeout" || (is_list_for_ever && !matches!(self.fault, EmptyList | NOT_FOUND | NOT_ALLOWED))
    }

    /// What the provider says to the caller.
    fn reason(&self) -> Option<&'static str> {
        let (Says(text) | Answers(_, _, text)) = self.fault else { return None };
        ["Out of memory.", "No."].into_iter().find(|reason| text.contains(reason))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?} {:?} → {}", self.at, self.fault, self.often, self.end)
    }
}

/// How many jobs are played at once: as many as leave no good answer waiting for as long as a time-out.
const AT_ONCE: usize = 8;

async fn play_all(rows: impl Iterator<Item = Row>) {
    let server = Arc::new(Server::start().await);
    let mut rows: Vec<_> = rows.collect();
    let all = rows.len();
    // Those that wait for time-outs begin, and the others meanwhile.
    rows.sort_by_key(Row::deadline);
    let (mut playing, mut failed) = (JoinSet::new(), Vec::new());
    for row in rows {
        if playing.len() == AT_ONCE {
            failed.extend(playing.join_next().await.unwrap().unwrap());
        }
        let server = server.clone();
        playing.spawn(async move {
            let name = row.to_string();
            tokio::spawn(play(server, row)).await.err().map(|_| name)
        });
    }
    failed.extend(playing.join_all().await.into_iter().flatten());
    println!("{all} rows");
    assert!(failed.is_empty(), "{} of {all} rows failed (why, see above): {failed:#?}", failed.len());
}

async fn play(server: Arc<Server>, row: Row) {
    let mut world = World::new().await;
    world.app.settings.deadlines.job = row.deadline();
    let (client, state) = server.client(&row, &world.clock);
    let mut job = world.has(sample::new_job(NOON)).await;
    for _ in 0..100 {
        let next = world.step(&client, job.id()).await;
        assert!(next.progress() >= job.progress(), "{row}: {} % after {} %", next.progress(), job.progress());
        assert!(next.version() >= job.version(), "{row}: an older version");
        assert!(job.status() == Status::Queued || next.status() != Status::Queued, "{row}: queued again");
        job = next;
        if job.status().is_terminal() {
            break;
        }
    }

    let end = job.error().map_or(job.status().as_str(), |error| &error.code);
    assert_eq!(end, row.end, "{row}: {job:?}");
    assert_eq!(job.status(), if end == "completed" { Status::Completed } else { Status::Failed }, "{row}");
    if row.ends_at_its_deadline() {
        assert_eq!(world.clock.now(), NOON.plus(row.deadline()), "{row}: its end's time");
    }
    if let Some(reason) = row.reason() {
        assert_eq!(job.error().unwrap().message, reason, "{row}");
    }

    let state = state.lock().unwrap();
    assert!(state.misbehaved >= 1, "{row}: it did not misbehave");
    assert_eq!((state.posts(), state.videos.len()), (row.posts, row.videos), "{row}: submissions and videos");
    assert!(state.waited() >= state.asked_to_wait(), "{row}: asked again after {:?}", state.waited());

    let objects = world.bucket.objects();
    let mut keys: Vec<_> = objects.keys().map(String::as_str).collect();
    if let Some(video) = job.video() {
        assert!(objects[&video.key].bytes == file(), "{row}: another file in the bucket");
        assert_eq!(video.bytes, file().len() as u64, "{row}");
        assert_eq!(video.thumbnail_key.is_none(), row.at == Thumbnail, "{row}: the thumbnail");
        keys.retain(|key| *key != video.key && Some(*key) != video.thumbnail_key.as_deref());
    }
    assert!(keys.is_empty() && world.bucket.uploads_left() == 0, "{row}: left behind: {keys:?}");
}

/// What the server has to give.
fn file() -> Bytes {
    mp4(20_000)
}

/// What a video goes through, a read each.
const COURSE: [(&str, u8); 3] = [("queued", 0), ("in_progress", 40), ("completed", 100)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Submit,
    Read,
    List,
    File,
    Thumbnail,
}

/// A server of OpenAI's Videos API, one connection a call, which is another to each key.
struct Server {
    client: OpenAi,
    accounts: Accounts,
}

type Accounts = Arc<Mutex<HashMap<String, Arc<Mutex<State>>>>>;

struct State {
    row: Row,
    clock: HandClock,
    calls: Vec<(Call, Millis)>,
    misbehaved: usize,
    videos: Vec<Value>,
    /// Reads that were answered well.
    reads: usize,
    lost: Option<Fault>,
}

/// What goes down the socket, and what becomes of it then.
struct Reaction(Vec<u8>, Then);

enum Then {
    Close,
    Hang,
    Reset,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let accounts = Accounts::default();
        let asked = accounts.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, asked.clone()));
            }
        });
        Self { client: OpenAi::new(&url, "key", PROVIDER_TIMEOUT).unwrap(), accounts }
    }

    /// The product's way to a server that misbehaves like this.
    fn client(&self, row: &Row, clock: &HandClock) -> (OpenAi, Arc<Mutex<State>>) {
        let state = Arc::new(Mutex::new(State {
            row: *row,
            clock: clock.clone(),
            calls: Vec::new(),
            misbehaved: 0,
            videos: Vec::new(),
            reads: 0,
            lost: None,
        }));
        let mut accounts = self.accounts.lock().unwrap();
        let key = format!("key-{}", accounts.len());
        accounts.insert(key.clone(), state.clone());
        (self.client.with_api_key(&key), state)
    }
}

async fn serve(mut socket: TcpStream, accounts: Accounts) {
    let Some(request) = read_request(&mut socket).await else { return };
    let key = request.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).expect("a key");
    let state = accounts.lock().unwrap()[key].clone();
    let Reaction(bytes, then) = state.lock().unwrap().react(&request);
    // The client may leave first.
    let _ = socket.write_all(&bytes).await;
    match then {
        Then::Close => (),
        Then::Reset => socket.set_zero_linger().unwrap(),
        Then::Hang => drop(socket.read(&mut [0]).await),
    }
}

/// Head and body, whose length the head announces; none from a client that leaves in the middle.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
            if body.len() >= head.lines().find_map(length).unwrap_or(0) {
                return Some(text);
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

impl State {
    fn react(&mut self, request: &str) -> Reaction {
        let call = call_of(request);
        let misbehaves = self.is_due(call);
        self.calls.push((call, self.clock.now()));
        self.misbehaved += usize::from(misbehaves);
        if call == Call::Submit && !(misbehaves && self.row.at == Untaken) {
            self.take(request);
        }
        if misbehaves && matches!(self.row.fault, Expires | Vanishes) {
            self.lost = Some(self.row.fault);
        }
        match (self.lost, call) {
            (Some(Expires), Call::Read) => return self.well(call, Some(r#"{"status":"expired"}"#)),
            (Some(_), _) => return whole(404, "", b"{}"),
            _ if self.row.at == List && call == Call::Submit => return Reaction(Vec::new(), Then::Reset),
            _ if misbehaves => (),
            _ => return self.well(call, None),
        }
        match self.row.fault {
            Answers(status, retry_after, body) => {
                let wait = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
                whole(status, &wait, body.as_bytes())
            }
            Says(what) => self.well(call, Some(what)),
            EmptyList => whole(200, "", br#"{"object":"list","data":[],"has_more":false}"#),
            Hangs => Reaction(Vec::new(), Then::Hang),
            Resets => Reaction(Vec::new(), Then::Reset),
            _ => self.badly_sent(call),
        }
    }

    fn is_due(&self, call: Call) -> bool {
        let (of, not_before) = self.row.at.call();
        let earlier = self.calls.iter().filter(|(earlier, _)| *earlier == call).count();
        call == of && earlier >= not_before && (self.row.often == Always || self.misbehaved == 0)
    }

    fn take(&mut self, request: &str) {
        let field = |name: &str| {
            let (_, value) = request.split_once(&format!("name=\"{name}\"\r\n\r\n")).expect("the form's field");
            value.lines().next()
        };
        self.videos.push(json!({
            "id": format!("video_{}", self.videos.len() + 1), "object": "video", "status": "queued", "progress": 0,
            "created_at": self.clock.now().unix_seconds(), "error": null, "prompt": field("prompt"),
            "model": field("model"), "seconds": field("seconds"), "size": field("size"),
        }));
    }

    /// A good answer, but for what it shall say of the video.
    fn well(&mut self, call: Call, says: Option<&str>) -> Reaction {
        let (media_type, body) = self.answer(call, says);
        self.reads += usize::from(call == Call::Read && says.is_none());
        whole(200, media_type, &body)
    }

    fn badly_sent(&self, call: Call) -> Reaction {
        let (headers, body) = self.answer(call, None);
        let half = || http(200, headers, body.len(), &body[..body.len() / 2]);
        match self.row.fault {
            HangsHalfway => Reaction(half(), Then::Hang),
            ResetsHalfway => Reaction(half(), Then::Reset),
            LengthTooLong => Reaction(http(200, headers, body.len() + 100, &body), Then::Close),
            LengthTooShort => Reaction(http(200, headers, body.len() - 1, &body), Then::Close),
            other => panic!("{other:?} is no way to send something badly"),
        }
    }

    /// Headers and a body.
    fn answer(&self, call: Call, says: Option<&str>) -> (&'static str, Bytes) {
        let json = |value: Value| ("content-type: application/json\r\n", value.to_string().into());
        let video = || {
            let mut video = self.videos.last().expect("a video").clone();
            // What is said of it instead is said while it is still where it was.
            let read = self.reads.saturating_sub(usize::from(says.is_some()));
            let (status, progress) = COURSE[read.min(COURSE.len() - 1)];
            video["status"] = status.into();
            video["progress"] = progress.into();
            let says: Map<_, _> = serde_json::from_str(says.unwrap_or("{}")).unwrap();
            video.as_object_mut().unwrap().extend(says);
            video
        };
        match call {
            Call::Submit | Call::Read => json(video()),
            Call::List => json(json!({"object": "list", "data": self.videos, "has_more": false})),
            Call::File => ("content-type: video/mp4\r\n", file()),
            Call::Thumbnail => ("content-type: image/webp\r\n", Bytes::from_static(b"RIFF")),
        }
    }

    fn posts(&self) -> usize {
        self.calls.iter().filter(|(call, _)| *call == Call::Submit).count()
    }

    fn asked_to_wait(&self) -> Duration {
        match (self.row.at, self.row.fault) {
            (Untaken | Read | List | File, Answers(_, Some(seconds), _)) => Duration::from_secs(seconds),
            _ => Duration::ZERO,
        }
    }

    /// For how long it was left alone after its first fault.
    fn waited(&self) -> Duration {
        let (call, nth) = self.row.at.call();
        let mut times = self.calls.iter().filter(|(called, _)| *called == call).map(|(_, at)| *at).skip(nth);
        match (times.next(), times.next()) {
            (Some(first), Some(second)) => second.since(first),
            _ => Duration::MAX,
        }
    }
}

fn call_of(request: &str) -> Call {
    let target: Vec<_> = request.split(' ').take(2).collect();
    match target[..] {
        ["POST", "/v1/videos"] => Call::Submit,
        ["GET", list] if list.starts_with("/v1/videos?") => Call::List,
        ["GET", "/v1/videos/video_1"] => Call::Read,
        ["GET", "/v1/videos/video_1/content"] => Call::File,
        ["GET", "/v1/videos/video_1/content?variant=thumbnail"] => Call::Thumbnail,
        _ => panic!("the product asks for {target:?}"),
    }
}

fn whole(status: u16, headers: &str, body: &[u8]) -> Reaction {
    Reaction(http(status, headers, body.len(), body), Then::Close)
}

fn http(status: u16, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} \r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}
