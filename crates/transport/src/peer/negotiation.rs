//! What negotiation has come to so far: what the peer said last, and what of ours waits for its answer.

use crate::candidate::{CandidateKind, CheckedCandidate};
use crate::description::{DescriptionError, Direction, Media, RemoteDescription, SectionFate};
use crate::send::Negotiated;
use crate::track::Track;
use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::sync::watch;

/// The state that one negotiation leaves to the next.
pub(super) struct Negotiation {
    pub(super) pending_offer: Option<PendingOffer>,
    pub(super) remote_ufrag: Option<String>,
    pub(super) candidate_count: usize,
    fingerprint: Option<String>,
    /// The kinds under which the peer told its addresses.
    signalled: HashMap<SocketAddr, CandidateKind>,
    /// What may be sent, in the order of [`Track::ALL`].
    negotiated: Vec<watch::Sender<Option<Negotiated>>>,
}

/// An offer of ours that waits for its answer.
pub(super) struct PendingOffer {
    /// Media and mid of each section.
    pub(super) sections: Vec<(String, String)>,
}

impl Negotiation {
    pub(super) fn new(negotiated: Vec<watch::Sender<Option<Negotiated>>>) -> Self {
        Self {
            pending_offer: None,
            remote_ufrag: None,
            candidate_count: 0,
            fingerprint: None,
            signalled: HashMap::new(),
            negotiated,
        }
    }

    /// The DTLS connection outlives every renegotiation, and so must the certificate.
    pub(super) fn check_fingerprint(&self, remote: &RemoteDescription) -> Result<(), DescriptionError> {
        match &self.fingerprint {
            Some(fingerprint) if *fingerprint != remote.fingerprint => Err(DescriptionError::FingerprintChanged),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes over what a description says, once offer and answer are both set.
    pub(super) fn commit(&mut self, remote: &RemoteDescription) {
        if self.remote_ufrag.as_ref() != Some(&remote.ufrag) {
            self.remote_ufrag = Some(remote.ufrag.clone());
            self.candidate_count = 0;
            self.signalled.clear();
        }
        self.fingerprint = Some(remote.fingerprint.clone());
        for candidate in &remote.candidates {
            self.note_candidate(candidate);
        }
        for (track, sender) in Track::ALL.into_iter().zip(&self.negotiated) {
            sender.send_replace(remote.takes(track));
        }
    }

    pub(super) fn note_candidate(&mut self, candidate: &CheckedCandidate) {
        self.candidate_count += 1;
        if let Some(address) = candidate.address {
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

    /// How `track` may be sent to the peer, if at all.
    fn takes(&self, track: Track) -> Option<Negotiated> {
        self.sections.iter().find_map(|section| match &section.media {
            Media::Rtp(rtp) if rtp.track == Some(track) && !section.refused && section.direction.receives() => {
                let first = rtp.codecs.first()?;
                Some(Negotiated { codec: first.codec, payload_type: first.payload_type })
            }
            Media::Rtp(_) | Media::Application { .. } => None,
        })
    }
}
