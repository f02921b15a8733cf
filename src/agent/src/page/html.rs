//! A picture as HTML. Start at [`Parts::of`], which makes what changes, and [`Document::of`], which puts it
//! into the page. Pure. Whatever comes from a view goes through [`escape`]; the page has no other input.
//!
//! The same parts are sent to a page that is open, so there is one place where a picture becomes words, and
//! a browser without JavaScript sees the same.

use std::fmt::Write as _;
use std::sync::LazyLock;

use data_encoding::{BASE64, HEXLOWER};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use site::{Room, Timestamp};

use crate::picture::{Found, Machine, Moment, Neighbour, Picture, Presence, Tone, Verdict};
use crate::picture::{Reach, RoomPicture, SlotPicture, StoreRole};

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");

/// Moments that are shown before the reader asks for more.
const MOMENTS: usize = 8;

/// What the browser may do on this page: run this script, use this style, ask this node, and nothing else.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64.encode(digest(&SHA256, text.as_bytes()).as_ref());
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
    )
});

/// What changes on the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Parts {
    pub(super) title: String,
    pub(super) machine: String,
    pub(super) parts: Pieces,
}

/// One for each `data-part` of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Pieces {
    headline: String,
    verdicts: String,
    plan: String,
    findings: String,
    moments: String,
    rest: String,
}

impl Parts {
    pub(super) fn of(picture: &Picture) -> Parts {
        let Picture { site, headline, machine, .. } = picture;
        Parts {
            // Good news needs no place in a tab's title.
            title: match headline.tone {
                Tone::Good => format!("{site} · Duet"),
                _ => format!("{} {site} · Duet", headline.text),
            },
            machine: machine.clone(),
            parts: Pieces {
                headline: format!(
                    "<h1 class=\"{}\">{}<span>{}</span></h1><p>{}</p>",
                    class(headline.tone),
                    mark(headline.tone),
                    escape(&headline.text),
                    escape(&headline.more)
                ),
                verdicts: verdicts(&picture.verdicts),
                plan: plan(picture),
                findings: findings(&picture.findings),
                moments: moments(&picture.moments),
                rest: rest(picture),
            },
        }
    }

    /// What tells one state of the page from another, for `ETag`.
    pub(super) fn tag(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = digest(
            &SHA256,
            &[&text, PAGE.as_bytes(), STYLE.as_bytes(), SCRIPT.as_bytes()].concat(),
        );
        // Weak: the time of day on the page is not in it.
        format!("W/\"{}\"", HEXLOWER.encode(&hash.as_ref()[..12]))
    }
}

/// The whole page.
pub(super) fn document(parts: &Parts, site: &str, now: &str) -> String {
    let Parts { title, machine, parts } = parts;
    let fields = [
        ("title", escape(title)),
        ("site", escape(site)),
        ("machine", escape(machine)),
        ("time", escape(now)),
        ("style", STYLE.to_owned()),
        ("script", SCRIPT.to_owned()),
        ("headline", parts.headline.clone()),
        ("verdicts", parts.verdicts.clone()),
        ("plan", parts.plan.clone()),
        ("findings", parts.findings.clone()),
        ("moments", parts.moments.clone()),
        ("rest", parts.rest.clone()),
    ];
    fill(PAGE, &fields)
}

