mod simulation;

use super::*;
use simulation::{Link, simulate, simulate_from};

const STEP: [(f64, f64); 3] = [(0.0, 2e6), (20.0, 0.3e6), (40.0, 2e6)];

#[test]
fn a_wide_path_is_used_at_once_and_nothing_waits() {
    let run = simulate("clean", &Link::rates(&[(0.0, 1e9)], 20.0), 20.0);
    assert!(run.p95_ms < 35.0 && run.pictures_a_second > 29.0);
    assert!(run.mean_bps(5.0, 20.0) > 650_000.0);
}

#[test]
fn a_narrow_path_is_filled_but_not_flooded() {
    let run = simulate("0.5 Mb/s", &Link::rates(&[(0.0, 0.5e6)], 20.0), 30.0);
    assert!(run.p95_ms < 130.0, "{}", run.p95_ms);
    assert!(run.mean_bps(5.0, 30.0) > 350_000.0);
    assert!(run.queue_p95_ms < 150.0);
}

#[test]
fn a_step_down_costs_less_than_a_second_and_a_step_up_is_seen_in_five() {
    let run = simulate("step", &Link::rates(&STEP, 20.0), 70.0);
    assert!(run.worst_ms < 1_000.0, "{}", run.worst_ms);
    assert!(run.mean_bps(25.0, 40.0) > 180_000.0);
    assert!(run.mean_bps(42.0, 45.0) > 0.8 * run.mean_bps(10.0, 20.0));
}

#[test]
fn a_link_on_which_a_packet_takes_a_fifth_of_a_second_is_known_for_what_it_is() {
    let run = simulate("2 to 0.05 Mb/s", &Link::rates(&[(0.0, 2e6), (20.0, 0.05e6)], 20.0), 60.0);
    // What was on its way when it got so narrow takes its time; then nothing stands any more.
    assert!(run.worst_between(30.0, 58.0) < 1_000.0, "{}", run.worst_between(30.0, 58.0));
    assert!((25_000.0..55_000.0).contains(&run.mean_bps(30.0, 60.0)), "{}", run.mean_bps(30.0, 60.0));
}

#[test]
fn after_an_outage_pictures_are_on_time_within_a_second() {
    let run = simulate("outage", &Link::rates(&[(0.0, 2e6), (20.0, 0.0), (30.0, 2e6)], 20.0), 50.0);
    assert!(run.worst_between(31.0, 50.0) < 150.0, "{}", run.worst_between(31.0, 50.0));
    // A picture now and then finds out whether the path answers again.
    assert!(run.sent_between(21.0, 30.0) < 20_000, "{}", run.sent_between(21.0, 30.0));
}

#[test]
fn a_rate_that_swings_is_followed() {
    let saw: Vec<(f64, f64)> =
        (0..400).map(|tick| (f64::from(tick) * 0.1, 0.3e6 + 27e3 * f64::from(tick % 100))).collect();
    let run = simulate("sawtooth", &Link::rates(&saw, 20.0), 40.0);
    assert!(run.p95_ms < 250.0, "{}", run.p95_ms);
}

#[test]
fn loss_alone_changes_nothing() {
    let mut link = Link::rates(&[(0.0, 1e9)], 20.0);
    link.loss = 0.1;
    let run = simulate("10 % loss", &link, 20.0);
    assert!(run.mean_bps(5.0, 20.0) > 650_000.0);
}

#[test]
fn bursts_of_loss_are_not_taken_for_a_path_that_broke_down() {
    let mut link = Link::rates(&[(0.0, 2e6)], 20.0);
    (link.loss, link.in_a_row) = (0.05, 4.0);
    let run = simulate("5 % in bursts", &link, 300.0);
    assert!(run.p95_ms < 150.0 && run.worst_ms < 1_000.0, "{} {}", run.p95_ms, run.worst_ms);
}

#[test]
fn lost_reports_are_not_taken_for_a_path_that_broke_down() {
    let mut link = Link::rates(&[(0.0, 1e9)], 20.0);
    link.loss = 0.05;
    link.lost_reports = 0.3;
    let run = simulate("30 % of the reports lost", &link, 30.0);
    assert!(run.worst_ms < 400.0, "{}", run.worst_ms);
}

#[test]
fn what_stands_in_a_queue_is_known_until_it_must_have_come() {
    let mut control = CongestionControl::new();
    let at = Duration::from_millis;
    let send = |control: &mut CongestionControl, ms, numbers: std::ops::Range<u16>| {
        numbers.for_each(|number| control.sent(at(ms), number, 1_000));
    };
    send(&mut control, 0, 0..10);
    // 200 kb/s: each of them takes 40 ms.
    let came = |number| Some(at(60 + 40 * u64::from(number)));
    let reports: Vec<PacketReport> = (0..10).map(|number| PacketReport { number, arrived: came(number) }).collect();
    control.reported(at(450), &reports);
    send(&mut control, 1_000, 10..20);
    let is_queued = |number, ms| control.is_queued(at(ms), number, at(20));
    assert!(!is_queued(10, 1_001), "nothing is before it");
    assert!(is_queued(19, 1_001) && is_queued(19, 1_370));
    assert!(!is_queued(19, 1_390), "it has left the queue, and that may be known");
    assert!(is_queued(13, 1_100) && !is_queued(13, 1_150));
    assert!(!is_queued(5, 1_001) && !is_queued(20, 1_001), "it came, and that one was never sent");
}

