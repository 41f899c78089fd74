//! Moves the packets of one way in real time: reads the device of one end, asks [`Direction`] what becomes of each packet and
//! when, and writes into the device of the other end. Keeps the log, too.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, Write as _};
use std::num::NonZeroU64;
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::SyncDevice;

use super::direction::Direction;
use super::interval::Interval;

/// How long it waits at most, and so how late the clock may begin.
const IDLE: Duration = Duration::from_millis(5);

/// Before all others.
const FIRST: i32 = -20;

/// What a line of the log covers.
const LOG_EVERY: Duration = Duration::from_millis(100);

/// How many packets are read before those that have arrived are handed out.
const READ_AT_ONCE: usize = 64;

/// Room for every packet that the device takes.
const MOST_BYTES: usize = 2048;

/// Takes what has happened, and writes it where there is a file.
struct Log {
    file: Option<File>,
    /// Whether the clock has begun: nothing is written before.
    has_begun: bool,
    /// Since when the lines are counted.
    start: Instant,
    /// Those that were due, written or not.
    lines: u32,
}

/// Does so until nobody can say `begin` any more: each one starts the clock and the log anew. Nobody can say it to one that
/// has ended.
///
/// # Errors
/// When a device or the log fails.
pub(super) fn carry(
    mut direction: Direction,
    from: &SyncDevice,
    to: &SyncDevice,
    log: Option<File>,
    begin: Receiver<Instant>,
) -> io::Result<()> {
    // Linux lets a thread sleep 50 µs longer than asked by default; this asks for the least. Without it, it is as usual.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    // The link is on time also when those on it take all of the machine. Of Linux, this means this thread.
    let _ = rustix::process::setpriority_process(None, FIRST);
    let mut log = Log::new(log, Instant::now());
    loop {
        match begin.try_recv() {
            Ok(begun_at) => {
                direction.begin(begun_at);
                log.begin(begun_at)?;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
        read_all(from, &mut direction)?;
        while let Some(packet) = direction.take_due(Instant::now()) {
            write(to, &packet)?;
        }
        log.write_due(&mut direction, Instant::now())?;
        let due_in = direction.next_due().map(|due| due.saturating_duration_since(Instant::now()));
        wait(from, due_in.unwrap_or(IDLE).min(IDLE))?;
    }
}

/// Until there is something to read, at most.
fn wait(device: &SyncDevice, most: Duration) -> io::Result<()> {
    let most = Timespec::try_from(most).expect("the wait is short");
    match poll(&mut [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)], Some(&most)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn read_all(device: &SyncDevice, direction: &mut Direction) -> io::Result<()> {
    let mut buffer = [0; MOST_BYTES];
    for _ in 0..READ_AT_ONCE {
        match device.recv(&mut buffer) {
            Ok(length) => {
                // What is not IPv4 is not for the other end.
                if buffer[0] >> 4 == 4 {
                    direction.offer(Instant::now(), buffer[..length].to_vec());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write(device: &SyncDevice, packet: &[u8]) -> io::Result<()> {
    match device.send(packet) {
        Ok(_) => Ok(()),
        // A device takes packets until the machine has no memory left for them; then it loses some, as every network does.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::OutOfMemory) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Log {
    fn new(file: Option<File>, now: Instant) -> Self {
        Self { file, has_begun: false, start: now, lines: 0 }
    }

    fn begin(&mut self, begun_at: Instant) -> io::Result<()> {
        (self.has_begun, self.start, self.lines) = (true, begun_at, 0);
        let Some(file) = &mut self.file else { return Ok(()) };
        file.set_len(0)?;
        file.rewind()
    }

    /// Writes a line when it is time. One that is late covers as much more. What is not written is taken too: it would grow
    /// with every packet.
    fn write_due(&mut self, direction: &mut Direction, now: Instant) -> io::Result<()> {
        let due = self.start + LOG_EVERY * (self.lines + 1);
        if now < due {
            return Ok(());
        }
        let since = now.saturating_duration_since(self.start);
        self.lines = u32::try_from(since.as_millis() / LOG_EVERY.as_millis()).unwrap_or(u32::MAX - 1);
        let interval = Interval { ends_ms: since.as_millis() as u64, ..direction.interval(now) };
        match &mut self.file {
            Some(file) if self.has_begun => file.write_all(interval.to_line().as_bytes()),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::{Capacity, Loss, Way};

    #[test]
    fn what_happened_is_taken_in_time_also_without_a_file_and_written_once_the_clock_has_begun() {
        for file in [None, Some(tempfile::tempfile().unwrap())] {
            let start = Instant::now();
            let way = Way { queue_packets: 1, capacity: Capacity::Unlimited, loss: Loss::None, delay: Duration::ZERO };
            let mut direction = Direction::new(way, 1, start);
            let mut log = Log::new(file, start);
            let length = |log: &Log| log.file.as_ref().map(|file| file.metadata().unwrap().len());
            for ticks in 1..=3 {
                direction.offer(start, vec![0; 100]);
                log.write_due(&mut direction, start + LOG_EVERY * ticks).unwrap();
                assert_eq!(direction.interval(start + LOG_EVERY * ticks), Interval::default());
            }
            assert!(length(&log).is_none_or(|bytes| bytes == 0), "nothing is written before the clock begins");
            log.begin(start).unwrap();
            direction.offer(start, vec![0; 100]);
            log.write_due(&mut direction, start + LOG_EVERY).unwrap();
            assert_eq!(direction.interval(start + LOG_EVERY), Interval::default());
            assert!(length(&log).is_none_or(|bytes| bytes > 0), "then it is");
        }
    }
}
