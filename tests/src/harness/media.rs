//! What the peers of a test show and say: the clip and the speech of `tests/media`, unpacked into files that the
//! command-line peer takes. The callee's are turned round (the clip mirrored, the speech backwards), so that nobody can
//! mistake what one sent for what the other did.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use ahoy_media::{VideoCodec, VideoFrame};

/// The files that one peer sends.
#[derive(Debug, Clone)]
pub struct Source {
    /// A Y4M file, 640x480, 30 pictures a second.
    pub clip: PathBuf,
    /// How many pictures it has.
    pub pictures: usize,
    /// A WAV file, 16 kHz, mono.
    pub speech: PathBuf,
}

/// What caller and callee send.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The clip and the speech.
    pub plain: Source,
    /// Both turned round.
    pub turned: Source,
}

/// Pixels of the clip.
pub const WIDTH: usize = 640;
/// Pixels of the clip.
pub const HEIGHT: usize = 480;

/// Six seconds, 80 MB unpacked.
const MOST_PICTURES: usize = 180;

/// Unpacks everything into `folder`.
///
/// # Panics
/// When that fails.
#[must_use]
pub fn unpack(folder: &Path) -> Sources {
    let clip = clip();
    let mirrored: Vec<Vec<u8>> = clip.iter().map(|frame| mirror(frame)).collect();
    let speech = speech();
    let backwards = folder.join("speech-backwards.wav");
    reverse(&speech, &backwards);
    let pictures = clip.len();
    let [plain_clip, turned_clip] = ["clip.y4m", "clip-mirrored.y4m"].map(|name| folder.join(name));
    write(&plain_clip, &clip);
    write(&turned_clip, &mirrored);
    Sources {
        plain: Source { clip: plain_clip, pictures, speech },
        turned: Source { clip: turned_clip, pictures, speech: backwards },
    }
}

/// The pictures of the clip: I420, packed, [`WIDTH`] by [`HEIGHT`], 30 a second.
///
/// # Panics
/// When the clip is not there or not whole.
#[must_use]
pub fn clip() -> Vec<Vec<u8>> {
    let clip = decode(&fs::read(folder().join("signer-480p30.h264")).expect("the clip is there"));
    assert!(clip.len() >= 90, "only {} pictures in the clip", clip.len());
    clip
}

/// The speech: WAV, 16 kHz, mono.
#[must_use]
pub fn speech() -> PathBuf {
    folder().join("speech-16k.wav")
}

/// Writes pictures, packed I420 of the clip's size, as Y4M of 30 a second.
///
/// # Panics
/// When there is no room.
pub fn write(path: &Path, pictures: impl IntoIterator<Item: AsRef<[u8]>>) {
    let mut file = BufWriter::new(File::create(path).expect("the folder is writable"));
    writeln!(file, "YUV4MPEG2 W{WIDTH} H{HEIGHT} F30:1 Ip A1:1 C420jpeg").expect("there is room");
    for picture in pictures {
        file.write_all(b"FRAME\n").and_then(|()| file.write_all(picture.as_ref())).expect("there is room");
    }
    file.flush().expect("there is room");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("media")
}

/// The pictures of an H.264 stream (Annex B), packed I420.
fn decode(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = VideoCodec::H264.decoder().expect("in every build");
    let mut pictures = Vec::new();
    for unit in access_units(stream) {
        let picture: Option<VideoFrame> = decoder.decode(unit).expect("the clip can be decoded");
        pictures.extend(picture.map(|picture| picture.data().to_vec()));
        if pictures.len() == MOST_PICTURES {
            break;
        }
    }
    assert!(pictures.iter().all(|picture| picture.len() == WIDTH * HEIGHT * 3 / 2), "pictures of one size");
    pictures
}

/// Cuts a stream (Annex B) of one slice a picture, so that each piece ends with a slice: NAL unit types 1 and 5 (H.264
/// §7.4.1).
#[must_use]
pub fn access_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        (0..stream.len().saturating_sub(3)).filter(|&at| stream[at..at + 3] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let mut begin = 0;
    let mut units = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        if matches!(stream[start + 3] & 0x1f, 1 | 5) {
            units.push(&stream[begin..end]);
            begin = end;
        }
    }
    units
}

fn mirror(picture: &[u8]) -> Vec<u8> {
    let (luma, chroma) = picture.split_at(WIDTH * HEIGHT);
    let rows = luma.chunks_exact(WIDTH).chain(chroma.chunks_exact(WIDTH / 2));
    rows.flat_map(|row| row.iter().rev()).copied().collect()
}

/// Writes a WAV file backwards: as loud, and other speech.
///
/// # Panics
/// When `from` is none or there is no room.
pub fn reverse(from: &Path, to: &Path) {
    let mut wav = hound::WavReader::open(from).expect("the speech is there");
    let samples: Result<Vec<i16>, _> = wav.samples().collect();
    let mut reversed = hound::WavWriter::create(to, wav.spec()).expect("the folder is writable");
    for sample in samples.expect("the speech is whole").into_iter().rev() {
        reversed.write_sample(sample).expect("there is room");
    }
    reversed.finalize().expect("there is room");
}
