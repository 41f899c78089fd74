use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Detectable from here on, if sound is first (ITU-R BT.1359-1).
const DETECTABLE_MS: f64 = 45.0;

/// What the sender and the network are like.
#[derive(Clone, Copy)]
struct Call {
    seconds: usize,
    /// From a moment to its sound waiting in the jitter buffer, and to its picture being decoded.
    sound_ms: f64,
    picture_ms: f64,
    picture_jitter_ms: f64,
    /// What the jitter buffer holds of its own accord, and the speaker after it.
    held_ms: f64,
    speaker_ms: f64,
    /// How much too fast the sound card of the sender runs against its wall clock.
    sender_ppm: f64,
    first_report_s: usize,
    /// The sender's wall clock is set by that much in the tenth second.
    clock_step_ms: f64,
    /// Seconds without sound.
    silent_s: (usize, usize),
    /// The network of the pictures takes that much longer from the twentieth second on.
    picture_later_ms: f64,
    /// How late the first pictures are that can be told of.
    first_later_ms: f64,
}

const CALL: Call = Call {
    seconds: 60,
    sound_ms: 40.0,
    picture_ms: 60.0,
    picture_jitter_ms: 5.0,
    held_ms: 30.0,
    speaker_ms: 20.0,
    sender_ppm: 0.0,
    first_report_s: 1,
    clock_step_ms: 0.0,
    silent_s: (0, 0),
    picture_later_ms: 0.0,
    first_later_ms: 0.0,
};

/// One picture, as it was shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    at_s: f64,
    /// How much earlier the sound of its moment was heard.
    offset_ms: f64,
    held_ms: f64,
    /// From its moment to being shown.
    playout_ms: f64,
}

impl Shown {
    fn is_shown_at_once(&self) -> bool {
        // Microseconds, less what floating point makes of them.
        self.held_ms < 0.002
    }
}

struct Outcome {
    pictures: Vec<Shown>,
    sync: LipSync,
    min_delay_ms: f64,
}

impl Outcome {
    fn between(&self, from_s: f64, until_s: f64) -> impl Iterator<Item = &Shown> {
        self.pictures.iter().filter(move |shown| (from_s..until_s).contains(&shown.at_s))
    }

    /// Mean, and what 95 of 100 stay below, either way.
    fn offsets(&self, from_s: f64, until_s: f64) -> (f64, f64) {
        let offsets: Vec<f64> = self.between(from_s, until_s).map(|shown| shown.offset_ms).collect();
        let mut sizes: Vec<f64> = offsets.iter().map(|offset| offset.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        (offsets.iter().sum::<f64>() / offsets.len() as f64, sizes[sizes.len() * 95 / 100])
    }

    /// The most that a picture was shown sooner or later after the one before than it was taken.
    fn worst_hop_ms(&self, from_s: f64) -> f64 {
        let playouts: Vec<f64> = self.between(from_s, f64::MAX).map(|shown| shown.playout_ms).collect();
        playouts.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max)
    }
}

fn at(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1_000.0)
}

/// The sender's wall clock: wraps into the next era of NTP in the thirtieth second.
fn ntp(ms: f64) -> u64 {
    const BEGAN: u64 = ((u32::MAX - 29) as u64) << 32;
    BEGAN.wrapping_add_signed((ms / 1_000.0 * 4_294_967_296.0) as i64)
}

fn sound_rtp(call: &Call, ms: f64) -> u32 {
    // Wraps after ten seconds.
    (u32::MAX - 480_000).wrapping_add((ms * 48.0 * (1.0 + call.sender_ppm / 1e6)) as u32)
}

fn picture_rtp(ms: f64) -> u32 {
    (u32::MAX - 900_000).wrapping_add((ms * 90.0) as u32)
}

