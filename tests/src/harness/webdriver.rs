//! A page in a window, driven as the W3C's WebDriver says: by WebKit's own driver, which attaches to a program that is
//! already running.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::Process;
use super::{DEADLINE, skipped};

const PROGRAM: &str = "WebKitWebDriver";

/// How an element is named in JSON (WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How often something is asked again.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// Where a program waits for a driver.
#[derive(Debug)]
pub struct Inspector(SocketAddr);

/// A driver at a page.
#[derive(Debug)]
pub struct WebDriver {
    address: SocketAddr,
    session: String,
    _driver: Process,
}

/// An element of the page that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element(String);

/// What the driver or the page refused: the error code of WebDriver §6.6, and words.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// For instance `no such element`.
    pub error: String,
    /// Words.
    pub message: String,
}

impl Inspector {
    /// A place for one. `None`, and a word about it, where there is no driver.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn new() -> Option<Self> {
        if Command::new(PROGRAM).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            skipped("no WebKitWebDriver is installed (Debian's package is webkit2gtk-driver)");
            return None;
        }
        Some(Self(free_address()))
    }

    /// The environment in which a program waits there.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("WEBKIT_INSPECTOR_SERVER", self.0.to_string()), ("TAURI_WEBVIEW_AUTOMATION", "true".to_owned())]
    }
}

impl WebDriver {
    /// Drives the page of the program that waits at `inspector`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn attach(inspector: &Inspector) -> Self {
        let address = free_address();
        let mut command = Command::new(PROGRAM);
        command.arg(format!("--port={}", address.port())).arg(format!("--target={}", inspector.0));
        let driver = Process::start("WebKitWebDriver", &mut command);
        let deadline = Instant::now() + DEADLINE;
        let session = loop {
            let opened = request(address, "POST", "/session", Some(&json!({"capabilities": {"alwaysMatch": {}}})));
            let why = match opened {
                Ok(Ok(value)) => break value["sessionId"].as_str().expect("a session has a name").to_owned(),
                // The driver or the program does not listen yet.
                Ok(Err(refusal)) => format!("{refusal:?}"),
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "the driver opens no session: {why}");
            thread::sleep(INTERVAL);
        };
        Self { address, session, _driver: driver }
    }

    /// Runs a script, the body of a function of `arguments`. Gives what it returns.
    ///
    /// # Errors
    /// When it throws, or the page is just being loaded.
    pub fn execute(&self, script: &str, arguments: Value) -> Result<Value, Refusal> {
        self.post("execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// The elements of a CSS selector that are there now.
    ///
    /// # Errors
    /// When the page is just being loaded.
    pub fn find(&self, selector: &str) -> Result<Vec<Element>, Refusal> {
        let found = self.post("elements", &json!({"using": "css selector", "value": selector}))?;
        let elements = found.as_array().into_iter().flatten();
        Ok(elements.filter_map(|element| element[ELEMENT].as_str().map(|id| Element(id.to_owned()))).collect())
    }

    /// What an element is to assistive technology: its role and its name.
    ///
    /// # Errors
    /// When it is gone.
    pub fn role_and_name(&self, element: &Element) -> Result<(String, String), Refusal> {
        let ask = |what: &str| {
            let value = self.request("GET", &format!("element/{}/{what}", element.0), None)?;
            Ok(value.as_str().unwrap_or_default().to_owned())
        };
        Ok((ask("computedrole")?, ask("computedlabel")?))
    }

    /// Clicks at its middle, where a person could.
    ///
    /// # Errors
    /// When it is gone or something lies over it.
    pub fn click(&self, element: &Element) -> Result<(), Refusal> {
        self.post(&format!("element/{}/click", element.0), &json!({})).map(drop)
    }

    /// Takes away what is written in it.
    ///
    /// # Errors
    /// When it is gone or nothing can be written there.
    pub fn clear(&self, element: &Element) -> Result<(), Refusal> {
        self.post(&format!("element/{}/clear", element.0), &json!({})).map(drop)
    }

    /// Types into it. Keys that are no letters are as in WebDriver §17.4.2.
    ///
    /// # Errors
    /// When it is gone or takes no keys.
    pub fn write(&self, element: &Element, text: &str) -> Result<(), Refusal> {
        self.post(&format!("element/{}/value", element.0), &json!({"text": text})).map(drop)
    }

    /// Presses keys one after the other, wherever the focus is.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn press(&self, keys: &[char]) -> Result<(), Refusal> {
        let down = keys.iter().map(|key| json!({"type": "keyDown", "value": key.to_string()}));
        let up = keys.iter().rev().map(|key| json!({"type": "keyUp", "value": key.to_string()}));
        let strokes: Vec<Value> = down.chain(up).collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.post("actions", &actions).map(drop)
    }

    /// Moves the pointer, in pixels from the upper left of the page.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn point_at(&self, x: u32, y: u32) -> Result<(), Refusal> {
        let movement = json!([{"type": "pointerMove", "duration": 0, "x": x, "y": y}]);
        let actions = json!({"actions": [{"type": "pointer", "id": "mouse", "actions": movement}]});
        self.post("actions", &actions).map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        self.request("POST", path, Some(body))
    }

    /// # Panics
    /// When the driver does not answer.
    #[track_caller]
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let answer = request(self.address, method, &format!("/session/{}/{path}", self.session), body);
        answer.unwrap_or_else(|error| panic!("the driver does not answer to {method} {path}: {error}"))
    }
}

/// A port that nobody listens on now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// Asks a driver for something. The outer error: it does not answer.
fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> std::io::Result<Result<Value, Refusal>> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let mut answer: Value = serde_json::from_slice(end.map_or(&[], |end| &answer[end + 4..]))?;
    let value = answer["value"].take();
    let text = |member: &str| value[member].as_str().map(ToOwned::to_owned);
    Ok(match text("error") {
        Some(error) => Err(Refusal { error, message: text("message").unwrap_or_default() }),
        None => Ok(value),
    })
}
