//! The way out of every function.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use tokio::sync::Notify;

use crate::{
    cloud::{Cloud, Request},
    turns::Turns,
};

/// An outgoing call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function that made it.
    pub flow: &'static str,
    /// `DynamoDB PutItem JobsTable`
    pub name: String,
}

impl Call {
    /// Whether it goes to AWS; else it goes to the provider.
    pub fn is_to_aws(&self) -> bool {
        !self.name.starts_with("provider ")
    }
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is reset before it takes effect.
    Refused,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// AWS says that there are too many, and does nothing.
    Throttled,
    /// AWS says 500, and does nothing.
    ServerError,
    /// DynamoDB says that a transaction is at work on the item, and writes nothing.
    InConflict,
    /// Nothing ever comes back, and nothing is done.
    Hangs,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This once. The SDK tries again by itself.
    Once(Trouble),
    /// This and every further call of the name in this invocation.
    All(Trouble),
    /// The worker dies before it takes effect.
    DiesBefore,
    /// The worker dies after it has taken effect.
    DiesAfter,
}

impl Fault {
    /// What can befall any call: the network fails, or the worker dies.
    pub const ANYWHERE: [Self; 6] = [
        Self::Once(Trouble::Refused),
        Self::Once(Trouble::AnswerLost),
        Self::All(Trouble::Refused),
        Self::All(Trouble::AnswerLost),
        Self::DiesBefore,
        Self::DiesAfter,
    ];

    /// What AWS can answer instead.
    pub const OF_AWS: [Self; 8] = [
        Self::Once(Trouble::Throttled),
        Self::Once(Trouble::ServerError),
        Self::Once(Trouble::InConflict),
        Self::Once(Trouble::Hangs),
        Self::All(Trouble::Throttled),
        Self::All(Trouble::ServerError),
        Self::All(Trouble::InConflict),
        Self::All(Trouble::Hangs),
    ];

    /// Whether this call can fail so.
    pub fn can_befall(self, call: &Call) -> bool {
        let (Self::Once(trouble) | Self::All(trouble)) = self else { return true };
        match trouble {
            // The one table with transactions.
            Trouble::InConflict => {
                matches!(call.name.as_str(), "DynamoDB PutItem JobsTable" | "DynamoDB TransactWriteItems JobsTable")
            }
            Trouble::Throttled | Trouble::ServerError | Trouble::Hangs => call.is_to_aws(),
            Trouble::Refused | Trouble::AnswerLost => true,
        }
    }

    /// Whether the product has to get over it within the one call, so that nobody outside notices.
    pub(crate) fn is_passing(self) -> bool {
        matches!(self, Self::Once(_))
    }
}

/// One fault at one call of a story: its number, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which call.
    pub call: usize,
    /// What happens to it.
    pub fault: Fault,
}

/// The wire: one for a story.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Shared>);

struct Shared {
    cloud: Arc<Cloud>,
    point: Option<Point>,
    calls: Mutex<Vec<Call>>,
    turns: Mutex<Option<Turns>>,
}

/// One run of a function.
struct Invocation {
    flow: &'static str,
    /// The name whose calls go on failing until the invocation ends.
    failing: Mutex<Option<String>>,
    death: Notify,
}

tokio::task_local! {
    static INVOCATION: Arc<Invocation>;
}

impl Wire {
    pub(crate) fn new(cloud: Arc<Cloud>, point: Option<Point>) -> Self {
        Self(Arc::new(Shared { cloud, point, calls: Mutex::default(), turns: Mutex::default() }))
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().unwrap().clone()
    }

    /// The call that the fault struck, and how; none when there was none.
    pub(crate) fn struck(&self) -> Option<(Call, Fault)> {
        let point = self.0.point?;
        self.calls().get(point.call).map(|call| (call.clone(), point.fault))
    }

    /// From now on a worker makes its calls when it is its turn; with none, whenever it likes.
    pub(crate) fn take_turns(&self, turns: Option<Turns>) {
        *self.0.turns.lock().unwrap() = turns;
    }

    /// Runs one invocation of a function. None when its worker died.
    pub(crate) async fn invoke<T>(&self, flow: &'static str, work: impl Future<Output = T>) -> Option<T> {
        let invocation = Arc::new(Invocation { flow, failing: Mutex::default(), death: Notify::new() });
        let dies = invocation.clone();
        // On the heap: a function's future is large, and a story holds many.
        let work = Box::pin(INVOCATION.scope(invocation, work));
        tokio::select! {
            biased;
            () = dies.death.notified() => None,
            done = work => Some(done),
        }
    }

    /// Makes one call. None when it failed, as far as the caller can tell.
    pub(crate) async fn call<T>(
        &self,
        name: &str,
        effect: impl AsyncFnOnce() -> T,
        trouble: impl FnOnce(Trouble) -> T,
    ) -> Option<T> {
        let turns = self.0.turns.lock().unwrap().clone();
        if let Some(turns) = turns {
            turns.wait().await;
        }
        match self.fault_of(name) {
            None => Some(effect().await),
            Some(Fault::DiesBefore) => die().await,
            Some(Fault::DiesAfter) => {
                effect().await;
                die().await
            }
            Some(Fault::Once(of) | Fault::All(of)) => match of {
                Trouble::Refused => None,
                Trouble::AnswerLost => {
                    effect().await;
                    None
                }
                Trouble::Hangs => std::future::pending().await,
                Trouble::Throttled | Trouble::ServerError | Trouble::InConflict => Some(trouble(of)),
            },
        }
    }

    fn fault_of(&self, name: &str) -> Option<Fault> {
        let invocation = INVOCATION.try_with(Arc::clone).ok()?;
        let mut calls = self.0.calls.lock().unwrap();
        let number = calls.len();
        calls.push(Call { flow: invocation.flow, name: name.to_owned() });
        let point = self.0.point?;
        let mut failing = invocation.failing.lock().unwrap();
        if point.call == number && matches!(point.fault, Fault::All(_)) {
            *failing = Some(name.to_owned());
        }
        (point.call == number || failing.as_deref() == Some(name)).then_some(point.fault)
    }
}

async fn die<T>() -> T {
    INVOCATION.with(|invocation| invocation.death.notify_one());
    std::future::pending().await
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let request = Request::of(&request);
            let cloud = wire.0.cloud.clone();
            let effect = async || cloud.answer(&request);
            let reply = wire.call(&request.name(), effect, |trouble| request.refused_for(trouble)).await;
            let reply = reply.ok_or_else(|| ConnectorError::io("connection reset".into()))?;
            let status = StatusCode::try_from(reply.status).unwrap();
            let mut response = HttpResponse::new(status, SdkBody::from(reply.body));
            for (name, value) in reply.headers {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        })
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}