/// Puts fields into their places, once: a `{site}` in what a field holds is left as it is.
fn fill(template: &str, fields: &[(&str, String)]) -> String {
    let mut text = String::with_capacity(64 << 10);
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        let field = fields.iter().find(|(name, _)| rest[1..].starts_with(&format!("{name}}}")));
        match field {
            Some((name, value)) => {
                text.push_str(value);
                rest = &rest[name.len() + 2..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text + rest
}

/// Text where HTML is expected, in an element or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A text in which what stands in back quotes is to be typed.
fn prose(text: &str) -> String {
    let mut safe = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escape(part);
        let _ = if index % 2 == 1 {
            write!(safe, "<code>{part}</code>")
        } else {
            write!(safe, "{part}")
        };
    }
    safe
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Quiet => "quiet",
        Tone::Warning => "warning",
        Tone::Bad => "bad",
    }
}

/// A mark whose shape says what its colour says; the words beside it say it again.
fn mark(tone: Tone) -> String {
    let path = match tone {
        Tone::Good => "M10 1.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 1 1 0-17M6 10.3l2.8 2.8L14 7.5",
        Tone::Quiet => "M10 1.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 1 1 0-17M6.5 10h7",
        Tone::Warning => "M10 2 1.3 17.5h17.4zM10 8v4.2M10 14.9v.1",
        Tone::Bad => "M6.4 1.5h7.2l4.9 4.9v7.2l-4.9 4.9H6.4l-4.9-4.9V6.4zM7 7l6 6M13 7l-6 6",
    };
    format!(
        "<svg class=\"mark {}\" viewBox=\"0 0 20 20\" aria-hidden=\"true\"><path d=\"{path}\"></path></svg>",
        class(tone)
    )
}

fn state(tone: Tone, words: &str) -> String {
    format!(
        "<span class=\"state {}\">{}<span>{}</span></span>",
        class(tone),
        mark(tone),
        escape(words)
    )
}

fn verdicts(verdicts: &[Verdict; 2]) -> String {
    let mut html = String::from("<div class=\"verdicts\">");
    for verdict in verdicts {
        let tone = verdict.answer.tone();
        let _ = write!(
            html,
            "<div class=\"verdict {}\" id=\"without-{}\"><h2>{}</h2>\
             <p class=\"answer\">{}<span>{}</span></p><p class=\"because\">{}</p></div>",
            class(tone),
            verdict.lost,
            escape(&verdict.question()),
            mark(tone),
            verdict.answer.word(),
            escape(&verdict.because)
        );
    }
    html + "</div>"
}

fn plan(picture: &Picture) -> String {
    let third = &picture.third;
    let mut html = format!(
        "<div class=\"plan\"><div class=\"third\" id=\"third\"><p class=\"label\">Who decides</p>\
         <h2>{}</h2><p>{}</p></div>",
        escape(&third.name),
        escape(&third.words)
    );
    for (room, reach) in Room::ALL.into_iter().zip(&third.reach) {
        html.push_str(&reached(room, reach.as_ref()));
    }
    let link = &picture.link;
    let more = link
        .more
        .as_ref()
        .map_or(String::new(), |more| format!("<p class=\"more\">{}</p>", escape(more)));
    html.push_str(&room(&picture.rooms[0]));
    let _ = write!(
        html,
        "<div class=\"link {}\" id=\"link\"><h2>{}<span>Link {}</span></h2>{more}</div>",
        class(link.tone),
        mark(link.tone),
        escape(&link.word),
    );
    html.push_str(&room(&picture.rooms[1]));
    html + "</div>"
}

fn reached(room: Room, reach: Option<&Reach>) -> String {
    match reach {
        None => format!("<div class=\"reach none {room}\"></div>"),
        Some(reach) => format!(
            "<p class=\"reach {room} {}\" id=\"reach-{room}\">{} Room {} {}</p>",
            class(reach.tone),
            mark(reach.tone),
            letter(room),
            reach.words
        ),
    }
}

fn letter(room: Room) -> String {
    room.to_string().to_uppercase()
}

/// A door as floor plans have it: a gap in the wall, the leaf, and the quarter circle that it swings.
const DOOR: &str = "<svg class=\"door\" viewBox=\"0 0 46 46\" aria-hidden=\"true\">\
    <path class=\"gap\" d=\"M4 44h36\"></path><path d=\"M4 44V8a36 36 0 0 1 36 36\"></path></svg>";

fn room(room: &RoomPicture) -> String {
    let name = room.room;
    let leads = if room.role == StoreRole::Leads { " leads" } else { "" };
    let (gone, presence) = match &room.presence {
        Presence::Here => ("", "shows this page".to_owned()),
        Presence::Answers => ("", "answers".to_owned()),
        Presence::Silent(since) => (" gone", format!("silent for {since}")),
        Presence::Unheard => (" gone", "not heard yet".to_owned()),
    };
    let title = room
        .title
        .as_ref()
        .map_or(String::new(), |title| format!("<span class=\"title\">{}</span>", escape(title)));
    let mut html = format!(
        "<article class=\"room {name}{leads}{gone}\" id=\"room-{name}\" aria-labelledby=\"name-{name}\">\
         <header><h2 id=\"name-{name}\">Room {}</h2>{title}<span class=\"presence label\">{}</span>\
         </header><p class=\"store\"><span class=\"unseen\">Its store </span>\
         <span class=\"role\">{}</span>{}</p>",
        letter(name),
        escape(&presence),
        room.role.words(),
        state(room.sharing.tone, &room.sharing.words),
    );
    match &room.control {
        Some(control) => html.push_str(&machine(control)),
        None => html.push_str("<p class=\"nothing\">Nothing is known of its control machine.</p>"),
    }
    html.extend(room.others.iter().map(neighbour));
    html + DOOR + "</article>"
}

fn machine(machine: &Machine) -> String {
    let mut html = format!(
        "<div class=\"machine\"><div class=\"unit\"><h3>{}</h3><span class=\"what\">control</span>{}</div>\
         <ul class=\"slots\">",
        escape(&machine.name),
        state(machine.tone, &machine.health)
    );
    html.extend(machine.slots.iter().map(slot));
    html.push_str("</ul><dl class=\"facts\">");
    if !machine.addresses.is_empty() {
        let addresses: Vec<String> = machine.addresses.iter().map(|one| escape(one)).collect();
        let _ = write!(html, "<dt>Address</dt><dd class=\"mono\">{}</dd>", addresses.join("<br>"));
    }
    for (label, value) in &machine.facts {
        let _ = write!(html, "<dt>{label}</dt><dd>{}</dd>", escape(value));
    }
    html + "</dl></div>"
}

fn slot(slot: &SlotPicture) -> String {
    let name = slot.slot.to_string().to_uppercase();
    match &slot.runs {
        None => format!("<li><b>Slot {name}</b>does not run</li>"),
        Some(version) => {
            let (class, words) =
                if slot.on_trial { ("runs trial", "runs, on trial") } else { ("runs", "runs") };
            format!("<li class=\"{class}\"><b>Slot {name}</b>{} {words}</li>", escape(version))
        }
    }
}

fn neighbour(neighbour: &Neighbour) -> String {
    format!(
        "<div class=\"machine slim\"><div class=\"unit\"><h3>{}</h3><span class=\"what\">{}</span>\
         <span class=\"state mono quiet\">{}</span></div></div>",
        escape(&neighbour.name),
        escape(&neighbour.role),
        escape(&neighbour.addresses.join(" "))
    )
}

fn findings(findings: &[Found]) -> String {
    let mut html = String::from("<h2>What needs a person</h2>");
    if findings.is_empty() {
        let _ = write!(
            html,
            "<div class=\"found\">{}<div>Nothing. Every machine that is heard is well.</div></div>",
            mark(Tone::Good)
        );
    }
    for found in findings {
        let cure = found.cure.as_ref().map_or(String::new(), |cure| {
            format!("<p class=\"cure\"><b>Cure:</b> {}</p>", prose(cure))
        });
        let word = match found.tone {
            Tone::Bad => "Bad",
            Tone::Warning => "Warning",
            _ => "To know",
        };
        let _ = write!(
            html,
            "<div class=\"found {}\">{}<div><span class=\"label\">{word} · {}</span><p>{}</p>{cure}</div></div>",
            class(found.tone),
            mark(found.tone),
            escape(&found.place),
            prose(&found.what),
        );
    }
    html
}

fn moments(moments: &[Moment]) -> String {
    let mut html = String::from("<h2>What happened</h2>");
    if moments.is_empty() {
        html.push_str("<p class=\"moment\"><span></span>Nothing that is known here.</p>");
    }
    let (first, rest) = moments.split_at(moments.len().min(MOMENTS));
    html.push_str("<ol>");
    html.extend(first.iter().map(moment));
    html.push_str("</ol>");
    if !rest.is_empty() {
        let _ = write!(html, "<details id=\"earlier\"><summary>{} more</summary><ol>", rest.len());
        html.extend(rest.iter().map(moment));
        html.push_str("</ol></details>");
    }
    html
}

fn moment(moment: &Moment) -> String {
    let time = Timestamp::from_unix(moment.time as u64).map(|time| time.to_string());
    let time = time.unwrap_or_default();
    let sign =
        if moment.warns { mark(Tone::Warning) } else { "<span class=\"dot\"></span>".to_owned() };
    format!(
        "<li class=\"moment\">{sign}<span>{}</span><time datetime=\"{time}\">{}</time></li>",
        escape(&moment.text),
        time.replace('T', " ").replace('Z', " UTC")
    )
}

fn rest(picture: &Picture) -> String {
    let mut html = String::new();
    if !picture.left_out.is_empty() {
        html.push_str("<p>Not shown here:</p><ul>");
        for what in &picture.left_out {
            let _ = write!(html, "<li>{}</li>", escape(what));
        }
        html.push_str("</ul>");
    }
    html + "<p>This page only shows. It holds no secret, and whoever reaches a node may read it. \
            The same as JSON: <a href=\"status.json\">status.json</a>.</p>"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::View;

    fn page(view: &str) -> String {
        let view = View::read(view.as_bytes()).unwrap();
        let parts = Parts::of(&Picture::of(&view));
        document(&parts, &view.site, "2027-01-15T08:00:00Z")
    }

    const IN_SYNC: &str = include_str!("../../tests/views/in-sync.json");

    #[test]
    fn what_a_view_says_never_becomes_markup() {
        let evil = "</script><img src=x onerror=alert(1)>{script}";
        let mut view = View::read(IN_SYNC.as_bytes()).unwrap();
        view.site = evil.into();
        view.left_out = vec![evil.into()];
        view.here.status["hostname"] = evil.into();
        view.here.status["findings"] =
            serde_json::json!([{ "severity": "bad", "what": evil, "cure": evil, "code": evil }]);
        view.here.status["network"][0]["addresses"][0]["address"] = evil.into();
        view.here.pair["refusal"] = evil.into();
        view.here.pair_events[0]["message"] = evil.into();
        view.here.status["node"]["room_title"] = evil.into();
        view.neighbours["rooms"][0]["node"] = evil.into();
        view.neighbours["rooms"][0]["site"] = evil.into();
        let page = page(&serde_json::to_string(&view).unwrap());
        assert!(!page.contains("<img") && page.contains("&lt;img src=x"));
        assert_eq!(page.matches("</script>").count(), 1, "the page's own");
        assert_eq!(page.matches("<script>").count(), 1);
    }

    #[test]
    fn a_page_without_a_script_is_whole() {
        let page = page(IN_SYNC);
        for words in [
            "Both rooms are in sync.",
            "Would we survive the loss of room A now?",
            "Building 7",
            "harbour-b2",
            "Shown by harbour-a1 at 2027-01-15T08:00:00Z",
        ] {
            assert!(page.contains(words), "{words}");
        }
        assert!(!page.contains("{plan}") && !page.contains("{style}"));
    }

    #[test]
    fn nothing_on_the_page_comes_from_elsewhere() {
        let page = page(IN_SYNC);
        let body = page.replace("http://www.w3.org/2000/svg", "");
        for word in
            ["http://", "https://", "@import", " style=\"", " onclick", " onload", "javascript:"]
        {
            assert!(!body.contains(word), "{word}");
        }
        assert!(POLICY.starts_with("default-src 'none'; script-src 'sha256-"));
    }

    #[test]
    fn the_tag_changes_with_what_is_shown_and_with_nothing_else() {
        let tag = |view: &View| Parts::of(&Picture::of(view)).tag();
        let view = View::read(IN_SYNC.as_bytes()).unwrap();
        let mut other = view.clone();
        other.here.pair["link"]["round_trip_ms"] = 0.43.into();
        assert_eq!(tag(&view), tag(&other));
        other.here.pair["revision"] = 7.into();
        assert_ne!(tag(&view), tag(&other));
    }
}
