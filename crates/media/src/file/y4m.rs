//! Y4M, the plain-text-headed format for raw pictures: a reader that loops and a writer. Only
//! 8-bit 4:2:0, which is what everything inside uses.

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use crate::frame::{FrameError, FramePool, MAX_SIDE_PX, VideoFrame};
use crate::rate::{FrameRate, FrameRateError};

const MAGIC: &str = "YUV4MPEG2";

/// Real headers are under 100 bytes; comments (`X…`) may make them longer.
const MAX_LINE: u64 = 1024;

/// The smallest side the encoder takes.
const MIN_SIDE_PX: u32 = 16;

/// Why a Y4M file cannot be read or written. Says what to do about it where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum Y4mError {
    /// The operating system refused.
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
    /// No Y4M header.
    #[error("this is no Y4M file; make one with: ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m")]
    NotY4m,
    /// A field of the header is missing or senseless.
    #[error("the header's {field} field is missing or senseless")]
    Header {
        /// The field's letter, as in the format's description.
        field: char,
    },
    /// The rate cannot be used.
    #[error("the frame rate cannot be used")]
    Rate(#[from] FrameRateError),
    /// The pictures are too small or too large.
    #[error("pictures of {width}x{height} cannot be used: a side must be from {MIN_SIDE_PX} to {MAX_SIDE_PX}")]
    Size {
        /// Width the header says.
        width: u32,
        /// Height the header says.
        height: u32,
    },
    /// Not 8-bit 4:2:0.
    #[error(
        "pictures in {0} cannot be used, only 8-bit 4:2:0; convert them with: ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m"
    )]
    Colour(String),
    /// Half pictures.
    #[error("interlaced pictures cannot be used; convert them with: ffmpeg -i INPUT -vf yadif OUTPUT.y4m")]
    Interlaced,
    /// The header is all there is.
    #[error("there is no whole picture in it")]
    Empty,
    /// Something else stands where a picture should begin.
    #[error("picture {number} is damaged")]
    Damaged {
        /// Which picture, from 0.
        number: u64,
    },
    /// The writer was given a picture of another size than the file's.
    #[error("the file holds pictures of another size")]
    OtherSize,
    /// A picture that cannot be.
    #[error("a picture of the file cannot be used")]
    Frame(#[from] FrameError),
}

/// Reads pictures for ever, beginning again after the last. Odd sizes lose their last column or
/// row. A picture cut short at the end of the file is left out.
pub struct Y4mReader<R> {
    input: R,
    header: Header,
    /// Where the first picture begins, and the file ends.
    start: u64,
    end: u64,
    position: u64,
    /// The picture that comes next, and how many there are once the end was seen.
    next: u64,
    total: Option<u64>,
    frames: FramePool,
}

struct Header {
    width: u32,
    height: u32,
    rate: FrameRate,
}

impl<R: BufRead + Seek> Y4mReader<R> {
    /// Reads the header and makes sure of one whole picture.
    ///
    /// # Errors
    /// If this is no Y4M file, its pictures are not 8-bit 4:2:0, or there is none.
    pub fn new(mut input: R) -> Result<Self, Y4mError> {
        let end = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let line = read_line(&mut input)?.ok_or(Y4mError::NotY4m)?;
        let start = line.len() as u64 + 1;
        let header = Header::parse(&line)?;
        let mut reader =
            Self { input, header, start, end, position: start, next: 0, total: None, frames: FramePool::default() };
        if !reader.enter_picture()? {
            return Err(Y4mError::Empty);
        }
        reader.rewind()?;
        Ok(reader)
    }

    /// Width of the pictures as [`Self::read`] gives them, even.
    pub fn width(&self) -> u32 {
        self.header.width & !1
    }

    /// Height of the pictures as [`Self::read`] gives them, even.
    pub fn height(&self) -> u32 {
        self.header.height & !1
    }

    /// The rate the header states.
    pub fn rate(&self) -> FrameRate {
        self.header.rate
    }

    /// The next picture; after the last one the first.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged here.
    pub fn read(&mut self) -> Result<VideoFrame, Y4mError> {
        self.enter_or_begin_again()?;
        let (width, height) = (self.width(), self.height());
        let frame = if self.header.picture_len() == VideoFrame::byte_len(width, height)? {
            let input = &mut self.input;
            self.frames.frame(width, height, |data| Ok::<_, Y4mError>(input.read_exact(data)?))?
        } else {
            let mut raw = vec![0; self.header.picture_len()];
            self.input.read_exact(&mut raw)?;
            VideoFrame::new(width, height, self.header.crop(&raw))?
        };
        self.leave_picture();
        Ok(frame)
    }

