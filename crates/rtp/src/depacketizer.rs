//! Payloads back to coded pictures, for the packets of one picture in order, and what a payload tells of the picture that
//! it belongs to.

mod h264;
mod vp8;

use crate::format::PictureFormat;

/// The payloads of a picture contradict the payload format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A finished picture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// As [`PictureFormat`] says; empty if the packets held only padding.
    pub(crate) data: Vec<u8>,
    /// Whether decoding can begin here.
    pub(crate) key: bool,
}

/// Puts a picture together, in the memory of `spare`. A payload without content is padding that only took a sequence number.
pub(crate) fn assemble<'a>(
    format: PictureFormat,
    payloads: impl Iterator<Item = &'a [u8]>,
    mut spare: Vec<u8>,
) -> Result<Finished, Malformed> {
    let payloads = payloads.filter(|payload| !payload.is_empty());
    spare.clear();
    match format {
        PictureFormat::H264 => h264::assemble(payloads, spare),
        PictureFormat::Vp8 => vp8::assemble(payloads, spare),
    }
}

/// Whether a key picture that needs nothing from before begins with this payload.
pub(crate) fn begins_key_picture(format: PictureFormat, payload: &[u8]) -> bool {
    match format {
        PictureFormat::H264 => h264::holds_parameter_set(payload),
        PictureFormat::Vp8 => vp8::begins_key_frame(payload),
    }
}

/// Whether a picture is sure to begin with this payload.
pub(crate) fn begins_picture(format: PictureFormat, payload: &[u8]) -> bool {
    match format {
        // A slice does not tell without being decoded.
        PictureFormat::H264 => false,
        PictureFormat::Vp8 => vp8::begins_frame(payload),
    }
}

/// Whether a picture begins with this payload, for a payload that is the first of its time stamp that is there.
pub(crate) fn begins_picture_at(format: PictureFormat, payload: &[u8]) -> bool {
    match format {
        PictureFormat::H264 => h264::begins_access_unit(payload),
        PictureFormat::Vp8 => vp8::begins_frame(payload),
    }
}

/// Whether the sender says that no other picture refers to the one that this payload belongs to.
pub(crate) fn is_disposable(format: PictureFormat, payload: &[u8]) -> bool {
    match format {
        PictureFormat::H264 => h264::is_disposable(payload),
        PictureFormat::Vp8 => vp8::is_disposable(payload),
    }
}

/// The number of the picture that this payload belongs to, where the format has one.
pub(crate) fn picture_id(format: PictureFormat, payload: &[u8]) -> Option<u16> {
    match format {
        PictureFormat::H264 => None,
        PictureFormat::Vp8 => vp8::picture_id(payload),
    }
}
