//! The page in a real browser: what a person reads, at any width, light and dark, with and without a script.

use agent::page::Limits;
use serde_json::{Value, json};

use super::chromium::Chromium;
use super::rig::{ROOM_A, Served, Site, nothing_to_bundle, until, view};

/// What is wider than the window, by its tag and class.
const OVERFLOWS: &str = "[...document.querySelectorAll('body *')].filter((one) => {
    const box = one.getBoundingClientRect();
    return !one.closest('.skip, .unseen') && box.width > 0
        && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map((one) => one.tagName + '.' + (one.getAttribute('class') || '')).slice(0, 5)";

/// What has words and no place for them: a column in which each word is broken.
const SQUEEZED: &str = "[...document.querySelectorAll('body *')].filter((one) =>
    !one.children.length && one.textContent.trim().length > 24 && !one.closest('.skip, .unseen')
        && one.getClientRects().length && one.getBoundingClientRect().width < 90
).map((one) => one.textContent).slice(0, 5)";

const WIDTHS: [u32; 4] = [320, 360, 768, 1280];

#[test]
fn each_state_of_a_site_is_read_at_a_glance() {
    let site = Site::new();
    let served = Served::start(site.files(ROOM_A), view("in-sync"));
    let mut browser = Chromium::start();
    let seen: [(&str, &[(&str, &str)]); 5] = [
        (
            "in-sync",
            &[
                ("h1", "Both rooms are in sync."),
                ("#headline p", "Room A leads."),
                ("#without-a", "Yes Room B would go on by the witness."),
                ("#without-b", "Yes Room A would go on by the witness."),
                ("#room-a .role", "leads"),
                ("#room-b .role", "follows"),
                ("#room-b .store", "in sync"),
                ("#room-b .slots .runs", "0.2.0 runs"),
                ("#room-b", "harbour-b2 worker 10.20.0.12"),
                ("#link", "Link up under 1 ms there and back"),
                ("#third", "Witness It knows decision 41, the newest."),
                ("#findings", "Nothing."),
                ("#moments li", "The witness knows this decision of room A."),
            ],
        ),
        (
            "room-b-lost",
            &[
                ("h1", "Room A goes on alone, by the witness."),
                ("#headline p", "Room B has not answered for 3 minutes."),
                ("#findings", "It has not answered for 3 minutes. Cure: Look whether"),
                ("#without-a", "No Room B is not in sync"),
                ("#without-b", "Yes Room A is in sync alone"),
                ("#room-b .presence", "silent for 3 minutes"),
                ("#link", "Link cut"),
                ("footer", "connection timed out"),
            ],
        ),
        (
            "link-cut",
            &[
                ("h1", "Room A goes on alone, by"),
                ("#room-b .role", "waits"),
                ("#link", "no route to host"),
                ("#reach-a", "Room A reaches it"),
                ("#reach-b", "Room B reaches it"),
                ("#findings", "Cure: Mend the link between the rooms"),
                ("#findings", "enp2s0 has no cable."),
            ],
        ),
        (
            "waiting",
            &[
                ("h1", "Nobody leads: writes wait."),
                ("#without-a", "Not known Room B has not answered"),
                ("#without-b", "No The witness does not answer"),
                ("#reach-a", "does not reach it"),
                ("#room-a .slots .trial", "0.3.0 runs, on trial"),
                ("#findings", "Room A It does not reach the witness: witness.example.org:2377"),
                ("#findings code", "duetd store go-on-alone"),
            ],
        ),
        (
            "foreign-site",
            &[
                ("h1", "Room A goes on alone, by"),
                ("#room-b", "not heard yet"),
                ("#link", "Link not up yet No address of the other room is known yet"),
                ("#room-b .nothing", "Nothing is known of its control machine."),
                ("#findings", "To know · On the wire Another site, lighthouse, is on this wire"),
            ],
        ),
    ];
    for (name, texts) in seen {
        served.board.show(view(name));
        for (width, dark) in WIDTHS.into_iter().flat_map(|width| [(width, false), (width, true)]) {
            browser.window(width, dark);
            browser.open(&served.url());
            assert_eq!(browser.eval(OVERFLOWS), json!([]), "{name}, {width} px");
            assert_eq!(browser.eval(SQUEEZED), json!([]), "{name}, {width} px");
            let wide = browser.eval("document.documentElement.scrollWidth");
            assert!(wide.as_u64() <= Some(width.into()), "{name} is {wide} wide at {width} px");
            for (selector, words) in texts {
                // A verdict's question stands between its answer and the reason.
                let text = match selector.strip_prefix("#without-") {
                    None => browser.text(selector),
                    Some(_) => {
                        let answer = browser.text(&format!("{selector} .answer"));
                        format!("{answer} {}", browser.text(&format!("{selector} .because")))
                    }
                };
                assert!(text.contains(words), "{name}, {selector}: {text}, not {words}");
            }
            let shade = if dark { "dark" } else { "light" };
            browser.picture(&format!("{name}-{width}-{shade}"));
        }
    }
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[test]
fn an_open_page_follows_and_says_when_it_is_old() {
    let site = Site::new();
    let served = Served::start(site.files(ROOM_A), view("in-sync"));
    let mut browser = Chromium::start();
    browser.window(1280, false);
    browser.open(&served.url());
    browser.until("document.getElementById('age-text').textContent === 'Live from harbour-a1'");
    browser.eval("document.querySelector('#headline').kept = 1; document.querySelector('#without-b').kept = 1");
    browser.eval("document.querySelector('#earlier').open = true");

    // What changes is changed in its place; a screen reader hears of nothing else.
    served.board.show(view("room-b-lost"));
    browser.until(
        "document.querySelector('h1').textContent === 'Room A goes on alone, by the witness.'",
    );
    assert_eq!(browser.eval("document.querySelector('#headline').kept"), 1);
    assert_eq!(
        browser.eval("document.title"),
        "Room A goes on alone, by the witness. harbour · Duet"
    );
    assert_eq!(
        browser.eval("document.querySelector('#earlier').open"),
        true,
        "what was opened stays so"
    );
    let silent = browser.eval("document.querySelector('#room-b').classList.contains('gone')");
    assert_eq!(silent, true);

    // The node goes away.
    let address = served.address;
    drop(served);
    browser.until("document.getElementById('age').classList.contains('old')");
    let age = browser.text("#age");
    assert!(age.starts_with("Old: the node is not reached. This is how it was at "), "{age}");
    assert_eq!(
        browser.text("h1"),
        "Room A goes on alone, by the witness.",
        "what was known stays to be read"
    );

    // It comes back at the same place, and the page finds it by itself.
    let again = Served::start_with(
        site.files(ROOM_A),
        view("in-sync"),
        address,
        Limits::default(),
        nothing_to_bundle(),
    );
    browser.until("document.querySelector('h1').textContent === 'Both rooms are in sync.'");
    browser.until("!document.getElementById('age').classList.contains('old')");
    drop(again);
}

#[test]
fn without_a_script_the_same_is_read() {
    let site = Site::new();
    let served = Served::start(site.files(ROOM_A), view("waiting"));
    let mut browser = Chromium::start();
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.window(360, false);
    browser.open(&served.url());
    assert_eq!(browser.text("h1"), "Nobody leads: writes wait.");
    assert!(browser.text("#age").starts_with("Shown by harbour-a1 at 20"));
    let refresh = browser.eval("document.querySelector('noscript meta').httpEquiv");
    assert_eq!(refresh, "refresh");
    assert_eq!(browser.eval(OVERFLOWS), json!([]));
}

/// WCAG 2.2, relative luminance.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn everybody_can_read_and_reach_it() {
    let site = Site::new();
    let served = Served::start(site.files(ROOM_A), view("link-cut"));
    let mut browser = Chromium::start();
    for dark in [false, true] {
        browser.window(1280, dark);
        browser.open(&served.url());
        let mut colour = |name: &str| {
            let script =
                format!("getComputedStyle(document.documentElement).getPropertyValue('--{name}')");
            luminance(browser.eval(&script).as_str().unwrap().trim())
        };
        for text in ["ink", "soft", "good", "warning", "bad"] {
            for ground in ["paper", "floor"] {
                let (one, other) = (colour(text), colour(ground));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                // WCAG 2.2, 1.4.3: what is enough for text of any size.
                assert!(contrast >= 4.5, "{text} on {ground}, dark {dark}: {contrast:.2}");
            }
        }
    }
    assert_eq!(browser.eval("document.querySelectorAll('h1').length"), 1);
    assert_eq!(browser.eval("document.documentElement.lang"), "en");
    assert_eq!(
        browser.eval("document.querySelector('#verdicts').getAttribute('aria-live')"),
        "polite"
    );
    let unnamed = "[...document.querySelectorAll('section')].filter((one) =>
        !one.getAttribute('aria-label') && !one.querySelector('h1')).length";
    assert_eq!(browser.eval(unnamed), 0);
    // No mark says anything alone: each has words beside it.
    let alone = "[...document.querySelectorAll('.mark')].filter((one) =>
        !(one.parentElement.textContent || '').trim()).length";
    assert_eq!(browser.eval(alone), 0);

    // The first key leads past the top, and whatever is to be opened can be reached.
    let mut reached: Vec<Value> = Vec::new();
    for _ in 0..4 {
        for kind in ["keyDown", "keyUp"] {
            let key =
                json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            browser.ask("Input.dispatchKeyEvent", key);
        }
        reached.push(
            browser.eval("document.activeElement.className || document.activeElement.tagName"),
        );
    }
    assert_eq!(reached[0], "skip");
    assert!(reached.contains(&json!("SUMMARY")) && reached.contains(&json!("A")), "{reached:?}");
    until("the page", || !browser.text("main").is_empty());
}
