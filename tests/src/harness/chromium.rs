//! A page in headless Chromium, with a clip as its camera and a recording as its microphone, or with a sound card.

use std::env;
use std::process::Command;
use std::time::Duration;

use super::lab::{End, Lab};
use super::media::Source;
use super::page::Page;
use super::pulse::Pulse;
use super::{Guest, Server, skipped};

/// Names under which it is installed.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a test needs it to do, and what it does by itself and a test does not need.
const FLAGS: [&str; 14] = [
    "--headless",
    // Tests run as root on build machines, where its sandbox does not start.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    // Both ends are on this machine, and may know its addresses.
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    // It complains at length about a desktop that is not there.
    "--log-level=3",
];

/// Opens a page that shows and says `source`, and signs it in. `None`, and why on standard error: there is no Chromium.
#[must_use]
#[track_caller]
pub fn open(server: &Server, username: &str, source: &Source) -> Option<Guest> {
    let page = Page::listen();
    Some(start(with_files(source)?, &page, &page.url("guest.html"), &server.url(), username))
}

/// The same on one end of a lab's link, where the server is at `server_url`.
#[must_use]
#[track_caller]
pub fn open_in(lab: &Lab, end: End, server_url: &str, username: &str, source: &Source) -> Option<Guest> {
    let page = Page::listen();
    let command = with_files(source)?;
    let url = format!("http://{}/guest.html", lab.forward(end, page.address(), Duration::ZERO));
    Some(lab.enter(end, || start(command, &page, &url, server_url, username)))
}

/// Opens `page` at `url`, with the microphone and the speaker of `pulse`, and signs it in at `server_url`. `None`, and
/// why on standard error: there is no Chromium.
#[must_use]
#[track_caller]
pub fn open_with_sound_card(page: &Page, url: &str, server_url: &str, username: &str, pulse: &Pulse) -> Option<Guest> {
    Some(start(pulse.command(installed()?), page, url, server_url, username))
}

/// With files in place of devices.
fn with_files(source: &Source) -> Option<Command> {
    let mut command = Command::new(installed()?);
    command
        .arg("--use-fake-device-for-media-stream")
        .arg(format!("--use-file-for-fake-video-capture={}", source.clip.display()))
        .arg(format!("--use-file-for-fake-audio-capture={}", source.speech.display()));
    Some(command)
}

/// The program. `None`, and why on standard error: there is none.
#[must_use]
pub fn installed() -> Option<&'static str> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        PROGRAMS.into_iter().find(|program| env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if found.is_none() {
        skipped("no Chromium is installed (Debian's package is chromium)");
    }
    found
}

#[track_caller]
fn start(mut command: Command, page: &Page, url: &str, server_url: &str, username: &str) -> Guest {
    let profile = tempfile::tempdir().expect("a folder can be made");
    command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
    Guest::start(page, &mut command, server_url, username).keeping(profile)
}
