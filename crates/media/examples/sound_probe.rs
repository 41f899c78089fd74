//! Tries the sound card through the same sources and sinks that calls use, and reports line by line what happens.
//!
//!     sound_probe list
//!     sound_probe [--microphone WHAT] [--speaker WHAT] [--play tone|clicks|echo] [--heard FILE.wav] [--seconds N]
//!
//! WHAT is a device's id, `default`, `file:PATH`, `tone` or `none`.
//! `clicks` measures the way from speaker to microphone, for which the one must hear the other.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::thread;
use std::time::{Duration, Instant};

use ahoy_media::file::wav::WavWriter;
use ahoy_media::tone::Tone;
use ahoy_media::{AudioBlock, BLOCK_SAMPLES, SAMPLE_RATE_HZ, SinkSpec, SoundSink, SoundSource, SourceSpec, sound_card};

/// As long as the audio thread of a call rests.
const STEP: Duration = Duration::from_millis(10);

/// Blocks from one click to the next: half a second.
const CLICK_EVERY: u64 = 50;

/// What is a click and no noise.
const CLICK: f32 = 0.25;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().map(String::as_str) == Some("list") {
        return list();
    }
    let mut options = HashMap::new();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} takes a value"))?;
        options.insert(name, value);
    }
    let option = |name: &str, otherwise: &str| options.get(name).cloned().unwrap_or_else(|| otherwise.to_owned());
    let microphone: SourceSpec = option("--microphone", "none").parse()?;
    let speaker: SinkSpec = option("--speaker", "none").parse()?;
    let seconds: f64 = option("--seconds", "5").parse()?;
    let heard = options.get("--heard").map(File::create).transpose()?;
    let mut probe = Probe {
        source: SoundSource::open(&microphone)?,
        sink: (speaker != SinkSpec::None).then(|| SoundSink::open(&speaker)).transpose()?,
        program: Program::of(&option("--play", "tone"))?,
        heard: heard.map(|file| WavWriter::new(BufWriter::new(file))).transpose()?,
        began: Instant::now(),
        blocks_in: 0,
        blocks_out: 0,
    };
    let mut next_report = Duration::ZERO;
    while probe.began.elapsed().as_secs_f64() < seconds {
        probe.step()?;
        if probe.began.elapsed() >= next_report {
            next_report += Duration::from_secs(1);
            probe.report();
        }
        thread::sleep(STEP);
    }
    probe.report();
    if let Some(heard) = &mut probe.heard {
        heard.flush()?;
    }
    let closing = Instant::now();
    drop(probe);
    println!("closed ms={}", closing.elapsed().as_millis());
    Ok(())
}

fn list() -> Result<(), Box<dyn Error>> {
    let devices = sound_card::list()?;
    for (kind, infos) in [("microphone", devices.microphones), ("speaker", devices.speakers)] {
        for info in infos {
            println!("{kind} id={} default={} name={}", info.id, info.default, info.name);
        }
    }
    Ok(())
}

/// What the speaker gets.
enum Program {
    Tone(Tone),
    /// What the microphone heard.
    Echo(VecDeque<AudioBlock>),
    Clicks(Clicks),
}

#[derive(Default)]
struct Clicks {
    blocks: u64,
    /// When the last click was handed over, and when it should be heard.
    pending: Option<(Instant, Instant)>,
}

impl Program {
    fn of(name: &str) -> Result<Self, String> {
        match name {
            "tone" => Ok(Self::Tone(Tone::default())),
            "echo" => Ok(Self::Echo(VecDeque::new())),
            "clicks" => Ok(Self::Clicks(Clicks::default())),
            other => Err(format!("--play {other}: one of tone, clicks, echo")),
        }
    }
}

struct Probe {
    source: Option<SoundSource>,
    sink: Option<SoundSink>,
    program: Program,
    heard: Option<WavWriter<BufWriter<File>>>,
    began: Instant,
    blocks_in: u64,
    blocks_out: u64,
}

impl Probe {
    /// One round of what the audio thread of a call does.
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        let mut block = [0.0; BLOCK_SAMPLES];
        if let Some(sink) = &mut self.sink {
            while sink.is_due() {
                match &mut self.program {
                    Program::Tone(tone) => tone.read(&mut block),
                    Program::Echo(heard) => block = heard.pop_front().unwrap_or([0.0; BLOCK_SAMPLES]),
                    Program::Clicks(clicks) => clicks.play(&mut block, sink.delay()),
                }
                sink.play(&block);
                self.blocks_out += 1;
            }
            while let Some(notice) = sink.notice() {
                println!("notice of=speaker ms={} {notice}", self.began.elapsed().as_millis());
            }
        }
        let Some(source) = &mut self.source else { return Ok(()) };
        while source.read(&mut block) {
            self.blocks_in += 1;
            if let Some(heard) = &mut self.heard {
                heard.write(&block)?;
            }
            match &mut self.program {
                Program::Tone(_) => {}
                Program::Echo(queue) => {
                    queue.push_back(block);
                    queue.truncate(4);
                }
                Program::Clicks(clicks) => clicks.hear(&block, source.delay()),
            }
        }
        while let Some(notice) = source.notice() {
            println!("notice of=microphone ms={} {notice}", self.began.elapsed().as_millis());
        }
        Ok(())
    }

    fn report(&self) {
        let ms = |delay: Option<Duration>| delay.unwrap_or_default().as_secs_f64() * 1000.0;
        println!(
            "state ms={} in={} out={} microphone_delay_ms={:.1} speaker_delay_ms={:.1} overruns={} underruns={} threads={}",
            self.began.elapsed().as_millis(),
            self.blocks_in,
            self.blocks_out,
            ms(self.source.as_ref().map(SoundSource::delay)),
            ms(self.sink.as_ref().map(SoundSink::delay)),
            self.source.as_ref().map_or(0, SoundSource::overruns),
            self.sink.as_ref().map_or(0, SoundSink::underruns),
            threads(),
        );
    }
}

/// How many threads this process has, where the system tells.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

impl Clicks {
    fn play(&mut self, block: &mut AudioBlock, delay: Duration) {
        block.fill(0.0);
        if self.blocks.is_multiple_of(CLICK_EVERY) {
            block[..48].fill(0.8);
            let now = Instant::now();
            self.pending = Some((now, now + delay));
        }
        self.blocks += 1;
    }

    fn hear(&mut self, block: &AudioBlock, delay: Duration) {
        let Some(place) = block.iter().position(|sample| *sample > CLICK) else { return };
        let Some((played, expected)) = self.pending.take() else { return };
        let ms = |samples: usize| Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE_HZ));
        let now = Instant::now();
        // The newest sample of the block is as old as the source says, this one older.
        let captured = now.checked_sub(delay + ms(BLOCK_SAMPLES - place)).unwrap_or(now);
        let round_trip = now.saturating_duration_since(played).as_secs_f64() * 1000.0;
        let error = captured.saturating_duration_since(expected).as_secs_f64()
            - expected.saturating_duration_since(captured).as_secs_f64();
        println!("click round_trip_ms={round_trip:.1} unexplained_ms={:.1}", error * 1000.0);
    }
}
