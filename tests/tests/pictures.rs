//! A clip through codec, packets, a bad path and back, in every codec of this build: encoder and packetizer, assembler and
//! decoder must understand each other. Path and time are made up; peer connection and threads are not there.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_media::video::encoder::default_bitrate_bps;
use ahoy_media::{FrameRate, VideoCodec, VideoFrame};
use ahoy_rtp::{AssemblerConfig, AssemblerEvent, FrameAssembler, FramePacketizer, PictureFormat, RtpPacket};
use ahoy_tests::harness::media::access_units;
use ahoy_tests::harness::ssim::ssim;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const PICTURES: usize = 120;
/// One picture of 30 a second in ticks of the video clock.
const TICKS: u32 = 3_000;
const ONE_WAY: Duration = Duration::from_millis(20);
/// Of this picture no packet ever arrives.
const LOST_PICTURE: usize = 40;

#[test]
fn pictures_come_through_loss_and_disorder_whole_in_every_codec() {
    let clip = clip();
    for codec in VideoCodec::available() {
        let seed = rand::random();
        println!("{codec}, seed {seed}");
        let path = Path { random: StdRng::seed_from_u64(seed), under_way: BTreeMap::new(), sent: 0 };
        let (shown, requests) = call(*codec, &clip, path);
        let likeness: Vec<f64> = shown
            .iter()
            .map(|(index, picture)| ssim(picture.y(), clip[*index].y(), picture.width() as usize))
            .collect();
        let mean = likeness.iter().sum::<f64>() / likeness.len() as f64;
        let lowest = likeness.iter().copied().fold(1.0, f64::min);
        println!("{} of {PICTURES} pictures, {requests} requests, SSIM {mean:.4}, lowest {lowest:.4}", shown.len());
        assert_eq!(requests, 1, "for the picture that was lost for good");
        assert!(shown.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
        // Lost for good, given up after 160 ms, asked for and coded anew: 40 ms and the picture that is due.
        assert!(shown.len() >= PICTURES - 10, "{} pictures", shown.len());
        assert!(shown.iter().all(|(index, _)| *index != LOST_PICTURE));
        assert!(mean > 0.97 && lowest > 0.9, "SSIM {mean}, lowest {lowest}");
    }
}

/// Sends the clip and gives what was shown, each with its place in the clip, and how often a key frame was asked for.
fn call(codec: VideoCodec, clip: &[VideoFrame], mut path: Path) -> (Vec<(usize, VideoFrame)>, usize) {
    let format = match codec {
        VideoCodec::H264 => PictureFormat::H264,
        VideoCodec::Vp8 => PictureFormat::Vp8,
    };
    let mut encoder = codec.encoder(default_bitrate_bps(640, 480), FrameRate::THIRTY).expect("available");
    let mut decoder = codec.decoder().expect("available");
    let mut packetizer = FramePacketizer::new(32_700);
    let mut assembler = FrameAssembler::new(format, AssemblerConfig::default());
    assembler.set_round_trip(ONE_WAY * 2);
    let (mut shown, mut requests, mut key_due) = (Vec::new(), 0, None::<Duration>);
    // A while longer than the clip, for what is still under way.
    for slot in 0..PICTURES + 10 {
        let now = FrameRate::THIRTY.slot_start(slot as u64);
        if let Some(picture) = clip.get(slot) {
            let force_key = key_due.take_if(|due| *due <= now).is_some();
            let coded = encoder.encode(picture, force_key).expect("encoded").expect("no picture is left out");
            for packet in packetizer.packetize(format, &coded.data, slot as u32 * TICKS) {
                path.send(now, packet, slot == LOST_PICTURE);
            }
        }
        for (arrived, packet) in path.arrivals(now) {
            assembler.handle_timeout(arrived);
            assembler.push(arrived, packet);
        }
        assembler.handle_timeout(now);
        while let Some(event) = assembler.poll_event() {
            match event {
                AssemblerEvent::Frame(frame) => {
                    let picture = decoder.decode(&frame.data).expect("whole and in order").expect("to be shown");
                    shown.push(((frame.rtp / TICKS) as usize, picture));
                }
                AssemblerEvent::KeyFrameWanted => {
                    requests += 1;
                    key_due = Some(now + ONE_WAY);
                }
            }
        }
    }
    (shown, requests)
}

/// A path with jitter that puts packets out of order, and 3 % loss, which is repaired a round trip later.
struct Path {
    random: StdRng,
    /// By arrival and number.
    under_way: BTreeMap<(Duration, u64), RtpPacket>,
    sent: u64,
}

impl Path {
    fn send(&mut self, now: Duration, packet: RtpPacket, lost_for_good: bool) {
        self.sent += 1;
        let mut arrival = now + ONE_WAY + Duration::from_micros(self.random.random_range(0..15_000));
        if self.random.random_bool(0.03) {
            arrival += ONE_WAY * 2 + Duration::from_millis(10);
        }
        if !lost_for_good {
            self.under_way.insert((arrival, self.sent), packet);
        }
    }

    fn arrivals(&mut self, now: Duration) -> Vec<(Duration, RtpPacket)> {
        let later = self.under_way.split_off(&(now, u64::MAX));
        let arrived = std::mem::replace(&mut self.under_way, later);
        arrived.into_iter().map(|((at, _), packet)| (at, packet)).collect()
    }
}

fn clip() -> Vec<VideoFrame> {
    let stream = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/media/signer-480p30.h264")).expect("the clip");
    let mut decoder = VideoCodec::H264.decoder().expect("in every build");
    let units = access_units(&stream).into_iter().take(PICTURES);
    units.filter_map(|unit| decoder.decode(unit).expect("the clip can be decoded")).collect()
}
