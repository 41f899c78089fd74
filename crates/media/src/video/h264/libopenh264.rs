//! The calls into openh264's encoder: a context for pictures of one size, safe to use. Knows openh264's memory and settings,
//! nothing of bit rates: each picture's quantizer is given from outside, and openh264's own rate control is off.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::slice;

use openh264_sys2::{
    API, CAMERA_VIDEO_REAL_TIME, CONSTANT_ID, DynamicAPI, ENCODER_OPTION_SVC_ENCODE_PARAM_EXT,
    ENCODER_OPTION_TRACE_LEVEL, ISVCEncoder, ISVCEncoderVtbl, MEDIUM_COMPLEXITY, PRO_BASELINE, RC_OFF_MODE,
    SEncParamExt, SFrameBSInfo, SM_SIZELIMITED_SLICE, SSourcePicture, WELS_LOG_QUIET, videoFormatI420, videoFrameTypeI,
    videoFrameTypeIDR, videoFrameTypeIPMixed, videoFrameTypeP,
};

use crate::frame::VideoFrame;

/// The longest slice. With the packet's headers it stays below 1200 bytes, which every path carries; so a lost packet costs
/// one slice, and no slice has to be cut. openh264 leaves itself a margin of more than 100 bytes to the limit it is given.
/// Parameter sets are far shorter.
pub(super) const MAX_SLICE_BYTES: u32 = 1130;

/// openh264 looks at the frame rate for the level only; the highest that a camera has (see `FrameRate::MAX_FPS`) would ask
/// for a level above 3.1.
const NOMINAL_FPS: f32 = 30.0;

/// openh264 failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("openh264 failed at {step} (code {code})")]
pub(crate) struct OpenH264Error {
    step: &'static str,
    code: c_int,
}

fn check(step: &'static str, code: c_int) -> Result<(), OpenH264Error> {
    if code == 0 { Ok(()) } else { Err(OpenH264Error { step, code }) }
}

/// An encoder for pictures of one size: constrained baseline, one thread, slices no longer than [`MAX_SLICE_BYTES`], key
/// pictures when asked and nowhere else.
pub(crate) struct EncoderContext {
    api: DynamicAPI,
    encoder: NonNull<ISVCEncoder>,
    settings: Box<SEncParamExt>,
    coded: Box<SFrameBSInfo>,
    width: u32,
    height: u32,
}

// SAFETY: openh264 keeps no state for each thread, and a context has one owner, which alone calls into it.
unsafe impl Send for EncoderContext {}

impl Drop for EncoderContext {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and nothing that it handed out can still be borrowed. It takes back what was initialised,
        // also if that failed.
        unsafe { self.api.WelsDestroySVCEncoder(self.encoder.as_ptr()) };
    }
}

impl EncoderContext {
    /// An encoder for pictures of this size, which openh264 takes from 16 to 3840 pixels.
    pub(super) fn new(width: u32, height: u32) -> Result<Self, OpenH264Error> {
        let api = DynamicAPI::from_source();
        let mut encoder: *mut ISVCEncoder = ptr::null_mut();
        // SAFETY: the function writes one pointer.
        check("creation", unsafe { api.WelsCreateSVCEncoder(&raw mut encoder) })?;
        let encoder = NonNull::new(encoder).ok_or(OpenH264Error { step: "creation", code: -1 })?;
        // SAFETY: both are numbers, enums of C, pointers and flags, for which zero is a value; they are filled in before
        // they are read.
        let (settings, coded) = unsafe { (Box::new(zeroed()), Box::new(zeroed())) };
        let mut context = Self { api, encoder, settings, coded, width, height };
        context.silence();
        context.initialise()?;
        Ok(context)
    }

    fn functions(&self) -> &ISVCEncoderVtbl {
        // SAFETY: an encoder begins with a pointer to its functions, which are part of the library.
        unsafe { &**self.encoder.as_ptr() }
    }

    /// openh264 would write warnings about our settings to standard error while it starts.
    fn silence(&mut self) {
        let mut level = WELS_LOG_QUIET;
        let set_option = self.functions().SetOption.expect("openh264 fills in its functions");
        // SAFETY: the encoder is alive; this option may be set before it is initialised, reads one `int` and keeps no
        // pointer to it.
        unsafe { set_option(self.encoder.as_ptr(), ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast()) };
    }

