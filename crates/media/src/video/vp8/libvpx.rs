//! The calls into libvpx: an encoder and a decoder context, safe to use. Knows libvpx's memory and settings, nothing of
//! streams and errors of a call.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::ptr;
use std::slice;

use super::bindings::vp8_dec_control_id::VP8D_GET_FRAME_CORRUPTED;
use super::bindings::vp8e_enc_control_id::{
    VP8E_SET_CPUUSED, VP8E_SET_ENABLEAUTOALTREF, VP8E_SET_NOISE_SENSITIVITY, VP8E_SET_STATIC_THRESHOLD,
    VP8E_SET_TOKEN_PARTITIONS,
};
use super::bindings::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT;
use super::bindings::vpx_codec_err_t::VPX_CODEC_OK;
use super::bindings::vpx_img_fmt::VPX_IMG_FMT_I420;
use super::bindings::{
    VPX_DECODER_ABI_VERSION, VPX_DL_REALTIME, VPX_EFLAG_FORCE_KF, VPX_ENCODER_ABI_VERSION, VPX_FRAME_IS_KEY,
    vp8e_enc_control_id, vpx_codec_control_, vpx_codec_ctx_t, vpx_codec_dec_cfg_t, vpx_codec_dec_init_ver,
    vpx_codec_decode, vpx_codec_destroy, vpx_codec_enc_cfg_t, vpx_codec_enc_config_default, vpx_codec_enc_config_set,
    vpx_codec_enc_init_ver, vpx_codec_encode, vpx_codec_err_t, vpx_codec_err_to_string, vpx_codec_get_cx_data,
    vpx_codec_get_frame, vpx_codec_vp8_cx, vpx_codec_vp8_dx, vpx_image_t, vpx_img_wrap, vpx_kf_mode, vpx_rc_mode,
};

use crate::frame::VideoFrame;
use crate::video::decoder::DecodedPlanes;

/// Faster and plainer the further from 0 (to 16): -4 costs half as much time again for a quarter of a percent of likeness.
/// Negative: not adapted to the time that encoding takes, so that the same pictures always come out the same.
const CPU_USED: c_int = -6;

/// libvpx failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("libvpx: {}", in_words(.0))]
pub(super) struct VpxError(vpx_codec_err_t);

fn in_words(code: &vpx_codec_err_t) -> String {
    // SAFETY: the function gives a pointer to a string that is part of the library, for any number.
    let words = unsafe { CStr::from_ptr(vpx_codec_err_to_string(*code)) };
    words.to_string_lossy().into_owned()
}

fn check(code: vpx_codec_err_t) -> Result<(), VpxError> {
    if code == VPX_CODEC_OK { Ok(()) } else { Err(VpxError(code)) }
}

/// A context of libvpx that was initialised, and is destroyed when dropped. In a box: it stays where it was made.
struct Context(Box<vpx_codec_ctx_t>);

// SAFETY: libvpx keeps no state for each thread, and a context has one owner, which alone calls into it.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and nothing that it handed out can still be borrowed.
        unsafe { vpx_codec_destroy(&raw mut *self.0) };
    }
}

fn blank() -> Box<vpx_codec_ctx_t> {
    // SAFETY: all of it are pointers, numbers and an enum, for which zero is null, 0 and `VPX_CODEC_OK`.
    Box::new(unsafe { MaybeUninit::zeroed().assume_init() })
}

/// What an encoder is set to.
struct Settings(vpx_codec_enc_cfg_t);

// SAFETY: the pointers among them are to buffers for two passes, of which there is one; they are null.
unsafe impl Send for Settings {}

/// An encoder for pictures of one size.
pub(crate) struct EncoderContext {
    context: Context,
    settings: Settings,
    /// How many pictures it was given.
    pictures: u32,
}

