//! Reading a peer's description: from text to what of it can be used. Nothing is guessed, and what is not known is left out.

use super::{DescriptionError, MAX_BYTES, MAX_SECTIONS};
use crate::candidate::{self, is_ice_char};
use crate::track::{Codec, Track, VideoCodec};

/// More candidates than any machine's interfaces and servers make.
const MAX_CANDIDATES: usize = 64;

/// RTP header extensions that are passed on: the ones that this side registers.
const EXTENSIONS: [&str; 2] = ["urn:ietf:params:rtp-hdrext:sdes:mid", TRANSPORT_CC_EXTENSION];

/// The extension that numbers packets for the whole transport.
pub(crate) const TRANSPORT_CC_EXTENSION: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// RTCP feedback that is passed on.
const FEEDBACK: [&str; 4] = ["nack", "nack pli", "ccm fir", "transport-cc"];

/// Whether a description offers or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DescriptionKind {
    Offer,
    Answer,
}

/// What a peer's description says, as far as it is understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RemoteDescription {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    /// The SHA-256 of the certificate, in upper case hexadecimal pairs.
    pub(crate) fingerprint: String,
    pub(crate) setup: String,
    pub(crate) ice_lite: bool,
    pub(crate) sections: Vec<Section>,
    /// Candidates over UDP that passed the check.
    pub(crate) candidates: Vec<candidate::CheckedCandidate>,
    /// The same over TCP. The peer connection is not told of them.
    pub(crate) tcp_candidates: Vec<candidate::CheckedCandidate>,
}

