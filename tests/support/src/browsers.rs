//! API Gateway's `@connections`, and the browsers behind it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use clipbell_aws::Push;
use serde_json::Value;

use crate::{Call, Calls, Reply, StandIn, reply, sdk_config};

/// What API Gateway does with a call for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It takes it.
    Takes,
    /// 410: there is no such connection.
    Gone,
    /// 429: too many calls.
    Throttled,
    /// 500.
    Broken,
    /// It never answers.
    Hangs,
}

/// A call for a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The connection.
    pub connection: String,
    /// The message that was posted; none when the connection was to be closed.
    pub message: Option<Value>,
    /// What came of it.
    pub reaction: Reaction,
}

/// The browsers. Each takes whatever is posted to it, unless a test says otherwise.
#[derive(Debug)]
pub struct Browsers {
    server: StandIn,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Calls<Heard>,
    reactions: Mutex<HashMap<String, VecDeque<Reaction>>>,
    unclosable: Mutex<HashSet<String>>,
}

impl Browsers {
    /// Starts them.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let asked = state.clone();
        let server = StandIn::start(move |call| {
            let reaction = asked.take(&call);
            async move { reply_of(reaction).await }
        })
        .await;
        Self { server, state }
    }

    /// The product's way to them.
    pub fn push(&self) -> Push {
        Push::new(&sdk_config(self.server.url()), &format!("{}/ws", self.server.url()))
    }

    /// How posts to a connection go, one after the other; the last goes on for ever.
    pub fn react(&self, connection: &str, reactions: &[Reaction]) {
        let reactions = reactions.iter().copied().collect();
        self.state.reactions.lock().unwrap().insert(connection.to_owned(), reactions);
    }

    /// From now on a connection can't be closed: API Gateway answers 500.
    pub fn cannot_close(&self, connection: &str) {
        self.state.unclosable.lock().unwrap().insert(connection.to_owned());
    }

    /// All calls, those that were not taken among them.
    pub fn calls(&self) -> &Calls<Heard> {
        &self.state.calls
    }

    /// The messages that a connection has taken.
    pub fn messages(&self, connection: &str) -> Vec<Value> {
        let calls = self.calls().all().into_iter();
        let taken = calls.filter(|call| call.connection == connection && call.reaction == Reaction::Takes);
        taken.filter_map(|call| call.message).collect()
    }

    /// The connections that were closed.
    pub fn closed(&self) -> Vec<String> {
        let calls = self.calls().all().into_iter();
        let taken = calls.filter(|call| call.message.is_none() && call.reaction == Reaction::Takes);
        taken.map(|call| call.connection).collect()
    }
}

impl State {
    fn take(&self, call: &Call) -> Reaction {
        let connection = call.path.strip_prefix("/ws/@connections/").expect("a call for a connection").to_owned();
        let message = match call.method.as_str() {
            "POST" => Some(serde_json::from_slice(&call.body).expect("a message in JSON")),
            "DELETE" => None,
            other => panic!("@connections knows no {other}"),
        };
        let reaction = match &message {
            Some(_) => self.next_reaction(&connection),
            None if self.unclosable.lock().unwrap().contains(&connection) => Reaction::Broken,
            None => Reaction::Takes,
        };
        self.calls.push(Heard { connection, message, reaction });
        reaction
    }

    fn next_reaction(&self, connection: &str) -> Reaction {
        let mut reactions = self.reactions.lock().unwrap();
        match reactions.get_mut(connection) {
            Some(planned) if planned.len() > 1 => planned.pop_front().unwrap(),
            Some(planned) => planned[0],
            None => Reaction::Takes,
        }
    }
}

async fn reply_of(reaction: Reaction) -> Reply {
    let error = |status, kind| reply(status, &[("x-amzn-errortype", kind)], "{}");
    match reaction {
        Reaction::Takes => reply(200, &[], ""),
        Reaction::Gone => error(410, "GoneException"),
        Reaction::Throttled => error(429, "LimitExceededException"),
        Reaction::Broken => error(500, "InternalServerError"),
        Reaction::Hangs => std::future::pending().await,
    }
}
