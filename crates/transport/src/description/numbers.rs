//! Payload types where a peer's offer numbers codecs otherwise than before, as Firefox does in the first offer it makes after
//! one that it answered. The peer connection keeps the numbers of the first negotiation for good and answers with those; an
//! answer is to repeat the ones of its offer (RFC 3264 §6.1). Pure.

use super::remote::{RtpCodec, codecs};
use super::{Media, RemoteDescription};

/// A section whose codecs the peer numbers otherwise than the peer connection does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renumbering {
    pub(crate) mid: String,
    /// The section's place in the description.
    index: usize,
    pub(crate) codecs: Vec<RenumberedCodec>,
}

/// A codec as the peer connection has it, and as the peer has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RenumberedCodec {
    pub(crate) own: RtpCodec,
    pub(crate) peers: RtpCodec,
}

/// The sections in which `answer`, which the peer connection made, has other numbers than the offer `remote`.
pub(crate) fn renumberings(answer: &str, remote: &RemoteDescription) -> Vec<Renumbering> {
    let sections = codecs(answer).into_iter().zip(&remote.sections).enumerate();
    sections
        .filter_map(|(index, (own, section))| {
            let Media::Rtp(rtp) = &section.media else {
                return None;
            };
            let codecs: Vec<_> = own.into_iter().filter_map(|own| RenumberedCodec::new(own, &rtp.codecs)).collect();
            let differs = !section.refused && codecs.iter().any(RenumberedCodec::differs);
            differs.then(|| Renumbering { mid: section.mid.clone(), index, codecs })
        })
        .collect()
}

/// The answer `sdp` with the peer's numbers. What a renumbered section has no number of the peer's for is left out.
pub(crate) fn renumber(sdp: &str, renumberings: &[Renumbering]) -> String {
    let mut out = String::with_capacity(sdp.len() + 64);
    let mut sections = 0;
    for line in sdp.lines() {
        sections += usize::from(line.starts_with("m="));
        let line = match renumberings.iter().find(|one| one.index + 1 == sections) {
            Some(renumbering) => renumbering.line(line),
            None => Some(line.to_owned()),
        };
        if let Some(line) = line {
            out.push_str(&line);
            out.push_str("\r\n");
        }
    }
    out
}

impl RenumberedCodec {
    fn new(own: RtpCodec, peers: &[RtpCodec]) -> Option<Self> {
        let same = |number: Option<u8>| {
            peers.iter().find(|peers| peers.codec == own.codec && number.is_none_or(|it| it == peers.payload_type))
        };
        let peers = same(Some(own.payload_type)).or_else(|| same(None))?.clone();
        Some(Self { own, peers })
    }

    fn differs(&self) -> bool {
        let rtx = self.own.rtx_payload_type.zip(self.peers.rtx_payload_type);
        let red = self.own.red_payload_type.zip(self.peers.red_payload_type);
        self.own.payload_type != self.peers.payload_type
            || [rtx, red].into_iter().flatten().any(|(own, peers)| own != peers)
    }

    /// The peer's number for `own`, if that is this codec, its retransmissions or its copies.
    fn number(&self, own: u8) -> Option<u8> {
        if own == self.own.payload_type {
            return Some(self.peers.payload_type);
        }
        let rtx = self.peers.rtx_payload_type.filter(|_| self.own.rtx_payload_type == Some(own));
        rtx.or_else(|| self.peers.red_payload_type.filter(|_| self.own.red_payload_type == Some(own)))
    }
}

impl Renumbering {
    fn line(&self, line: &str) -> Option<String> {
        if let Some(media) = line.strip_prefix("m=") {
            // Media, port and protocol stand before the numbers.
            let fields = media.split(' ').enumerate();
            let fields: Vec<String> = fields
                .filter_map(|(place, field)| if place < 3 { Some(field.to_owned()) } else { self.number(field) })
                .collect();
            return Some(format!("m={}", fields.join(" ")));
        }
        let key = ["a=rtpmap:", "a=rtcp-fb:", "a=fmtp:"].into_iter().find(|key| line.starts_with(key));
        let Some((key, (number, rest))) = key.and_then(|key| Some((key, line.strip_prefix(key)?.split_once(' ')?)))
        else {
            return Some(line.to_owned());
        };
        let is_red = self
            .codecs
            .iter()
            .any(|codec| codec.own.red_payload_type.map(|red| red.to_string()).as_deref() == Some(number));
        let number = self.number(number)?;
        match rest.strip_prefix("apt=") {
            Some(repaired) => Some(format!("{key}{number} apt={}", self.number(repaired)?)),
            None if is_red && key == "a=fmtp:" => {
                let blocks: Option<Vec<String>> = rest.split('/').map(|block| self.number(block)).collect();
                Some(format!("{key}{number} {}", blocks?.join("/")))
            }
            None => Some(format!("{key}{number} {rest}")),
        }
    }

    fn number(&self, own: &str) -> Option<String> {
        let own = own.parse().ok()?;
        self.codecs.iter().find_map(|codec| codec.number(own)).map(|number| number.to_string())
    }
}
