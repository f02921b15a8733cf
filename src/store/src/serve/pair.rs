//! The pages of a store that is one of two: how the pair is, and what a person may have it do. Start at
//! [`answer`].
//!
//! ```text
//!  GET  /duet/pair                                    how it is, as this room knows it (JSON)
//!  GET  /duet/pair/events                             what happened, oldest first (JSON)
//!  POST /duet/pair/hand-over                          the other room is to lead
//!  POST /duet/pair/leave, /duet/pair/return           this follower leaves the set, or comes back
//!  POST /duet/pair/go-on-alone?site=NAME&loss=true    this room goes on without the other one
//! ```
//!
//! What changes something is taken on unix sockets only: who may open them is the file system's matter.

use std::time::SystemTime;

use http::{Method, Request, Response, StatusCode};
use pair::{Command, GrantedBy, Happening, InSync, Refusal, RoleView};
use serde_json::{Value, json};

use super::body::Body;
use super::http::{JSON, page};
use super::server::Server;
use crate::config;
use crate::engine::{Event, View};
use crate::peer::LinkStatus;

/// Where these pages are.
pub(super) const PATH: &str = "/duet/pair";

/// Answers a request; `local` if it came over a unix socket.
pub(super) async fn answer<B>(
    server: &Server,
    request: &Request<B>,
    local: bool,
) -> Response<Body> {
    let path = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    if server.engine.seat().is_none() {
        return refuse(StatusCode::NOT_FOUND, "this is a single store, not one of two", None);
    }
    if *request.method() == Method::GET {
        return match path {
            "" | "/" => tell(StatusCode::OK, &status(server).await),
            "/events" => tell(StatusCode::OK, &events(&server.engine.events())),
            _ => refuse(StatusCode::NOT_FOUND, "there is no such page", None),
        };
    }
    if *request.method() != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are known here", None);
    }
    if !local {
        let why = "this is taken on the store's unix socket only";
        return refuse(StatusCode::FORBIDDEN, why, None);
    }
    let done = match path {
        "/hand-over" => server.engine.hand_over().await,
        "/leave" => server.engine.wish(Command::Leave).await,
        "/return" => server.engine.wish(Command::Return).await,
        "/go-on-alone" => {
            let query = request.uri().query().unwrap_or_default();
            let given =
                |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let site = server.engine.seat().map(|seat| seat.place.site.as_str());
            if given("site") != site {
                let why = "the site's name does not fit: this is the store of another site";
                return refuse(StatusCode::CONFLICT, why, None);
            }
            let accept_loss = given("loss") == Some("true");
            server.engine.wish(Command::GoOnAlone { accept_loss }).await
        }
        _ => return refuse(StatusCode::NOT_FOUND, "there is no such page", None),
    };
    match done {
        Ok(()) => tell(StatusCode::OK, &status(server).await),
        Err(no) => refuse(StatusCode::CONFLICT, &no.to_string(), Some(no)),
    }
}

fn tell(status: StatusCode, value: &Value) -> Response<Body> {
    page(status, JSON, format!("{value}\n"))
}

/// A no, and whether accepting a loss would make it a yes.
fn refuse(status: StatusCode, why: &str, refusal: Option<Refusal>) -> Response<Body> {
    let loss = refusal == Some(Refusal::MayLose);
    tell(status, &json!({ "error": why, "would_lose": loss }))
}

fn events(events: &[Event]) -> Value {
    let event = |event: &Event| {
        let Happening { room, epoch, what } = event.happening;
        json!({
            "time": seconds(event.when),
            "room": room.to_string(),
            "epoch": epoch,
            "type": what.severity(),
            "reason": what.reason(),
            "message": what.to_string(),
        })
    };
    events.iter().map(event).collect()
}

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Milliseconds are enough for people.
    (since.as_secs_f64() * 1000.0).round() / 1000.0
}

fn set(in_sync: InSync) -> Value {
    match in_sync {
        InSync::Both => json!(["a", "b"]),
        InSync::Only(room) => json!([room.to_string()]),
    }
}

async fn status(server: &Server) -> Value {
    let Some(view) = server.engine.view().await else {
        return json!({ "error": "the store is ending" });
    };
    let link = server.link();
    let pair = &view.pair;
    let register = pair.register;
    let follower = pair.follower.map(|follower| {
        json!({
            "last": follower.last,
            "synced": follower.synced,
            "behind": pair.last.saturating_sub(follower.synced),
            "silent_seconds": view.silent_for.map(|silent| silent.as_secs_f64()),
        })
    });
    json!({
        "site": view.site,
        "room": view.room.to_string(),
        "role": role(&view),
        "epoch": register.map(|register| register.epoch),
        "leader": register.map(|register| register.leader.to_string()),
        "in_sync": register.map(|register| set(register.in_sync)),
        "granted_by": register.map(|register| register.granted_by.to_string()),
        "revision": view.revision,
        "index": view.index,
        "last": pair.last,
        "synced": pair.synced,
        "acknowledged": pair.acknowledged,
        "behind": pair.last.saturating_sub(view.index),
        "follower": follower,
        "sending_snapshot": view.sending_snapshot,
        "authority": {
            "kind": config::authority(view.authority),
            "answered": view.reach.answered.map(seconds),
            "trouble": view.reach.trouble,
            "holds": view.reach.holds,
            "asking": pair.asking,
            "witnessed": pair.witnessed.map(|epoch| {
                register.is_some_and(|register| register.epoch == epoch)
            }),
        },
        "link": link.map(|link| link_page(&link)),
        "refusal": pair.refusal.map(|refusal| refusal.to_string()),
        "disk_stuck": pair.stuck,
        "away": pair.away,
        "survival": survival(&view),
    })
}

/// If the other room died now, this would happen, and this is the evidence.
fn survival(view: &View) -> Value {
    let (goes_on, because) = match &view.without_peer {
        Ok(GrantedBy::Alone) => (true, "this room is in sync alone: it needs nobody".to_owned()),
        Ok(by) => (true, format!("it would go on by {by}")),
        Err(why) => (false, why.clone()),
    };
    let redundant = view.pair.register.is_some_and(|register| register.in_sync == InSync::Both);
    json!({
        "goes_on": goes_on,
        "because": because,
        // Whether the other room could go on if this one died.
        "redundant": redundant,
        "evidence": {
            "met_since_boot": view.pair.met_since_boot,
            "authority_answered": view.reach.answered.map(seconds),
            "witness_holds": view.reach.holds,
            "follower_silent_seconds": view.silent_for.map(|silent| silent.as_secs_f64()),
        },
    })
}

/// What a room does. A leader that has lost the other room, and is not let go on, only waits.
fn role(view: &View) -> &'static str {
    match view.pair.role {
        RoleView::Leading if view.in_force => "leads",
        RoleView::Leading => "waits",
        RoleView::Following { aligned: true } => "follows",
        RoleView::Following { aligned: false } => "joins",
        RoleView::Apart => "waits",
    }
}

fn link_page(link: &LinkStatus) -> Value {
    json!({
        "outward": link.outward.map(|outward| outward.address.to_string()),
        "inward": link.inward.map(|inward| inward.address.to_string()),
        "heard_seconds_ago": link.heard.map(|heard| heard.as_secs_f64()),
        "round_trip_ms": link.round_trip.map(|trip| trip.as_secs_f64() * 1000.0),
        "peer_release": link.peer_release,
        "why_not": link.why_not,
        "refused": link.refused,
        "turned_away": link.turned_away.as_ref().map(|(_, why)| why),
    })
}