    fn initialise(&mut self) -> Result<(), OpenH264Error> {
        let (width, height) = (self.width as c_int, self.height as c_int);
        let defaults = self.functions().GetDefaultParams.expect("openh264 fills in its functions");
        // SAFETY: the encoder is alive, and the function fills in the settings.
        check("its defaults", unsafe { defaults(self.encoder.as_ptr(), &raw mut *self.settings) })?;
        let settings = &mut *self.settings;
        settings.iUsageType = CAMERA_VIDEO_REAL_TIME;
        (settings.iPicWidth, settings.iPicHeight) = (width, height);
        settings.fMaxFrameRate = NOMINAL_FPS;
        settings.iComplexityMode = MEDIUM_COMPLEXITY;
        // Each picture is given its quantizer, so that the next one obeys a new bit rate.
        settings.iRCMode = RC_OFF_MODE;
        settings.bEnableFrameSkip = false;
        // A changed scene is coded as it is: a key picture comes only when one is asked for.
        settings.bEnableSceneChangeDetect = false;
        settings.uiIntraPeriod = 0;
        settings.bEnableLongTermReference = false;
        settings.bEnableAdaptiveQuant = false;
        settings.eSpsPpsIdStrategy = CONSTANT_ID;
        settings.iMultipleThreadIdc = 1;
        settings.iSpatialLayerNum = 1;
        settings.iTemporalLayerNum = 1;
        settings.uiMaxNalSize = MAX_SLICE_BYTES;
        let layer = &mut settings.sSpatialLayers[0];
        layer.uiProfileIdc = PRO_BASELINE;
        (layer.iVideoWidth, layer.iVideoHeight) = (width, height);
        layer.fFrameRate = NOMINAL_FPS;
        layer.sSliceArgument.uiSliceMode = SM_SIZELIMITED_SLICE;
        layer.sSliceArgument.uiSliceSizeConstraint = MAX_SLICE_BYTES;
        let initialise = self.functions().InitializeExt.expect("openh264 fills in its functions");
        // SAFETY: encoder and settings are alive for the call, and openh264 keeps its own copy of the settings.
        check("its settings", unsafe { initialise(self.encoder.as_ptr(), &raw const *self.settings) })?;
        // As openh264 has brought them to what it can do: only what equals them can be changed without a new key picture.
        let get_option = self.functions().GetOption.expect("openh264 fills in its functions");
        // SAFETY: the encoder is initialised, and this option writes one `SEncParamExt`.
        let code = unsafe {
            let settings: *mut c_void = (&raw mut *self.settings).cast();
            get_option(self.encoder.as_ptr(), ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, settings)
        };
        check("its settings", code)
    }

    /// Sets the quantizer of the next picture on, from 0 to 51 (H.264 §7.4.2.2). Costs no key picture.
    fn set_quantizer(&mut self, quantizer: u8) -> Result<(), OpenH264Error> {
        let quantizer = c_int::from(quantizer.min(51));
        if self.settings.sSpatialLayers[0].iDLayerQp == quantizer {
            return Ok(());
        }
        self.settings.sSpatialLayers[0].iDLayerQp = quantizer;
        let set_option = self.functions().SetOption.expect("openh264 fills in its functions");
        // SAFETY: the encoder is initialised; this option reads one `SEncParamExt` and keeps no pointer to it.
        let code = unsafe {
            let settings: *mut c_void = (&raw mut *self.settings).cast();
            set_option(self.encoder.as_ptr(), ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, settings)
        };
        check("the quantizer", code)
    }

    /// Encodes a picture of the encoder's size with this quantizer and appends its access unit (Annex B) to `stream`. Says
    /// whether it became a key picture; nothing if openh264 left it out.
    pub(super) fn access_unit(
        &mut self,
        frame: &VideoFrame,
        quantizer: u8,
        key: bool,
        stream: &mut Vec<u8>,
    ) -> Result<Option<bool>, OpenH264Error> {
        self.set_quantizer(quantizer)?;
        if key {
            let force = self.functions().ForceIntraFrame.expect("openh264 fills in its functions");
            // SAFETY: the encoder is initialised.
            check("a key picture", unsafe { force(self.encoder.as_ptr(), true) })?;
        }
        let stride = frame.width() as c_int;
        let (y, u, v) = frame.planes();
        let picture = SSourcePicture {
            iColorFormat: videoFormatI420,
            iStride: [stride, stride / 2, stride / 2, 0],
            pData: [y.as_ptr().cast_mut(), u.as_ptr().cast_mut(), v.as_ptr().cast_mut(), ptr::null_mut()],
            iPicWidth: stride,
            iPicHeight: frame.height() as c_int,
            // Only its own rate control would look at it.
            uiTimeStamp: 0,
            bPsnrY: false,
            bPsnrU: false,
            bPsnrV: false,
        };
        let encode = self.functions().EncodeFrame.expect("openh264 fills in its functions");
        // SAFETY: the encoder is initialised; the picture points into the frame, which is alive for the call, has the three
        // planes of this size and these strides, and is copied before anything is changed. The description of what was
        // coded is ours.
        check("a picture", unsafe { encode(self.encoder.as_ptr(), &raw const picture, &raw mut *self.coded) })?;
        self.append(stream);
        // The bindings have these as numbers, not as an enum.
        let kind = self.coded.eFrameType;
        Ok(if kind == videoFrameTypeIDR {
            Some(true)
        } else if [videoFrameTypeI, videoFrameTypeP, videoFrameTypeIPMixed].contains(&kind) {
            Some(false)
        } else {
            None
        })
    }

    /// What the last call gave.
    fn append(&self, stream: &mut Vec<u8>) {
        let count = usize::try_from(self.coded.iLayerNum).unwrap_or(0);
        for layer in self.coded.sLayerInfo.iter().take(count) {
            let units = usize::try_from(layer.iNalCount).unwrap_or(0);
            if units == 0 {
                continue;
            }
            // SAFETY: openh264 filled the layer in: the lengths of as many units, and the units one after the other; both
            // stay until the next picture is encoded.
            unsafe {
                let lengths = slice::from_raw_parts(layer.pNalLengthInByte, units);
                let bytes = lengths.iter().map(|length| usize::try_from(*length).unwrap_or(0)).sum();
                stream.extend_from_slice(slice::from_raw_parts(layer.pBsBuf, bytes));
            }
        }
    }
}

/// # Safety
/// Zero must be a value of `T`.
unsafe fn zeroed<T>() -> T {
    // SAFETY: as the caller promises.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
