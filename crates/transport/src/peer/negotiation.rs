//! What negotiation has come to so far: what the peer said last, and what of ours waits for its answer.

use crate::agreement::{Agreement, Receiving, Sending, TrackAgreement};
use crate::candidate::{CandidateKind, CheckedCandidate, Transport};
use crate::description::{
    DescriptionError, Direction, DtlsRole, Media, RemoteDescription, Rtp, RtpCodec, SectionFate, TRANSPORT_CC_EXTENSION,
};
use crate::sockets::{IceCredentials, Sockets};
use crate::track::{Codec, Track, VideoCodec};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// The state that one negotiation leaves to the next.
pub(super) struct Negotiation {
    pub(super) pending_offer: Option<PendingOffer>,
    pub(super) remote_ufrag: Option<String>,
    pub(super) candidate_count: usize,
    /// Ours, once the first offer was answered. The DTLS connection outlives every renegotiation, and so does the role.
    pub(super) dtls_role: Option<DtlsRole>,
    fingerprint: Option<String>,
    /// The kinds under which the peer told its addresses.
    signalled: HashMap<SocketAddr, CandidateKind>,
    /// What is known of video codecs, the preferred first.
    pub(super) video_codecs: Vec<VideoCodec>,
    agreement: watch::Sender<Agreement>,
    sockets: Arc<Sockets>,
}

/// An offer of ours that waits for its answer.
pub(super) struct PendingOffer {
    /// Media and mid of each section.
    pub(super) sections: Vec<(String, String)>,
}

impl Negotiation {
    pub(super) fn new(
        video_codecs: Vec<VideoCodec>,
        agreement: watch::Sender<Agreement>,
        sockets: Arc<Sockets>,
    ) -> Self {
        Self {
            pending_offer: None,
            remote_ufrag: None,
            candidate_count: 0,
            dtls_role: None,
            fingerprint: None,
            signalled: HashMap::new(),
            video_codecs,
            agreement,
            sockets,
        }
    }

    /// The DTLS connection outlives every renegotiation, and so must the certificate.
    fn check_fingerprint(&self, remote: &RemoteDescription) -> Result<(), DescriptionError> {
        match &self.fingerprint {
            Some(fingerprint) if *fingerprint != remote.fingerprint => Err(DescriptionError::FingerprintChanged),
            Some(_) | None => Ok(()),
        }
    }

    /// A description of ours is about to be set: from then on the peer's checks may come.
    pub(super) fn begin_local(&self, sdp: &str) {
        let credentials = crate::description::ufrag(sdp).zip(crate::description::ice_password(sdp));
        self.sockets.set_local_credentials(credentials.map(|(ufrag, password)| IceCredentials { ufrag, password }));
    }

    /// A description of the peer's is about to be set, unless it is refused here.
    pub(super) fn begin_remote(&self, remote: &RemoteDescription) -> Result<(), DescriptionError> {
        self.check_fingerprint(remote)?;
        let (ufrag, password) = (remote.ufrag.clone(), remote.pwd.clone());
        self.sockets.set_remote_credentials(IceCredentials { ufrag, password }, remote.setup == "passive");
        Ok(())
    }

    /// Takes over what a description says, once offer and answer are both set.
    pub(super) fn commit(&mut self, remote: &RemoteDescription) {
        if self.remote_ufrag.as_ref() != Some(&remote.ufrag) {
            self.remote_ufrag = Some(remote.ufrag.clone());
            self.candidate_count = 0;
            self.signalled.clear();
        }
        self.fingerprint = Some(remote.fingerprint.clone());
        for candidate in remote.candidates.iter().chain(&remote.tcp_candidates) {
            self.note_candidate(candidate);
        }
        self.sockets.expect_control(remote.takes_data());
        self.agreement.send_replace(Agreement::new(|track| remote.agreement(track, &self.video_codecs)));
    }

    /// The peer connection has taken a candidate.
    pub(super) fn candidate_added(&self) {
        self.sockets.candidate_added();
    }

