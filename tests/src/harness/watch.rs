//! A guest in a benchmark: it sends what it is told to, and tells each picture that it captured and showed, and when.

use serde_json::{Value, json};

use super::guest::{Guest, Picture, bytes};

/// What a guest sends, in codecs of its own choice. It takes whatever comes.
#[derive(Debug, Clone, Copy)]
pub struct Sends {
    /// From its microphone.
    pub audio: bool,
    /// From its camera.
    pub video: bool,
}

/// Everything that it captured and showed. Times are in milliseconds, by a clock that all guests of this machine share.
#[derive(Debug, Default)]
pub struct Watched {
    /// The barcodes of the captured pictures, and when each came from the camera.
    pub captured: Vec<(u16, f64)>,
    /// The barcodes of the shown pictures, and when each was handed to the screen.
    pub shown: Vec<(u16, f64)>,
    /// Some of the shown pictures.
    pub pictures: Vec<ShownPicture>,
}

/// A picture that was shown.
#[derive(Debug)]
pub struct ShownPicture {
    /// Its barcode.
    pub barcode: u16,
    /// When, in milliseconds of the log's clock.
    pub shown_ms: f64,
    /// What was seen.
    pub picture: Picture,
}

impl Guest {
    /// Calls `user`, and tells when it began to.
    #[track_caller]
    pub fn dial(&mut self, user: &str, sends: Sends) -> f64 {
        let mut command = sends.to_json();
        command["to"] = user.into();
        number(&self.ask("call", command)["dialled_ms"])
    }

    /// Will accept the next call that comes in.
    #[track_caller]
    pub fn take_next(&mut self, sends: Sends) {
        self.ask("answer", sends.to_json());
    }

    /// Logs from now on what is captured and shown. Before its first call.
    #[track_caller]
    pub fn watch(&mut self) {
        self.ask("watch", json!({}));
    }

    /// What was logged so far.
    #[must_use]
    #[track_caller]
    pub fn watched(&mut self) -> Watched {
        let log = self.ask("watched", json!({}));
        let entries = |name: &str| log[name].as_array().expect("a log is a list").clone();
        let barcode_and_time = |entry: &Value| (number(&entry[0]) as u16, number(&entry[1]));
        let pictures = (0..log["pictures"].as_u64().unwrap_or(0)).map(|at| self.watched_picture(at));
        Watched {
            captured: entries("captured").iter().map(barcode_and_time).collect(),
            shown: entries("shown").iter().map(barcode_and_time).collect(),
            pictures: pictures.collect(),
        }
    }

    #[track_caller]
    fn watched_picture(&mut self, at: u64) -> ShownPicture {
        let picture = self.ask("watched_picture", json!({"at": at}));
        let width = number(&picture["width"]) as usize;
        ShownPicture {
            barcode: number(&picture["barcode"]) as u16,
            shown_ms: number(&picture["shown_ms"]),
            picture: Picture { width, luma: bytes(&picture, "luma") },
        }
    }
}

impl Sends {
    fn to_json(self) -> Value {
        json!({"audio": self.audio, "video": self.video, "codec": null})
    }
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}
