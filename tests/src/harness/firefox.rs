//! A page in headless Firefox. Its fake camera and microphone show and say something of their own; H.264 it would have to
//! fetch from the network first, so VP8 is its only codec for pictures.

use std::env;
use std::fs;
use std::process::Command;

use super::media::Source;
use super::page::Page;
use super::{Guest, Server, skipped};

/// Names under which it is installed.
const PROGRAMS: [&str; 2] = ["firefox-esr", "firefox"];

/// What a test needs it to do, and what it does by itself and a test does not need.
const PREFERENCES: &str = r#"
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.gmp-manager.url", "");
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "");
user_pref("toolkit.telemetry.enabled", false);
"#;

/// Opens a page and signs it in. `None`, and why on standard error: there is no Firefox.
#[must_use]
#[track_caller]
pub fn open(server: &Server, username: &str, _source: &Source) -> Option<Guest> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_here = |program: &&str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let Some(program) = PROGRAMS.into_iter().find(is_here) else {
        skipped("no Firefox is installed (Debian's package is firefox-esr)");
        return None;
    };
    let page = Page::listen();
    let profile = tempfile::tempdir().expect("a folder can be made");
    fs::write(profile.path().join("user.js"), PREFERENCES).expect("the folder is writable");
    let mut command = Command::new(program);
    // The home of whoever runs the tests is left alone; as root Firefox refuses another's.
    command.env("HOME", profile.path()).env("MOZ_CRASHREPORTER_DISABLE", "1");
    command.args(["--headless", "--no-remote", "--profile"]).arg(profile.path()).arg(page.url("guest.html"));
    Some(Guest::start(&page, &mut command, &server.url(), username).keeping(profile))
}
