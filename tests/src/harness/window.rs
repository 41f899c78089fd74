//! The desktop app, with a person at its window: who reads what is written there, types, presses what has a name, and
//! looks at pictures.

use std::fmt::Display as Words;
use std::fs;
use std::thread;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cli::{Event, Running};
use super::desktop::Desktop;
use super::display::Rectangle;
use super::process::Process;
use super::programs::{program, target_folder};
use super::webdriver::{Element, INTERVAL, Inspector, Refusal, WebDriver};
use super::{DEADLINE, Server};

/// A running app.
#[derive(Debug)]
pub struct Window {
    name: String,
    // Ends before the app does, which it drives.
    driver: WebDriver,
    /// None where something else than the test started the app.
    app: Option<Running>,
    desktop: Desktop,
}

/// How the app is started.
#[derive(Debug, Clone)]
pub struct Opening {
    desktop: Desktop,
    arguments: Vec<String>,
}

/// One of the pictures in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// One's own.
    Local,
    /// The other side's.
    Remote,
}

/// The size at which pictures are compared, that of the clips.
pub const SIZE: (usize, usize) = (640, 480);

/// Where failed tests leave what was to be seen, in the target folder.
const FAILED: &str = "tests-failed";

/// What the page shows in a canvas, in bytes of brightness as video has it (BT.601), scaled to a size. Nothing of one that
/// has a single colour: nothing was drawn in it, or its buffer is with the screen just now (WebGL 1.0 §2.2).
const LOOK: &str = "
    const [selector, width, height] = arguments;
    const canvas = document.querySelector(selector);
    if (!canvas || !canvas.width || !canvas.height) return null;
    const copy = document.createElement('canvas');
    copy.width = width;
    copy.height = height;
    const pen = copy.getContext('2d', { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0, width, height);
    const { data } = pen.getImageData(0, 0, width, height);
    let luma = '';
    let flat = true;
    for (let at = 0; at < data.length; at += 4) {
        const y = 16 + (65.481 * data[at] + 128.553 * data[at + 1] + 24.966 * data[at + 2]) / 255;
        luma += String.fromCharCode(Math.round(y));
        flat &&= luma.at(-1) === luma[0];
    }
    return flat ? null : btoa(luma);";

const BOUNDS: &str = "
    const box = document.querySelector(arguments[0])?.getBoundingClientRect();
    return box ? [box.x, box.y, box.width, box.height].map(Math.round) : null;";

impl Opening {
    /// An app that speaks over 127.0.0.1, has no camera, microphone and speaker unless told otherwise, and reports to the
    /// test.
    #[must_use]
    pub fn new(desktop: &Desktop) -> Self {
        let opening = Self { desktop: desktop.clone(), arguments: Vec::new() };
        opening.and(&["--loopback", "--events", "-"])
    }

    /// Adds arguments.
    #[must_use]
    pub fn and(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Starts it, and takes a seat at its window. `None`, and a word about it, where there is no driver.
    #[must_use]
    #[track_caller]
    pub fn open(&self, name: &str) -> Option<Window> {
        let inspector = Inspector::new()?;
        let mut command = self.desktop.command(program("ahoy"));
        command.args(&self.arguments).envs(inspector.environment());
        let app = Running::new(name, Process::start(name, &mut command), self.desktop.home());
        let driver = WebDriver::attach(&inspector);
        Some(Window { name: name.into(), driver, app: Some(app), desktop: self.desktop.clone() })
    }
}

impl Window {
    /// Takes a seat at the window of an app that something else started on a desktop, with the environment of `inspector`.
    #[must_use]
    #[track_caller]
    pub fn sit_down(name: &str, desktop: &Desktop, inspector: &Inspector) -> Self {
        Self { name: name.into(), driver: WebDriver::attach(inspector), app: None, desktop: desktop.clone() }
    }

    /// The machine.
    #[must_use]
    pub fn desktop(&self) -> &Desktop {
        &self.desktop
    }

    /// The program, with what it reports.
    ///
    /// # Panics
    /// When something else started it.
    #[track_caller]
    pub fn app(&mut self) -> &mut Running {
        self.app.as_mut().expect("started by the test")
    }

    /// Waits for the event called `name` that has `nth` such before it.
    ///
    /// # Panics
    /// When none comes, or something else started the app, so that it reports to nobody.
    #[track_caller]
    pub fn wait_for_nth(&self, name: &str, nth: usize) -> Event {
        self.app.as_ref().expect("started by the test").wait_for_nth(name, nth)
    }

    /// Signs in, by typing name and server.
    #[track_caller]
    pub fn sign_in(&self, server: &Server) {
        self.write("Your name", &self.name);
        self.write("Server", &server.url());
        self.press_enter();
        self.wait_for_screen("home");
    }

    /// Types into the text field of that name, in place of what is there.
    #[track_caller]
    pub fn write(&self, field: &str, text: &str) {
        self.wait_for(format_args!("the field {field:?}"), |driver| {
            let Some(found) = element(driver, "textbox", field)? else { return Ok(None) };
            driver.clear(&found)?;
            driver.write(&found, text).map(Some)
        });
    }

    /// Calls `user`, by typing the name and Enter.
    #[track_caller]
    pub fn call(&self, user: &str) {
        self.write(CALL_WHOM, user);
        self.press_enter();
    }

    /// Presses Enter, wherever the focus is.
    #[track_caller]
    pub fn press_enter(&self) {
        self.press(&['\u{e007}']);
    }

    /// Presses keys together, wherever the focus is.
    ///
    /// # Panics
    /// When the page is gone.
    #[track_caller]
    pub fn press(&self, keys: &[char]) {
        self.driver.press(keys).unwrap_or_else(|refusal| panic!("{}: {keys:?}: {refusal:?}", self.name));
    }

    /// Clicks on the button of that name, as soon as it is there.
    #[track_caller]
    pub fn click(&self, name: &str) {
        self.click_on("button", name);
    }

    /// Clicks on what has this role and name, as soon as it is there.
    #[track_caller]
    pub fn click_on(&self, role: &str, name: &str) {
        self.wait_for(format_args!("the {role} {name:?}"), |driver| {
            // The call's controls hide from a pointer that rests. Where it cannot move, the click fails too, and says why.
            let _ = driver.point_at(300, 300).and_then(|()| driver.point_at(310, 310));
            let Some(found) = element(driver, role, name)? else { return Ok(None) };
            driver.click(&found).map(Some)
        });
    }

    /// Waits until the page says this, wherever.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        self.wait_for(format_args!("{text:?}"), |driver| Ok(read(driver)?.contains(text).then_some(())));
    }

    /// Waits until the page shows this screen, named as in the view of the app.
    #[track_caller]
    pub fn wait_for_screen(&self, name: &str) {
        let selector = format!("[data-screen={name}]");
        self.wait_for(format_args!("the screen {name:?}"), |driver| {
            Ok((!driver.find(&selector)?.is_empty()).then_some(()))
        });
    }

    /// Waits until `found` makes something of the page.
    ///
    /// # Panics
    /// When it does not in time. `what` says what was waited for.
    #[track_caller]
    pub fn wait_for<T>(&self, what: impl Words, mut found: impl FnMut(&WebDriver) -> Result<Option<T>, Refusal>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let refusal = match found(&self.driver) {
                Ok(Some(value)) => return value,
                Ok(None) => None,
                Err(refusal) => Some(refusal),
            };
            if Instant::now() >= deadline {
                let text = self.text();
                panic!("{} does not come to {what} ({refusal:?}); the page says:\n{text}", self.name);
            }
            thread::sleep(INTERVAL);
        }
    }

    /// All that is written on the page now.
    #[must_use]
    pub fn text(&self) -> String {
        read(&self.driver).unwrap_or_else(|refusal| format!("({refusal:?})"))
    }

    /// What a script returns, run in the page.
    ///
    /// # Panics
    /// When it throws.
    #[track_caller]
    pub fn ask(&self, script: &str) -> Value {
        self.driver.execute(script, json!([])).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", self.name))
    }

    /// The picture in a view, its brightness, scaled to [`SIZE`].
    #[must_use]
    #[track_caller]
    pub fn look(&self, view: View) -> Vec<u8> {
        self.wait_for(format_args!("a picture in {view:?}"), |driver| {
            let picture = driver.execute(LOOK, json!([view.selector(), SIZE.0, SIZE.1]))?;
            Ok(picture.as_str().map(|text| STANDARD.decode(text).expect("the script writes base64")))
        })
    }

    /// Where a view is on the screen: the window is in its upper left corner, and a pixel of the page is one of the screen.
    #[must_use]
    #[track_caller]
    pub fn place(&self, view: View) -> Rectangle {
        self.wait_for(format_args!("{view:?}"), |driver| {
            let bounds = driver.execute(BOUNDS, json!([view.selector()]))?;
            let number = |at: usize| bounds[at].as_u64().map(|number| number as usize);
            let numbers = (number(0), number(1), number(2), number(3));
            let (Some(x), Some(y), Some(width), Some(height)) = numbers else { return Ok(None) };
            Ok(Some(Rectangle { x, y, width, height }))
        })
    }

    /// Loads the page anew, and gives back when that began.
    ///
    /// # Panics
    /// When it cannot be loaded.
    #[track_caller]
    pub fn reload(&self) -> Instant {
        let began = Instant::now();
        // Not the driver's own command, which waits for the page: the clock is ours.
        let left = self.driver.execute("setTimeout(() => location.reload())", json!([]));
        left.unwrap_or_else(|refusal| panic!("{} cannot reload: {refusal:?}", self.name));
        began
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if thread::panicking() {
            let folder = target_folder().join(FAILED);
            let test = thread::current().name().unwrap_or("test").replace("::", "-");
            let path = folder.join(format!("{test}-{}.jpg", self.name));
            // What led here matters more than what comes of this.
            if fs::create_dir_all(&folder).is_ok() {
                eprintln!("what {} saw last: {}", self.name, self.desktop.display.look().save(&path).display());
            }
        }
    }
}

impl View {
    /// Where it is in the page.
    fn selector(self) -> &'static str {
        match self {
            Self::Local => "[data-view=local] canvas",
            Self::Remote => "[data-view=remote] canvas",
        }
    }
}

/// The field on the home screen.
const CALL_WHOM: &str = "Call a name";

/// The first element of this role and name that is there now.
fn element(driver: &WebDriver, role: &str, name: &str) -> Result<Option<Element>, Refusal> {
    let by_tag = match role {
        "button" => "button,",
        "textbox" => "input, textarea,",
        "combobox" => "select,",
        _ => "",
    };
    for found in driver.find(&format!("{by_tag} [role={role}]"))? {
        if driver.role_and_name(&found)? == (role.to_owned(), name.to_owned()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(driver: &WebDriver) -> Result<String, Refusal> {
    let text = driver.execute("return document.body?.innerText ?? ''", json!([]))?;
    Ok(text.as_str().unwrap_or_default().to_owned())
}
