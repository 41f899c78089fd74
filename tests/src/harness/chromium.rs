//! A page in headless Chromium, with a clip as its camera and a recording as its microphone.

use std::env;
use std::process::Command;

use super::media::Source;
use super::page::Page;
use super::{Guest, Server, skipped};

/// Names under which it is installed.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a test needs it to do, and what it does by itself and a test does not need.
const FLAGS: [&str; 15] = [
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
    "--use-fake-device-for-media-stream",
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
    let Some(program) = installed() else {
        skipped("no Chromium is installed (Debian's package is chromium)");
        return None;
    };
    let page = Page::listen();
    let profile = tempfile::tempdir().expect("a folder can be made");
    let mut command = Command::new(program);
    command
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--use-file-for-fake-video-capture={}", source.clip.display()))
        .arg(format!("--use-file-for-fake-audio-capture={}", source.speech.display()))
        .arg(page.url("guest.html"));
    Some(Guest::start(&page, &mut command, server, username).keeping(profile))
}

fn installed() -> Option<&'static str> {
    let path = env::var_os("PATH").unwrap_or_default();
    PROGRAMS.into_iter().find(|program| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