    /// A candidate of the peer's, which stands for itself if it is over TCP.
    pub(super) fn note_candidate(&mut self, candidate: &CheckedCandidate) {
        self.candidate_count += 1;
        if candidate.transport != Transport::Udp {
            self.sockets.tcp_candidate(candidate);
        } else if let Some(address) = candidate.address {
            self.signalled.entry(address).or_insert(candidate.kind);
        }
    }

    pub(super) fn signalled_kind(&self, address: SocketAddr) -> Option<CandidateKind> {
        self.signalled.get(&address).copied()
    }
}

impl PendingOffer {
    /// An answer repeats the sections of its offer, in their order (RFC 3264 §6).
    pub(super) fn check_answer(&self, remote: &RemoteDescription) -> Result<(), DescriptionError> {
        let same = self.sections.len() == remote.sections.len()
            && self.sections.iter().zip(&remote.sections).all(|((media, mid), section)| {
                let answered = match &section.media {
                    Media::Rtp(rtp) if rtp.audio => "audio",
                    Media::Rtp(_) => "video",
                    Media::Application { .. } => "application",
                };
                media == answered && *mid == section.mid
            });
        if same { Ok(()) } else { Err(DescriptionError::NotAnAnswer) }
    }
}

impl RemoteDescription {
    /// The peer's side of the DTLS connection, by its answer.
    pub(super) fn dtls_role(&self) -> DtlsRole {
        if self.setup == "active" { DtlsRole::Active } else { DtlsRole::Passive }
    }

    /// Whether there will be data channels.
    fn takes_data(&self) -> bool {
        self.sections.iter().any(|section| matches!(section.media, Media::Application { .. }) && !section.refused)
    }

    /// What our answer says of the section `mid`.
    pub(super) fn fate(&self, mid: &str) -> Option<SectionFate> {
        let section = self.sections.iter().find(|section| section.mid == mid)?;
        if section.refused {
            return Some(SectionFate::Refused);
        }
        Some(SectionFate::Open(match section.direction {
            Direction::SendRecv => Direction::SendRecv,
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            Direction::Inactive => Direction::Inactive,
        }))
    }

    /// What this comes to for `track`.
    fn agreement(&self, track: Track, video: &[VideoCodec]) -> TrackAgreement {
        let of_track = self.sections.iter().find_map(|section| match &section.media {
            Media::Rtp(rtp) if rtp.track == Some(track) && !section.refused => Some((section, rtp)),
            Media::Rtp(_) | Media::Application { .. } => None,
        });
        of_track.map_or_else(TrackAgreement::default, |(section, rtp)| TrackAgreement {
            sending: rtp.sending(video).filter(|_| section.direction.receives()),
            receiving: rtp.receiving(),
        })
    }
}

impl RtpCodec {
    /// What comes under which payload type.
    fn numbers(&self) -> impl Iterator<Item = (u8, Codec)> {
        let red = self.red_payload_type.map(|payload_type| (payload_type, Codec::Red));
        std::iter::once((self.payload_type, self.codec)).chain(red)
    }
}

impl Rtp {
    /// In the codec that is preferred here, among those that the peer takes.
    fn sending(&self, video: &[VideoCodec]) -> Option<Sending> {
        let preference = |codec: &&RtpCodec| video.iter().position(|known| known.codec() == codec.codec);
        let codec = self.codecs.iter().min_by_key(preference)?;
        let numbered = self.extensions.iter().find(|(_, uri)| *uri == TRANSPORT_CC_EXTENSION);
        Some(Sending {
            codec: codec.codec,
            payload_type: codec.payload_type,
            rtx_payload_type: codec.rtx_payload_type,
            red_payload_type: codec.red_payload_type,
            nack: !self.audio && codec.feedback.contains(&"nack"),
            transport_cc: numbered.map(|(id, _)| *id).filter(|_| codec.feedback.contains(&"transport-cc")),
        })
    }

    fn receiving(&self) -> Receiving {
        Receiving {
            ssrc: self.ssrc.map(|(media, _)| media),
            rtx_ssrc: self.ssrc.and_then(|(_, rtx)| rtx),
            nack: !self.audio && self.codecs.iter().any(|codec| codec.feedback.contains(&"nack")),
            codecs: self.codecs.iter().flat_map(RtpCodec::numbers).collect(),
        }
    }
}