impl EncoderContext {
    /// An encoder for a call: every picture at once, no key frames but those asked for.
    pub(super) fn new(width: u32, height: u32) -> Result<Self, VpxError> {
        let settings = encoder_settings(width, height)?;
        let mut context = blank();
        // SAFETY: context and settings are alive for the call, and libvpx keeps its own copy of the settings.
        check(unsafe {
            vpx_codec_enc_init_ver(
                &raw mut *context,
                vpx_codec_vp8_cx(),
                &raw const settings,
                0,
                VPX_ENCODER_ABI_VERSION as c_int,
            )
        })?;
        let mut encoder = Self { context: Context(context), settings: Settings(settings), pictures: 0 };
        encoder.set(VP8E_SET_CPUUSED, CPU_USED)?;
        // Blocks in which next to nothing changed are not coded again: what remains is the noise of the camera.
        encoder.set(VP8E_SET_STATIC_THRESHOLD, 1)?;
        encoder.set(VP8E_SET_NOISE_SENSITIVITY, 0)?;
        encoder.set(VP8E_SET_ENABLEAUTOALTREF, 0)?;
        encoder.set(VP8E_SET_TOKEN_PARTITIONS, 0)?;
        Ok(encoder)
    }

    /// Sets the quantizer of the next picture on, from 0 to 63. Costs no key picture.
    fn set_quantizer(&mut self, quantizer: u8) -> Result<(), VpxError> {
        let quantizer = c_uint::from(quantizer);
        if self.settings.0.rc_min_quantizer == quantizer {
            return Ok(());
        }
        (self.settings.0.rc_min_quantizer, self.settings.0.rc_max_quantizer) = (quantizer, quantizer);
        // SAFETY: the context is initialised, the settings are alive for the call, and libvpx copies them.
        check(unsafe { vpx_codec_enc_config_set(&raw mut *self.context.0, &raw const self.settings.0) })
    }

    /// Encodes a picture of the encoder's size with this quantizer and appends the coded frame to `data`. Says whether it
    /// became a key frame; nothing if libvpx left it out.
    pub(super) fn frame(
        &mut self,
        frame: &VideoFrame,
        quantizer: u8,
        force_key: bool,
        data: &mut Vec<u8>,
    ) -> Result<Option<bool>, VpxError> {
        self.set_quantizer(quantizer)?;
        let time = i64::from(self.pictures);
        self.pictures += 1;
        let mut image = MaybeUninit::uninit();
        let pixels = frame.data().as_ptr().cast_mut();
        // SAFETY: the image is filled in, and points into the frame, which is alive until the end of this function and
        // has the three planes one after the other without padding, as libvpx takes them at an alignment of 1. It has the
        // size that the encoder was made for. libvpx copies the picture before it changes anything, so nothing is
        // written through the pointer.
        check(unsafe {
            let (width, height) = (frame.width(), frame.height());
            if vpx_img_wrap(image.as_mut_ptr(), VPX_IMG_FMT_I420, width, height, 1, pixels).is_null() {
                return Err(VpxError(vpx_codec_err_t::VPX_CODEC_INVALID_PARAM));
            }
            vpx_codec_encode(
                &raw mut *self.context.0,
                image.as_ptr(),
                time,
                1,
                if force_key { VPX_EFLAG_FORCE_KF.into() } else { 0 },
                VPX_DL_REALTIME.into(),
            )
        })?;
        Ok(self.append(data))
    }

    /// What the last call gave.
    fn append(&mut self, data: &mut Vec<u8>) -> Option<bool> {
        let mut coded = None;
        let mut iterator = ptr::null();
        // SAFETY: the context is initialised, and a packet that is not null is valid until the next picture is encoded.
        while let Some(packet) = unsafe { vpx_codec_get_cx_data(&raw mut *self.context.0, &raw mut iterator).as_ref() }
        {
            if packet.kind == VPX_CODEC_CX_FRAME_PKT {
                // SAFETY: the kind says that this part of the union is filled, with a buffer of `sz` bytes.
                let (bytes, flags) = unsafe {
                    let frame = packet.data.frame;
                    (slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz), frame.flags)
                };
                data.extend_from_slice(bytes);
                *coded.get_or_insert(false) |= flags & VPX_FRAME_IS_KEY != 0;
            }
        }
        coded
    }

    fn set(&mut self, option: vp8e_enc_control_id, value: c_int) -> Result<(), VpxError> {
        // SAFETY: the context is initialised, and all the options set here read one `int` or `unsigned`.
        check(unsafe { vpx_codec_control_(&raw mut *self.context.0, option as c_int, value) })
    }
}