/// Runs a call in steps of 10 ms; pictures come 30 times a second. What `min_delay` asks for, the sound does.
fn run(name: &str, call: Call) -> Outcome {
    let mut rng = StdRng::seed_from_u64(3);
    let mut sync = LipSync::new();
    let mut last_ready = 0.0_f64;
    let mut pictures: Vec<(f64, f64)> = (0..call.seconds * 30)
        .map(|number| {
            let taken = number as f64 * 1_000.0 / 30.0;
            let later = match taken {
                1_500.0..1_700.0 => call.first_later_ms,
                20_000.0.. => call.picture_later_ms,
                _ => 0.0,
            };
            let ready = taken + call.picture_ms + later + rng.random_range(0.0..=call.picture_jitter_ms);
            // The decoder takes them in order.
            last_ready = ready.max(last_ready);
            (last_ready, taken)
        })
        .collect();
    pictures.sort_by(|left, right| right.1.total_cmp(&left.1));
    let mut held = call.held_ms;
    let mut shown = Vec::new();
    for step in 0..call.seconds * 100 {
        let now = step as f64 * 10.0;
        report(&mut sync, &call, step);
        // The jitter buffer stretches by a quarter at most.
        held += (call.held_ms.max(sync.min_delay().as_secs_f64() * 1_000.0) - held).clamp(-2.5, 2.5);
        let heard_after = call.sound_ms + held + call.speaker_ms;
        let is_silent = (call.silent_s.0 * 100..call.silent_s.1 * 100).contains(&step);
        if !is_silent && now > heard_after {
            sync.sound_heard(sound_rtp(&call, now - call.sound_ms - held), at(now + call.speaker_ms), at(held));
        }
        while let Some((ready, taken)) = pictures.pop_if(|(ready, _)| *ready <= now) {
            let show = sync.picture_ready(picture_rtp(taken), at(ready)).as_secs_f64() * 1_000.0;
            shown.push(Shown {
                at_s: show / 1_000.0,
                offset_ms: show - taken - heard_after,
                held_ms: show - ready,
                playout_ms: show - taken,
            });
        }
    }
    let min_delay_ms = sync.min_delay().as_secs_f64() * 1_000.0;
    let outcome = Outcome { pictures: shown, sync, min_delay_ms };
    let end = call.seconds as f64;
    let (mean, most) = outcome.offsets(end / 2.0, end);
    let (early_mean, early_most) = outcome.offsets(call.first_report_s as f64 + 3.0, end / 2.0);
    println!(
        "{name:36} offset {mean:6.1} ms (95 of 100 within {most:5.1}), earlier {early_mean:6.1} ms ({early_most:5.1}), \
         sound asked to wait {min_delay_ms:5.1} ms, worst hop {:5.1} ms",
        outcome.worst_hop_ms(0.0),
    );
    outcome
}

/// The reports of the two streams come at other times, 5 s apart (RFC 3550 §6.2), and are a few ms off.
fn report(sync: &mut LipSync, call: &Call, step: usize) {
    let now = step as f64 * 10.0;
    let first = call.first_report_s * 100;
    let set = if step >= 1_000 { call.clock_step_ms } else { 0.0 };
    if step >= first && (step - first).is_multiple_of(500) {
        sync.sound_reported(SenderReport {
            ntp: ntp(now - call.sound_ms + set),
            rtp: sound_rtp(call, now - call.sound_ms),
        });
    }
    if step >= first + 70 && (step - first - 70).is_multiple_of(500) {
        let off = (step % 7) as f64 - 3.0;
        let moment = now - call.picture_ms;
        sync.picture_reported(SenderReport { ntp: ntp(moment + off + set), rtp: picture_rtp(moment) });
    }
}

fn assert_in_sync(outcome: &Outcome, from_s: f64, until_s: f64) {
    let (mean, most) = outcome.offsets(from_s, until_s);
    // A little early, or 20 ms late at most in the mean.
    assert!((-40.0..25.0).contains(&mean), "mean {mean:.1} ms");
    assert!(most < DETECTABLE_MS, "95 of 100 within {most:.1} ms");
}

