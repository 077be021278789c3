//! SQS, as far as the work queue uses it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clipbell_aws::{WorkMessage, WorkQueue};
use serde_json::{Value, json};

use crate::{Call, Calls, Reply, StandIn, reply, sdk_config};

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it says.
    pub message: WorkMessage,
    /// After what time it arrives.
    pub delay: Duration,
}

/// A queue that keeps what is sent to it.
#[derive(Debug)]
pub struct Queue {
    server: StandIn,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    sent: Calls<Sent>,
    down: AtomicBool,
}

impl Queue {
    /// Starts it.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let asked = state.clone();
        let server = StandIn::start(move |call| {
            let answer = asked.answer(&call);
            async move { answer }
        })
        .await;
        Self { server, state }
    }

    /// The product's way to it.
    pub fn work_queue(&self) -> WorkQueue {
        WorkQueue::new(&sdk_config(self.server.url()), format!("{}/000000000000/work", self.server.url()))
    }

    /// From now on it answers 500.
    pub fn break_down(&self) {
        self.state.down.store(true, Ordering::SeqCst);
    }

    /// What was sent.
    pub fn sent(&self) -> Vec<Sent> {
        self.state.sent.all()
    }

    /// The messages that were sent, without their delays.
    pub fn messages(&self) -> Vec<WorkMessage> {
        self.sent().into_iter().map(|sent| sent.message).collect()
    }
}

impl State {
    fn answer(&self, call: &Call) -> Reply {
        let json_type = ("content-type", "application/x-amz-json-1.0");
        if self.down.load(Ordering::SeqCst) {
            return reply(500, &[json_type], r#"{"__type":"com.amazonaws.sqs#InternalFailure","message":"down"}"#);
        }
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let answer = match call.header("x-amz-target") {
            "AmazonSQS.SendMessage" => self.take(&body),
            "AmazonSQS.SendMessageBatch" => {
                let entries = body["Entries"].as_array().unwrap();
                assert!((1..=10).contains(&entries.len()), "SQS takes 1 to 10 messages in a batch");
                let successful: Vec<Value> = entries
                    .iter()
                    .map(|entry| {
                        let mut answer = self.take(entry);
                        answer["Id"] = entry["Id"].clone();
                        answer
                    })
                    .collect();
                json!({"Successful": successful, "Failed": []})
            }
            other => panic!("the product calls {other:?}, which SQS' stand-in does not know"),
        };
        reply(200, &[json_type], answer.to_string())
    }

    fn take(&self, message: &Value) -> Value {
        let delay = message["DelaySeconds"].as_u64().unwrap_or(0);
        assert!(delay <= 900, "SQS holds a message back for 900 seconds at most");
        let body = message["MessageBody"].as_str().unwrap();
        let message = serde_json::from_str(body).expect("a message that advance can read");
        self.sent.push(Sent { message, delay: Duration::from_secs(delay) });
        json!({"MessageId": "m", "MD5OfMessageBody": "0"})
    }
}
