//! Shows what a camera gives: which there are, each picture's time and size, and why it stops.
//!
//!     cargo run -p ahoy-media --example camera_probe                                  lists the cameras
//!     cargo run -p ahoy-media --example camera_probe -- ID [PICTURES [OUT.y4m [TIMES]]]
//!
//! Writes the pictures to OUT.y4m as they came (nowhere for -), and opens the camera again after an error, TIMES in all.

use std::error::Error;
use std::fs::File;

use ahoy_media::file::y4m::Y4mWriter;
use ahoy_media::{PictureSource, SourceSpec, camera};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut arguments = arguments.iter();
    let Some(id) = arguments.next() else {
        for camera in camera::list()? {
            println!("camera {} {}", camera.id, camera.name);
        }
        return Ok(());
    };
    let pictures = arguments.next().map_or(Ok(60), |number| number.parse())?;
    let out = arguments.next().filter(|path| *path != "-");
    let times: u32 = arguments.next().map_or(Ok(1), |number| number.parse())?;
    for _ in 0..times {
        match show(id, pictures, out) {
            Ok(()) => return Ok(()),
            Err(error) => println!("error {error}"),
        }
    }
    Err("the camera gave too few pictures".into())
}

fn show(id: &str, pictures: u64, out: Option<&String>) -> Result<(), Box<dyn Error>> {
    let mut source = PictureSource::open(&SourceSpec::Device(id.into()))?.ok_or("a camera is something")?;
    println!("open at {} pictures a second, {} threads", source.rate(), threads());
    let mut writer = match out {
        Some(path) => Some(Y4mWriter::new(File::create(path)?, source.rate())),
        None => None,
    };
    for _ in 0..pictures {
        let captured = source.next_frame()?;
        let (width, height) = (captured.frame.width(), captured.frame.height());
        println!("picture {} {width}x{height} {}", captured.number, captured.media_time.as_micros());
        if let Some(writer) = &mut writer {
            writer.write(&captured.frame)?;
        }
    }
    Ok(())
}

/// How many this program has, where the system says.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}