    /// Passes over `count` pictures, as if they had been read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn skip(&mut self, mut count: u64) -> Result<(), Y4mError> {
        while count > 0 {
            // Once the number of pictures is known, whole rounds need no reading.
            count = self.total.map_or(count, |total| count % total.max(1));
            if count == 0 {
                break;
            }
            self.enter_or_begin_again()?;
            self.leave_picture();
            self.input.seek(SeekFrom::Start(self.position))?;
            count -= 1;
        }
        Ok(())
    }

    fn enter_or_begin_again(&mut self) -> Result<(), Y4mError> {
        if self.enter_picture()? {
            return Ok(());
        }
        self.total = Some(self.next);
        self.rewind()?;
        if self.enter_picture()? { Ok(()) } else { Err(Y4mError::Empty) }
    }

    /// Reads the line before a picture. False at the end of the last whole one.
    fn enter_picture(&mut self) -> Result<bool, Y4mError> {
        let number = self.next;
        if self.position >= self.end {
            return Ok(false);
        }
        let Some(line) = read_line(&mut self.input)? else {
            // Cut off inside the line, unless the line is far too long.
            let cut = self.end.saturating_sub(self.position) < MAX_LINE;
            return if cut { Ok(false) } else { Err(Y4mError::Damaged { number }) };
        };
        if line != b"FRAME" && !line.starts_with(b"FRAME ") {
            return Err(Y4mError::Damaged { number });
        }
        let picture = self.position + line.len() as u64 + 1;
        if picture + self.header.picture_len() as u64 > self.end {
            return Ok(false);
        }
        self.position = picture;
        Ok(true)
    }

    fn leave_picture(&mut self) {
        self.position += self.header.picture_len() as u64;
        self.next += 1;
    }

    fn rewind(&mut self) -> Result<(), Y4mError> {
        self.input.seek(SeekFrom::Start(self.start))?;
        self.position = self.start;
        self.next = 0;
        Ok(())
    }
}

impl Header {
    fn parse(line: &[u8]) -> Result<Self, Y4mError> {
        let text = std::str::from_utf8(line).map_err(|_| Y4mError::NotY4m)?;
        let mut fields = text.split(' ');
        if fields.next() != Some(MAGIC) {
            return Err(Y4mError::NotY4m);
        }
        let (mut width, mut height, mut rate) = (None, None, None);
        for field in fields {
            let mut letters = field.chars();
            let key = letters.next();
            let value = letters.as_str();
            match key {
                Some('W') => width = value.parse().ok(),
                Some('H') => height = value.parse().ok(),
                Some('F') => rate = Some(parse_rate(value)?),
                Some('I') if !matches!(value, "p" | "?") => return Err(Y4mError::Interlaced),
                // 4:2:0 with whichever place of the colour samples; the difference is half a pixel.
                Some('C') if !matches!(value, "420" | "420jpeg" | "420mpeg2" | "420paldv") => {
                    return Err(Y4mError::Colour(value.to_owned()));
                }
                _ => {}
            }
        }
        let width = width.ok_or(Y4mError::Header { field: 'W' })?;
        let height = height.ok_or(Y4mError::Header { field: 'H' })?;
        let rate = rate.ok_or(Y4mError::Header { field: 'F' })?;
        let allowed = MIN_SIDE_PX..=MAX_SIDE_PX;
        if !allowed.contains(&width) || !allowed.contains(&height) {
            return Err(Y4mError::Size { width, height });
        }
        Ok(Self { width, height, rate })
    }

    fn picture_len(&self) -> usize {
        let (width, height) = (self.width as usize, self.height as usize);
        width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
    }