#[test]
fn speech_alone_finds_out_that_a_path_is_too_narrow_for_it() {
    const BYTES: usize = 98;
    const PATH_BPS: f64 = 50_000.0;
    let mut control = CongestionControl::new();
    let mut free_at = 0.0_f64;
    let mut on_way = std::collections::VecDeque::new();
    for number in 0..100_u16 {
        let now = f64::from(number) * 0.01;
        let at = Duration::from_secs_f64(now);
        while on_way.front().is_some_and(|(arrives, _)| arrives + 0.02 <= now) {
            let (arrives, number) = on_way.pop_front().unwrap();
            control.reported(at, &[PacketReport { number, arrived: Some(Duration::from_secs_f64(arrives)) }]);
        }
        free_at = free_at.max(now) + BYTES as f64 * 8.0 / PATH_BPS;
        on_way.push_back((free_at + 0.02, number));
        control.sent(at, number, BYTES);
        if now > 0.4 {
            let target = control.target_bps() as f64;
            assert!(control.is_known() && target < PATH_BPS, "{target} b/s after {now} s");
        }
    }
    assert!((0.9..1.1).contains(&(control.capacity_bps() as f64 / PATH_BPS)), "{}", control.capacity_bps());
}

#[test]
fn the_first_picture_is_sooner_there_where_it_is_known_what_the_path_carries() {
    let narrow = Link::rates(&[(0.0, 0.3e6)], 20.0);
    let unknown = simulate("0.3 Mb/s, unknown", &narrow, 20.0).first_ms();
    let known = simulate_from("0.3 Mb/s, known", &narrow, 20.0, Some(300_000)).first_ms();
    assert!(known < 0.5 * unknown, "{known} ms, and {unknown} ms where nothing is known");
}

#[test]
fn what_was_remembered_too_low_is_put_right_within_a_second() {
    let wide = Link::rates(&[(0.0, 5e6)], 20.0);
    let run = simulate_from("5 Mb/s, thought 0.05", &wide, 20.0, Some(50_000));
    let full = run.mean_bps(10.0, 20.0);
    assert!(run.mean_bps(1.0, 3.0) > 0.8 * full, "{} of {full} b/s", run.mean_bps(1.0, 3.0));
}

#[test]
fn what_is_remembered_is_taken_with_care_and_never_overrules_a_measurement() {
    let remembered = |bps| {
        let mut control = CongestionControl::new();
        control.start_from(bps);
        control
    };
    assert_eq!(remembered(1_000_000).capacity_bps(), 750_000);
    assert_eq!(remembered(0).capacity_bps(), 200_000);
    let mut control = remembered(u64::MAX);
    assert_eq!(control.capacity_bps(), 3_000_000);
    assert!(!control.is_known());
    let at = |ms| Duration::from_millis(ms);
    for number in 0..10 {
        control.sent(at(0), number, 1_000);
    }
    let reports: Vec<PacketReport> =
        (0..10).map(|number| PacketReport { number, arrived: Some(at(20 + 10 * u64::from(number))) }).collect();
    control.reported(at(150), &reports);
    let measured = control.capacity_bps();
    assert!((700_000..900_000).contains(&measured), "{measured}");
    control.start_from(5_000_000);
    assert_eq!(control.capacity_bps(), measured);
}

#[test]
fn a_recorded_link_for_tuning() {
    let Ok(path) = std::env::var("AHOY_TRACE") else {
        println!("skipped: AHOY_TRACE names no recorded link");
        return;
    };
    let run = simulate(&path, &Link::recorded(&path, 20.0), 200.0);
    assert!(run.pictures_a_second > 1.0);
}

#[test]
fn reports_on_what_was_never_sent_do_nothing() {
    let mut control = CongestionControl::new();
    let at = |ms| Duration::from_millis(ms);
    for number in 0..10 {
        control.sent(at(u64::from(number)), number, 1_000);
    }
    let hostile: Vec<PacketReport> = (0..u16::MAX)
        .rev()
        .map(|number| PacketReport { number, arrived: Some(Duration::from_secs(u64::from(number) << 40)) })
        .collect();
    control.reported(at(20), &hostile);
    assert!(control.capacity_bps() >= MIN_BPS as u64);
    let _ = (control.wait(at(30)), control.target_bps(), control.is_asking(at(30)));
}
