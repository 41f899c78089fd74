//! A screen that nobody looks at: an Xvfb of our own, whose picture is read from where it draws it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jpeg_encoder::{ColorType, Encoder};
use tempfile::TempDir;

use super::process::Process;
use super::{DEADLINE, skipped};

/// Large enough for the window as it opens.
const SIZE: &str = "1400x900x24";

/// Where Xvfb keeps its first screen, as an X window dump (`XWDFile.h` of X11), in its folder.
const DUMP: &str = "Xvfb_screen0";

/// A running display; ends with its owner.
#[derive(Debug)]
pub struct Display {
    name: String,
    folder: TempDir,
    _server: Process,
}

/// What is on a screen, or on a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Red, green and blue, a byte each, rows packed.
    pub rgb: Vec<u8>,
}

/// A part of a screen, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// From the left.
    pub x: usize,
    /// From the top.
    pub y: usize,
    /// How wide.
    pub width: usize,
    /// How high.
    pub height: usize,
}

impl Display {
    /// Starts one. `None`, and a word about it, where there is no Xvfb.
    ///
    /// # Panics
    /// When it is there and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        if Command::new("Xvfb").arg("-help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            skipped("no Xvfb is installed (Debian's package is xvfb)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut command = Command::new("Xvfb");
        // It takes the first number that is free, and says which when it listens.
        command.args(["-displayfd", "1", "-screen", "0", SIZE, "-nolisten", "tcp", "-fbdir"]).arg(folder.path());
        let server = Process::start("Xvfb", &mut command);
        let number = server.wait_for("the number of its display", DEADLINE, |lines| lines.first().cloned());
        Some(Self { name: format!(":{number}"), folder, _server: server })
    }

    /// For `DISPLAY`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is on it now.
    ///
    /// # Panics
    /// When Xvfb has ended.
    #[must_use]
    pub fn look(&self) -> Screen {
        let dump = fs::read(self.folder.path().join(DUMP)).expect("Xvfb runs");
        read_dump(&dump)
    }
}

impl Screen {
    /// A part of it; what lies outside of it is left out.
    #[must_use]
    pub fn part(&self, of: Rectangle) -> Self {
        let [left, top] = [of.x.min(self.width), of.y.min(self.height)];
        let [width, height] = [of.width.min(self.width - left), of.height.min(self.height - top)];
        let rows = (top..top + height).map(|row| &self.rgb[(row * self.width + left) * 3..][..width * 3]);
        Self { width, height, rgb: rows.flatten().copied().collect() }
    }

    /// How many pixels are another colour than the one in the corner.
    #[must_use]
    pub fn painted(&self) -> usize {
        self.rgb.chunks_exact(3).filter(|pixel| Some(*pixel) != self.rgb.get(..3)).count()
    }

    /// Its brightness as video has it (BT.601, 16 to 235), scaled by taking the nearest pixels.
    #[must_use]
    pub fn luma(&self, width: usize, height: usize) -> Vec<u8> {
        let pixel = |x: usize, y: usize| {
            let at = (y * self.height / height * self.width + x * self.width / width) * 3;
            luma([self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]])
        };
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect()
    }

    /// Writes it down for somebody to look at.
    ///
    /// # Panics
    /// When there is no room.
    pub fn save(&self, path: &Path) -> PathBuf {
        let encoder = Encoder::new_file(path, 90).expect("the folder is writable");
        let encoded = encoder.encode(&self.rgb, self.width as u16, self.height as u16, ColorType::Rgb);
        encoded.expect("there is room");
        path.into()
    }
}

/// A colour's brightness as video has it (BT.601).
#[must_use]
pub fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let weigh = |value: u8, weight: f32| f32::from(value) / 255.0 * weight;
    (16.0 + weigh(red, 65.481) + weigh(green, 128.553) + weigh(blue, 24.966)).round() as u8
}

/// Reads a dump of 32 bits a pixel, the only ones that a screen of 24 bits has.
fn read_dump(dump: &[u8]) -> Screen {
    let field = |number: usize| {
        let bytes = dump[number * 4..][..4].try_into().expect("four are four");
        u32::from_be_bytes(bytes) as usize
    };
    let [header, width, height, bits, row] = [0, 4, 5, 11, 12].map(field);
    // Of the colours that follow the header, each takes 12 bytes.
    let pixels = header + field(19) * 12;
    assert_eq!(bits, 32, "a screen of 24 bits has pixels of 32");
    let rows = (0..height).map(|number| &dump[pixels + number * row..][..width * 4]);
    // Blue is in the lowest byte, which comes first.
    let rgb = rows.flat_map(|row| row.chunks_exact(4)).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
    Screen { width, height, rgb }
}