/// One section of a peer's description.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) media: Media,
    /// From the peer's point of view.
    pub(crate) direction: Direction,
    /// Cannot be used: the peer closed it, no codec is known, or there are more sections of its kind than tracks.
    pub(crate) refused: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Rtp(Rtp),
    Application { sctp_port: u16, max_message_bytes: u32 },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rtp {
    pub(crate) audio: bool,
    /// Missing for a section beyond those that are known.
    pub(crate) track: Option<Track>,
    pub(crate) codecs: Vec<RtpCodec>,
    pub(crate) extensions: Vec<(u8, &'static str)>,
    /// The SSRC that media come with, and the one of its retransmissions.
    pub(crate) ssrc: Option<(u32, Option<u32>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RtpCodec {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    pub(crate) rtx_payload_type: Option<u8>,
    /// The payload type of the same with copies of earlier packets (RFC 2198).
    pub(crate) red_payload_type: Option<u8>,
    pub(crate) feedback: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// Reads and checks a peer's description. Of video codecs only those in `video` count; `loopback` lets candidates of this
/// machine pass.
pub(crate) fn read(
    sdp: &str,
    kind: DescriptionKind,
    video: &[VideoCodec],
    loopback: bool,
) -> Result<RemoteDescription, DescriptionError> {
    let (session, blocks) = split(sdp)?;
    let fingerprint = fingerprint(&session, &blocks)?;
    let everywhere = |key| session.values(key).chain(blocks.iter().flat_map(move |block| block.values(key)));
    let ufrag = agreed(everywhere("ice-ufrag"), "ice-ufrag")?;
    let pwd = agreed(everywhere("ice-pwd"), "ice-pwd")?;
    check_credentials(ufrag, pwd)?;
    let setup = agreed(everywhere("setup"), "setup")?;
    let fits = match kind {
        DescriptionKind::Offer => setup == "actpass",
        DescriptionKind::Answer => matches!(setup, "active" | "passive"),
    };
    if !fits {
        return Err(DescriptionError::Setup);
    }
    let sections = read_sections(&session, &blocks, video)?;
    if sections.iter().all(|section| section.refused) {
        return Err(DescriptionError::NothingInCommon);
    }
    let candidates = blocks.iter().flat_map(|block| block.values("candidate"));
    let candidates = candidates.filter_map(|value| candidate::check(value, loopback).ok()).take(MAX_CANDIDATES);
    let (candidates, tcp_candidates) = candidates.partition(|found| found.transport == candidate::Transport::Udp);
    Ok(RemoteDescription {
        ufrag: ufrag.to_owned(),
        pwd: pwd.to_owned(),
        fingerprint,
        setup: setup.to_owned(),
        ice_lite: session.has("ice-lite"),
        sections,
        candidates,
        tcp_candidates,
    })
}

/// The codecs that are known, of each section of a description of ours.
pub(crate) fn codecs(sdp: &str) -> Vec<Vec<RtpCodec>> {
    let (_, blocks) = split(sdp).unwrap_or_default();
    let of_block = |block: &Block<'_>| {
        let mut fields = block.media.split(' ');
        let audio = fields.next() == Some("audio");
        read_codecs(block, audio, &fields.skip(2).collect::<Vec<_>>(), |_| true)
    };
    blocks.iter().map(of_block).collect()
}

/// The attributes before the first `m=`, or of one section.
#[derive(Default)]
struct Block<'a> {
    /// The `m=` line without `m=`; empty before the first section.
    media: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Block<'a> {
    fn values(&self, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter(move |(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn value(&self, key: &'static str) -> Option<&'a str> {
        self.values(key).next()
    }

    fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// The values of `key` that belong to payload type `format`, without it.
    fn values_of(&self, key: &'static str, format: &str) -> impl Iterator<Item = &'a str> {
        self.values(key).filter_map(move |value| {
            let (of, rest) = value.split_once(' ')?;
            (of == format).then_some(rest)
        })
    }
}

/// Splits a description into its session part and its sections (RFC 8866 §5).
fn split(sdp: &str) -> Result<(Block<'_>, Vec<Block<'_>>), DescriptionError> {
    if sdp.len() > MAX_BYTES {
        return Err(DescriptionError::TooLarge);
    }
    let mut session = Block::default();
    let mut sections: Vec<Block<'_>> = Vec::new();
    for (index, line) in sdp.lines().enumerate() {
        let malformed = DescriptionError::Malformed(index + 1);
        if line.chars().any(char::is_control) {
            return Err(malformed);
        }
        let (name, value) = line.split_once('=').ok_or(malformed.clone())?;
        if (index == 0) != (name == "v") || (index == 0 && value != "0") {
            return Err(malformed);
        }
        match name {
            "m" => sections.push(Block { media: value, attributes: Vec::new() }),
            "a" => {
                let attribute = value.split_once(':').unwrap_or((value, ""));
                sections.last_mut().unwrap_or(&mut session).attributes.push(attribute);
            }
            _ if name.len() == 1 && name.chars().all(|name| name.is_ascii_lowercase()) => {}
            _ => return Err(malformed),
        }
    }
    if (1..=MAX_SECTIONS).contains(&sections.len()) {
        Ok((session, sections))
    } else {
        Err(DescriptionError::SectionCount(sections.len()))
    }
}

/// The one value that all sections of a bundle share.
fn agreed<'a>(mut values: impl Iterator<Item = &'a str>, name: &'static str) -> Result<&'a str, DescriptionError> {
    let first = values.next().ok_or(DescriptionError::Missing(name))?;
    if values.all(|value| value == first) { Ok(first) } else { Err(DescriptionError::Conflict(name)) }
}

fn check_credentials(ufrag: &str, pwd: &str) -> Result<(), DescriptionError> {
    // RFC 8839 §5.4: at least 4 and 22 characters, at most 256.
    if !(4..=256).contains(&ufrag.len()) || !ufrag.chars().all(is_ice_char) {
        return Err(DescriptionError::Attribute("ice-ufrag"));
    }
    if !(22..=256).contains(&pwd.len()) || !pwd.chars().all(is_ice_char) {
        return Err(DescriptionError::Attribute("ice-pwd"));
    }
    Ok(())
}

/// The SHA-256 fingerprint; others do not count, wherever they stand, and wherever one stands this one must.
fn fingerprint(session: &Block<'_>, sections: &[Block<'_>]) -> Result<String, DescriptionError> {
    let mut agreed: Option<String> = None;
    for block in std::iter::once(session).chain(sections) {
        let mut has_sha_256 = false;
        for value in block.values("fingerprint") {
            let (algorithm, digest) = value.split_once(' ').ok_or(DescriptionError::Attribute("fingerprint"))?;
            if !algorithm.eq_ignore_ascii_case("sha-256") {
                continue;
            }
            has_sha_256 = true;
            let digest = digest.to_ascii_uppercase();
            if !is_sha_256(&digest) {
                return Err(DescriptionError::Attribute("fingerprint"));
            }
            if *agreed.get_or_insert_with(|| digest.clone()) != digest {
                return Err(DescriptionError::Conflict("fingerprint"));
            }
        }
        if block.has("fingerprint") && !has_sha_256 {
            return Err(DescriptionError::Missing("sha-256 fingerprint"));
        }
    }
    agreed.ok_or(DescriptionError::Missing("sha-256 fingerprint"))
}

fn is_sha_256(digest: &str) -> bool {
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    digest.split(':').count() == 32 && digest.split(':').all(is_pair)
}

fn read_sections(
    session: &Block<'_>,
    blocks: &[Block<'_>],
    video: &[VideoCodec],
) -> Result<Vec<Section>, DescriptionError> {
    let bundled: Vec<&str> = session
        .values("group")
        .filter_map(|value| value.strip_prefix("BUNDLE "))
        .flat_map(|mids| mids.split(' '))
        .collect();
    let mut tracks = TrackOrder::new(video);
    let mut sections: Vec<Section> = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.iter().enumerate() {
        let mid = block.value("mid").filter(|mid| is_mid(mid)).ok_or(DescriptionError::Mid(index))?;
        if sections.iter().any(|section| section.mid == mid) {
            return Err(DescriptionError::Mid(index));
        }
        let section = read_section(index, mid, session, block, &mut tracks)?;
        if !section.refused && !bundled.contains(&mid) {
            return Err(DescriptionError::NotBundled(index));
        }
        sections.push(section);
    }
    Ok(sections)
}

fn is_mid(mid: &str) -> bool {
    let is_token = |character: char| character.is_ascii_alphanumeric() || "-_.+{}~".contains(character);
    (1..=32).contains(&mid.len()) && mid.chars().all(is_token)
}

/// Which track the next section of a kind is, and what it may be in.
struct TrackOrder<'a> {
    video_codecs: &'a [VideoCodec],
    audio: usize,
    video: usize,
    application: usize,
}

impl<'a> TrackOrder<'a> {
    fn new(video_codecs: &'a [VideoCodec]) -> Self {
        Self { video_codecs, audio: 0, video: 0, application: 0 }
    }

    fn next(&mut self, audio: bool) -> Option<Track> {
        let (count, order): (_, &[Track]) = if audio {
            (&mut self.audio, &[Track::Microphone])
        } else {
            (&mut self.video, &[Track::Camera, Track::Screen])
        };
        let track = order.get(*count).copied();
        *count += 1;
        track
    }
}

fn read_section(
    index: usize,
    mid: &str,
    session: &Block<'_>,
    block: &Block<'_>,
    tracks: &mut TrackOrder<'_>,
) -> Result<Section, DescriptionError> {
    let mut fields = block.media.split(' ');
    let (Some(media), Some(port), Some(protocol)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(DescriptionError::Protocol(index));
    };
    // Zero closes a section, unless it only waits for the BUNDLE to be accepted (RFC 9143 §6).
    let closed = port == "0" && !block.has("bundle-only");
    let formats: Vec<&str> = fields.collect();
    match (media, protocol) {
        ("audio" | "video", "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP") => {
            if !closed && !block.has("rtcp-mux") {
                return Err(DescriptionError::NoRtcpMux(index));
            }
            let audio = media == "audio";
            let rtp = read_rtp(block, audio, tracks, &formats);
            let refused = closed || rtp.codecs.is_empty() || rtp.track.is_none();
            let direction = direction(session, block);
            Ok(Section { mid: mid.to_owned(), media: Media::Rtp(rtp), direction, refused })
        }
        ("application", "UDP/DTLS/SCTP") if formats == ["webrtc-datachannel"] => {
            tracks.application += 1;
            let media = Media::Application {
                sctp_port: number(block.value("sctp-port")).unwrap_or(5_000),
                // RFC 8841 §6: 64 KiB where nothing is said.
                max_message_bytes: number(block.value("max-message-size")).unwrap_or(65_536),
            };
            let refused = closed || tracks.application > 1;
            Ok(Section { mid: mid.to_owned(), media, direction: Direction::SendRecv, refused })
        }
        _ => Err(DescriptionError::Protocol(index)),
    }
}

fn direction(session: &Block<'_>, block: &Block<'_>) -> Direction {
    let named = [
        ("sendrecv", Direction::SendRecv),
        ("sendonly", Direction::SendOnly),
        ("recvonly", Direction::RecvOnly),
        ("inactive", Direction::Inactive),
    ];
    let in_block = |block: &Block<'_>| named.iter().find(|(name, _)| block.has(name)).map(|(_, direction)| *direction);
    in_block(block).or_else(|| in_block(session)).unwrap_or(Direction::SendRecv)
}

fn read_rtp(block: &Block<'_>, audio: bool, tracks: &mut TrackOrder<'_>, formats: &[&str]) -> Rtp {
    let track = tracks.next(audio);
    let is_known = |codec: Codec| audio || tracks.video_codecs.iter().any(|known| known.codec() == codec);
    let codecs = read_codecs(block, audio, formats, is_known);
    Rtp { audio, track, codecs, extensions: read_extensions(block), ssrc: read_ssrc(block) }
}

fn read_codecs(block: &Block<'_>, audio: bool, formats: &[&str], is_known: impl Fn(Codec) -> bool) -> Vec<RtpCodec> {
    let mut codecs: Vec<RtpCodec> = Vec::new();
    for format in formats.iter().take(MAX_FORMATS) {
        if let Some(codec) = read_codec(block, audio, format, formats)
            && is_known(codec.codec)
            && !codecs.iter().any(|known| known.payload_type == codec.payload_type)
        {
            codecs.push(codec);
        }
    }
    codecs
}

/// Payload types looked at: all that there can be.
const MAX_FORMATS: usize = 128;

fn read_codec(block: &Block<'_>, audio: bool, format: &str, formats: &[&str]) -> Option<RtpCodec> {
    let payload_type = payload_type(format)?;
    let map = block.values_of("rtpmap", format).next()?.to_ascii_lowercase();
    let codec = match (audio, map.as_str()) {
        (true, "opus/48000/2") => Codec::Opus,
        (false, "vp8/90000") => Codec::Vp8,
        (false, "h264/90000") if is_constrained_baseline(block.values_of("fmtp", format).next()?) => Codec::H264,
        _ => return None,
    };
    let apt = format!("apt={format}");
    let is_rtx = |other: &&&str| {
        block.values_of("rtpmap", other).any(|map| map.eq_ignore_ascii_case("rtx/90000"))
            && block.values_of("fmtp", other).any(|parameters| parameters.split(';').any(|one| one.trim() == apt))
    };
    let rtx = formats.iter().take(MAX_FORMATS).find(is_rtx).filter(|_| !audio);
    // Every block in the one codec; where nothing is said it may be any (RFC 2198 §5).
    let is_red = |other: &&&str| {
        block.values_of("rtpmap", other).any(|map| map.eq_ignore_ascii_case("red/48000/2"))
            && block.values_of("fmtp", other).all(|blocks| blocks.split('/').all(|one| one == format))
    };
    let red = formats.iter().take(MAX_FORMATS).find(is_red).filter(|_| codec == Codec::Opus);
    let offered: Vec<&str> = block.values_of("rtcp-fb", format).chain(block.values_of("rtcp-fb", "*")).collect();
    Some(RtpCodec {
        codec,
        payload_type,
        rtx_payload_type: rtx.and_then(|format| self::payload_type(format)),
        red_payload_type: red.and_then(|format| self::payload_type(format)),
        feedback: FEEDBACK.into_iter().filter(|feedback| offered.contains(feedback)).collect(),
    })
}

/// A payload type that cannot be mistaken for RTCP on the same port (RFC 5761 §4).
fn payload_type(format: &str) -> Option<u8> {
    number(Some(format)).filter(|number: &u8| *number < 64 || (96..128).contains(number))
}

/// Packetization mode 1, and a profile of which this side's decoder knows every tool (RFC 6184 §8.1, table 5).
fn is_constrained_baseline(parameters: &str) -> bool {
    let parameter = |name: &str| {
        parameters.split(';').filter_map(|one| one.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    };
    let profile = parameter("profile-level-id").filter(|value| value.is_ascii() && value.len() == 6);
    let bytes = profile.and_then(|value| u32::from_str_radix(value, 16).ok()).map(u32::to_be_bytes);
    parameter("packetization-mode") == Some("1")
        && matches!(bytes, Some([_, 0x42, constraints, _]) if constraints & 0x4f == 0x40)
}

fn read_extensions(block: &Block<'_>) -> Vec<(u8, &'static str)> {
    let mut extensions: Vec<(u8, &'static str)> = Vec::new();
    for value in block.values("extmap") {
        let mut fields = value.split(' ');
        let id = fields.next().and_then(|id| id.split('/').next());
        // One-byte headers (RFC 8285 §4.2) are the ones in use.
        let id = number(id).filter(|id: &u8| (1..=14).contains(id));
        let uri = fields.next().and_then(|uri| EXTENSIONS.into_iter().find(|known| *known == uri));
        if let (Some(id), Some(uri)) = (id, uri)
            && !extensions.iter().any(|known| known.0 == id || known.1 == uri)
        {
            extensions.push((id, uri));
        }
    }
    extensions
}

/// The first SSRC that is not one of retransmissions, and that of its retransmissions (RFC 5576, RFC 4588).
fn read_ssrc(block: &Block<'_>) -> Option<(u32, Option<u32>)> {
    let repaired = block.values("ssrc-group").find_map(|value| {
        let mut ssrcs = value.strip_prefix("FID ")?.split(' ');
        Some((number(ssrcs.next())?, number(ssrcs.next())?))
    });
    if let Some((media, rtx)) = repaired.filter(|(media, rtx)| media != rtx) {
        return Some((media, Some(rtx)));
    }
    let declared = block.values("ssrc").find_map(|value| number(value.split(' ').next()));
    declared.map(|media| (media, None))
}

fn number<T: std::str::FromStr>(field: Option<&str>) -> Option<T> {
    field.filter(|field| field.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}
