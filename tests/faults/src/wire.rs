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

use crate::cloud::{Cloud, Request};

/// An outgoing call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function that made it.
    pub flow: &'static str,
    /// `DynamoDB PutItem`
    pub name: String,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset before it takes effect. The SDK tries again by itself.
    Refused,
    /// It takes effect, and its answer is lost. The SDK tries again by itself.
    AnswerLost,
    /// This and every further call of the name in this invocation fails before it takes effect.
    AllRefused,
    /// This and every further call of the name in this invocation takes effect, and its answer is lost.
    AllAnswersLost,
    /// The worker dies before it takes effect.
    DiesBefore,
    /// The worker dies after it has taken effect.
    DiesAfter,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Refused, Self::AnswerLost, Self::AllRefused, Self::AllAnswersLost, Self::DiesBefore, Self::DiesAfter];
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
    state: Mutex<State>,
    death: Notify,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    flow: &'static str,
    /// The name whose calls go on failing until the invocation ends.
    failing: Option<String>,
}

impl Wire {
    pub(crate) fn new(cloud: Arc<Cloud>, point: Option<Point>) -> Self {
        Self(Arc::new(Shared { cloud, point, state: Mutex::default(), death: Notify::new() }))
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.state.lock().unwrap().calls.clone()
    }

    /// The call that the fault struck, and how; none when there was none.
    pub(crate) fn struck(&self) -> Option<(Call, Fault)> {
        let point = self.0.point?;
        self.calls().get(point.call).map(|call| (call.clone(), point.fault))
    }

    /// Runs one invocation of a function. None when its worker died.
    pub(crate) async fn invoke<T>(&self, flow: &'static str, work: impl Future<Output = T>) -> Option<T> {
        {
            let mut state = self.0.state.lock().unwrap();
            state.flow = flow;
            state.failing = None;
        }
        tokio::select! {
            biased;
            () = self.0.death.notified() => None,
            done = work => Some(done),
        }
    }

    /// Makes one call. None when it failed, as far as the caller can tell.
    pub(crate) async fn call<T>(&self, name: &str, effect: impl AsyncFnOnce() -> T) -> Option<T> {
        match self.fault_of(name) {
            None => Some(effect().await),
            Some(Fault::Refused | Fault::AllRefused) => None,
            Some(Fault::AnswerLost | Fault::AllAnswersLost) => {
                effect().await;
                None
            }
            Some(Fault::DiesBefore) => self.die().await,
            Some(Fault::DiesAfter) => {
                effect().await;
                self.die().await
            }
        }
    }

    fn fault_of(&self, name: &str) -> Option<Fault> {
        let mut state = self.0.state.lock().unwrap();
        let number = state.calls.len();
        let flow = state.flow;
        state.calls.push(Call { flow, name: name.to_owned() });
        let point = self.0.point?;
        if point.call == number && matches!(point.fault, Fault::AllRefused | Fault::AllAnswersLost) {
            state.failing = Some(name.to_owned());
        }
        (point.call == number || state.failing.as_deref() == Some(name)).then_some(point.fault)
    }

    async fn die<T>(&self) -> T {
        self.0.death.notify_one();
        std::future::pending().await
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let request = Request::of(&request);
            let cloud = wire.0.cloud.clone();
            let reply = wire.call(&request.name(), async || cloud.answer(&request)).await;
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