#[test]
fn pictures_that_are_much_earlier_than_their_sound_wait_until_it_is_near() {
    // Sound is heard after 90 ms.
    let outcome = run("pictures 70 ms earlier", Call { picture_ms: 20.0, ..CALL });
    assert_in_sync(&outcome, 4.0, 60.0);
    let (mean, most) = outcome.offsets(4.0, 60.0);
    assert!((-28.0..-20.0).contains(&mean) && most < DETECTABLE_MS, "{mean} ms, {most}");
    assert_eq!(outcome.min_delay_ms, 0.0);
    assert!(outcome.worst_hop_ms(0.0) < 12.0);
    let measured = outcome.sync.offset_ms().unwrap();
    assert!((-28..=-20).contains(&measured), "{measured}");
}

#[test]
fn pictures_that_are_a_little_earlier_than_their_sound_are_shown_at_once() {
    let outcome = run("pictures 15 to 20 ms earlier", Call { picture_ms: CALL.picture_ms + 10.0, ..CALL });
    assert_in_sync(&outcome, 4.0, 60.0);
    assert_eq!(outcome.min_delay_ms, 0.0);
    let held: Vec<f64> = outcome.between(4.0, 60.0).map(|shown| shown.held_ms).collect();
    let most = held.iter().copied().fold(0.0, f64::max);
    assert!(held.iter().sum::<f64>() < 0.5 * held.len() as f64 && most < 10.0, "at most {most} ms");
}

#[test]
fn sound_that_is_earlier_than_its_pictures_waits_as_long_as_it_must() {
    for (picture_ms, jitter_ms) in [(120.0, 5.0), (120.0, 40.0), (220.0, 20.0)] {
        let name = format!("pictures {} ms later, jitter {jitter_ms} ms", picture_ms - 90.0);
        let call = Call { picture_ms, picture_jitter_ms: jitter_ms, ..CALL };
        let outcome = run(&name, call);
        assert_in_sync(&outcome, 10.0, 60.0);
        // Held 30 ms anyhow; the sound may be 20 ms ahead of four in five pictures.
        let expected = picture_ms + jitter_ms * 0.8 - 90.0 - 20.0 + 30.0;
        assert!((outcome.min_delay_ms - expected).abs() < 13.0, "{} for {expected}", outcome.min_delay_ms);
    }
}

#[test]
fn sound_a_little_ahead_is_left_alone() {
    // 15 ms ahead of all pictures; delaying it would add nothing that can be noticed.
    let outcome = run("pictures 15 ms later", Call { picture_ms: 105.0, picture_jitter_ms: 2.0, ..CALL });
    assert!(outcome.min_delay_ms <= CALL.held_ms, "{}", outcome.min_delay_ms);
    assert_in_sync(&outcome, 4.0, 60.0);
}

#[test]
fn clocks_that_drift_keep_sound_and_picture_together() {
    let outcome = run("drift of 300 ppm, ten minutes", Call { seconds: 600, sender_ppm: 300.0, ..CALL });
    assert_in_sync(&outcome, 4.0, 600.0);
    assert!(outcome.worst_hop_ms(0.0) < 12.0);
}

#[test]
fn before_the_first_reports_pictures_are_shown_at_once() {
    let outcome = run("first reports after 15 s", Call { first_report_s: 15, ..CALL });
    assert!(outcome.between(0.0, 15.0).all(Shown::is_shown_at_once));
    assert_in_sync(&outcome, 18.0, 60.0);
    assert!(outcome.worst_hop_ms(0.0) < 12.0);
    assert!(LipSync::new().offset_ms().is_none());
}

#[test]
fn without_sound_pictures_go_back_to_being_shown_at_once_and_neither_way_hops() {
    let outcome = run("silence from 20 to 30 s", Call { silent_s: (20, 30), ..CALL });
    assert!(outcome.between(25.0, 30.0).all(Shown::is_shown_at_once));
    assert_in_sync(&outcome, 32.0, 60.0);
    assert!(outcome.worst_hop_ms(0.0) < 12.0);
    let never = run("no sound at all", Call { silent_s: (0, 60), ..CALL });
    assert!(never.pictures.iter().all(Shown::is_shown_at_once));
    assert_eq!((never.min_delay_ms, never.sync.offset_ms()), (0.0, None));
}

#[test]
fn a_pause_between_two_sentences_changes_nothing() {
    let outcome = run("silence of 2 s", Call { silent_s: (20, 22), ..CALL });
    assert_in_sync(&outcome, 4.0, 60.0);
}

