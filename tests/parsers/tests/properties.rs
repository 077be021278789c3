//! The checks over generated inputs: bytes of any kind, JSON of any shape around the words that matter, boxes of any
//! size, and kept inputs that were damaged.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::LazyLock};

use clipbell_parser_tests::{CHECKS, event, generate, message, mp4, verifier, video};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Map, Value, json};

/// All kept inputs, of whichever target.
static KEPT: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let folders = CHECKS.map(|(name, _)| fs::read_dir(corpus.join(name)).unwrap());
    folders.into_iter().flatten().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
});

/// Every name that a parser looks for.
const NAMES: [&str; 22] = [
    "id",
    "type",
    "data",
    "action",
    "jobId",
    "scriptOrQuestion",
    "audioBuffer",
    "model",
    "seconds",
    "size",
    "status",
    "progress",
    "error",
    "code",
    "message",
    "detail",
    "created_at",
    "prompt",
    "has_more",
    "object",
    "0",
    "1",
];

/// Words that mean something to one of them, and forms of audio.
const WORDS: [&str; 27] = [
    "",
    " ",
    "video.completed",
    "video.failed",
    "response.done",
    "Buffer",
    "subscribe",
    "unsubscribe",
    "ping",
    "job_0123456789abcdef0123456789abcdef",
    "job_0123456789ABCDEF0123456789abcdef",
    "job_x",
    "evt_1",
    "video_1",
    "queued",
    "in_progress",
    "completed",
    "failed",
    "expired",
    "cancelled",
    "40%",
    "NaN",
    "1e999",
    "moderation_blocked",
    "+/8AaA==",
    "data:audio/mpeg;base64,+/8AaA==",
    "data:;base64,-_8",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u16..300).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop_oneof![Just(511_usize), Just(512), Just(513)].prop_map(|length| Value::from("x".repeat(length))),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec(0_u8.., 0..12).prop_map(Value::from),
            vec((name(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

/// An object that is near to what some parser takes, with up to five of its fields replaced.
fn near() -> impl Strategy<Value = Value> {
    let whole = prop::sample::select(vec![
        json!({"id": "evt_1", "object": "event", "created_at": 1_758_941_485, "type": "video.completed", "data": {"id": "video_1"}}),
        json!({"scriptOrQuestion": "A bell", "audioBuffer": [104, 105], "model": "sora-2", "seconds": 8, "size": "1280x720"}),
        json!({"action": "subscribe", "jobId": "job_0123456789abcdef0123456789abcdef"}),
        json!({"id": "video_1", "status": "failed", "progress": 33, "error": {"code": "server_error", "message": "No."}}),
        json!({}),
    ]);
    (whole, vec((name(), value()), 0..6)).prop_map(|(whole, changes)| {
        let mut fields: Map<_, _> = whole.as_object().unwrap().clone();
        fields.extend(changes);
        Value::Object(fields)
    })
}

fn a_box() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![Just(*b"ftyp"), Just(*b"moov"), Just(*b"mdat"), Just(*b"free"), any::<[u8; 4]>()];
    (kind, vec(any::<u8>(), 0..40), 0_u8..12, any::<u64>()).prop_map(|(kind, body, form, lie)| {
        let size = body.len() as u64;
        let (size, large) = match form {
            0 => (0, None),
            1 => (lie % 64, None),
            2 => (1, Some(lie)),
            3 | 4 => (1, Some(size + 16)),
            _ => (size + 8, None),
        };
        let large = large.map_or_else(Vec::new, |large| large.to_be_bytes().to_vec());
        [&u32::try_from(size).unwrap().to_be_bytes(), &kind[..], &large, &body].concat()
    })
}

proptest! {
    #[test]
    fn bytes_of_any_kind(input in vec(any::<u8>(), 0..300)) {
        for (_, check) in CHECKS {
            check(&input);
        }
    }

    #[test]
    fn json_of_any_shape(value in prop_oneof![1 => value(), 4 => near()]) {
        let text = value.to_string();
        for check in [event, generate, message, video] {
            check(text.as_bytes());
        }
    }

    #[test]
    fn headers_of_any_kind(
        id in prop_oneof![3 => "[!-~]{1,12}", 1 => "[ -~]{0,300}"],
        off in prop_oneof![3 => -300_i64..=300, 1 => -400_i64..=400, 1 => any::<i64>()],
        list in vec(prop_oneof![
            3 => Just("v1,RIGHT".to_owned()),
            1 => Just("v1a,RIGHT".to_owned()),
            1 => Just("v1,RIGHT,v1,RIGHT".to_owned()),
            1 => "v1,[A-Za-z0-9+/]{0,44}={0,2}",
            1 => "[ -~]{0,40}",
        ], 0..24),
        body in prop_oneof![3 => "\\PC{0,40}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..40)],
    ) {
        let timestamp = 1_750_861_210_i64.saturating_add(off);
        verifier(&[format!("{id}\n{timestamp}\n{}\n", list.join(" ")).as_bytes(), &body].concat());
    }

    #[test]
    fn boxes_of_any_size(boxes in vec(a_box(), 0..6), whole in any::<bool>()) {
        let begin = if whole { &b"\0\0\0\x08ftyp\0\0\0\x09moov\x01"[..] } else { &[] };
        mp4(&[begin, &boxes.concat()].concat());
    }

    #[test]
    fn kept_inputs_that_were_damaged(
        kept in any::<Index>(),
        other in any::<Index>(),
        damages in vec((0_u8..5, any::<Index>(), any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut input = kept.get(&KEPT).clone();
        for (kind, at, to, byte) in damages {
            let (at, to) = (at.index(input.len() + 1), to.index(input.len() + 1));
            match kind {
                0 => input.insert(at, byte),
                1 => input.truncate(at),
                2 => drop(input.drain(at.min(to)..at.max(to))),
                3 => drop(input.splice(at..at, other.get(&KEPT).iter().copied())),
                _ => if let Some(old) = input.get_mut(at) { *old ^= byte },
            }
        }
        for (_, check) in CHECKS {
            check(&input);
        }
    }
}
