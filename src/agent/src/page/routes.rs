//! What is answered. Start at [`all`].
//!
//! ```text
//!  GET /             the page                                        anybody
//!  GET /status.json  the view (see `view`)                           anybody
//!  GET /events       the view whenever it changes (server-sent       anybody
//!                    events); with ?page, the page's parts instead
//!  GET /healthz      `ok`, or 503 if nobody looks at this node       anybody
//!  GET /bundle       what a person who helps wants to see            operators
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use site::{Room, Timestamp};
use tokio::sync::Semaphore;
use tokio_stream::wrappers::WatchStream;

use super::board::Board;
use super::bundle::Bundler;
use super::html::{POLICY, document};
use super::serve::Limits;

/// Who comes, by the certificate that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visitor {
    /// Somebody without one, or with one that says nothing here.
    Anybody,
    /// A person who runs the site.
    Operator,
    /// A machine of a room.
    Room(Room),
}

/// What every route has.
#[derive(Clone)]
pub(super) struct Hall {
    board: Board,
    bundler: Bundler,
    limits: Limits,
    followers: Arc<Semaphore>,
    /// One bundle at a time: it reads a whole journal.
    bundling: Arc<Semaphore>,
}

impl Hall {
    pub(super) fn new(board: Board, bundler: Bundler, limits: Limits) -> Hall {
        let followers = Arc::new(Semaphore::new(limits.followers));
        Hall { board, bundler, limits, followers, bundling: Arc::new(Semaphore::new(1)) }
    }
}

/// The routes, for a visitor.
pub(super) fn all(hall: Hall, visitor: Visitor) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/status.json", get(status))
        .route("/events", get(events))
        .route("/healthz", get(health))
        .route("/bundle", get(move |state| bundle(state, visitor)))
        .with_state(hall)
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn answer(
    status: StatusCode,
    kind: HeaderValue,
    caching: &'static str,
    body: impl Into<Body>,
) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (status, headers, body.into()).into_response()
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    let mut response = answer(status, TEXT, "no-store", why);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

async fn page(State(hall): State<Hall>, asked: HeaderMap) -> Response {
    let shown = hall.board.newest();
    let tag = shown.parts.tag();
    let seen = asked.get(IF_NONE_MATCH).and_then(|seen| seen.to_str().ok());
    let same = seen.is_some_and(|seen| seen.split(',').any(|one| one.trim() == tag));
    let mut response = if same {
        answer(StatusCode::NOT_MODIFIED, HTML, "no-cache", Body::empty())
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_unix(now.as_secs());
        let now = now.map_or_else(String::new, |now| now.to_string());
        let text = document(&shown.parts, &shown.view.site, &now);
        answer(StatusCode::OK, HTML, "no-cache", text)
    };
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(&POLICY);
    headers.extend(policy.map(|policy| (CONTENT_SECURITY_POLICY, policy)));
    headers.extend(HeaderValue::from_str(&tag).map(|tag| (ETAG, tag)));
    response
}

async fn status(State(hall): State<Hall>) -> Response {
    answer(StatusCode::OK, JSON, "no-store", hall.board.newest().json.clone())
}

async fn health(State(hall): State<Hall>) -> Response {
    match hall.board.unseen() {
        None => answer(StatusCode::OK, TEXT, "no-store", "ok\n"),
        Some(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "this node is not looked at any more\n"),
    }
}

async fn events(State(hall): State<Hall>, RawQuery(query): RawQuery) -> Response {
    let Ok(place) = hall.followers.clone().try_acquire_owned() else {
        let why = "all places for those who follow are taken; /status.json can be read\n";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let of_page = query.as_deref() == Some("page");
    // Who reads slowly gets the newest, not all that was between: nothing piles up.
    let views = WatchStream::new(hall.board.follow()).map(move |shown| {
        let _follower = &place;
        let data = if of_page {
            serde_json::to_string(&shown.parts).unwrap_or_default()
        } else {
            String::from_utf8_lossy(&shown.json).into_owned()
        };
        Ok::<_, Infallible>(Event::default().data(data))
    });
    let alive = KeepAlive::new().interval(hall.limits.heartbeat).text("alive");
    Sse::new(views).keep_alive(alive).into_response()
}

async fn bundle(State(hall): State<Hall>, visitor: Visitor) -> Response {
    if visitor != Visitor::Operator {
        let why = "the bundle holds logs: show the operator's certificate, as `duet logs` does\n";
        return refuse(StatusCode::FORBIDDEN, why);
    }
    let Ok(_one) = hall.bundling.try_acquire() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "another bundle is being made\n");
    };
    let shown = hall.board.newest();
    match hall.bundler.make(&shown.view).await {
        Ok(bytes) => {
            let kind = HeaderValue::from_static("application/gzip");
            let mut response = answer(StatusCode::OK, kind, "no-store", bytes);
            let name = HeaderValue::from_static("attachment; filename=\"duet-bundle.tar.gz\"");
            response.headers_mut().insert(CONTENT_DISPOSITION, name);
            response
        }
        Err(error) => {
            tracing::warn!(%error, "cannot make a bundle");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the bundle cannot be made; see the journal\n",
            )
        }
    }
}
