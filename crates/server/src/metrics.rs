//! What the server counts, for Prometheus (section 1), on a listener of its own: how much, never who. Text format
//! version 0.0.4 of <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::message::{ClientMessage, MessageError};
use ahoy_protocol::signal::Signal;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::shared::Shared;

/// Requests at a time; a scraper makes one.
const REQUESTS_MAX: usize = 8;
const REQUEST_TIME: Duration = Duration::from_secs(5);
const TYPES: [&str; 11] =
    ["login", "contacts", "ice_servers", "ping", "offer", "progress", "answer", "candidate", "restart", "close", "bad"];
const CODES: [(ErrorCode, &str); 14] = [
    (ErrorCode::BadMessage, "bad_message"),
    (ErrorCode::UnknownType, "unknown_type"),
    (ErrorCode::UnsupportedProtocol, "unsupported_protocol"),
    (ErrorCode::NotSignedIn, "not_signed_in"),
    (ErrorCode::BadUsername, "bad_username"),
    (ErrorCode::UsernameTaken, "username_taken"),
    (ErrorCode::BadSignature, "bad_signature"),
    (ErrorCode::GuestsRefused, "guests_refused"),
    (ErrorCode::UnknownUser, "unknown_user"),
    (ErrorCode::Offline, "offline"),
    (ErrorCode::RateLimited, "rate_limited"),
    (ErrorCode::TooMany, "too_many"),
    (ErrorCode::RegistrationClosed, "registration_closed"),
    (ErrorCode::Internal, "internal"),
];

/// The counters; what is there now is asked of those who know.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Count,
    pub(crate) connections_refused: Count,
    pub(crate) connections_sent_away: Count,
    pub(crate) sign_ins: Count,
    pub(crate) resumptions: Count,
    pub(crate) received_bytes: Count,
    messages: [Count; TYPES.len()],
    errors: [Count; CODES.len()],
}

/// Only ever grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// A client's message of `bytes` bytes.
    pub(crate) fn received(&self, message: &Result<ClientMessage, MessageError>, bytes: usize) {
        let index = match message {
            Ok(ClientMessage::Login(_)) => 0,
            Ok(ClientMessage::Contacts(_)) => 1,
            Ok(ClientMessage::IceServers) => 2,
            Ok(ClientMessage::Ping) => 3,
            Ok(ClientMessage::Relay(relay)) => match relay.signal {
                Signal::Offer(_) => 4,
                Signal::Progress(_) => 5,
                Signal::Answer(_) => 6,
                Signal::Candidate(_) => 7,
                Signal::Restart(_) => 8,
                Signal::Close(_) => 9,
            },
            Err(_) => 10,
        };
        if let Some(count) = self.messages.get(index) {
            count.add(1);
        }
        self.received_bytes.add(bytes);
    }

    /// An `error` that a client was answered.
    pub(crate) fn refused(&self, code: ErrorCode) {
        let index = CODES.iter().position(|(known, _)| *known == code);
        if let Some(count) = index.and_then(|index| self.errors.get(index)) {
            count.add(1);
        }
    }
}

/// Answers whoever asks, until dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a request for metrics");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service =
                service_fn(|request: Request<Incoming>| ready(Ok::<_, Infallible>(answer(&request, &shared))));
            let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
            let _ = timeout(REQUEST_TIME, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let is_known = request.uri().path() == "/metrics";
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, text) = match (is_known, is_read) {
        (false, _) => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
        (true, false) => (StatusCode::METHOD_NOT_ALLOWED, "not with this method\n".to_owned()),
        (true, true) => (StatusCode::OK, page(shared)),
    };
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

fn page(shared: &Shared) -> String {
    let metrics = &shared.metrics;
    let now = shared.sizes();
    let mut page = String::with_capacity(4096);
    for (name, help, value) in [
        ("connections", "WebSocket connections that are open", now.connections),
        ("connections_unsigned", "Connections that have not signed in", now.unsigned),
        ("sessions", "Sessions, those that linger included", now.sessions),
        ("sessions_lingering", "Sessions that wait for their client to come back", now.lingering),
        ("users", "Users and guests with a session", now.users),
    ] {
        let _ = writeln!(page, "# HELP ahoy_{name} {help}.\n# TYPE ahoy_{name} gauge\nahoy_{name} {value}");
    }
    for (name, help, count) in [
        ("connections", "Connections accepted", &metrics.connections),
        ("connections_refused", "Connections refused because the server was full", &metrics.connections_refused),
        ("connections_sent_away", "Connections that made room before they signed in", &metrics.connections_sent_away),
        ("sign_ins", "Sessions begun", &metrics.sign_ins),
        ("resumptions", "Sessions that went on after their connection was lost", &metrics.resumptions),
        ("received_bytes", "Bytes of clients' messages", &metrics.received_bytes),
    ] {
        let value = count.get();
        let _ = writeln!(
            page,
            "# HELP ahoy_{name}_total {help}.\n# TYPE ahoy_{name}_total counter\nahoy_{name}_total {value}"
        );
    }
    let messages = TYPES.iter().copied().zip(&metrics.messages);
    family(&mut page, "messages_total", "Messages of clients by type", "type", messages);
    let errors = CODES.iter().map(|(_, name)| *name).zip(&metrics.errors);
    family(&mut page, "errors_total", "Messages answered with an error by its code", "code", errors);
    if let Some(turn) = &shared.config.turn_metrics {
        turn.write_prometheus(&mut page);
    }
    page
}

fn family<'a>(
    page: &mut String,
    name: &str,
    help: &str,
    label: &str,
    counts: impl Iterator<Item = (&'static str, &'a Count)>,
) {
    let _ = writeln!(page, "# HELP ahoy_{name} {help}.\n# TYPE ahoy_{name} counter");
    for (value, count) in counts {
        let _ = writeln!(page, "ahoy_{name}{{{label}=\"{value}\"}} {}", count.get());
    }
}
