//! The clip of `tests/media`: people in front of a webcam.

use std::fs;

use ahoy_media::{VideoCodec, VideoFrame};

/// Its first `count` pictures, 640x480. The first cut is behind the 72nd.
pub(crate) fn pictures(count: usize) -> Vec<VideoFrame> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/media/signer-480p30.h264");
    let stream = fs::read(path).expect("the clip is there");
    let mut decoder = VideoCodec::H264.decoder().expect("in every build");
    let mut decode = |unit| decoder.decode(unit).expect("the clip can be decoded");
    let pictures: Vec<VideoFrame> = access_units(&stream).into_iter().take(count).filter_map(&mut decode).collect();
    assert_eq!(pictures.len(), count);
    pictures
}

/// The pictures for ever, forwards and backwards in turn, so that none follows another which it does not resemble.
pub(crate) fn to_and_fro(pictures: &[VideoFrame]) -> impl Iterator<Item = &VideoFrame> {
    let back = pictures.iter().rev().skip(1).take(pictures.len() - 2);
    pictures.iter().chain(back).cycle()
}

/// Cuts a stream (Annex B) of one slice a picture behind each slice: NAL unit types 1 and 5 (H.264 §7.4.1).
fn access_units(stream: &[u8]) -> Vec<&[u8]> {
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
