//! A small HTTP server on loopback.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, body::Incoming, header::HeaderName, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request, whole.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET`
    pub method: String,
    /// The path, percent-decoded.
    pub path: String,
    /// The query, as it was sent; empty when there is none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A header's text, or an empty one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A query parameter, as it was sent; empty when it has no value.
    pub fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// An answer.
pub type Reply = Response<Full<Bytes>>;

/// An answer of a status, headers and a body.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(HeaderName::from_bytes(name.as_bytes()).unwrap(), *value);
    }
    builder.body(Full::new(body.into())).unwrap()
}

/// An HTTP server that lives as long as the test's runtime.
#[derive(Debug)]
pub struct StandIn {
    url: String,
}

impl StandIn {
    /// A server that answers each call with what `answer` gives. One that never ends is a server that hangs: it is
    /// dropped when the client leaves.
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Call) -> A + Clone + Send + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Whole answers go out at once, without waiting for the other side's acknowledgements.
                socket.set_nodelay(true).unwrap();
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answer = answer.clone();
                    async move {
                        match read(request).await {
                            Ok(call) => Ok::<_, Infallible>(answer(call).await),
                            // The client left in the middle.
                            Err(_) => Ok(reply(400, &[], "")),
                        }
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { url }
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn read(request: Request<Incoming>) -> Result<Call, hyper::Error> {
    let (head, body) = request.into_parts();
    Ok(Call {
        method: head.method.to_string(),
        path: percent_decoded(head.uri.path()),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

fn percent_decoded(text: &str) -> String {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        if let (b'%', Some((hex, after))) = (byte, after.split_at_checked(2)) {
            decoded.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            rest = after;
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    String::from_utf8(decoded).unwrap()
}