#[test]
fn a_senders_wall_clock_that_is_set_is_not_seen() {
    for clock_step_ms in [-3_600_000.0, -400.0, 150.0, 86_400_000.0] {
        let outcome = run(&format!("wall clock set by {clock_step_ms} ms"), Call { clock_step_ms, ..CALL });
        assert_in_sync(&outcome, 4.0, 60.0);
        assert!(outcome.worst_hop_ms(0.0) < 12.0);
    }
}

#[test]
fn pictures_that_become_later_for_good_are_followed_by_the_sound() {
    let outcome = run("pictures 150 ms later after 20 s", Call { picture_later_ms: 150.0, ..CALL });
    assert_in_sync(&outcome, 4.0, 20.0);
    assert_in_sync(&outcome, 27.0, 60.0);
}

#[test]
fn first_pictures_that_are_late_do_not_delay_the_sound() {
    let outcome = run("first pictures 300 ms later", Call { first_later_ms: 300.0, seconds: 9, ..CALL });
    assert!(outcome.min_delay_ms <= CALL.held_ms, "{}", outcome.min_delay_ms);
}

#[test]
fn nothing_waits_for_longer_than_its_bound() {
    let late_sound = run("sound 800 ms later", Call { sound_ms: 800.0, ..CALL });
    assert!(late_sound.pictures.iter().all(|shown| shown.held_ms <= 400.001));
    assert!(late_sound.between(10.0, 60.0).all(|shown| shown.held_ms > 390.0));
    let late_pictures = run("pictures 800 ms later", Call { picture_ms: 890.0, ..CALL });
    assert_eq!(late_pictures.min_delay_ms, 300.0);
    assert_eq!(late_pictures.sync.offset_ms().map(|offset| offset / 50), Some(10), "they are 530 ms apart then");
}

#[test]
fn streams_that_are_nowhere_near_each_other_are_left_alone() {
    let outcome = run("sound 5 s later", Call { sound_ms: 5_000.0, ..CALL });
    assert!(outcome.pictures.iter().all(Shown::is_shown_at_once));
    assert_eq!((outcome.min_delay_ms, outcome.sync.offset_ms()), (0.0, None));
}

#[test]
fn hostile_reports_and_time_stamps_delay_nothing_beyond_the_bounds() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sync = LipSync::new();
    let mut now = Duration::ZERO;
    let mut last_shown = Duration::ZERO;
    let mut base: (u64, u32) = (rng.random(), rng.random());
    for _ in 0..200_000 {
        now += match rng.random_range(0..10_000) {
            0 => Duration::from_secs(rng.random_range(0..1_000_000_000)),
            _ => Duration::from_micros(rng.random_range(0..30_000)),
        };
        if rng.random_bool(0.01) {
            base = (rng.random(), rng.random());
        }
        // Often within what might be true.
        let (ntp_shift, rtp_shift) = (rng.random_range(0..64), rng.random_range(0..32));
        let ntp = base.0.wrapping_add(rng.random::<u64>() >> ntp_shift);
        let rtp = base.1.wrapping_add(rng.random::<u32>() >> rtp_shift);
        match rng.random_range(0..8) {
            0 => sync.sound_reported(SenderReport { ntp, rtp }),
            1 => sync.picture_reported(SenderReport { ntp, rtp }),
            2..5 => sync.sound_heard(rtp, now + at(rng.random_range(0.0..100.0)), at(rng.random_range(0.0..500.0))),
            _ => {
                let show = sync.picture_ready(rtp, now);
                assert!((now..=now + MAX_HOLD).contains(&show), "{show:?} at {now:?}");
                assert!(show >= last_shown.min(now + MAX_HOLD), "{show:?} before {last_shown:?}");
                last_shown = show;
            }
        }
        assert!(sync.min_delay() <= MAX_SOUND_DELAY);
    }
    sync.picture_ready(0, Duration::MAX - MAX_HOLD);
    sync.sound_heard(0, Duration::MAX, Duration::MAX);
    sync.picture_ready(u32::MAX, Duration::ZERO);
}