    /// Leaves out the odd last column and row. `raw` has [`Self::picture_len`] bytes.
    fn crop(&self, raw: &[u8]) -> Vec<u8> {
        let (width, height) = (self.width as usize, self.height as usize);
        let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
        let (y, chroma) = raw.split_at(width * height);
        let (u, v) = chroma.split_at(chroma_width * chroma_height);
        let mut data = Vec::with_capacity(raw.len());
        for (plane, stride, wide, high) in [
            (y, width, width & !1, height & !1),
            (u, chroma_width, width / 2, height / 2),
            (v, chroma_width, width / 2, height / 2),
        ] {
            for row in plane.chunks_exact(stride).take(high) {
                data.extend(row.iter().take(wide));
            }
        }
        data
    }
}

fn parse_rate(value: &str) -> Result<FrameRate, Y4mError> {
    let bad = || Y4mError::Header { field: 'F' };
    let (numerator, denominator) = value.split_once(':').ok_or_else(bad)?;
    let numerator = numerator.parse().map_err(|_| bad())?;
    let denominator = denominator.parse().map_err(|_| bad())?;
    Ok(FrameRate::new(numerator, denominator)?)
}

/// A line without its end; nothing if it does not end within [`MAX_LINE`].
fn read_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, io::Error> {
    let mut line = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut line)?;
    Ok((line.pop() == Some(b'\n')).then_some(line))
}

/// Writes pictures of one size, that of the first.
pub struct Y4mWriter<W> {
    output: W,
    rate: FrameRate,
    size: Option<(u32, u32)>,
}

impl<W: Write> Y4mWriter<W> {
    /// A writer that has written nothing yet; the header comes with the first picture.
    pub fn new(output: W, rate: FrameRate) -> Self {
        Self { output, rate, size: None }
    }

