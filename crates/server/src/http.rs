//! The HTTP before the WebSocket (section 1): one request a connection, answered within the handshake's time and
//! 16 KiB of headers. Only what a WebSocket needs and two small pages.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Config;
use crate::connection::hang_up;
use crate::websocket;

const HEADERS_MAX: usize = 16 * 1024;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PAGE: &str = include_str!("page.html");

/// A stream on which a WebSocket may begin.
pub(crate) struct Upgraded {
    pub(crate) stream: TcpStream,
    /// What the client sent behind its request.
    pub(crate) read: Bytes,
    /// Where the client is, as far as can be known.
    pub(crate) address: IpAddr,
}

type Answer = Response<Full<Bytes>>;

/// Answers one request. `None` when that was all.
pub(crate) async fn shake_hands(stream: TcpStream, peer: IpAddr, config: &Config) -> Option<Upgraded> {
    let accepted = OnceLock::new();
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request, config);
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            accepted.get_or_init(|| client_address(peer, request.headers(), config));
        }
        ready(Ok::<_, Infallible>(answer))
    });
    let mut connection = http1::Builder::new()
        .max_header_size(HEADERS_MAX)
        .max_buf_size(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let served = timeout(config.timing.handshake, poll_fn(|cx| connection.poll_without_shutdown(cx))).await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    match (served, accepted.get().copied()) {
        (Ok(Ok(())), Some(address)) => return Some(Upgraded { stream, read: parts.read_buf, address }),
        (Ok(Ok(())), None) => {}
        (Ok(Err(error)), _) => tracing::debug!(%error, "no request"),
        (Err(_), _) => tracing::debug!("no request in time"),
    }
    let _ = timeout(config.timing.closing, hang_up(stream)).await;
    None
}

fn answer(request: &Request<Incoming>, config: &Config) -> Answer {
    let method = request.method();
    match request.uri().path() {
        "/ws" if *method == Method::GET => upgrade(request, config),
        "/healthz" | "/" if !matches!(*method, Method::GET | Method::HEAD) => not_allowed("GET, HEAD"),
        "/ws" => not_allowed("GET"),
        "/healthz" => plain(StatusCode::OK, "ok"),
        "/" => {
            let mut answer = plain(StatusCode::OK, PAGE);
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            answer.headers_mut().insert(header::CONTENT_TYPE, html);
            answer
        }
        _ => plain(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    answer
}

/// The server's opening handshake (RFC 6455 §4.2).
fn upgrade(request: &Request<Incoming>, config: &Config) -> Answer {
    let headers = request.headers();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if !origins.all(|origin| origin.to_str().is_ok_and(|origin| config.hosts.allow_origin(origin))) {
        return plain(StatusCode::FORBIDDEN, "this page may not connect here\n");
    }
    let asks = has_token(headers, &header::CONNECTION, "upgrade") && has_token(headers, &header::UPGRADE, "websocket");
    if !asks || request.version() != Version::HTTP_11 {
        return upgrade_required("this is a WebSocket\n");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return upgrade_required("WebSocket version 13 is needed\n");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16)) else {
        return plain(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64\n");
    };
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::try_from(websocket::accept(key)).expect("base64 is a header value");
    answer.headers_mut().extend([
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ]);
    answer
}

/// RFC 9110 §15.5.22; the version as RFC 6455 §4.4 wants it.
fn upgrade_required(text: &'static str) -> Answer {
    let mut answer = plain(StatusCode::UPGRADE_REQUIRED, text);
    answer.headers_mut().extend([
        (header::CONNECTION, HeaderValue::from_static("close, Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
    ]);
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    // One request a connection. Said here, not by hyper's `keep_alive`, which would say it in a 101 as well.
    answer.headers_mut().extend([
        (header::CONNECTION, HeaderValue::from_static("close")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
    ]);
    answer
}

/// Whether a header, which may come in several lines, lists `token` (RFC 9110 §5.6.1).
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(token))
}

/// A trusted proxy adds the address that it saw at the end of `X-Forwarded-For`; what stands before is hearsay.
fn client_address(peer: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    if !config.trusted_proxies.contains(&peer.to_canonical()) {
        return peer;
    }
    let last_line = headers.get_all(X_FORWARDED_FOR).iter().next_back().and_then(|line| line.to_str().ok());
    let last = last_line.and_then(|line| line.rsplit(',').next());
    last.and_then(|address| forwarded(address.trim())).unwrap_or(peer)
}

/// An address as proxies write it: some with the port, in brackets or not. An IPv6 address without brackets has none.
fn forwarded(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok();
    text.parse().ok().or_else(|| with_port().map(|address| address.ip())).or_else(|| bare().map(IpAddr::V6))
}