fn encoder_settings(width: u32, height: u32) -> Result<vpx_codec_enc_cfg_t, VpxError> {
    let mut config = MaybeUninit::uninit();
    // SAFETY: libvpx fills all of the settings in, unless it returns an error.
    let mut config: vpx_codec_enc_cfg_t = unsafe {
        check(vpx_codec_enc_config_default(vpx_codec_vp8_cx(), config.as_mut_ptr(), 0))?;
        config.assume_init()
    };
    (config.g_w, config.g_h) = (width, height);
    // Times count pictures: nothing goes by them, since each picture is given its quantizer.
    (config.g_timebase.num, config.g_timebase.den) = (1, 30);
    // A second thread spins while it waits for the first, and costs more than it gains at the sizes of a call.
    config.g_threads = 1;
    // Frames are decoded whole and in order or not at all, so nothing is gained by making them less dependent.
    config.g_error_resilient = 0;
    config.g_lag_in_frames = 0;
    config.kf_mode = vpx_kf_mode::VPX_KF_DISABLED;
    // What may be sent is decided before the encoder, with the network in view.
    config.rc_dropframe_thresh = 0;
    config.rc_resize_allowed = 0;
    // Its rate control takes a second and more to follow another bit rate. With one quantizer to choose from it has nothing
    // to say.
    config.rc_end_usage = vpx_rc_mode::VPX_CBR;
    Ok(config)
}

/// A decoder for one stream.
pub(super) struct DecoderContext(Context);

impl DecoderContext {
    /// A decoder without error concealment: a damaged frame is an error.
    pub(super) fn new() -> Result<Self, VpxError> {
        let config = vpx_codec_dec_cfg_t { threads: 1, w: 0, h: 0 };
        let mut context = blank();
        // SAFETY: context and settings are alive for the call, and libvpx keeps its own copy of the settings.
        check(unsafe {
            vpx_codec_dec_init_ver(
                &raw mut *context,
                vpx_codec_vp8_dx(),
                &raw const config,
                0,
                VPX_DECODER_ABI_VERSION as c_int,
            )
        })?;
        Ok(Self(Context(context)))
    }

    /// Decodes one frame.
    pub(super) fn decode(&mut self, frame: &[u8]) -> Result<(), VpxError> {
        let length = c_uint::try_from(frame.len()).map_err(|_| VpxError(vpx_codec_err_t::VPX_CODEC_INVALID_PARAM))?;
        // SAFETY: the context is initialised, and libvpx reads `length` bytes of the frame during the call only.
        check(unsafe { vpx_codec_decode(&raw mut *self.0.0, frame.as_ptr(), length, ptr::null_mut(), 0) })
    }

    /// Whether the last frame, or one that it refers to, was damaged.
    pub(super) fn is_corrupted(&mut self) -> bool {
        let mut corrupted: c_int = 0;
        // SAFETY: the context is initialised, and this option writes one `int`.
        let answer =
            unsafe { vpx_codec_control_(&raw mut *self.0.0, VP8D_GET_FRAME_CORRUPTED as c_int, &raw mut corrupted) };
        answer != VPX_CODEC_OK || corrupted != 0
    }

    /// The picture of the last frame, if it is one to show. To be asked once a frame.
    pub(super) fn picture(&mut self) -> Option<DecodedPlanes<'_>> {
        let mut iterator = ptr::null();
        // SAFETY: the context is initialised. An image that is not null is valid until the next call that decodes, which
        // the borrow of `self` keeps away.
        let image = unsafe { vpx_codec_get_frame(&raw mut *self.0.0, &raw mut iterator).as_ref() }?;
        (image.fmt == VPX_IMG_FMT_I420).then(|| {
            let (width, height) = (image.d_w as usize, image.d_h as usize);
            let chroma = (width.div_ceil(2), height.div_ceil(2));
            DecodedPlanes {
                width,
                height,
                planes: [(0, (width, height)), (1, chroma), (2, chroma)].map(|(index, size)| plane(image, index, size)),
            }
        })
    }
}

/// One of the three planes of a decoded image, and its bytes from row to row.
fn plane(image: &vpx_image_t, index: usize, (width, height): (usize, usize)) -> (&[u8], usize) {
    let stride = usize::try_from(image.stride[index]).expect("libvpx stores rows from top to bottom");
    let length = height.saturating_sub(1) * stride + width;
    // SAFETY: in an I420 image that libvpx decoded, each plane has `height` rows of `width` bytes, `stride` bytes apart,
    // and lives as long as the image.
    (unsafe { slice::from_raw_parts(image.planes[index], length) }, stride)
}
