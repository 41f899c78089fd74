//! What the owner is told: the core's events in the words of this crate, safe to show.

use ahoy_call::{Event as CoreEvent, RefusedReason, Trust};
use ahoy_protocol::description::ProofError;
use ahoy_protocol::id::shown_text;
use tracing::{debug, warn};

use crate::driver::{Driver, OUTBOX};
use crate::event::{Event, MissedCall, Stamped};
use crate::moment::unix_ms;

/// The longest sentence that is shown, in characters.
const SENTENCE_MAX: usize = 400;

impl Driver {
    pub(super) fn handle_event(&mut self, event: CoreEvent) {
        let event = match event {
            CoreEvent::SignedIn { ice_servers } => {
                self.set_ice_servers(ice_servers);
                self.identity_is_known();
                self.config.invite = None;
                Event::SignedIn { username: self.config.account.username().clone(), session: self.session }
            }
            CoreEvent::IceServers(ice_servers) => return self.set_ice_servers(ice_servers),
            CoreEvent::SignInFailed { message, retrying: true, .. } => Event::LinkLost { message: shown(&message) },
            CoreEvent::SignInFailed { message, retrying: false, .. } => {
                Event::SignInFailed { message: shown(&message) }
            }
            CoreEvent::LinkLost => {
                let why = self.link_lost_because.take().unwrap_or_else(|| "the server does not answer".into());
                Event::LinkLost { message: shown(&why) }
            }
            CoreEvent::SignedInElsewhere => Event::SignInFailed {
                message: "another program signed in as this device; stop it, or give this one its own --data-dir"
                    .into(),
            },
            CoreEvent::Presence { username, online } => Event::Presence { username, online },
            CoreEvent::Dialling { call, to } => Event::Dialling { call, to },
            CoreEvent::Relayed { call, devices } => {
                debug!(%call, devices, "the offer arrived");
                return;
            }
            CoreEvent::Ringing { call, device } => Event::Ringing { call, device },
            CoreEvent::Incoming { call, from, name, video, trust } => {
                let proven = match trust {
                    Trust::Contact | Trust::Stranger => true,
                    Trust::Guest => false,
                };
                Event::Incoming { call, from, name, video, proven }
            }
            CoreEvent::Missed { call, from, video } => Event::Missed { call, from, video },
            CoreEvent::MissedWhileAway(calls) => Event::MissedWhileAway { calls: missed(calls) },
            CoreEvent::Refused { call, from, reason } => {
                Event::Refused { call, from, message: refusal(reason), why: reason }
            }
            CoreEvent::Accepted { call, by, video } => Event::Accepted { call, by, video },
            CoreEvent::Connected { call, path } => {
                self.connected = Some(call);
                Event::Connected { call, path: path_name(path) }
            }
            CoreEvent::PathLost { call } => Event::PathLost { call },
            CoreEvent::RemoteSending { call, sending } => {
                Event::RemoteSending { call, audio: sending.audio, video: sending.video }
            }
            CoreEvent::GaveWay { dialled, to } => Event::GaveWay { dialled, to },
            CoreEvent::Ended { call, reason } => {
                let connected = self.connected.take_if(|connected| *connected == call).is_some();
                let message = shown(&reason.to_string());
                Event::Ended { call, reason: reason.code(), message, connected, why: reason }
            }
            CoreEvent::Code { call, code, verified } => Event::Code { call, code, verified },
            CoreEvent::KeyChanged { username, known, shown } => Event::KeyChanged { username, known, shown },
            CoreEvent::Pin { username, pin } => return self.pin(&username, pin),
        };
        self.tell(event);
    }

    /// A server has taken the key. Once a run is enough.
    fn identity_is_known(&mut self) {
        if std::mem::replace(&mut self.is_identity_known, true) {
            return;
        }
        if let Some(storage) = self.storage.clone() {
            self.tasks.spawn_blocking(move || {
                if let Err(error) = storage.identity_is_known() {
                    warn!(%error, "the identity key stays where it was");
                }
            });
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        if self.outbox.len() == OUTBOX {
            self.outbox.pop_front();
            debug!("nobody reads the client's events; the oldest is dropped");
        }
        event.log();
        self.outbox.push_back(Stamped::now(event));
    }
}

/// A sentence that may hold words of the server's, made safe to show.
fn shown(sentence: &str) -> String {
    shown_text(sentence, SENTENCE_MAX).unwrap_or_default()
}

fn missed(calls: Vec<ahoy_protocol::message::MissedCall>) -> Vec<MissedCall> {
    let calls = calls.into_iter().map(|call| MissedCall {
        from: call.from,
        at_ms: unix_ms(&call.at),
        video: call.video,
        count: call.count.max(1),
    });
    calls.collect()
}

fn refusal(reason: RefusedReason) -> String {
    match reason {
        RefusedReason::Busy => "you were in another call".into(),
        RefusedReason::TooOften => "they called too often within a minute".into(),
        // Who knows somebody by an older key signs for that one, which is all that can be seen here.
        RefusedReason::Proof(ProofError::BadSignature) => {
            "it could not be proven to come from them; if your key is new, they may know an older one: call them, so \
             that they see the new one and can trust it"
                .into()
        }
        RefusedReason::Proof(error) => format!("the call could not be proven to come from them: {error}"),
    }
}

fn path_name(path: ahoy_call::PathKind) -> &'static str {
    match path {
        ahoy_call::PathKind::Host => "host",
        ahoy_call::PathKind::ServerReflexive => "srflx",
        ahoy_call::PathKind::PeerReflexive => "prflx",
        ahoy_call::PathKind::Relay => "relay",
    }
}