    /// Writes a picture and flushes it, so that the file is whole at any moment.
    ///
    /// # Errors
    /// If writing fails or the picture has another size than the first.
    pub fn write(&mut self, frame: &VideoFrame) -> Result<(), Y4mError> {
        let (width, height) = (frame.width(), frame.height());
        match self.size {
            Some(size) if size != (width, height) => return Err(Y4mError::OtherSize),
            Some(_) => {}
            None => {
                let rate = self.rate;
                writeln!(self.output, "{MAGIC} W{width} H{height} F{rate} Ip A1:1 C420jpeg")?;
                self.size = Some((width, height));
            }
        }
        self.output.write_all(b"FRAME\n")?;
        self.output.write_all(frame.data())?;
        Ok(self.output.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::io::Cursor;

    fn shaded(width: u32, height: u32, shade: u8) -> VideoFrame {
        let len = VideoFrame::byte_len(width, height).unwrap();
        VideoFrame::new(width, height, vec![shade; len]).unwrap()
    }

    fn file_of(shades: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Y4mWriter::new(&mut file, FrameRate::THIRTY);
        for shade in shades {
            writer.write(&shaded(32, 16, *shade)).unwrap();
        }
        file
    }

    fn open(file: &[u8]) -> Result<Y4mReader<Cursor<&[u8]>>, Y4mError> {
        Y4mReader::new(Cursor::new(file))
    }

    fn read_shades(reader: &mut Y4mReader<Cursor<&[u8]>>, count: usize) -> Vec<u8> {
        (0..count).map(|_| reader.read().unwrap().y()[0]).collect()
    }

    #[test]
    fn what_is_written_is_read_again_and_again() {
        let file = file_of(&[1, 2, 3]);
        let mut reader = open(&file).unwrap();
        assert_eq!((reader.width(), reader.height()), (32, 16));
        assert_eq!(reader.rate(), FrameRate::THIRTY);
        assert_eq!(read_shades(&mut reader, 7), [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn a_picture_of_another_size_is_not_written() {
        let mut file = Vec::new();
        let mut writer = Y4mWriter::new(&mut file, FrameRate::THIRTY);
        writer.write(&shaded(32, 16, 0)).unwrap();
        assert!(matches!(writer.write(&shaded(16, 16, 0)), Err(Y4mError::OtherSize)));
        assert_eq!(file, file_of(&[0]));
    }

    #[test]
    fn skipping_is_the_same_as_reading_and_dropping() {
        let file = file_of(&[0, 1, 2, 3, 4]);
        for skipped in [0, 1, 3, 4, 5, 6, 9, 10, 12, 1_000_000_000_003] {
            for read_before in [0, 2, 5, 7] {
                let mut reader = open(&file).unwrap();
                read_shades(&mut reader, read_before);
                reader.skip(skipped).unwrap();
                let wanted = ((read_before as u64 + skipped) % 5) as u8;
                assert_eq!(read_shades(&mut reader, 1), [wanted], "{read_before} then {skipped}");
            }
        }
    }

    #[test]
    fn a_picture_cut_short_at_the_end_is_left_out() {
        let whole = file_of(&[1, 2, 3]);
        let two = file_of(&[1, 2]).len();
        for length in [two + 1, two + 5, two + 6, two + 7, whole.len() - 1] {
            let mut reader = open(&whole[..length]).unwrap();
            assert_eq!(read_shades(&mut reader, 3), [1, 2, 1], "cut to {length}");
        }
    }

    #[test]
    fn odd_sizes_lose_their_last_column_and_row() {
        let mut file = b"YUV4MPEG2 W17 H19 F25:1\nFRAME\n".to_vec();
        for row in 0..19 {
            file.extend((0..17).map(|column| if column == 16 || row == 18 { 255 } else { row }));
        }
        for plane in [100, 200] {
            for row in 0..10 {
                file.extend((0..9).map(|column| if column == 8 || row == 9 { 255 } else { plane + row }));
            }
        }
        let frame = open(&file).unwrap().read().unwrap();
        assert_eq!((frame.width(), frame.height()), (16, 18));
        assert!(frame.data().iter().all(|byte| *byte != 255));
        assert_eq!((frame.y()[17 * 16], frame.u()[8 * 8], frame.v()[8 * 8]), (17, 108, 208));
    }

    #[test]
    fn every_way_of_writing_420_is_understood_and_nothing_else() {
        let open_with = |fields: &str| {
            let mut file = format!("YUV4MPEG2 {fields}\nFRAME Ip\n").into_bytes();
            file.extend([0; 16 * 16 * 3 / 2]);
            open(&file).map(|_| ())
        };
        for colour in ["", " C420", " C420jpeg", " C420mpeg2", " C420paldv", " Xany thing"] {
            open_with(&format!("W16 H16 F30:1 Ip A1:1{colour}")).unwrap();
        }
        assert!(matches!(open_with("W16 H16 F30:1 C444"), Err(Y4mError::Colour(_))));
        assert!(matches!(open_with("W16 H16 F30:1 C420p10"), Err(Y4mError::Colour(_))));
        assert!(matches!(open_with("W16 H16 F30:1 It"), Err(Y4mError::Interlaced)));
        assert!(matches!(open_with("W16 H16"), Err(Y4mError::Header { field: 'F' })));
        assert!(matches!(open_with("H16 F30:1"), Err(Y4mError::Header { field: 'W' })));
        assert!(matches!(open_with("W-1 H16 F30:1"), Err(Y4mError::Header { field: 'W' })));
        assert!(matches!(open_with("W16 H16 F0:0"), Err(Y4mError::Rate(_))));
        assert!(matches!(open_with("W4294967295 H4294967295 F30:1"), Err(Y4mError::Size { .. })));
        assert!(matches!(open_with("W18 H16 F30:1"), Err(Y4mError::Empty)));
    }

    #[test]
    fn other_files_are_told_apart() {
        assert!(matches!(open(b""), Err(Y4mError::NotY4m)));
        assert!(matches!(open(b"RIFF\n"), Err(Y4mError::NotY4m)));
        assert!(matches!(open(&[b'Y'; 5000]), Err(Y4mError::NotY4m)));
        assert!(matches!(open(b"YUV4MPEG2 W16 H16 F1:1\n"), Err(Y4mError::Empty)));
        let damaged = [&file_of(&[1])[..], b"FRUMP\n", &[0; 768]].concat();
        let mut reader = open(&damaged).unwrap();
        reader.read().unwrap();
        assert!(matches!(reader.read(), Err(Y4mError::Damaged { number: 1 })));
    }

    #[test]
    fn damaged_files_never_panic() {
        let seed = 0x0594_3344;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let good = file_of(&[1, 2, 3]);
        for _ in 0..20_000 {
            let mut file = good.clone();
            for _ in 0..random.random_range(1..8) {
                let near = if random.random() { 60 } else { file.len() };
                let at = random.random_range(0..near);
                file[at] = random.random();
            }
            file.truncate(random.random_range(0..=good.len()));
            if let Ok(mut reader) = open(&file) {
                for _ in 0..4 {
                    let _ = reader.read();
                    let _ = reader.skip(1);
                }
            }
        }
    }
}
