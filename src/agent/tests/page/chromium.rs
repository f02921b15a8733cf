//! Debian's chromium without a screen, driven over its DevTools protocol on two pipes. Start at
//! [`Chromium::start`]. It has a profile of its own, and is ended when it is dropped.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one tab.
pub(crate) struct Chromium {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    asked: u64,
    /// What the page complained of: errors, and what its policy forbade.
    pub(crate) complaints: Vec<String>,
    _profile: TempDir,
}

impl Chromium {
    pub(crate) fn start() -> Chromium {
        let profile = tempfile::tempdir().unwrap();
        let (to, from) = (profile.path().join("to"), profile.path().join("from"));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        // The browser reads descriptor 3 and writes 4; the shell opens them, and becomes the browser.
        let child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<\"$TO\" 4>\"$FROM\"", "chromium"])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--ignore-certificate-errors", "--no-first-run", "--remote-debugging-pipe"])
            .args(["--disable-extensions", "--disable-background-networking", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg("about:blank")
            .envs([("TO", &to), ("FROM", &from)])
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Opened both ways, so that this never waits for a browser that does not start.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (to, mut pipe) = (open(&to), open(&from));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let (mut held, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                held.extend_from_slice(&chunk[..count]);
                while let Some(end) = held.iter().position(|byte| *byte == 0) {
                    let message: Vec<u8> = held.drain(..=end).collect();
                    let value = serde_json::from_slice(&message[..end]).unwrap_or_default();
                    if sender.send(value).is_err() {
                        return;
                    }
                }
            }
        });
        let (session, complaints) = (None, Vec::new());
        let mut browser =
            Chromium { child, to, from, session, asked: 0, complaints, _profile: profile };
        let tab = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Log.enable", "Runtime.enable"] {
            browser.ask(domain, json!({}));
        }
        browser
    }

    /// Calls a method of the protocol.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = self.from.recv_timeout(left);
            let heard = heard.unwrap_or_else(|_| panic!("chromium does not answer {method}"));
            if heard["id"] == id {
                assert!(heard["error"].is_null(), "{method}: {}", heard["error"]);
                return heard["result"].clone();
            }
            self.note(&heard);
        }
    }

    fn note(&mut self, event: &Value) {
        let entry = &event["params"]["entry"];
        let logged = event["method"] == "Log.entryAdded" && entry["level"] == "error";
        if logged || event["method"] == "Runtime.exceptionThrown" {
            self.complaints.push(event["params"].to_string());
        }
    }

    /// What a script on the page gives.
    pub(crate) fn eval(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true });
        let result = self.ask("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    /// The text that a person sees of an element.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let script = format!("document.querySelector({}).innerText", json!(selector));
        let text = self.eval(&script);
        let words: Vec<&str> = text.as_str().unwrap_or_default().split_whitespace().collect();
        words.join(" ")
    }

    /// Opens an address and waits until it is there.
    pub(crate) fn open(&mut self, url: &str) {
        self.ask("Page.navigate", json!({ "url": url }));
        self.until("document.readyState === 'complete' && !!document.querySelector('h1')");
    }

    /// Waits until a script on the page gives true.
    pub(crate) fn until(&mut self, script: &str) {
        super::rig::until(script, || self.eval(script) == true);
    }

    /// A window so wide, light or dark.
    pub(crate) fn window(&mut self, width: u32, dark: bool) {
        let metrics =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.ask("Emulation.setEmulatedMedia", media);
    }

    /// A picture of the whole page, if somebody wants to see it: `DUET_SCREENSHOTS` names a folder.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("DUET_SCREENSHOTS") else { return };
        let size = self.ask("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let clip =
            json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let params = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let shot = self.ask("Page.captureScreenshot", params);
        let bytes = data_encoding::BASE64.decode(shot["data"].as_str().unwrap().as_bytes());
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes.unwrap()).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
