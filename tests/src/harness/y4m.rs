//! Reads recordings picture by picture, any of them. Not the reader of the program under test, so that a mistake of its
//! writer is not hidden by the same mistake in its reader.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// A recording: 8-bit 4:2:0.
#[derive(Debug)]
pub struct Recording {
    file: BufReader<File>,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Pictures a second.
    pub rate: f64,
    /// How many pictures there are.
    pub pictures: usize,
    start: usize,
}

const FRAME: &[u8] = b"FRAME\n";

impl Recording {
    /// Opens one, and checks that it holds whole pictures and nothing else.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let length = file.metadata().expect("it is open").len() as usize;
        let mut file = BufReader::new(file);
        let mut header = String::new();
        file.read_line(&mut header).expect("a recording begins with a line of text");
        let fields: Vec<&str> = header.split_whitespace().collect();
        assert_eq!(fields.first(), Some(&"YUV4MPEG2"), "{header:?}");
        let field = |letter: char| fields.iter().find_map(|field| field.strip_prefix(letter));
        let number = |letter: char| field(letter).and_then(|text| text.parse().ok()).expect("a size");
        let (width, height): (usize, usize) = (number('W'), number('H'));
        let (up, down) = field('F').and_then(|text| text.split_once(':')).expect("a rate");
        let [up, down]: [f64; 2] = [up, down].map(|text| text.parse().expect("a number"));
        assert!(field('C').is_none_or(|colour| colour.starts_with("420")), "{header:?}");
        let mut recording = Self { file, width, height, rate: up / down, pictures: 0, start: header.len() };
        let rest = length - header.len();
        assert_eq!(rest % recording.stride(), 0, "the last picture is not whole");
        recording.pictures = rest / recording.stride();
        recording
    }

    /// The brightness of picture `number`.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn luma(&mut self, number: usize) -> Vec<u8> {
        self.read(number, self.width * self.height)
    }

    /// Picture `number`: Y, U and V.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn picture(&mut self, number: usize) -> Vec<u8> {
        self.read(number, self.width * self.height * 3 / 2)
    }

    #[track_caller]
    fn read(&mut self, number: usize, length: usize) -> Vec<u8> {
        assert!(number < self.pictures, "picture {number} of {}", self.pictures);
        let at = self.start + number * self.stride();
        self.file.seek(SeekFrom::Start(at as u64)).expect("files can be read anywhere");
        let mut picture = vec![0; FRAME.len() + length];
        self.file.read_exact(&mut picture).expect("the picture is whole");
        assert!(picture.starts_with(FRAME), "picture {number} does not begin where it should");
        picture.split_off(FRAME.len())
    }

    /// From one picture to the next, in bytes.
    fn stride(&self) -> usize {
        FRAME.len() + self.width * self.height * 3 / 2
    }
}
