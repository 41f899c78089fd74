//! Session descriptions made by hand (section 8 of `docs/signaling.md`), and just enough reading to check somebody
//! else's. Nothing stands behind the fingerprints and passwords: no media ever flows.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What identifies one end in its descriptions.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The ICE username fragment.
    pub ufrag: String,
    password: String,
    fingerprint: String,
}

/// A media section of a description, with the lines of the session before it.
#[derive(Debug, Clone)]
pub struct Section<'a> {
    /// `audio`, `video` or `application`.
    pub kind: &'a str,
    session: Vec<&'a str>,
    lines: Vec<&'a str>,
}

impl Endpoint {
    /// An end unlike all others.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a default is the same each time")]
    pub fn new() -> Self {
        let random = Uuid::new_v4().simple().to_string();
        let hash = Sha256::digest(&random);
        let fingerprint: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        Self { ufrag: random[..8].into(), password: random[8..].into(), fingerprint: fingerprint.join(":") }
    }

    /// An offer of the four sections: microphone, camera, screen, data.
    #[must_use]
    pub fn offer(&self) -> String {
        let mut sdp = session("0 1 2 3");
        let video = ["a=sendrecv", H264, "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96"];
        sdp += &self.section("audio 9 UDP/TLS/RTP/SAVPF 111", "0", "actpass", &["a=sendrecv", OPUS]);
        sdp += &self.section("video 9 UDP/TLS/RTP/SAVPF 96 97", "1", "actpass", &video);
        sdp += &self.section("video 9 UDP/TLS/RTP/SAVPF 96 97", "2", "actpass", &video);
        sdp += &self.section("application 9 UDP/DTLS/SCTP webrtc-datachannel", "3", "actpass", &[DATA]);
        sdp
    }

    /// An offer of sound alone, as a program without more would make it.
    #[must_use]
    pub fn offer_of_sound(&self) -> String {
        session("a") + &self.section("audio 9 UDP/TLS/RTP/SAVPF 111", "a", "actpass", &["a=sendrecv", OPUS])
    }

    /// An answer that takes everything in `offer`.
    ///
    /// # Panics
    /// When the offer has no codec that both must know.
    #[must_use]
    pub fn answer(&self, offer: &str) -> String {
        let sections = sections(offer);
        let mids: Vec<&str> = sections.iter().map(|section| section.attribute("mid").expect("a mid")).collect();
        let mut sdp = session(&mids.join(" "));
        for (section, mid) in sections.iter().zip(mids) {
            sdp += &match section.kind {
                "audio" => {
                    let payload = section.payload_of("opus/48000", "").expect("everybody knows Opus");
                    let codec = OPUS.replace("111", payload);
                    let media = format!("audio 9 UDP/TLS/RTP/SAVPF {payload}");
                    self.section(&media, mid, "active", &[section.answering_direction(), &codec])
                }
                "video" => {
                    let payload = section.payload_of("H264/90000", "packetization-mode=1").expect("H.264");
                    let codec = H264.replace("96", payload);
                    let media = format!("video 9 UDP/TLS/RTP/SAVPF {payload}");
                    self.section(&media, mid, "active", &[section.answering_direction(), &codec])
                }
                _ => self.section("application 9 UDP/DTLS/SCTP webrtc-datachannel", mid, "active", &[DATA]),
            };
        }
        sdp
    }

    fn section(&self, media: &str, mid: &str, setup: &str, rest: &[&str]) -> String {
        let Self { ufrag, password, fingerprint } = self;
        let mux = if media.starts_with("application") { "" } else { "a=rtcp-mux\r\n" };
        format!(
            "m={media}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=mid:{mid}\r\n{mux}{}\r\n",
            rest.join("\r\n")
        )
    }
}

const OPUS: &str = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1";
const H264: &str = "a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
    a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 transport-cc";
const DATA: &str = "a=sctp-port:5000\r\na=max-message-size:65536";

fn session(mids: &str) -> String {
    format!("v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n")
}

/// A candidate of the machine's own (RFC 8839 §5.1).
#[must_use]
pub fn host(address: &str, port: u32) -> String {
    format!("candidate:1 1 udp 2122260223 {address} {port} typ host")
}

/// The media sections of a description, in order.
#[must_use]
pub fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut session = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let kind = media.split(' ').next().unwrap_or_default();
            sections.push(Section { kind, session: session.clone(), lines: vec![line] });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        } else {
            session.push(line);
        }
    }
    sections
}

impl<'a> Section<'a> {
    /// The value of `a=name:value`, or an empty one of `a=name`; where the section has none, the session's.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().chain(&self.session).find_map(|line| attribute(line, name))
    }

    /// Every value of the section's own `a=name:value`.
    #[must_use]
    pub fn attributes(&self, name: &str) -> Vec<&'a str> {
        self.lines.iter().filter_map(|line| attribute(line, name)).collect()
    }

    /// The `m=` line.
    #[must_use]
    pub fn media(&self) -> &'a str {
        self.lines[0]
    }

    /// The payload type of a codec whose parameters contain `parameters`.
    #[must_use]
    pub fn payload_of(&self, codec: &str, parameters: &str) -> Option<&'a str> {
        self.attributes("rtpmap").into_iter().find_map(|map| {
            let (payload, name) = map.split_once(' ')?;
            let mut formats = self.attributes("fmtp").into_iter().filter_map(|format| format.split_once(' '));
            let fits = parameters.is_empty() || formats.any(|(of, text)| of == payload && text.contains(parameters));
            (name.to_lowercase().starts_with(&codec.to_lowercase()) && fits).then_some(payload)
        })
    }

    /// The fullest direction that answers this section's (RFC 8829 §5.3.1).
    fn answering_direction(&self) -> &'static str {
        let has = |name: &str| self.attribute(name).is_some();
        match () {
            () if has("sendonly") => "a=recvonly",
            () if has("recvonly") => "a=sendonly",
            () if has("inactive") => "a=inactive",
            () => "a=sendrecv",
        }
    }
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(':') }
}
