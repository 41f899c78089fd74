//! Two pages, each in a Chromium of its own, call each other.

use std::thread;

use ahoy_tests::harness::guest::Flow;
use ahoy_tests::harness::lab::{End, Lab};
use ahoy_tests::harness::watch::{Sends, ShownPicture, Watched};
use ahoy_tests::harness::{Guest, Server, chromium};

use super::{Plan, Seen, Way, server_urls, wall_ms};
use crate::clip::{self, Clip};
use crate::timeline::Timeline;

pub(super) fn call(plan: &Plan<'_>) -> Option<Seen> {
    let server = Server::start();
    let mut lab = Lab::start(&plan.link, Some(&plan.folder.join("link")))?;
    let [url_a, url_b] = server_urls(&lab, &server, plan.to_server);
    let mut bob = chromium::open_in(&lab, End::B, &url_b, "guest-bob", &plan.clip.source)?;
    let mut alice = chromium::open_in(&lab, End::A, &url_a, "guest-alice", &plan.clip.source)?;
    [&mut alice, &mut bob].into_iter().for_each(Guest::watch);
    let sends = Sends { audio: plan.two_way, video: true };
    bob.take_next(Sends { video: plan.two_way, ..sends });
    alice.dial("guest-bob", sends);
    bob.wait_for("first_frame");
    thread::sleep(plan.settling);
    lab.begin();
    let from_ms = wall_ms();
    thread::sleep(plan.measuring);
    let to_ms = wall_ms();
    let link = [End::A, End::B].map(|end| lab.intervals(end));
    let codec = alice.figures().codec(Flow::VideoOut).map(str::to_owned);
    assert_eq!(codec.as_deref(), Some("video/VP8"), "its own choice, with which the same codec of ours is compared");
    alice.hang_up();
    let (at_alice, at_bob) = (alice.watched(), bob.watched());
    let mut ways = vec![way(&at_alice, &at_bob, plan.clip, from_ms)];
    if plan.two_way {
        ways.push(way(&at_bob, &at_alice, plan.clip, from_ms));
    }
    Some(Seen { ways, from_ms, to_ms, link })
}

/// From the one that captured to the one that showed; pictures are compared from `from_ms` on.
fn way(from: &Watched, to: &Watched, clip: &Clip, from_ms: f64) -> Way {
    let numbered = |log: &[(u16, f64)]| {
        let entry = |&(barcode, at_ms): &(u16, f64)| Some((clip::number(barcode)?, at_ms));
        log.iter().filter_map(entry).collect::<Vec<_>>()
    };
    let timeline = Timeline::from_barcodes(numbered(&from.captured), numbered(&to.shown), clip.numbers());
    let like = |shown: &ShownPicture| {
        let number = clip::number(shown.barcode).filter(|_| shown.shown_ms >= from_ms)?;
        Some(clip.likeness(number, &shown.picture.luma, shown.picture.width))
    };
    Way { timeline, likenesses: to.pictures.iter().filter_map(like).collect() }
}
