//! Two `ahoy-cli` call each other.

use std::path::Path;
use std::thread;

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, Event, Running, file};
use ahoy_tests::harness::guest::Codec;
use ahoy_tests::harness::lab::{End, Lab};
use ahoy_tests::harness::y4m::Recording;

use super::{Plan, Seen, Way, monotonic_ms, on_screen, server_urls};
use crate::clip;
use crate::timeline::Timeline;

/// Of so many recorded pictures one is compared.
const COMPARED: usize = 20;

pub(super) fn call(plan: &Plan<'_>, codec: Option<Codec>) -> Option<Seen> {
    let server = Server::start();
    let mut lab = Lab::start(&plan.link, Some(&plan.folder.join("link")))?;
    let [url_a, url_b] = server_urls(&lab, &server, plan.to_server);
    let alice = peer(plan, codec, &url_a, "alice", true);
    let bob = peer(plan, codec, &url_b, "bob", plan.two_way);
    let mut answering = lab.enter(End::B, || bob.start_signed_in("answer"));
    let mut calling = lab.enter(End::A, || alice.start("call bob"));
    answering.wait_for("first_frame");
    thread::sleep(plan.settling);
    lab.begin();
    let from_ms = monotonic_ms();
    thread::sleep(plan.measuring);
    let to_ms = monotonic_ms();
    let link = [End::A, End::B].map(|end| lab.intervals(end));
    calling.process().interrupt();
    calling.ends_with(0);
    answering.ends_with(0);
    let mut ways = vec![way(&calling, &answering, &bob.file("seen.y4m"), plan)];
    if plan.two_way {
        ways.push(way(&answering, &calling, &alice.file("seen.y4m"), plan));
    }
    Some(Seen { ways, from_ms, to_ms, link })
}

fn peer(plan: &Plan<'_>, codec: Option<Codec>, url: &str, name: &str, sends: bool) -> Cli {
    let cli = Cli::at(url, name).over_the_network().and(&["--frame-events"]);
    let cli = match codec {
        Some(codec) => cli.with("--codec", &codec.name().to_lowercase()),
        None => cli,
    };
    let cli = if sends { cli.with("--camera", &file(&plan.clip.source.clip)) } else { cli };
    let cli = if plan.two_way { cli.with("--microphone", &file(&plan.clip.source.speech)) } else { cli };
    let sees = plan.two_way || !sends;
    if sees {
        let seen = cli.file("seen.y4m");
        cli.with("--display", &file(&seen))
    } else {
        cli
    }
}

/// From the one that captured to the one that showed and recorded.
fn way(from: &Running, to: &Running, recording: &Path, plan: &Plan<'_>) -> Way {
    let log = |running: &Running, name| {
        let entry = |event: &Event| (event.number("rtp"), event.t_ns() as f64 / 1e6);
        running.all(name).iter().map(entry).collect::<Vec<_>>()
    };
    let shown = log(to, "frame_shown").into_iter().map(|(rtp, at_ms)| (rtp, on_screen(at_ms)));
    let timeline = Timeline::from_keys(log(from, "frame_captured"), shown);
    Way { timeline, likenesses: compare(recording, plan) }
}

/// The recording has a picture for each thirtieth of a second, the one before where none came.
fn compare(recording: &Path, plan: &Plan<'_>) -> Vec<f64> {
    let mut recording = Recording::open(recording);
    let settled = (plan.settling.as_secs_f64() * recording.rate) as usize;
    let (width, mut last) = (recording.width, None);
    let mut likenesses = Vec::new();
    for at in (settled..recording.pictures).step_by(COMPARED) {
        let luma = recording.luma(at);
        let number = clip::number(clip::barcode(&luma, width));
        if let Some(number) = number.filter(|_| number != last) {
            likenesses.push(plan.clip.likeness(number, &luma, width));
        }
        last = number;
    }
    likenesses
}
